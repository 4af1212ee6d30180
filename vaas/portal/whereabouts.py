"""Where the bytes of what was found are: in one of a person's own stores, or at another site, asked for when wanted.

The place of a file is no other's, and the addresses of a record elsewhere are none of the past.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vaas.errors import Invalid, NotFound, VaasError
from vaas.keeping import Thing
from vaas.model import User, Visitor
from vaas.portal.core import Core
from vaas.prose import clean_text
from vaas.stores.base import Store, StoreSource

__all__ = ["brought_from", "folder_name", "record_at", "store_of", "thing_at"]

#: Characters of a folder's name, and bytes: of some letters each has four, and a name on a disk has 255.
_LONGEST, _BYTES = 80, 200
_NO_FILE = "“{title}” is no file: it can be opened at {uri}"


def store_of(stores: StoreSource, user: User, *, record: str, path: str) -> Store | None:
    """Return the person's own store in which the file of that record lies, as its id says; None without just one.

    Stores of one person may have the same id, and then another file than the one that was found may have this path.
    """
    fitting = [place.store for place in stores.places(user) if record == f"file:{place.id}/{path}"]
    return fitting[0] if len(fitting) == 1 else None


async def thing_at(core: Core, visitor: Visitor, thing: Thing) -> tuple[Store, str]:
    """Return where a thing that the visitor may see lies, and its path there; "" for a record with several files.

    Raises
    ------
    NotFound
        It is there no more, or nothing of it can be had.
    Invalid
        It is nothing that has bytes.
    Unavailable
        It cannot be told at the moment.
    """
    if thing.access.get("how") == "http":
        try:
            return await record_at(core, visitor, thing.catalog, thing.record)
        except VaasError as error:
            words = f"{error.message} The page of “{thing.title}” is {thing.uri}" if thing.uri else error.message
            raise type(error)(words, log_message=error.log_message) from error
    if thing.access.get("how") != "store" or visitor.user is None:
        raise Invalid(_NO_FILE.format(title=thing.title, uri=core.public_url + thing.uri))
    path = str(thing.access["via"]["path"])
    store = store_of(core.stores, visitor.user, record=thing.record, path=path)
    if store is None:
        raise NotFound(f"“{thing.title}” is not among your files any more.")
    return store, path


async def record_at(core: Core, visitor: Visitor, catalog: str, record: str) -> tuple[Store, str]:
    """Return what holds the files of a record elsewhere, and the path of its file; "" where it has several."""
    store = await core.files_elsewhere(catalog, record, visitor)
    entries = await store.list("")
    return store, entries[0].path if len(entries) == 1 else ""


async def brought_from(core: Core, user: User, thing: Mapping[str, Any]) -> tuple[Store, str]:
    """Return where something lies that was chosen for a run, by what was kept of it then. Raises as thing_at."""
    if catalog := str(thing.get("catalog", "")):
        return await record_at(core, Visitor(user), catalog, str(thing["record"]))
    path = str(thing["path"])
    store = store_of(core.stores, user, record=str(thing["record"]), path=path)
    if store is None:
        raise NotFound(f"“{thing['title']}” is not among your files any more.")
    return store, path


def folder_name(title: str) -> str:
    """Return a title as a folder is called: one part of a path that is not hidden."""
    kept = re.sub(r"[^\w .,()+-]+", " ", clean_text(title))
    short = " ".join(kept.split())[:_LONGEST].encode()[:_BYTES].decode(errors="ignore")
    return short.strip(" .") or "Notebook"
