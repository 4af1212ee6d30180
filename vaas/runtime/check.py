"""Check a notebook before it is published: what would be wrong with its page, and what it needs that is not there.

``python -m vaas.runtime.check FOLDER NOTEBOOK`` does the same at the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_path

from vaas.errors import Invalid
from vaas.events import happens
from vaas.notebook import Notebook, parse
from vaas.runtime import patches
from vaas.runtime.excess import FIXES
from vaas.runtime.missing import missing_modules
from vaas.runtime.outline import outline
from vaas.runtime.outputs import Outcome
from vaas.runtime.sandbox import find_isolation
from vaas.runtime.secrets import Secret, find_secrets
from vaas.runtime.specs import AppSpecs

if TYPE_CHECKING:
    from vaas.runtime.confinement import Confinement

__all__ = ["main", "run_check"]

Report = dict[str, Any]
_log = logging.getLogger(__name__)

#: kind of a hint → what a cell looks like that it is for, what it says, and what helps.
_HINTS = {
    "install": (
        re.compile(r"^\s*[%!]{1,2}\s*(?:pip3?|conda|mamba)\s+(?:un)?install|[\"']pip[\"']\s*,\s*[\"']install", re.M),
        "Cell {} installs packages. Apps cannot: they run with what is installed for all of them.",
        "Take the line out; ask for what is missing to be installed.",
    ),
    "link": (
        re.compile(r"\bFileLinks?\("),
        "Cell {} shows a link to a file. In an app it leads nowhere: files have no address there.",
        "Put what is small into the link itself, as a data: address with “download”.",
    ),
}
_PROGRESS_SECONDS = 0.5
_MAX_ENTRIES = 100
_MAX_FILE = 1_000_000
_SETTINGS = {".cfg", ".conf", ".env", ".ini", ".properties", ".toml", ".yaml", ".yml"}
_TEXTS = _SETTINGS | {".csv", ".js", ".json", ".md", ".pem", ".py", ".r", ".sh", ".sql", ".tsv", ".txt", ".xml"}


async def run_check(
    folder: Path,
    notebook: str,
    *,
    seconds: int,
    report_progress: Callable[[dict[str, Any]], Awaitable[None]],
    confinement: Confinement,
) -> Report:
    """Run the notebook once and return the report about it, with the page's outline as vaas.runtime.outline has it.

    Parameters
    ----------
    folder:
        Holds what is to be published, and nothing else.
    notebook:
        Path of the notebook in it.
    seconds:
        How long the run may take in all.
    report_progress:
        Awaited with the stage and the cell, at most twice a second; what it raises ends the reporting, not the check.
    confinement:
        How the kernel is confined, as those of visits are.
    """
    folder = folder.resolve()
    path = folder / notebook
    try:
        parsed = await asyncio.to_thread(lambda: parse(path.read_bytes(), name=path.name))
    except Invalid as error:
        return _report(Outcome(cells=0), problems=[_problem("format", error.message, "Choose another file.")])
    except OSError:
        missing = _problem("format", f"“{notebook}” is not among the files.", "Choose the notebook again.")
        return _report(Outcome(cells=0), problems=[missing])
    return await _check(
        parsed, folder=folder, path=path, seconds=seconds, report_progress=report_progress, confinement=confinement
    )


async def _check(
    notebook: Notebook,
    *,
    folder: Path,
    path: Path,
    seconds: int,
    report_progress: Callable[[dict[str, Any]], Awaitable[None]],
    confinement: Confinement,
) -> Report:
    # nbclient and what it brings along are imported late, so that they find no slow extras.
    patches.skip_slow_imports()
    from vaas.runtime.execution import Execution

    kernel = AppSpecs(python=confinement.python).name_for(notebook.kernel, language=notebook.language)
    problems = _static_problems(notebook, kernel)
    outcome = Outcome(cells=len(notebook.code))
    if kernel is not None and notebook.code:
        execution = Execution(notebook, folder=folder, cwd=path.parent, kernel=kernel, confinement=confinement)
        async with _progress(execution.outcome, report_progress) as on_cell:
            outcome = await execution.run(seconds=seconds, on_cell=on_cell)
    problems += outcome.problems + _writes(outcome) + _memory(outcome, confinement.bounds.memory)
    if notebook.language == "python":
        problems += missing_modules(notebook, outcome, folder=folder, cwd=path.parent, python=confinement.python)
    return _report(
        outcome,
        problems=problems,
        missing_files=_missing_files(notebook, outcome, folder=folder, cwd=path.parent),
        addresses=_addresses(notebook, outcome),
        secrets=await asyncio.to_thread(_secrets, notebook, outcome, folder, path),
        hints=_hints(notebook),
        page=outcome.page or _without_code(notebook),
        python=confinement.python.version,
    )


def _report(
    outcome: Outcome,
    *,
    problems: list[dict[str, str]],
    missing_files: list[dict[str, Any]] | None = None,
    addresses: list[dict[str, Any]] | None = None,
    secrets: list[dict[str, Any]] | None = None,
    hints: list[dict[str, str]] | None = None,
    page: Mapping[str, Any] | None = None,
    python: str = "",
) -> Report:
    return {
        "ok": not outcome.errors and not problems,
        "seconds": outcome.seconds,
        "peak_bytes": outcome.peak_bytes,
        "cells": outcome.cells,
        "cells_run": outcome.started,
        "python": python,
        "errors": outcome.errors,
        "problems": problems,
        "missing_files": missing_files or [],
        "addresses": addresses or [],
        "secrets": secrets or [],
        "hints": hints or [],
        "picture": outcome.seen.picture,
        "outline": outline(page).to_json() if page else None,
    }


def _without_code(notebook: Notebook) -> dict[str, Any]:
    """Return a page where nothing runs: what is written between the code."""
    texts = [cell.source for cell in notebook.cells if cell.kind == "markdown"]
    return {"cells": [{"cell_type": "markdown", "source": text} for text in texts]}


def _problem(kind: str, text: str, fix: str) -> dict[str, str]:
    return {"kind": kind, "text": text, "fix": fix}


def _hints(notebook: Notebook) -> list[dict[str, str]]:
    """Return what works and does not do what its author may think."""
    return [
        _problem(kind, text.format(cell.index), fix)
        for kind, (looks, text, fix) in _HINTS.items()
        for cell in notebook.code
        if looks.search(cell.source)
    ]


def _static_problems(notebook: Notebook, kernel: str | None) -> list[dict[str, str]]:
    problems = []
    if notebook.is_empty:
        problems.append(_problem("empty", "The notebook is empty.", "Write something into it and save it."))
    if kernel is None:
        text = f"The notebook asks for the kernel “{notebook.kernel}” ({notebook.language}), which is not there."
        problems.append(_problem("kernel", text, "Choose a Python kernel in Jupyter and save the notebook."))
    if notebook.template and not _has_template(notebook.template):
        text = f"The notebook asks for the Voilà template “{notebook.template}”, which is not installed."
        fix = "Remove “voila” from the notebook's metadata, or ask for the template to be installed."
        problems.append(_problem("template", text, fix))
    return problems


def _has_template(name: str) -> bool:
    if not re.fullmatch(r"[\w.-]+", name) or name in {".", ".."}:
        return False
    places = [*jupyter_path("voila", "templates"), *jupyter_path("nbconvert", "templates")]
    return any((Path(place) / name).is_dir() for place in places)


def _writes(outcome: Outcome) -> list[dict[str, str]]:
    """Return a problem for each file that could not be written, because apps cannot change their own files."""
    found = (
        (error["cell"], re.search(r"\[Errno 30\] [^:]+: '([^'\n]+)'", error["message"])) for error in outcome.errors
    )
    text = "Cell {} writes “{}” into the app’s own folder, which visitors share and nobody can change."
    fix = "Write it into a temporary folder instead: tempfile.mkdtemp() makes one."
    return [_problem("write", text.format(cell, Path(path[1]).name), fix) for cell, path in found if path]


def _memory(outcome: Outcome, most: int) -> list[dict[str, str]]:
    """Return a problem for a cell that ran out of memory, with how much there is."""
    text = f"Cell {{}} needs more memory than the {most / 1e6:.0f} MB that an app may use."
    failed = [error["cell"] for error in outcome.errors if error["name"] == "MemoryError"]
    return [_problem("memory", text.format(cell), FIXES["memory"]) for cell in failed[:1]]


def _missing_files(notebook: Notebook, outcome: Outcome, *, folder: Path, cwd: Path) -> list[dict[str, Any]]:
    """Return what was to be read or shown and is not there, or is there only on this machine."""
    found: dict[str, int] = {}
    for event in outcome.events:
        path = Path(event.name)
        there = event.exists or path.exists()
        # Libraries try a name they are given as a file too, before they look it up in a list of their own.
        bare = not there and path.parent == cwd and "." not in path.name
        if event.kind in {"read", "list"} and not (path.is_relative_to(folder) and (there or bare)):
            found.setdefault(_name_of(event.name, folder=folder, cwd=cwd), event.cell)
    for error in outcome.errors:
        # A C library opens files where nobody watches; its complaint tells.
        named = re.search(r"No such file or directory:? b?['\"]([^'\"\n]+)", f"{error['message']}")
        if named:
            found.setdefault(_name_of(named[1], folder=folder, cwd=cwd), error["cell"])
    for shown, cell in notebook.page_files:
        if not (cwd / shown).exists():
            found.setdefault(_name_of(shown, folder=folder, cwd=cwd), cell)
    return [{"path": path, "cell": cell} for path, cell in list(found.items())[:_MAX_ENTRIES]]


def _name_of(path: str, *, folder: Path, cwd: Path) -> str:
    """Return the path as the author knows it: from the folder on, unless it lies in another part of the machine."""
    full = os.path.normpath(cwd / path)
    near = not path.startswith("/") or Path(full).is_relative_to(folder.parent)
    return Path(os.path.relpath(full, folder)).as_posix() if near else full


def _addresses(notebook: Notebook, outcome: Outcome) -> list[dict[str, Any]]:
    connects = ((event.name, event.cell) for event in outcome.events if event.kind == "connect")
    sources: dict[str, Iterable[tuple[str, int]]] = {
        "connects": connects,
        "in the page": (*notebook.page_addresses, *outcome.seen.hosts.items()),
        "in the source": notebook.addresses,
    }
    found: dict[tuple[str, str], int] = {}
    for how, hosts in sources.items():
        # That a string names a host is of interest only while nobody was seen to ask it.
        known = {host for host, _ in found} if how == "in the source" else set()
        for host, cell in hosts:
            if host not in known:
                found.setdefault((host, how), cell)
    told = [{"host": host, "how": how, "cell": cell} for (host, how), cell in found.items()]
    return told[:_MAX_ENTRIES]


def _secrets(notebook: Notebook, outcome: Outcome, folder: Path, path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for cell in notebook.cells:
        in_source = find_secrets(cell.source)
        found += (_told(secret, cell=cell.index, place="source") for secret in in_source)
        outputs = "\n".join((*cell.outputs, outcome.texts.get(cell.index, "")))
        known = {secret.preview for secret in in_source}
        in_output = {(s.kind, s.preview): s for s in find_secrets(outputs) if s.preview not in known}
        found += (_told(secret, cell=cell.index, place="output") for secret in in_output.values())
    for file in sorted(folder.rglob("*")):
        is_text = file.suffix.lower() in _TEXTS or file.name.startswith(".env")
        if is_text and file != path and file.is_file() and not file.is_symlink() and file.stat().st_size <= _MAX_FILE:
            settings = file.suffix.lower() in _SETTINGS or file.name.startswith(".env")
            secrets = find_secrets(file.read_text(errors="replace"), settings=settings)
            name = file.relative_to(folder).as_posix()
            found += (_told(secret, cell=0, place="file", file=name) for secret in secrets)
    return found[:_MAX_ENTRIES]


def _told(secret: Secret, *, cell: int, place: str, file: str = "") -> dict[str, Any]:
    told = {"cell": cell, "line": secret.line, "kind": secret.kind, "preview": secret.preview, "place": place}
    return {**told, "file": file} if file else told


@contextlib.asynccontextmanager
async def _progress(
    outcome: Outcome, report: Callable[[dict[str, Any]], Awaitable[None]]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Report how far ``outcome`` is while the body runs, in a task of its own: a slow portal delays no cell."""
    started = time.monotonic()
    changed = asyncio.Event()

    async def tell(stage: str) -> None:
        spent = round(time.monotonic() - started, 1)
        await report({"stage": stage, "cell": outcome.started, "cells": outcome.cells, "seconds": spent})

    async def keep_telling() -> None:
        await tell("starting")
        while True:
            # A long cell is a sign of life too, though a rarer one.
            await happens(changed, seconds=4 * _PROGRESS_SECONDS)
            changed.clear()
            await tell("running" if outcome.started else "starting")
            await asyncio.sleep(_PROGRESS_SECONDS)

    async def on_cell() -> None:
        changed.set()

    telling = asyncio.create_task(keep_telling())
    try:
        yield on_cell
        if not telling.done():
            telling.cancel()
            await asyncio.wait({telling})
            await tell("finishing")
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await telling
            except Exception:
                _log.exception("The progress of the check could not be reported.")


def main(argv: list[str] | None = None) -> int:
    """Check a notebook at the command line: progress and report as lines of JSON; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m vaas.runtime.check", description="Run a notebook and report.")
    parser.add_argument("folder", type=Path, help="holds the notebook and all that it needs")
    parser.add_argument("notebook", help="its path in the folder")
    parser.add_argument("--seconds", type=int, default=300, help="how long it may run (default: %(default)s)")
    options = parser.parse_args(argv)

    async def show(progress: dict[str, Any]) -> None:
        print(json.dumps({"progress": progress}), flush=True)

    async def check() -> Report:
        patches.skip_slow_imports()
        from vaas.runtime.confinement import Confinement

        sandbox, isolation = find_isolation(os.environ)
        task = asyncio.current_task()
        assert task is not None
        # Cancelled, it cleans up after itself; SIGINT does the same by asyncio.run.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run_check(
            options.folder,
            options.notebook,
            seconds=options.seconds,
            report_progress=show,
            confinement=Confinement(sandbox, isolation),
        )

    try:
        report = asyncio.run(check())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    print(json.dumps({"report": report}), flush=True)
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
