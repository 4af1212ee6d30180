"""Data for the slots of a run: found when it is asked for, and brought by the rights that its owner has then."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from vaas.errors import Conflict, Invalid, NotFound, TooLarge, VaasError
from vaas.model import Entry, User, Visitor
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core
from vaas.portal.run_folders import explained
from vaas.portal.run_forms import STORE
from vaas.portal.whereabouts import brought_from, folder_name, thing_at
from vaas.stores.base import Store, check_path

__all__ = ["Things", "digest_of_folder", "files_below", "with_brought"]

#: What is kept of a thing once it was brought.
_BROUGHT = ("name", "size", "sha256")


class Things:
    """Finds and brings data."""

    def __init__(self, core: Core, baskets: Baskets) -> None:
        self._core, self._baskets = core, baskets

    async def find(self, visitor: Visitor, given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return for each slot what is kept of its thing: "title", "record" and "path", "size" if it is known, and
        the "store" in which it lies, or the "catalog" of another site that says where its files are.

        Raises
        ------
        Invalid
            It is nothing of theirs, or nothing that can be brought; ``field`` names the slot.
        """
        return {slot: await self._one(visitor, slot, said) for slot, said in given.items()}

    async def _one(self, visitor: Visitor, slot: str, said: str) -> dict[str, Any]:
        try:
            if said.startswith(STORE):
                return await self._chosen(visitor, said.removeprefix(STORE))
            basket, _, thing = said.rpartition("/")
            held = (await self._baskets.thing(visitor, basket, thing)).thing
            kept = {"title": held.title, "uri": held.uri, "checksum": held.checksum, "size": held.size}
            if (how := held.access.get("how")) in {"http", "store"}:
                store, path = await thing_at(self._core, visitor, held)
                if how == "http":
                    return {**kept, "catalog": held.catalog, "record": held.record, "path": path}
                await _entry(store, path)
                return {**kept, "record": held.record, "store": store.id, "path": path}
        except VaasError as error:
            raise Invalid(error.message, field=slot, log_message=error.log_message) from error
        raise Invalid(f"“{held.title}” is no file. Choose one.", field=slot)

    async def _chosen(self, visitor: Visitor, said: str) -> dict[str, Any]:
        """Return what is kept of a file or folder that is named by its store and its path."""
        store_id, _, path = said.partition("/")
        path = check_path(path)
        for place in self._core.stores.places(visitor.user):
            if place.store.id == store_id:
                entry = await _entry(place.store, path)
                kept = {"title": entry.name, "uri": "", "checksum": "", "size": None if entry.folder else entry.size}
                return {**kept, "record": f"file:{place.id}/{path}", "store": store_id, "path": path}
        raise NotFound("You have no such place for files.")

    async def bring(self, user: User, things: Mapping[str, Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
        """Put what was chosen into the folder, as "<slot>/<name>"; return of each what was brought.

        Raises NotFound, TooLarge, StorageFull, Conflict for another content than was chosen, and what stores raise.
        """
        left, brought = self._core.limits.run_data, list[dict[str, Any]]()
        for slot, thing in things.items():
            if not thing.get("record"):  # kept before files of other sites were brought
                raise Conflict(
                    f"“{thing['title']}” lies at another site. Choose it again, so that its files are brought."
                )
            said = {"slot": slot, "title": thing["title"], "uri": thing["uri"]}
            with explained():
                said |= await self._copy(user, thing, folder / slot, left)
            said["path"] = f"{slot}/{said['name']}"
            left -= int(said["size"])
            brought.append(said)
        return brought

    async def _copy(self, user: User, thing: Mapping[str, Any], to: Path, most: int) -> dict[str, Any]:
        store, path = await brought_from(self._core, user, thing)
        name = path.rpartition("/")[2] or folder_name(str(thing["title"]))
        await asyncio.to_thread(to.mkdir, parents=True, exist_ok=True)
        if (await store.stat(path)).folder:
            size = await store.take(path, to / name, limit=most)
            return {"name": name, "size": size, "sha256": await asyncio.to_thread(digest_of_folder, to / name)}
        sha, size = hashlib.sha256(), 0
        with (to / name).open("wb") as file:
            async with aclosing(store.chunks(path)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > most:
                        limit = self._core.limits.run_data // 1_000_000
                        raise TooLarge(f"The data of a run may have {limit} MB together. Choose less.")
                    sha.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        wanted = str(thing.get("checksum") or "")
        if wanted.startswith("sha256:") and wanted.removeprefix("sha256:") != sha.hexdigest():
            raise Conflict(f"“{thing['title']}” is not what it was when it was chosen. Choose it again.")
        return {"name": name, "size": size, "sha256": sha.hexdigest()}


def with_brought(asked: Mapping[str, Any], brought: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what was asked for, with what each thing turned out to be: its name, its size and its checksum."""
    things = {slot: dict(thing) for slot, thing in asked.get("things", {}).items()}
    for said in brought:
        things[said["slot"]] |= {name: said[name] for name in _BROUGHT}
    return {**asked, **({"things": things} if things else {})}


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder in their order; of very many that takes a while, in a thread."""
    return sorted(each for each in folder.rglob("*") if each.is_file())


def digest_of_folder(folder: Path) -> str:
    """Return the checksum of all that is in a folder: of the paths in it, and of the bytes."""
    whole = hashlib.sha256()
    for path in files_below(folder):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(os.fsencode(f"{path.relative_to(folder)}\0{inner}\n"))
    return whole.hexdigest()


async def _entry(store: Store, path: str) -> Entry:
    """Return the file or folder there. Raises Invalid for a folder that cannot be brought."""
    try:
        entry = await store.stat(path)
    except NotFound as error:  # which of one's places was looked in, and that it was not the notebook's folder
        raise NotFound(f"There is no “{path}” in “{store.title}”. Write its whole path there.") from error
    if entry.folder and not path:
        raise Invalid(f"Choose a file or a folder in “{store.title}”, not all of it.")
    if entry.folder and not store.here:
        raise Invalid(
            f"“{entry.name}” is a folder, and only files are brought from “{store.title}”, which is elsewhere. "
            "Copy the folder into your home first, or choose a file."
        )
    return entry
