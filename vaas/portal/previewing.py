"""A preview of what was found: what is inside a file, the picture of an app; nothing that its visitor may not see."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vaas import pictures
from vaas.catalogs.base import Record
from vaas.errors import NotFound, VaasError
from vaas.insides.base import Looker
from vaas.model import Visitor
from vaas.patience import LOOKING
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core
from vaas.portal.finding import Finding
from vaas.portal.things import OWN
from vaas.portal.turns import Turn, Turns
from vaas.portal.whereabouts import store_of
from vaas.prose import shorten
from vaas.query import Clause
from vaas.stores.base import Store

__all__ = ["Previewing"]

_log = logging.getLogger("vaas")
#: A file that has to be fetched is no larger, in bytes; and so many previews of one person's may be asked for at once.
_MOST, _MOST_EACH = 50_000_000, 4
_PICTURE, _TEXT = 600_000, 4_000
#: What is told of a person.
_MOST_THEIRS = 20
#: What speaks for a folder, the first that there is.
_README = ("readme.md", "readme.markdown", "readme.txt", "readme", "readme.rst")


class Previewing:
    """Shows what is inside of records; without ``lookers``, only what needs no file to be read.

    Of each person's files one is looked into at a time, so that with two lookers nobody waits for one other person
    alone. What needs no file waits for nobody.
    """

    def __init__(self, core: Core, finding: Finding, baskets: Baskets, lookers: Sequence[Looker] = ()) -> None:
        self._core, self._finding, self._baskets, self._lookers = core, finding, baskets, tuple(lookers)
        self._turns = Turns(self._lookers, most=_MOST_EACH)

    async def preview(self, visitor: Visitor, catalog_id: str, record_id: str) -> dict[str, Any]:
        """Return what can be shown, by its ``kind``; kind "none" and ``why`` where there is nothing.

        Raises
        ------
        NotFound
            There is no such record, or not for this visitor.
        """
        record = await self._finding.record(catalog_id, record_id, visitor=visitor)
        try:
            async with asyncio.timeout(LOOKING):
                return await self._show(visitor, record)
        except TimeoutError:
            return _nothing("Looking inside takes too long.")
        except VaasError as error:
            _log.info("No preview of %s: %s", record_id, error.log_message)
            return _nothing(error.message)

    async def close(self) -> None:
        """End what reads files; no-op when nothing does."""
        for looker in self._lookers:
            await looker.close()

    async def _show(self, visitor: Visitor, record: Record) -> dict[str, Any]:
        if record.type == "app":
            return self._app(record)
        if record.type == "person":
            return await self._theirs(visitor, record.owner)
        if "basket" in record.details:
            return await self._collection(visitor, str(record.details["basket"]))
        store = self._store(visitor, record)
        if store is None:
            return _nothing("There is no preview of this.")
        if record.type != "folder" and not self._lookers:
            return _nothing("Files are not looked into here.")
        path = str(record.details.get("path", ""))
        async with self._turns.of(visitor.name) as turn:
            return await (_folder(store, path) if record.type == "folder" else _file(turn, store, path))

    def _app(self, record: Record) -> dict[str, Any]:
        with self._core.database.begin() as records:
            app = records.apps.by_id(record.id.partition(":")[2])
        data = self._core.content.read(app.cover) if app and app.cover else b""
        mime = next((mime for mime, begins in pictures.TYPES.items() if data.startswith(begins)), "")
        if not mime or len(data) > _PICTURE:
            return _nothing("This app has no picture.")
        return {"kind": "image", "picture": f"data:{mime};base64,{base64.b64encode(data).decode()}"}

    async def _theirs(self, visitor: Visitor, owner: str) -> dict[str, Any]:
        """Tell what is that person's, what changed last first, as far as the visitor may see that."""
        search = f"in:{OWN} {Clause(owner, 'owner', exact=True)}"
        page = await self._finding.search(search, visitor=visitor, limit=_MOST_THEIRS)
        items = [{"name": each.title, "type": each.type} for each in page.records]
        return {"kind": "tree", "items": items}

    async def _collection(self, visitor: Visitor, basket_id: str) -> dict[str, Any]:
        """Tell what is in it, as far as the visitor may see that."""
        things = [held.thing for held in (await self._baskets.look(visitor, basket_id)).things]
        items = [
            {"name": each.title, "type": each.shown.get("format") or each.shown.get("type", "")} for each in things
        ]
        return {"kind": "tree", "items": items} if items else _nothing("There is nothing in it that you may see.")

    def _store(self, visitor: Visitor, record: Record) -> Store | None:
        """Return the store that a record of ours lies in, as the visitor's own: so it is their rights that count."""
        if visitor.user is None or "store" not in record.details:
            return None
        path = str(record.details.get("path", ""))
        return store_of(self._core.stores, visitor.user, record=record.id, path=path)


async def _file(turn: Turn[Looker], store: Store, path: str) -> dict[str, Any]:
    async with store.borrowed(path, limit=_MOST) as file:
        return await turn.work(partial(_preview, file, name=path.rpartition("/")[2]))


async def _preview(file: Path, looker: Looker, *, name: str) -> dict[str, Any]:
    return await looker.preview(file, name=name)


async def _folder(store: Store, path: str) -> dict[str, Any]:
    there = {entry.name.lower(): entry for entry in await store.list(path) if not entry.folder}
    entry = next((there[name] for name in _README if name in there), None)
    if entry is None:
        raise NotFound("This folder says nothing of itself.")
    text = (await store.read(entry.path, limit=1_000_000)).decode("utf-8", "replace")
    name = entry.name.lower()
    markdown = name.endswith((".md", ".markdown")) or "." not in name
    return {"kind": "text", "text": shorten(text, _TEXT), "format": "markdown" if markdown else "text"}


def _nothing(why: str) -> dict[str, Any]:
    return {"kind": "none", "why": why}
