"""The runner of jobs: ``python -m vaas.lab.run FOLDER`` runs the notebook that lies in it, in the launch environment.

It reads ``job.json`` ("notebook", "parameters", "things": parameter → file in ``data/``, "inputs": what leads there
from beside the notebook, "title", "kernel", "language") and keeps ``status.json``, ``log`` and ``out/`` as
the notebook goes on; see :mod:`vaas.jobs`. It needs no portal, no Hub and no sandbox, so that a batch system can start
it as it is.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillException
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from vaas import jobs
from vaas.lab.becoming import UID, become
from vaas.lab.executing import Keeper, Watched, kernel_manager
from vaas.lab.family import adopt_orphans, end_children
from vaas.lab.inspect import parameters_of
from vaas.lab.pages import page_of
from vaas.prose import clean_text

__all__ = ["Status", "main"]

#: Characters of the words for what went wrong.
_LONGEST = 500
_FULL = {errno.ENOSPC, errno.EDQUOT}


class _Ended(BaseException):
    """Somebody wants it to end."""


class Status:
    """How far the job is, in ``status.json``, written whole each time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / jobs.STATUS
        self._said: dict[str, Any] = {"state": "running", "cell": 0, "of": 0, "message": "", "error": ""}
        self._said |= {"pid": os.getpid(), "started": _now(), "ended": ""}

    @property
    def state(self) -> str:
        """How it is doing."""
        return str(self._said["state"])

    @property
    def error(self) -> str:
        """What went wrong, in words."""
        return str(self._said["error"])

    def tell(self, **said: Any) -> None:
        """Change what is said; a disk that is full keeps what was said before."""
        self._said |= said
        try:
            jobs.write_json(self._path, self._said)
        except OSError as error:
            print(f"The status cannot be written: {error.strerror}", file=sys.stderr)

    def end(self, state: str, error: str = "") -> None:
        """Say how it ended."""
        self.tell(state=state, error=clean_text(error)[:_LONGEST], message="", ended=_now())


def main(argv: list[str]) -> int:
    """Run the job in the folder that is named; 0: it is done, 1: it failed and ``status.json`` says why."""
    become(int(os.environ.pop(UID, "0")))
    folder = Path(argv[0]).absolute()
    os.chdir(folder)
    adopt_orphans()
    with _logged():
        faulthandler.enable()
        # What its loop says of a task that nobody waits for any more, such as of a kernel that was ended, is no news.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        status = Status(folder)
        status.tell(message="The kernel is starting.")
        try:
            with _endable():
                _run(folder, jobs.read_json(folder / jobs.JOB, most=50_000_000), status)
        finally:
            end_children()
        return 0 if status.state == "done" else 1


def _run(folder: Path, job: Mapping[str, Any], status: Status) -> None:
    keeper: Keeper | None = None
    try:
        keeper = _prepared(folder, job, status)
        error = _execute(folder, job, keeper)
    except (_Ended, Exception) as raised:
        error = _words(raised, keeper)
        if not isinstance(raised, _Ended | DeadKernelError | PapermillException):
            print(f"{type(raised).__name__}: {raised}", file=sys.stderr)
    # What it used meanwhile is needed for what comes of it.
    end_children()
    jobs.remove(folder / jobs.TEMPORARY)
    try:
        if keeper is not None:
            keeper.finish()
            title = str(job.get("title") or "Result")
            ended = f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC".lstrip("0")
            text = page_of(keeper.nb, title=title, error=error, ended=ended, with_code=bool(job.get("with_code")))
            (folder / jobs.OUT / jobs.RESULT).write_text(text, encoding="utf-8")
    except OSError as raised:
        error = error or _words(raised, keeper)
    status.end("failed" if error else "done", error)


