"""Gathering what travels with a notebook: what it seems to need, from a store or from an upload, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

from vaas import notebook
from vaas.errors import Invalid, TooLarge
from vaas.locks import LOCK
from vaas.model import Entry, File
from vaas.portal.core import Core, Limits
from vaas.requirements import FILES
from vaas.served import SERVED
from vaas.stores.base import Store, check_path

__all__ = ["LEFT_OUT", "check_sizes", "choose_notebook", "fetch", "is_chosen", "suggested", "without_top"]

#: How many files beside a notebook are looked at to suggest what travels along.
_LOOK_AT = 300
#: Folders and files that never travel with a notebook.
LEFT_OUT = frozenset({"__pycache__", "node_modules"})


async def suggested(store: Store, parsed: notebook.Notebook, entries: list[Entry], *, folder: str) -> set[str]:
    """Return the entries beside the notebook that it mentions or imports, whole folders for what is in them.

    What says which packages or environment it needs always travels along.
    """
    strip = len(folder) + 1 if folder else 0
    files = {e.path[strip:]: e async for e in _walk(store, entries, limit=_LOOK_AT) if not e.folder}
    modules = [name for name, e in files.items() if name.endswith(".py") and e.size <= 300_000][:40]
    texts = {name: (await store.read(files[name].path, limit=300_000)).decode("utf-8", "replace") for name in modules}
    found = await asyncio.to_thread(notebook.suggest_files, parsed, files, sources=texts)
    tops = {name.partition("/")[0] for name in found} | {*FILES, LOCK, SERVED}
    return {e.path for e in entries if e.name in tops}


async def fetch(core: Core, store: Store, wanted: list[Entry], *, chosen: Collection[str], strip: int) -> list[File]:
    """Keep the wanted files that are chosen, and what is chosen in folders; the paths lose ``strip`` characters."""
    limits, found = core.limits, list[File]()
    entries = [entry async for entry in _walk(store, wanted, limit=limits.draft_files, chosen=chosen)]
    check_sizes(limits, entries)
    left = limits.draft_bytes  # counted anew: what a store says of its files is not always so
    for entry in entries:
        if not entry.folder:
            chunks = store.chunks(entry.path)
            digest, size = await core.content.add_stream(chunks, limit=min(limits.file_bytes, left))
            found.append(File(entry.path[strip:], digest, size))
            left -= size
    return found


def check_sizes(limits: Limits, entries: list[Entry]) -> None:
    """Raise TooLarge when these are more files or more bytes than may travel with a notebook."""
    total = sum(entry.size for entry in entries)
    if len(entries) > limits.draft_files:
        raise TooLarge(f"More than {limits.draft_files} files would travel with the notebook. Choose fewer.")
    if any(entry.size > limits.file_bytes for entry in entries):
        raise TooLarge(f"A file is larger than {limits.file_bytes // 1_000_000} MB, the limit of this portal.")
    if total > limits.draft_bytes:
        raise TooLarge(f"The files are {total // 1_000_000} MB; {limits.draft_bytes // 1_000_000} MB may travel.")


def without_top(files: Mapping[str, bytes], *, keep: str) -> dict[str, bytes]:
    """Return what travels of uploaded files, without the one folder that all are in, if ``keep`` needs it not."""
    clean = {check_path(path): data for path, data in files.items()}
    parts = [path.split("/") for path in clean if path]
    kept = {p: d for p, d in clean.items() if not any(x.startswith(".") or x in LEFT_OUT for x in p.split("/"))}
    shared = {p[0] for p in parts if len(p) > 1} if all(len(p) > 1 for p in parts) else set()
    if len(shared) == 1 and keep not in kept:
        top = len(shared.pop()) + 1
        return {path[top:]: data for path, data in kept.items()}
    return kept


def choose_notebook(files: Mapping[str, bytes]) -> str:
    """Return the notebook nearest the top. Raises Invalid when there is none."""
    notebooks = sorted((p for p in files if p.endswith(".ipynb")), key=lambda p: (p.count("/"), p))
    if not notebooks:
        raise Invalid("There is no notebook (.ipynb) among these files.")
    return notebooks[0]


def is_chosen(entry: Entry, chosen: Collection[str]) -> bool:
    """Tell whether the entry is chosen, lies in a chosen folder, or is a folder with something chosen in it."""
    inside = any(entry.path.startswith(f"{path}/") for path in chosen if path)
    around = entry.folder and any(path.startswith(f"{entry.path}/") for path in chosen)
    return inside or around or entry.path in chosen


async def _walk(
    store: Store, wanted: list[Entry], *, limit: int, chosen: Collection[str] | None = None
) -> AsyncIterator[Entry]:
    """Yield all files and folders at and under ``wanted`` that are chosen; one more than ``limit`` at most.

    Folders count as well: one with a link to itself has no end, and perhaps no file.
    """
    found, pending = 0, list(wanted)
    while pending and found <= limit:
        entry = pending.pop()
        if entry.folder and entry.name in LEFT_OUT:
            continue
        found += 1
        yield entry
        if entry.folder:
            pending += [e for e in await store.list(entry.path) if chosen is None or is_chosen(e, chosen)]
