"""The spool: the folder of each job, from what it needs to what came of it.

A job can put whatever it likes into its folder, links to our own files too; so nothing is reached through a path there,
and what we keep of it lies beside.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vaas import housekeeping, jobs
from vaas.content import Content
from vaas.errors import Invalid, StorageFull, Unavailable
from vaas.launching import Environment, Run
from vaas.locks import python_in
from vaas.prose import clean_text

__all__ = ["Kernel", "Spool", "about", "explained", "kernel_of"]

#: What a run's result is put together in, what was brought for it, and what tells all about it.
_KEPT, _RESULT, _BROUGHT = ".kept", "result", "brought.json"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: What the notebook wrote lies there: files and bytes of a result at most, and the longest path of a folder.
_FILES, _MOST, _BYTES, _LONGEST = "files", 10_000, 10_000_000_000, 1_000
#: So deep it is looked for.
_DEEPEST = 50
_LEFT_OUT = frozenset({"__pycache__"})
_FULL = {errno.ENOSPC, errno.EDQUOT}
_STATUS = ("state", "cell", "of", "message", "error", "started", "ended")


#: Says how the kernel of an environment is started: {"argv": […]}, or {"folder": where its kernel.json lies}.
Kernel = Callable[[Environment], Mapping[str, Any]]


def kernel_of(environment: Environment, *, made: Path | None = None) -> dict[str, Any]:
    """Return how the kernel of the environment is started. Raises Invalid where nothing is known of that.

    ``made`` is where environments are that were made from locks.
    """
    own = python_in(made, environment.where) if made and environment.kind == "lock" else None
    if own or environment.kind == "python":
        argv = [str(own or environment.where), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return {"argv": argv, "language": environment.language}
    if environment.kind == "kernelspec":
        return {"folder": environment.where}
    raise Invalid(
        f"“{environment.title}” cannot be used for runs here. Choose another environment.", field="environment"
    )


class Spool:
    """The folders of jobs, each called after its run.

    ``most`` is how many bytes of a result are kept: files with holes have more than were written.
    """

    def __init__(self, folder: Path, content: Content, *, most: int = _BYTES) -> None:
        self._folder, self._content, self._most = folder, content, most

    def of(self, run: Run) -> Path:
        """Return the folder of the run."""
        return self._folder / run.id

    def is_ready(self, run: Run) -> bool:
        """Tell whether the job's folder has all that it needs."""
        return (self._kept(run) / _BROUGHT).exists()

    async def begin(self, run: Run) -> Path:
        """Make the folder with the notebook and its files; what was begun before is made anew. Raises StorageFull."""
        return await asyncio.to_thread(self._begin, run)

    def finish(self, run: Run, *, kernel: Mapping[str, Any], brought: Sequence[Mapping[str, Any]]) -> None:
        """Say what is to be done, when all is there. Raises StorageFull."""
        paths = {str(each["slot"]): each["path"] for each in brought}
        said = {
            "notebook": run.snapshot.notebook,
            "parameters": dict(run.parameters),
            "things": paths,
            "inputs": jobs.inputs_of(run.snapshot.notebook, (file.path for file in run.snapshot.files)),
            "title": run.title,
            "kernel": dict(kernel),
            "language": kernel.get("language", "python"),
        }
        with explained():
            jobs.write_json(self.of(run) / jobs.JOB, said)
            self._kept(run).mkdir(mode=0o700, exist_ok=True)
            jobs.write_json(self._kept(run) / _BROUGHT, {"brought": [dict(each) for each in brought]})

    def status(self, run: Run) -> dict[str, Any]:
        """Return what the job says of itself, within bounds: it is foreign."""
        said = jobs.read_json(self.of(run) / jobs.STATUS)
        found = {name: said[name] for name in _STATUS if isinstance(said.get(name), str | int)}
        return {name: _bounded(value) for name, value in found.items()}

    async def result(self, run: Run, about: Mapping[str, Any]) -> Path:
        """Put together what came of it, as it is to lie in the store; no-op when it was before. Raises StorageFull."""
        return await asyncio.to_thread(self._result, run, about)

    def ids(self) -> list[str]:
        """Return the ids of the runs of which there is something."""
        found = os.listdir(self._folder) if self._folder.is_dir() else []
        return sorted({name.removesuffix(_KEPT) for name in found})

    def remove(self, run_id: str) -> None:
        """Remove all that there is of it; no-op when there is nothing."""
        for name in (run_id, f"{run_id}{_KEPT}"):
            jobs.remove(self._folder / name)

    def _kept(self, run: Run) -> Path:
        return self._folder / f"{run.id}{_KEPT}"

    def _begin(self, run: Run) -> Path:
        folder = self.of(run)
        with explained():
            self.remove(run.id)
            (folder / jobs.DATA).mkdir(mode=0o700, parents=True)
            for file in run.snapshot.files:
                path = folder / jobs.FILES / file.path
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(self._content.path(file.sha256), path)
        return folder

    def _result(self, run: Run, about: Mapping[str, Any]) -> Path:
        result = self._kept(run) / _RESULT
        if (result / housekeeping.ABOUT).exists():
            return result
        room = _Room(self._most)
        with explained():
            result.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError), _opened(self.of(run) / jobs.OUT) as out:
                room.take(out, jobs.EXECUTED, result / run.snapshot.notebook.rpartition("/")[2])
                room.take(out, jobs.RESULT, result / housekeeping.PAGE)
            with suppress(FileNotFoundError), _opened(self.of(run)) as folder:
                room.take(folder, jobs.LOG, result / housekeeping.LOG)
            with suppress(FileNotFoundError), _opened(self.of(run) / jobs.FILES) as top:
                _take_written(top, run, result / _FILES, room)
            files = []
            for path, at, name in _below(result):
                size = os.stat(name, dir_fd=at, follow_symlinks=False).st_size
                files.append({"path": path, "sha256": _sha256(at, name), "size": size})
            brought = jobs.read_json(self._kept(run) / _BROUGHT, most=50_000_000).get("brought", [])
            jobs.write_json(result / housekeeping.ABOUT, {**about, "things": brought, "files": files})
        return result