def _prepared(folder: Path, job: Mapping[str, Any], status: Status) -> Keeper:
    """Return the notebook with its values, and what keeps it."""
    (folder / jobs.OUT).mkdir(exist_ok=True)
    # Relative: papermill would read braces in a path as something to be filled in.
    nb = load_notebook_node(f"{jobs.FILES}/{job['notebook']}")
    language = _language(nb, job)
    values = {**(job.get("parameters") or {}), **_things(folder, job)}
    cells = len(nb.cells)
    if language.casefold() != "python":
        values = _changed(nb, values)
    if values:
        # Of some languages papermill knows only what their own kernels are called.
        kernel = str(nb.metadata.get("kernelspec", {}).get("name") or "chosen")
        nb = parameterize_notebook(nb, values, kernel_name=kernel, language=language)
    return Keeper(nb, folder / jobs.OUT / jobs.EXECUTED, cells=cells, tell=status.tell)


def _things(folder: Path, job: Mapping[str, Any]) -> dict[str, str]:
    """Return where each thing is from the notebook on, having laid the way there."""
    things = job.get("things") or {}
    inputs = folder / jobs.FILES / str(job.get("inputs") or jobs.inputs_of(str(job["notebook"]), ()))
    if things:
        with contextlib.suppress(FileExistsError):  # a batch system may start a job once more
            inputs.symlink_to(os.path.relpath(folder / jobs.DATA, inputs.parent))
    return {name: f"{inputs.name}/{path}" for name, path in things.items()}


def _changed(nb: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that are not as the notebook sets them: papermill may write one as another type.

    All, where the notebook was given values before.
    """
    if any("injected-parameters" in cell.metadata.get("tags", ()) for cell in nb.cells):
        return dict(values)
    own = {each["name"]: each["default"] for each in parameters_of(nbformat.writes(nb).encode()) if each["is"]}
    return {name: value for name, value in values.items() if name not in own or _level(own[name]) != _level(value)}


def _level(value: Any) -> str:
    """Return the value as text, in which 1 is 1.0, and true is not."""

    def level(each: Any) -> Any:
        if isinstance(each, list):
            return [level(member) for member in each]
        return float(each) if isinstance(each, int) and not isinstance(each, bool) else each

    return json.dumps(level(value), sort_keys=True)


def _language(nb: Any, job: Mapping[str, Any]) -> str:
    said = nb.metadata.get("language_info", {}).get("name") or nb.metadata.get("kernelspec", {}).get("language")
    return str(said or job.get("language") or "python")


def _execute(folder: Path, job: Mapping[str, Any], keeper: Keeper) -> str:
    """Run all cells; return what went wrong in one of them, "" for nothing."""
    at = (folder / jobs.FILES / str(job["notebook"])).parent
    keeper.notebook_start()
    client = Watched(
        keeper,
        km=kernel_manager(job["kernel"]),
        kernel_name="chosen",
        stdout_file=sys.stdout,
        stderr_file=sys.stdout,
        startup_timeout=120,
        iopub_timeout=60,
        timeout=None,
        allow_errors=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(at)}},
    )
    client.execute(cleanup_kc=True)
    return keeper.failure


def _words(raised: BaseException, keeper: Keeper | None) -> str:
    """Say for the person what ended it."""
    at = f"while cell {keeper.cell} ran" if keeper and keeper.cell else "before the first cell ran"
    if isinstance(raised, _Ended):
        return f"It was ended from outside {at}."
    if keeper and keeper.failure:
        return keeper.failure
    if isinstance(raised, DeadKernelError):
        return f"The kernel ended {at}. It may have needed more memory than there was."
    if isinstance(raised, PapermillException):
        return f"The values cannot be given to the notebook: {raised}"
    if isinstance(raised, OSError) and raised.errno in _FULL:
        return f"The disk was full {at}."
    if keeper is None:
        return f"The notebook cannot be read: {raised}"
    if keeper.cell == 0:
        return "The kernel did not start. The log says why."
    return f"It failed {at}: {type(raised).__name__}: {raised}"


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Let everything that is written here and by what is started here go into the log."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    log = os.open(jobs.LOG, flags, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    os.close(log)
    sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
    yield


@contextlib.contextmanager
def _endable() -> Iterator[None]:
    """Let SIGTERM end what runs, once: what follows is not disturbed again."""

    def end(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Ended

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    # Nothing of ours waits for a thread of a library.
    code = main(sys.argv[1:])
    sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)
