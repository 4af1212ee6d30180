"""What the index says of each kind of thing: an app with its grants and notebook, a file or folder, a collection."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from vaas.catalogs.base import ADMINS, Entry, Record, record_of
from vaas.db.base import Find, Records
from vaas.keeping import Basket
from vaas.model import App, Grant, Version
from vaas.notebook import Notebook, parse
from vaas.portal.core import Core, takes
from vaas.prose import shown

__all__ = ["IndexedApps", "IndexedFiles", "IndexedShares", "Kind"]

_log = logging.getLogger("vaas")
#: So much of a notebook's text is looked through, and so much of a name is kept, in characters.
_MOST_TEXT, _MOST_NAME = 100_000, 40
_Row = TypeVar("_Row")


class Kind(ABC, Generic[_Row]):
    """One kind of thing that changes: ``name`` is that of its changes, and its entries are ``<name>:<key>``."""

    name: str

    @abstractmethod
    def read(self, records: Records, keys: Collection[str]) -> Mapping[str, _Row]:
        """Return what the database says of each of these; nothing of those that are gone."""

    @abstractmethod
    def entry(self, row: _Row) -> Entry:
        """Return what the index says of it, outside of any transaction."""


@dataclass(frozen=True)
class _Found:
    """What the database says of one app."""

    app: App
    grants: tuple[Grant, ...]
    version: Version | None


class IndexedApps(Kind[_Found]):
    """Published apps."""

    name = "app"

    def __init__(self, core: Core) -> None:
        self._core = core

    def read(self, records: Records, keys: Collection[str]) -> Mapping[str, _Found]:
        """Return the apps with their grants and their current versions."""
        return {key: found for key in keys if (found := self._look(records, key))}

    @staticmethod
    def _look(records: Records, app_id: str) -> _Found | None:
        app = records.apps.by_id(app_id)
        # Who searches is in the app that speaks for them, or does without it.
        if app is None or app.speaks:
            return None
        versions = records.versions.of(app_id)
        current = next((each for each in versions if each.snapshot.hash == app.version), None)
        return _Found(app, tuple(records.grants.of([app_id])), current)

    def entry(self, row: _Found) -> Entry:
        """Return who may see it, and what its page shows."""
        app, now = row.app, self._core.now()
        grants = [grant for grant in row.grants if grant.holds(now)]
        readers = {ADMINS, f"user:{app.owner}", *(grant.subject for grant in grants)}
        until = min((grant.expires for grant in grants if grant.expires), default=None)
        record = Record(
            id=f"app:{app.id}",
            type="app",
            title=app.title,
            summary=app.description,
            owner=app.owner,
            tags=app.tags,
            category=app.category,
            names=(app.slug,),
            changed=app.updated,
            catalog="here",
            details={"slug": app.slug},
        )
        return Entry(self._told(record, row.version), frozenset(readers), until=until)

    def _told(self, record: Record, version: Version | None) -> Record:
        """Add what the notebook's page shows, if it can be read: its code and its files are not for all."""
        if version is None:
            return record
        path = version.snapshot.notebook
        try:
            digest = next(file.sha256 for file in version.snapshot.files if file.path == path)
            notebook = parse(self._core.content.read(digest), name=path)
            kernel = _whole(notebook.language[:_MOST_NAME])
            return replace(record, text=_text(notebook), kernel=kernel, takes=takes(version.report))
        except Exception as error:
            # Whatever is wrong with one app keeps no other from being found, and nobody from losing access.
            _log.warning("%s is in the index without its notebook: %s", record.id, error)
            return record


class IndexedFiles(Kind[Find]):
    """Files and folders of places: as they were found, for those who may see the place."""

    name = "file"

    def read(self, records: Records, keys: Collection[str]) -> Mapping[str, Find]:
        """Return what was found."""
        return {find.key: find for find in records.finds.some(keys)}

    def entry(self, row: Find) -> Entry:
        """Return what was said of it; one that this version cannot read is found by its name."""
        try:
            record = record_of(row.record)
        except (TypeError, ValueError) as error:
            _log.warning("%s is in the index by its name alone: %s", row.key, error)
            record = Record(id="", type=row.kind, title=row.path.rpartition("/")[2])
        # By these it is looked for and removed.
        return Entry(replace(record, id=f"file:{row.key}", catalog="here"), row.readers)


@dataclass(frozen=True)
class _Collection:
    """What the database says of one collection, and how many things are in it."""

    basket: Basket
    count: int


class IndexedShares(Kind[_Collection]):
    """Collections: baskets that are shared with somebody.

    What is in one, and with whom it is shared, is in no record: each may see something else of it.
    """

    name = "share"

    def read(self, records: Records, keys: Collection[str]) -> Mapping[str, _Collection]:
        """Return those that are shared with somebody."""
        found = {key: basket for key in keys if (basket := records.baskets.get(key)) and basket.shared_with}
        counts = records.things.counts(list(found)) if found else {}
        return {key: _Collection(basket, counts.get(key, 0)) for key, basket in found.items()}

    def entry(self, row: _Collection) -> Entry:
        """Return what it is called, for its owner and those with whom it is shared; not for administrators."""
        basket, count = row.basket, row.count
        record = Record(
            id=f"share:{basket.id}",
            type="share",
            title=basket.name,
            summary=f"A collection that {basket.owner} shares: {count} thing{'' if count == 1 else 's'}.",
            owner=basket.owner,
            changed=basket.changed,
            catalog="here",
            details={"basket": basket.id},
        )
        return Entry(record, frozenset({f"user:{basket.owner}", *basket.shared_with}))


def _text(notebook: Notebook) -> str:
    return _whole(shown((cell.source for cell in notebook.cells if cell.kind == "markdown"), most=_MOST_TEXT))


def _whole(text: str) -> str:
    """Return the text without halves of characters, which JSON may hold and no index keeps."""
    return text.encode(errors="replace").decode()
