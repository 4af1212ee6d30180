"""``python -m tests.attack.proof``: each defence is taken out once, in a copy, and its attacks must get through.

Before, all of them are tried in a copy with all defences, where none may.

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["DEFENCES", "Defence", "Edit", "main", "read"]

ROOT = Path(__file__).resolve().parents[2]
DEFENCES = Path(__file__).with_name("defences.toml")
#: What a test needs beside itself; environments are linked file by file, so that nothing is installed anew.
_COPIED = ("vaas", "hub_service", "templates", "static", "tests", "e2e", "dashboards", "bench", "docs", "requirements")
_FILES = ("conftest.py", "pyproject.toml", "README.md", "Makefile")
#: Of kernels and app servers, and of launches and runs; the tests' own gets the copied code by a variable.
_ENVIRONMENTS = ("app", "lab")
_PATIENCE, _PATIENCE_EACH = 900, 10


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
    """Copy the code into ``folder``, with environments that have it; jobs of other accounts read it, too."""
    folder.chmod(0o755)
    for name in _COPIED:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy2(ROOT / name, folder / name)
    for name in _ENVIRONMENTS:
        _link_environment(Path(_python(name)).parent.parent, folder / "pythons" / name, code=folder)
    (folder / ".venvs").symlink_to(ROOT / ".venvs")
    return folder


def _link_environment(real: Path, place: Path, *, code: Path) -> None:
    """Make an environment like the real one, in which our code is the copied.

    A variable would not do: what starts in a sandbox, or as somebody else, gets none of ours.
    """
    shutil.copytree(real, place, symlinks=True, copy_function=_linked)
    for packages in place.glob("lib/python3*/site-packages"):
        for path in packages.glob("__editable__*vaas*.pth"):
            path.unlink()
        (packages / "vaas-copied.pth").write_text(f"{code}\n")


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)  # another disk


def _program(folder: Path, name: str) -> Path:
    return folder / "pythons" / name / "bin" / "python"


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
    return _failed(root, defence.tests)


def _failed(root: Path, tests: Sequence[str]) -> dict[str, bool]:
    """Run the tests in the copy; return for each whether it failed."""
    environ = {**os.environ, "PYTHONPATH": str(root)}
    environ |= {f"VAAS_{name.upper()}_PYTHON": str(_program(root, name)) for name in _ENVIRONMENTS}
    report = root / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    patience = _PATIENCE + _PATIENCE_EACH * len(tests)
    try:
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, timeout=patience)
    finally:
        _end_leftovers(root)
    if not report.exists():
        raise NotRun(f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    outcomes = _outcomes(report)
    return {test: any(failed for name, failed in outcomes if _is(name, test)) for test in tests}


def idle(defences: Sequence[Defence], *, folder: Path) -> list[str]:
    """Return the tests that fail in a copy with all defences: they would seem to be got through, and prove nothing."""
    tests = list(dict.fromkeys(test for defence in defences for test in defence.tests))
    return [test for test, failed in _failed(copied(folder), tests).items() if failed]


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
    with tempfile.TemporaryDirectory(prefix="vaas-proof-") as folder:
        failing = idle(tried, folder=Path(folder))
    for test in failing:
        print(f"BAD  fails with all defences: {test}", flush=True)
    held = len(failing) + sum(_try(defence) for defence in tried)
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
