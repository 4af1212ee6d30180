"""``python -m tests.attack.proof``: each defence is taken out once, in a copy, and its attacks must get through.

``defences.toml`` beside this says which; with arguments, only defences whose name holds one of them are tried.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["DEFENCES", "Defence", "Edit", "main", "read"]

ROOT = Path(__file__).resolve().parents[2]
DEFENCES = Path(__file__).with_name("defences.toml")
#: What a test needs beside itself; environments are linked, so that nothing is installed anew.
_COPIED = ("vaas", "hub_service", "templates", "static", "tests", "e2e", "dashboards", "bench", "docs", "requirements")
_FILES = ("conftest.py", "pyproject.toml", "README.md", "Makefile")
_PATIENCE = 900


@dataclass(frozen=True)
class Edit:
    """A piece of a file that stands there once, and what takes its place."""

    file: str
    find: str
    replace: str

    def count(self, root: Path) -> int:
        """Say how often the piece stands in the file."""
        return (root / self.file).read_text().count(self.find)

    def make(self, root: Path) -> None:
        """Take its place."""
        path = root / self.file
        path.write_text(path.read_text().replace(self.find, self.replace))


@dataclass(frozen=True)
class Defence:
    """What keeps attacks out, how it is taken out, and the tests that fail then."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def read(path: Path = DEFENCES) -> list[Defence]:
    """Return the defences. One edit may stand as ``file``, ``find`` and ``replace`` beside the name."""
    found = []
    for entry in tomllib.loads(path.read_text())["defence"]:
        edits = [Edit(*edit) for edit in entry.get("edits", [])]
        if "file" in entry:
            edits.insert(0, Edit(entry["file"], entry["find"], entry["replace"]))
        found.append(Defence(entry["name"], tuple(edits), tuple(entry["tests"])))
    return found


def copied(folder: Path) -> Path:
    """Copy the code into ``folder``, with links to the environments; jobs of other accounts read it, too."""
    folder.chmod(0o755)
    for name in _COPIED:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy2(ROOT / name, folder / name)
    # The environments find our code by their own path files, and the spawner hands no PYTHONPATH on: these do.
    for name, python in (("app-python", _python("app")), ("lab-python", _python("lab"))):
        (folder / name).write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{python}" "$@"\n')
        (folder / name).chmod(0o755)
    (folder / ".venvs").symlink_to(ROOT / ".venvs")
    return folder


def _python(name: str) -> str:
    return os.environ.get(f"VAAS_{name.upper()}_PYTHON") or str(ROOT / ".venvs" / name / "bin" / "python")


class NotRun(Exception):
    """The tests could not be run; the message says why."""


def without(defence: Defence, *, folder: Path) -> dict[str, bool]:
    """Run the defence's tests in a copy without it; return for each whether its attack got through.

    Raises
    ------
    NotRun
        The defence is not where the table says, or pytest did not begin.
    """
    root = copied(folder)
    for edit in defence.edits:
        if edit.count(root) != 1:
            raise NotRun(f"{edit.file} holds this {edit.count(root)} times: {edit.find}")
        edit.make(root)
    environ = {**os.environ, "PYTHONPATH": str(root), "VAAS_APP_PYTHON": str(root / "app-python")}
    environ["VAAS_LAB_PYTHON"] = str(root / "lab-python")
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *defence.tests]
    try:
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=_PATIENCE)
    finally:
        _end_leftovers(root)
    if not report.exists():
        raise NotRun(f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    outcomes = _outcomes(report)
    return {test: any(failed for name, failed in outcomes if _is(name, test)) for test in defence.tests}


def _end_leftovers(root: Path) -> None:
    """Kill what still runs from the copy: without a namespace of its own, a kernel outlives who started it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("PYTHONPATH") == str(root):
                process.kill()


def _outcomes(report: Path) -> list[tuple[str, bool]]:
    """Return node ids and whether they failed; an error while setting up is none: nothing was attacked then."""
    return [
        (f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}", case.find("failure") is not None)
        for case in ElementTree.parse(report).iter("testcase")
    ]


def _is(name: str, test: str) -> bool:
    return name == test or ("[" not in test and re.split(r"\[", name, maxsplit=1)[0] == test)


def main(words: list[str]) -> int:
    """Try all defences, or those named; 0 when every attack got through without its defence."""
    tried = [defence for defence in read() if not words or any(word in defence.name for word in words)]
    held = sum(_try(defence) for defence in tried)
    print(f"{held} attacks were held out without what is said to hold them." if held else "All got through.")
    return 1 if held else 0


def _try(defence: Defence) -> int:
    """Take one defence out, say what happened, and return how many attacks did not get through."""
    with tempfile.TemporaryDirectory(prefix="vaas-proof-") as folder:
        try:
            through = without(defence, folder=Path(folder))
        except (NotRun, subprocess.TimeoutExpired) as error:
            print(f"BAD  without: {defence.name}\n{error}", flush=True)
            return len(defence.tests)
    print(f"{'ok ' if all(through.values()) else 'BAD'}  without: {defence.name}")
    for test, failed in through.items():
        print(f"       {'got through' if failed else 'HELD OUT   '}  {test.rpartition('::')[2]}", flush=True)
    return list(through.values()).count(False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
