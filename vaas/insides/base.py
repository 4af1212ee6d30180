"""The port for looking into files: what a file tells of itself, and something that can find it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from vaas.errors import Unreadable

__all__ = ["Inside", "Looker", "Unreadable"]


@dataclass(frozen=True)
class Inside:
    """What a file tells of itself: every text has bounds, and everything is optional.

    Parameters
    ----------
    type:
        ``data``, ``notebook`` or ``folder``.
    format:
        What it is, whatever its name says: ``csv``, ``parquet``, ``netcdf`` …; "" for what is not known here.
    text:
        What is searched besides, and not shown.
    columns:
        Columns, variables, bands, properties, by their names.
    begins, ends:
        The time that it is about.
    box:
        The place that it is about: west, south, east, north in degrees.
    details:
        What only some have: ``rows`` and ``rows_estimated``, ``types`` and ``units`` by column, ``shape``, ``axes``.
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
    """Looks into files, one after the other."""

    @abstractmethod
    async def look(self, path: Path, *, name: str) -> Inside:
        """Return what the file or folder at ``path`` tells of itself; ``name`` is its name in its store.

        No link is followed there; the way to it is the caller's.

        Raises
        ------
        Unreadable
            It tells nothing; the message says why.
        Unavailable
            Nothing can be looked into at the moment.
        """

    @abstractmethod
    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        """Return what is shown of it, ready for JSON: ``kind`` and what belongs to it. Raises as :meth:`look`."""

    @abstractmethod
    async def close(self) -> None:
        """End what was started; no-op when nothing was."""
