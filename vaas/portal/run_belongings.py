"""What belongs to the result of a run, so that it works elsewhere too: its files, and copies of the data it was given.

A notebook finds its data beside itself, as :func:`vaas.jobs.inputs_of` says; so the same files serve an app that is
published of the result and a launch of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vaas import jobs
from vaas.content import Content, explain, snapshot_of
from vaas.errors import Conflict, NotFound, TooLarge
from vaas.launching import Offering, Run
from vaas.model import Draft, Entry, File, Snapshot, User, Visitor
from vaas.portal.core import Core
from vaas.portal.run_things import digest_of_folder, files_below
from vaas.portal.whereabouts import brought_from, store_of
from vaas.stores.base import Counted, Store

__all__ = [
    "Belonging",
    "Belongings",
    "Heard",
    "as_then",
    "copied_words",
    "files_in",
    "may_still",
    "unheard",
    "with_files",
]

_CHUNK = 1 << 20
_HOME = "home"
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
#: Hears how far copying is: in words, and how much of a hundred. Perhaps in a thread.
Heard = Callable[[str, int], None]


def unheard(words: str, percent: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Belonging:
    """Data that a run was given.

    Parameters
    ----------
    slot:
        The parameter that it fills.
    size:
        In bytes; None while nobody has looked.
    whose:
        What the place is called that it is from: "" for the person's own home, None where it cannot be had any more.
    """

    slot: str
    title: str
    size: int | None
    whose: str | None


class Belongings:
    """Puts together what belongs to results, by the rights that the person has now."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def run(self, user: User, run_id: str) -> Run:
        """Return the person's run, if they may still run its notebook: its files are theirs then.

        Raises NotFound, for other people's too, and Forbidden.
        """
        with self._core.database.begin() as records:
            run = records.runs.get(run_id)
        if run is None or run.owner != user.name:
            raise NotFound("There is no such run.")
        may_still(self._core, user, run.asked)
        return run

    def of_result(self, user: User, store_id: str, path: str) -> Run | None:
        """Return the run of which this is the executed notebook, if data were brought to it; None for any other."""
        with self._core.database.begin() as records:
            runs = records.runs.of(user.name)
        fitting = (each for each in runs if each.result_path and (each.result_store, each.executed) == (store_id, path))
        return next((each for each in fitting if any(_brought(each))), None)

    def goes_into(self, user: User, draft: Draft) -> bool:
        """Tell whether copies of what a run was given are among the files of the draft: they lie in no store beside."""
        run = self.of_result(user, draft.origin_store, draft.origin_path) if draft.origin_store else None
        at = jobs.inputs_of(run.snapshot.notebook, ()) if run else ""
        inside = (each.path.removeprefix(at) for each in draft.snapshot.files if each.path.startswith(at))
        return run is not None and any("/" in path for path in inside)

    def data(self, user: User, run: Run) -> tuple[Belonging, ...]:
        """Return which data would go along, and whose they are; what an address leads to does not have to."""
        return tuple(
            Belonging(slot, str(thing["title"]), thing.get("size"), self._whose(user, thing))
            for slot, thing in _brought(run)
        )

    async def check(self, user: User, run: Run) -> None:
        """Raise, before anything is copied, where it is seen already that the whole cannot be had.

        Raises
        ------
        NotFound
            There is no result, or the person has the data no more.
        Conflict
            The data are not what they were.
        TooLarge
            It is more than travels with a notebook.
        """
        store = self._result_store(user, run)
        await store.stat(run.executed)
        left = self._core.limits.draft_bytes - sum(file.size for file in run.snapshot.files)
        files = len(run.snapshot.files)
        for _, thing in _brought(run):
            found, entry = await self._found(user, thing)
            size, files = int(thing["size"]), files + 1
            left -= size
            too_many = left < 0 or files > self._core.limits.draft_files
            if too_many or (not entry.folder and size > self._core.limits.file_bytes):
                raise self._too_large(run)
            # What a store elsewhere says of its files is not always so.
            if found.here and not entry.folder and entry.size != size:
                raise _changed(thing)

    async def bare(self, user: User, run: Run) -> Snapshot:
        """Return the executed notebook with the files that it had beside it, without the data that it was given.

        Raises as :meth:`check`.
        """
        await self.check(user, run)
        notebook, limit = run.snapshot.notebook, self._core.limits.notebook_bytes
        data = await self._result_store(user, run).read(run.executed, limit=limit)
        kept = await asyncio.to_thread(self._core.content.add, data)
        others = (file for file in run.snapshot.files if file.path != notebook)
        return snapshot_of(notebook, (File(notebook, *kept), *others))

    async def gather(self, user: User, run: Run, *, told: Heard = unheard) -> Snapshot:
        """Return the executed notebook with the files that it had beside it, and copies of its data. Raises as check.

        Of the data nothing is kept when not all of them can be had. ``told`` hears how far it is.
        """
        bare = await self.bare(user, run)
        at = jobs.inputs_of(bare.notebook, (file.path for file in run.snapshot.files))
        counted, files = _Counting(sum(int(thing["size"]) for _, thing in _brought(run)), told), list(bare.files)
        with self._core.content.together() as content:
            for slot, thing in _brought(run):
                files += await self._keep(content, user, thing, f"{at}/{slot}/{thing['name']}", counted)
            if len(files) > self._core.limits.draft_files:
                raise self._too_large(run)
            return snapshot_of(bare.notebook, files)

    async def _keep(
        self, content: Content, user: User, thing: Mapping[str, Any], path: str, counted: Counted
    ) -> list[File]:
        """Keep what is there now under this path, if it is what the run was given."""
        store, entry = await self._found(user, thing)
        try:
            if not entry.folder:
                async with aclosing(store.chunks(entry.path)) as chunks, aclosing(_heard(chunks, counted)) as heard:
                    digest, size = await content.add_stream(heard, limit=int(thing["size"]))
                files = [File(path, digest, size)]
            else:
                digest, files = await self._keep_folder(content, store, entry, thing, path, counted)
        except TooLarge as error:
            raise _changed(thing) from error
        if digest != thing["sha256"]:
            raise _changed(thing)
        return files

    async def _keep_folder(
        self, content: Content, store: Store, entry: Entry, thing: Mapping[str, Any], path: str, counted: Counted
    ) -> tuple[str, list[File]]:
        """Keep the files of a folder, taken as for the run; return its checksum, too."""
        files, limits = list[File](), self._core.limits
        async with content.aside() as aside:
            folder = aside / "folder"
            try:
                await store.take(entry.path, folder, limit=int(thing["size"]), told=counted)
            except OSError as error:
                raise explain(error) from error
            digest = await asyncio.to_thread(digest_of_folder, folder)
            for each in await asyncio.to_thread(files_below, folder):
                async with aclosing(_chunks(each)) as chunks:
                    kept = await content.add_stream(chunks, limit=limits.draft_bytes)
                files.append(File(f"{path}/{each.relative_to(folder)}", *kept))
        return digest, files

    async def _found(self, user: User, thing: Mapping[str, Any]) -> tuple[Store, Entry]:
        """Return where the thing is, for who may read it now."""
        if "sha256" not in thing:
            raise Conflict("This run did not keep note of the data that it was given. Repeat it, and take that result.")
        try:
            store, path = await brought_from(self._core, user, thing)
            return store, await store.stat(path)
        except NotFound as error:
            gone = (
                "cannot be had from its site any more" if thing.get("catalog") else "is not among your files any more"
            )
            words = f"“{thing['title']}” {gone}, so that it cannot go along. Repeat the run with other data."
            raise NotFound(words, log_message=error.log_message) from error

    def _whose(self, user: User, thing: Mapping[str, Any]) -> str | None:
        if thing.get("catalog"):
            return urlsplit(str(thing["uri"])).netloc
        store = store_of(self._core.stores, user, record=str(thing["record"]), path=str(thing["path"]))
        return None if store is None else "" if store.id == _HOME else store.title

    def _result_store(self, user: User, run: Run) -> Store:
        store = next((each for each in self._core.stores.of(user) if run.result_store == each.id), None)
        if store is None:
            raise NotFound("The result of this run is not among your files.")
        return store

    def _too_large(self, run: Run) -> TooLarge:
        together = sum(int(thing["size"]) for _, thing in _brought(run)) // 1_000_000
        limits = self._core.limits
        return TooLarge(
            f"The data of this run are {together} MB. With a notebook {limits.draft_bytes // 1_000_000} MB may travel, "
            f"in at most {limits.draft_files} files of {limits.file_bytes // 1_000_000} MB. Run it on a part of the "
            "data, or let the notebook read them from an address."
        )


