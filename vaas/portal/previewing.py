"""A preview of what was found: what is inside a file, the picture of an app; nothing that its visitor may not see."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

from vaas import pictures
from vaas.catalogs.base import Record
from vaas.errors import NotFound, VaasError
from vaas.insides.base import Looker
from vaas.model import Visitor
from vaas.portal.core import Core
from vaas.portal.finding import Finding
from vaas.stores.base import Store

__all__ = ["Previewing"]

_log = logging.getLogger("vaas")
#: A file that has to be fetched is no larger, in bytes; and nobody waits longer, in seconds.
_MOST, _PATIENCE = 50_000_000, 30.0
_PICTURE, _TEXT = 600_000, 4_000
#: What speaks for a folder, the first that there is.
_README = ("readme.md", "readme.txt", "readme", "readme.rst")


class Previewing:
    """Shows what is inside of records; without a ``looker``, only what needs no file to be read."""

    def __init__(self, core: Core, finding: Finding, looker: Looker | None = None) -> None:
        self._core, self._finding, self._looker = core, finding, looker

    async def preview(self, visitor: Visitor, catalog_id: str, record_id: str) -> dict[str, Any]:
        """Return what can be shown, by its ``kind``; kind "none" and ``why`` where there is nothing.

        Raises
        ------
        NotFound
            There is no such record, or not for this visitor.
        """
        record = await self._finding.record(catalog_id, record_id, visitor=visitor)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._show(visitor, record)
        except TimeoutError:
            return _nothing("Looking inside takes too long.")
        except VaasError as error:
            _log.info("No preview of %s: %s", record_id, error.log_message)
            return _nothing(error.message)

    async def close(self) -> None:
        """End what reads files; no-op when nothing does."""
        if self._looker is not None:
            await self._looker.close()

    async def _show(self, visitor: Visitor, record: Record) -> dict[str, Any]:
        if record.type == "app":
            return self._app(record)
        store = self._store(visitor, record)
        if store is None:
            return _nothing("There is no preview of this.")
        path = str(record.details.get("path", ""))
        if record.type == "folder":
            return await _folder(store, path)
        if self._looker is None:
            return _nothing("Files are not looked into here.")
        async with store.borrowed(path, limit=_MOST) as file:
            return await self._looker.preview(file, name=path.rpartition("/")[2])

    def _app(self, record: Record) -> dict[str, Any]:
        with self._core.database.begin() as records:
            app = records.apps.by_id(record.id.partition(":")[2])
        data = self._core.content.read(app.cover) if app and app.cover else b""
        mime = next((mime for mime, begins in pictures.TYPES.items() if data.startswith(begins)), "")
        if not mime or len(data) > _PICTURE:
            return _nothing("This app has no picture.")
        return {"kind": "image", "picture": f"data:{mime};base64,{base64.b64encode(data).decode()}"}

    def _store(self, visitor: Visitor, record: Record) -> Store | None:
        """Return the store that a record of ours lies in, as the visitor's own: so it is their rights that count."""
        if visitor.user is None or "store" not in record.details:
            return None
        mine = self._core.stores.of(visitor.user)
        return next((store for store in mine if store.id == record.details["store"]), None)


async def _folder(store: Store, path: str) -> dict[str, Any]:
    there = {entry.name.lower(): entry for entry in await store.list(path) if not entry.folder}
    entry = next((there[name] for name in _README if name in there), None)
    if entry is None:
        raise NotFound("This folder says nothing of itself.")
    text = (await store.read(entry.path, limit=1_000_000)).decode("utf-8", "replace")
    return {"kind": "text", "text": text[:_TEXT]}


def _nothing(why: str) -> dict[str, Any]:
    return {"kind": "none", "why": why}
