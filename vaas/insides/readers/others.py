"""Formats that are known by name alone: nothing of what is in them is read."""

from __future__ import annotations

from typing import Any

from vaas.errors import Unreadable
from vaas.insides.formats import TITLES, find_format
from vaas.insides.handed import Handed

__all__ = ["look", "preview"]


def look(handed: Handed) -> dict[str, Any]:
    """Tell the format."""
    return {"format": find_format(handed)}


def preview(handed: Handed) -> dict[str, Any]:
    """Refuse: there is nothing to show."""
    raise Unreadable(f"It is {TITLES[find_format(handed)]}, of which nothing is shown here.")