class _Counting:
    """Counts bytes, and tells how many of all are there as often as the words for it change."""

    def __init__(self, total: int, told: Heard) -> None:
        self._done, self._total, self._told, self._last = 0, total, told, ""
        self(0)

    def __call__(self, size: int) -> None:
        self._done += size
        if (words := copied_words(self._done, self._total)) != self._last:
            self._last = words
            self._told(words, min(100, 100 * self._done // max(1, self._total)))


def copied_words(done: int, total: int) -> str:
    """Say how much of the data of a result is copied, both in the unit of the whole."""
    unit = max(0, min(len(_UNITS) - 1, (len(str(total)) - 1) // 3))
    return f"Copying the result’s data: {_number(done, unit)} of {_number(total, unit)} {_UNITS[unit]}"


def _number(size: int, unit: int) -> str:
    value = size / 1000**unit
    return f"{value:.0f}" if value >= 99.95 or not unit else f"{value:.1f}".removesuffix(".0")


def as_then(offering: Offering, run: Run) -> Offering:
    """Return what is offered with the environment first in which the run was: among equals it is suggested."""

    def ordered(ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(ids, key=lambda id: id != run.environment))

    places = (replace(each, environments=ordered(each.environments)) for each in offering.facilities)
    return replace(offering, facilities=tuple(places))


def files_in(asked: Mapping[str, Any]) -> Snapshot:
    """Return what was gathered for a launch, out of what is kept of what was asked for."""
    return snapshot_of(str(asked["notebook"]), (File(**each) for each in asked["files"]))


def with_files(asked: Mapping[str, Any], files: Snapshot) -> dict[str, Any]:
    """Return what was asked for with what was gathered for it, as :func:`files_in` reads it."""
    return {**asked, "notebook": files.notebook, "files": [asdict(file) for file in files.files]}


def may_still(core: Core, user: User, kept: Mapping[str, Any]) -> None:
    """Raise NotFound or Forbidden when the person may not run the notebook any more of which this was kept."""
    if slug := str(kept.get("app", "")):
        core.see(Visitor(user), slug, "launch")
    elif all(store.id != kept.get("store") for store in core.stores.of(user)):
        raise NotFound("The place of its notebook is not yours any more.")


def _brought(run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what was copied for the run, by its slot."""
    things = run.asked.get("things", {})
    return ((slot, thing) for slot, thing in things.items() if thing.get("record"))


def _changed(thing: Mapping[str, Any]) -> Conflict:
    return Conflict(f"“{thing['title']}” is not what it was when this ran. Repeat the run, and take that result.")


async def _heard(chunks: AsyncGenerator[bytes], counted: Counted) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        counted(len(chunk))
        yield chunk


async def _chunks(path: Path) -> AsyncGenerator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
