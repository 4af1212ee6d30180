"""The port to the insides of files: what a file tells of itself, and how it looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from vaas.errors import VaasError

__all__ = ["Inside", "Looker", "Unreadable"]


class Unreadable(VaasError):
    """It could not be looked into; the message says why."""


@dataclass(frozen=True)
class Inside:
    """What a file tells of itself: every text is bounded, and everything optional.

    Parameters
    ----------
    box:
        West, south, east, north in degrees.
    details:
        What only some have: rows, shape, axes, units.
    """

    type: str = "data"
    format: str = ""
    title: str = ""
    summary: str = ""
    text: str = field(default="", repr=False)
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    kernel: str = ""
    licence: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    box: tuple[float, float, float, float] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Looker(ABC):
    """Looks into files, apart from everything else and with limits of time and memory.

    ``path`` is a file on this machine, or a folder where that is one thing (Zarr, a folder with a README, a
    datapackage.json or an RO-Crate); ``name`` is what it is called in its store.
    """

    @abstractmethod
    async def look(self, path: Path, *, name: str) -> Inside:
        """Return what it tells of itself. Raises Unreadable."""

    @abstractmethod
    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        """Return how it looks, as JSON. Raises Unreadable."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the processes that read; no-op when there are none."""
