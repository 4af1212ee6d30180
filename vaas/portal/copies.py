"""Copies: an app's notebook and files, placed in a person's own store and never over existing work."""

from __future__ import annotations

import contextlib

from vaas.errors import Conflict
from vaas.model import User, Visitor
from vaas.portal.core import Core
from vaas.stores.base import Store, check_path

__all__ = ["Copies", "ensure_parents"]


class Copies:
    """Working copies of published notebooks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def save(self, user: User, slug: str, store_id: str, folder: str) -> str:
        """Copy the current version into a new folder of the person's store, and return the folder's path.

        ``folder`` is the new folder's path ("" for one named after the app); a number is added when it is
        there already. Raises NotFound, Forbidden, StorageFull.
        """
        app = self._core.see(Visitor(user), slug, "launch").app
        with self._core.database.begin() as records:
            versions = records.versions.of(app.id)
        version = next(version for version in versions if version.snapshot.hash == app.version)
        store = self._core.store(user, store_id)
        target = await _new_folder(store, check_path(folder) or app.slug)
        made = {target}
        for file in version.snapshot.files:
            path = f"{target}/{file.path}"
            await _ensure_parents(store, path, made)
            await store.write(path, self._core.content.read(file.sha256), if_match=None)
        self._core.written(user, store.id, target)
        return target


async def ensure_parents(store: Store, path: str) -> None:
    """Make the folders in which the path lies; those that are there stay as they are."""
    parts = path.split("/")[:-1]
    for i in range(1, len(parts) + 1):
        with contextlib.suppress(Conflict):
            await store.make_folder("/".join(parts[:i]))


async def _new_folder(store: Store, wanted: str) -> str:
    for number in range(1, 100):
        path = wanted if number == 1 else f"{wanted}-{number}"
        try:
            await store.make_folder(path)
        except Conflict:
            continue
        return path
    raise Conflict(f"There are too many copies called “{wanted}” here. Choose another folder.")


async def _ensure_parents(store: Store, path: str, made: set[str]) -> None:
    parts = path.split("/")[:-1]
    for i in range(1, len(parts) + 1):
        folder = "/".join(parts[:i])
        if folder not in made and any(folder.startswith(f"{top}/") for top in made):
            await store.make_folder(folder)
            made.add(folder)
