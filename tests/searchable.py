"""A portal that can be searched: its own index, and a catalog elsewhere in which everybody sees the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.portal_parts import Homes, World
from vaas.catalogs.base import Catalog, Entry, Page, Record
from vaas.catalogs.own import Index, OwnCatalog
from vaas.errors import NotFound
from vaas.model import User, Visitor
from vaas.portal import Indexing, Portal
from vaas.query import Search
from vaas.stores.base import Place

__all__ = ["Elsewhere", "Searchable", "searchable"]


class Elsewhere(Catalog):
    """A catalog of another site, in memory; it counts how often it is asked."""

    id, title, same_for_all = "elsewhere", "Elsewhere", True

    def __init__(self) -> None:
        self.kept: dict[str, Record] = {}
        self.asked = 0

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        self.asked += 1
        return Page(tuple(self.kept.values()), len(self.kept))

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        self.asked += 1
        if record_id not in self.kept:
            raise NotFound("Elsewhere has no such record.")
        return self.kept[record_id]


class _Put(Homes):
    """Homes of which each person's is the place "p" too, in which lies what is put into the index."""

    def places(self, user: User | None = None, *, elsewhere: bool = True) -> list[Place]:
        own = super().places(user, elsewhere=elsewhere)
        return own + ([replace(own[0], id="p")] if user else [])


@dataclass
class Searchable:
    """A world with an index; ``fresh`` says whether the index is believed."""

    world: World
    index: Index
    elsewhere: Elsewhere
    fresh: bool = True

    def __post_init__(self) -> None:
        self.world.core.stores = _Put(self.world.homes)
        own = OwnCatalog(self.index, is_fresh=lambda: self.fresh)
        self.indexing = Indexing(self.world.core, self.index)
        self.world.portal = Portal(self.world.core, catalogs=[own, self.elsewhere], indexing=self.indexing)
        self.portal = self.world.portal

    def put(self, name: str, *readers: str, **said: Any) -> Record:
        """Put a data file into the index, as ``file:p/<name>``, that those subjects may see."""
        details = {"store": "home", "path": name, "checksum": said.pop("checksum", ""), **said.pop("details", {})}
        said = {"changed": self.world.clock(), "url": f"files/home/{name}", **said}
        record = Record(f"file:p/{name}", said.pop("type", "data"), said.pop("title", name), details=details, **said)
        self.index.put([Entry(record, frozenset(readers))])
        return record

    def drop(self, name: str) -> None:
        """Take the file out of the index."""
        self.index.put(remove=[f"file:p/{name}"])


@contextmanager
def searchable(world: World, folder: Path) -> Iterator[Searchable]:
    """Make the world searchable."""
    index = Index(folder / "index", memory=30_000_000, now=world.clock)
    try:
        yield Searchable(world, index, Elsewhere())
    finally:
        index.close()
