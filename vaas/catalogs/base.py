"""The catalog port: something that can be searched, one hit, and a page of hits; and an index that is kept here."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from vaas.errors import NotFound
from vaas.model import Visitor
from vaas.query import Search
from vaas.stores.base import Store

__all__ = ["ADMINS", "FACETS", "TYPES", "Catalog", "Entries", "Entry", "Page", "Record", "record_of", "said_of"]

#: Who administers the Hub counts as this subject, too.
ADMINS = "admin"

#: What can be found.
TYPES = ("app", "notebook", "data", "code", "folder", "share", "person")
#: The fields by which a catalog's hits are counted.
FACETS = ("type", "tag", "owner", "format", "year", "month")


@dataclass(frozen=True)
class Record:
    """One thing that can be found.

    Parameters
    ----------
    id:
        Its name in its catalog.
    type:
        One of :data:`TYPES`.
    summary:
        A few sentences that are shown.
    text:
        What is searched besides, and not shown.
    names:
        File names and identifiers, such as a DOI.
    columns:
        What is inside data: columns, variables, bands, axes.
    takes:
        What an app works on when it is handed to it: "basket".
    size:
        In bytes; None: it is not known.
    begins, ends:
        The time that it is about.
    box:
        The place that it is about: west, south, east, north in degrees.
    url:
        Where it is, for people.
    details:
        What only some have: shape, axes, checksum, how to get it.
    """

    id: str
    type: str
    title: str
    summary: str = ""
    text: str = field(default="", repr=False)
    owner: str = ""
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    category: str = ""
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    kernel: str = ""
    takes: tuple[str, ...] = ()
    format: str = ""
    catalog: str = ""
    licence: str = ""
    size: int | None = None
    changed: datetime | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    box: tuple[float, float, float, float] | None = None
    url: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


_MOMENTS = ("changed", "begins", "ends")
_TUPLES = ("authors", "tags", "names", "columns", "packages", "takes", "box")


def said_of(record: Record) -> dict[str, Any]:
    """Return what the record says, ready for JSON; what is empty is left out."""
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    said = {name: value for name, value in values.items() if value not in ("", (), None, {})}
    return said | {name: said[name].isoformat() for name in _MOMENTS if name in said}


def record_of(said: Mapping[str, Any]) -> Record:
    """Return the record that says so."""
    moments = {name: datetime.fromisoformat(said[name]) for name in _MOMENTS if name in said}
    tuples = {name: tuple(said[name]) for name in _TUPLES if name in said}
    return Record(**{**said, **moments, **tuples})


@dataclass(frozen=True)
class Page:
    """Hits, the best first.

    Parameters
    ----------
    total:
        How many there are in all that the visitor may see.
    facets:
        Field → value → how many of them have it; only those of catalogs that count.
    cursor:
        What to ask for the next hits with; "" after the last.
    corrected:
        Whether nothing fits, and these are what fits nearly.
    estimated:
        Whether there are so many hits that a sample was counted for ``facets``.
    silent:
        Catalog → why it did not answer, in words.
    notes:
        What was not understood, in words.
    """

    records: tuple[Record, ...] = ()
    total: int = 0
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cursor: str = ""
    corrected: bool = False
    estimated: bool = False
    silent: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Catalog(ABC):
    """Something that can be searched. ``id`` names it, ``title`` is for people."""

    id: str
    title: str
    #: Whether everybody here sees the same in it: then nobody has to ask again who may see a record.
    same_for_all: bool = False

    @abstractmethod
    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return what the visitor may see of what fits.

        Raises
        ------
        Unavailable
            It does not answer.
        """

    @abstractmethod
    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one record. Raises NotFound, for those that the visitor may not see too."""

    async def files(self, record_id: str, *, visitor: Visitor) -> Store:
        """Return what holds the files of a record, as they can be had now: all at its root, to be read only.

        Raises
        ------
        NotFound
            None of its files can be had; says why.
        """
        raise NotFound(f"{self.title} hands out no files.")

    async def suggest(self, beginning: str, *, visitor: Visitor, limit: int) -> list[str]:
        """Return what begins so, of what the visitor may see; nothing where the catalog does not suggest."""
        return []

    async def records(self, record_ids: Iterable[str], *, visitor: Visitor) -> dict[str, Record]:
        """Return those of the records that there are and that the visitor may see, by id."""
        found = {}
        for record_id in record_ids:
            with contextlib.suppress(NotFound):
                found[record_id] = await self.record(record_id, visitor=visitor)
        return found


@dataclass(frozen=True)
class Entry:
    """A record, and the subjects that may see it; ``until`` then, when it has to be looked at again."""

    record: Record
    readers: frozenset[str]
    until: datetime | None = None


class Entries(ABC):
    """What an index of our own is filled by."""

    @abstractmethod
    def put(
        self,
        entries: Iterable[Entry] = (),
        *,
        remove: Iterable[str] = (),
        fresh: bool = False,
        upto: tuple[int, int] | None = None,
    ) -> None:
        """Add the entries in the place of those of the same id, and remove others; all of it can be found at once.

        ``fresh``: they are all that there is, and nothing of before stays. ``upto`` is kept as :attr:`followed`. One
        that cannot be kept is logged and is not there: nobody finds it, and none of the others waits for it.
        """

    @abstractmethod
    def expired(self, now: datetime) -> list[str]:
        """Return the ids of entries that some reader may see no more, some hundreds at most."""

    @property
    @abstractmethod
    def followed(self) -> tuple[int, int]:
        """The epoch and the number of the last change that is in it; (0, 0): it is new."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all that it holds, when what is being put into it is in it; nothing can be put into it any more."""

    @abstractmethod
    def __len__(self) -> int: ...