def _bounded(value: str | int) -> str | int:
    return clean_text(value)[:500] if isinstance(value, str) else max(0, min(value, 1_000_000))


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder of a job; FileNotFoundError for whatever else is in its place."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except (NotADirectoryError, OSError) as error:
        if isinstance(error, NotADirectoryError) or error.errno == errno.ELOOP:
            raise FileNotFoundError from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _below(top: int | Path) -> Iterator[tuple[str, int, str]]:
    """Yield the files below: path, open folder, name; no links, nothing hidden, no name that a store could not have."""
    walk = os.fwalk(dir_fd=top) if isinstance(top, int) else os.fwalk(top)
    for at, folders, names, folder in walk:
        below = os.path.relpath(at, "." if isinstance(top, int) else top)
        folders[:] = sorted(filter(_can_be, folders)) if below.count("/") < _DEEPEST else []
        for name in sorted(filter(_can_be, names)) if len(os.fsencode(below)) < _LONGEST else ():
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                yield (name if below == "." else f"{below}/{name}"), folder, name


def _take_written(top: int, run: Run, to: Path, room: _Room) -> None:
    """Move what the notebook made or changed."""
    known = {file.path: file for file in run.snapshot.files}
    taken = 0
    for path, folder, name in _below(top):
        before = known.get(path)
        size = os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
        same = before is not None and before.size == size and before.sha256 == _sha256(folder, name)
        if not same and path != run.snapshot.notebook and taken < _MOST:
            (to / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken += room.take(folder, name, to / path)


def _can_be(name: str) -> bool:
    odd = any(c == "\\" or ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in name)
    return not name.startswith(".") and not odd and name not in _LEFT_OUT


class _Room:
    """How many bytes may still be taken."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, folder: int, name: str, to: Path) -> bool:
        """Move a file, if it is one and there is room; what a job has put in its place is left where it is."""
        with suppress(FileNotFoundError):
            known = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(known.st_mode) and known.st_size <= self._left:
                os.rename(name, to, src_dir_fd=folder)
                self._left -= known.st_size
                return True
        return False


def _sha256(folder: int, name: str) -> str:
    with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explained() -> Iterator[None]:
    """Turn what the system says of our own disk into StorageFull or Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("The portal's disk is full. It is tried again.", log_message=f"runs: {error}") from error
        raise Unavailable("Runs cannot be prepared at the moment.", log_message=f"runs: {error}") from error


def about(run: Run, *, environment: Environment | None) -> dict[str, Any]:
    """Return what has to be known to run it again, as it lies beside the result."""
    notebook = next((asdict(file) for file in run.snapshot.files if file.path == run.snapshot.notebook), {})
    used = environment or Environment(run.environment, run.environment, "", "")
    return {
        "run": run.id,
        "title": run.title,
        "notebook": notebook | {"snapshot": run.snapshot.hash},
        "from": {name: run.asked[name] for name in ("app", "version", "store", "path") if name in run.asked},
        "parameters": dict(run.parameters),
        "environment": {
            "id": used.id,
            "title": used.title,
            "kind": used.kind,
            "language": used.language,
            "digest": used.digest,
            "packages": dict(used.packages),
        },
        "facility": run.facility,
        "size": run.size,
        "state": run.state,
        "error": run.error,
        "created": run.created.isoformat(),
        "started": run.started.isoformat() if run.started else None,
        "ended": run.ended.isoformat() if run.ended else None,
        "series": run.series,
        "schedule": run.schedule,
    }
