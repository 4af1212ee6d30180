"""A copy of the code, and environments that import the copy: there a defence is taken out, and tests are run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Hung", "NotRun", "Outcome", "Workshop"]

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("vaas", "hub_service", "templates", "static", "tests", "e2e", "dashboards", "bench", "docs", "requirements")
_FILES = ("conftest.py", "pyproject.toml", "README.md", "Makefile")
#: Where a test runs, where app servers and kernels do, and where launches and runs do.
_ENVIRONMENTS = ("test", "app", "lab")
_WHERE = "import vaas, hub_service; print(vaas.__file__, hub_service.__file__)"


@dataclass(frozen=True)
class Outcome:
    """What became of a test: passed, failed, error, skipped or missing, and in a line, why."""

    word: str
    reason: str = ""


class NotRun(Exception):
    """The tests could not be run; the message says why."""


class Hung(NotRun):
    """The tests had not ended when their time was over."""


class Workshop:
    """A folder with environments, made once, and the code in them, which is new for everything that is tried.

    The environments are copies, and those of a second workshop are linked to the first one's: an attack that gets
    through may write into them, and reaches no environment that anybody works with.
    """

    #: Seconds for tests to begin, and for each of them: more than any needs on a machine that does much else.
    patience, patience_each = 300, 60

    def __init__(self, folder: Path, *, like: Workshop | None = None) -> None:
        self.folder, self.code, self._whole = folder, folder / "code", folder / "whole"
        folder.mkdir(mode=0o755)
        source = like._whole if like is not None else ROOT
        for name in (*_COPIED, *_FILES):
            _copy(source / name, self._whole / name)
        for name in _ENVIRONMENTS:
            real = Path(_python(name)).parent.parent if like is None else like._environment(name)
            environment(real, self._environment(name), code=self.code, link=like is not None)
        self._add_environments()
        # What runs as nobody cannot keep what it compiles, and would compile all of it for each kernel.
        compiled = [str(self._whole / name) for name in ("vaas", "hub_service")]
        subprocess.run([str(self._program("test")), "-m", "compileall", "-q", *compiled], check=True)
        self.renew()
        self.see_that_the_copy_is_imported()

    def renew(self) -> Path:
        """Return the code as it was, with all defences."""
        if self.code.exists():
            shutil.rmtree(self.code)
        shutil.copytree(self._whole, self.code, symlinks=True)
        return self.code

    def outcomes(self, tests: Sequence[str]) -> dict[str, Outcome]:
        """Run tests on the code as it is; return what became of each.

        Raises
        ------
        Hung
            They did not end.
        NotRun
            They did not begin.
        """
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", f"--basetemp={self.folder / 'tmp'}"]
        output = self.folder / "output"
        status = self._run([str(self._program("test")), "-m", "pytest", *options, *tests], output, len(tests))
        said = output.read_text(errors="replace")[-3000:]
        if status is None:
            raise Hung(said)
        if not report.exists():
            raise NotRun(said)
        return {test: _of(test, _cases(report)) for test in tests}

    def _run(self, command: list[str], output: Path, count: int) -> int | None:
        """Return the status, or None if it was over time; what still runs is killed."""
        environ = {**os.environ, "PYTHONPATH": str(self.code)}
        environ |= {f"VAAS_{name.upper()}_PYTHON": str(self._program(name)) for name in ("app", "lab")}
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.code, env=environ, stdout=file, stderr=file, start_new_session=True
            )
        try:
            return process.wait(self.patience + self.patience_each * count)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
            self.end()
            process.wait()

    def end(self) -> None:
        """Kill what runs from here: without a namespace of its own, a kernel outlives who started it."""
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(word.startswith(f"{self.folder}/") for word in each.cmdline()):
                    each.kill()

    def _environment(self, name: str) -> Path:
        return self.folder / "pythons" / name

    def _program(self, name: str) -> Path:
        return self._environment(name) / "bin" / "python"

    def _add_environments(self) -> None:
        """Put the environments where the code looks for them, and beside them the others, which have none of it."""
        shelf = self._whole / ".venvs"
        shelf.mkdir()
        for name in _ENVIRONMENTS:
            (shelf / name).symlink_to(self._environment(name))
        for other in (ROOT / ".venvs").iterdir():
            if other.name not in _ENVIRONMENTS:
                (shelf / other.name).symlink_to(other)

    def see_that_the_copy_is_imported(self) -> None:
        """Raise NotRun if an environment has other code of ours than the copy."""
        for name in _ENVIRONMENTS:
            # As in a sandbox: with no variable of ours, and from elsewhere.
            command = [str(self._program(name)), "-P", "-c", _WHERE]
            said = subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, check=True).stdout.split()
            if any(not Path(path).is_relative_to(self.code) for path in said):
                raise NotRun(f"The environment {name} imports other code than the copy: {' '.join(said)}")


def environment(real: Path, place: Path, *, code: Path, link: bool = False) -> None:
    """Make an environment like the real one, in which our code is what lies in ``code``.

    A variable would not do: what starts in a sandbox, or as somebody else, gets none of ours.
    """
    shutil.copytree(real, place, symlinks=True, copy_function=os.link if link else shutil.copy2)
    for packages in place.glob("lib/python3*/site-packages"):
        for path in packages.glob("__editable__*vaas*.pth"):
            path.unlink()
        _write(packages / "vaas-copied.pth", f"{code}\n")
    for path in (place / "bin").iterdir():
        if not path.is_symlink() and path.read_bytes().startswith(f"#!{real}/".encode()):
            _write(path, path.read_text().replace(f"#!{real}/", f"#!{place}/", 1))


def _write(path: Path, text: str) -> None:
    """Write a file anew: what is linked to it stays as it is."""
    mode = path.stat().st_mode if path.exists() else 0o644
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _copy(source: Path, place: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, place)


def _python(name: str) -> str:
    if name == "test":
        return sys.executable
    return os.environ.get(f"VAAS_{name.upper()}_PYTHON") or str(ROOT / ".venvs" / name / "bin" / "python")


def _cases(report: Path) -> list[tuple[str, Outcome]]:
    """Return node ids and what became of them; one that fails, and cannot be cleaned up either, failed."""
    cases = []
    for case in ElementTree.parse(report).iter("testcase"):
        found = {child.tag: child.get("message", "").partition("\n")[0][:100] for child in case}
        tag = next((tag for tag in ("failure", "error", "skipped") if tag in found), "passed")
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        cases.append((name, Outcome("failed" if tag == "failure" else tag, found.get(tag, ""))))
    return cases


def _of(test: str, cases: list[tuple[str, Outcome]]) -> Outcome:
    """Say what became of a test: of several cases, the one that went worst."""
    order = ("failed", "error", "skipped", "passed")
    found = [outcome for name, outcome in cases if _is(name, test)]
    return min(found, key=lambda outcome: order.index(outcome.word), default=Outcome("missing"))


def _is(name: str, test: str) -> bool:
    return name == test or ("[" not in test and re.split(r"\[", name, maxsplit=1)[0] == test)
