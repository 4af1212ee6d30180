"""What belongs to the result of a run, so that it works elsewhere too: its files, and copies of the data it was given.

A notebook finds its data beside itself, as :func:`vaas.jobs.inputs_of` says; so the same files serve an app that is
published of the result and a launch of it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vaas import jobs
from vaas.content import snapshot_of
from vaas.errors import Conflict, NotFound, TooLarge
from vaas.launching import Offering, Run
from vaas.model import Entry, File, Snapshot, User, Visitor
from vaas.portal.core import Core
from vaas.portal.run_folders import explained
from vaas.portal.run_things import digest_of_folder
from vaas.portal.whereabouts import store_of
from vaas.stores.base import Store

__all__ = ["Belonging", "Belongings", "as_then", "files_in", "may_still", "with_files"]

_CHUNK = 1 << 20
_HOME = "home"


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

    def data(self, user: User, run: Run) -> tuple[Belonging, ...]:
        """Return which data would go along, and whose they are; what an address leads to does not have to."""
        return tuple(
            Belonging(slot, str(thing["title"]), thing.get("size"), _whose(self._store(user, thing)))
            for slot, thing in _brought(run)
        )

    async def check(self, user: User, run: Run) -> None:
        """Raise, before anything is copied, where the whole cannot be had.

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
        for _, thing in _brought(run):
            _, entry = await self._found(user, thing)
            left -= int(thing["size"])
            if left < 0 or (not entry.folder and int(thing["size"]) > self._core.limits.file_bytes):
                raise self._too_large(run)

    async def gather(self, user: User, run: Run) -> Snapshot:
        """Return the executed notebook with the files that it had beside it, and copies of its data. Raises as check.

        Nothing of it is anywhere but in the portal's own keeping when it cannot be had whole.
        """
        await self.check(user, run)
        store, notebook, content = self._result_store(user, run), run.snapshot.notebook, self._core.content
        data = await store.read(run.executed, limit=self._core.limits.notebook_bytes)
        files = [File(notebook, *await asyncio.to_thread(content.add, data))]
        files += [file for file in run.snapshot.files if file.path != notebook]
        at = jobs.inputs_of(notebook, (file.path for file in run.snapshot.files))
        for slot, thing in _brought(run):
            files += await self._keep(user, thing, f"{at}/{slot}/{thing['name']}")
        if len(files) > self._core.limits.draft_files:
            raise self._too_large(run)
        return snapshot_of(notebook, files)

    async def _keep(self, user: User, thing: Mapping[str, Any], path: str) -> list[File]:
        """Keep what is there now under this path, if it is what the run was given."""
        store, entry = await self._found(user, thing)
        try:
            if not entry.folder:
                async with aclosing(store.chunks(entry.path)) as chunks:
                    digest, size = await self._core.content.add_stream(chunks, limit=int(thing["size"]))
                files = [File(path, digest, size)]
            else:
                digest, files = await self._keep_folder(store, entry, thing, path)
        except TooLarge as error:
            raise _changed(thing) from error
        if digest != thing["sha256"]:
            raise _changed(thing)
        return files

    async def _keep_folder(
        self, store: Store, entry: Entry, thing: Mapping[str, Any], path: str
    ) -> tuple[str, list[File]]:
        """Keep the files of a folder, taken as for the run; return its checksum, too."""
        files, limits = list[File](), self._core.limits
        with tempfile.TemporaryDirectory(dir=self._core.content.root, prefix=".taken-") as aside, explained():
            folder = Path(aside) / "folder"
            await store.take(entry.path, folder, limit=int(thing["size"]))
            digest = await asyncio.to_thread(digest_of_folder, folder)
            for each in sorted(found for found in folder.rglob("*") if found.is_file()):
                async with aclosing(_chunks(each)) as chunks:
                    kept = await self._core.content.add_stream(chunks, limit=limits.draft_bytes)
                files.append(File(f"{path}/{each.relative_to(folder)}", *kept))
        return digest, files

    async def _found(self, user: User, thing: Mapping[str, Any]) -> tuple[Store, Entry]:
        """Return where the thing is, for who may read it now."""
        if "sha256" not in thing:
            raise Conflict("This run did not keep note of the data that it was given. Repeat it, and take that result.")
        gone = f"“{thing['title']}” is not among your files any more, so that it cannot go along. Repeat the run with "
        store = self._store(user, thing)
        if store is None:
            raise NotFound(f"{gone}other data.")
        try:
            return store, await store.stat(str(thing["path"]))
        except NotFound as error:
            raise NotFound(f"{gone}other data.", log_message=error.log_message) from error

    def _store(self, user: User, thing: Mapping[str, Any]) -> Store | None:
        return store_of(self._core.stores, user, record=str(thing["record"]), path=str(thing["path"]))

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


def _whose(store: Store | None) -> str | None:
    return None if store is None else "" if store.id == _HOME else store.title


def _changed(thing: Mapping[str, Any]) -> Conflict:
    return Conflict(f"“{thing['title']}” is not what it was when this ran. Repeat the run, and take that result.")


async def _chunks(path: Path) -> AsyncGenerator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
