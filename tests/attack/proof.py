"""``python -m tests.attack.proof``: each defence is taken out once, in a copy, and its attacks must get through.

In the end all of them are tried in a copy with all defences, where none may.

``defences.toml`` beside this says which; with words, only defences whose name holds one of them are tried. What is
proven is kept, and is not tried again until the entry, a file that it edits or a test of it is another: ``--again``
tries it. ``--alone`` tries one at a time.
"""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.attack.workshop import ROOT, Hung, NotRun, Workshop

__all__ = ["DEFENCES", "Defence", "Edit", "Record", "main", "read"]

DEFENCES = Path(__file__).with_name("defences.toml")
RECORD = ROOT / "test-results" / "attack-proof.json"
AT_ONCE = 2
_SAID = {"failed": "got through", "passed": "HELD OUT"}


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
        """Take its place.

        Raises
        ------
        NotRun
            It does not stand there once.
        """
        if self.count(root) != 1:
            raise NotRun(f"{self.file} holds this {self.count(root)} times: {self.find}")
        path = root / self.file
        path.write_text(path.read_text().replace(self.find, self.replace))


@dataclass(frozen=True)
class Defence:
    """What keeps attacks out, how it is taken out, and the tests that fail then.

    Without edits nothing is taken out, and the tests pass.
    """

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    @property
    def expected(self) -> str:
        """What becomes of the tests."""
        return "failed" if self.edits else "passed"

    def fingerprint(self, root: Path) -> str:
        """Tell this entry from another one, and its files and tests from others; without edits, all of the code."""
        files = {edit.file for edit in self.edits} or {
            str(path.relative_to(root)) for name in ("vaas", "hub_service") for path in (root / name).rglob("*.py")
        }
        known = hashlib.sha256(repr(self).encode())
        for file in sorted(files | {test.partition("::")[0] for test in self.tests}):
            known.update((root / file).read_bytes())
        return known.hexdigest()


class Record:
    """Which defences were proven, in a file."""

    def __init__(self, path: Path, *, root: Path = ROOT) -> None:
        self._path, self._root, self._lock = path, root, threading.Lock()
        self._known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def holds(self, defence: Defence) -> bool:
        """Tell whether it was proven as it is now."""
        return self._known.get(defence.name) == defence.fingerprint(self._root)

    def keep(self, defence: Defence, fingerprint: str) -> None:
        """Keep that it was proven when it had this fingerprint."""
        with self._lock:
            self._known[defence.name] = fingerprint
            self._path.parent.mkdir(exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._known, indent=1))
            new.replace(self._path)


def read(path: Path = DEFENCES) -> list[Defence]:
    """Return the defences. One edit may stand as ``file``, ``find`` and ``replace`` beside the name."""
    found = []
    for entry in tomllib.loads(path.read_text())["defence"]:
        edits = [Edit(*edit) for edit in entry.get("edits", [])]
        if "file" in entry:
            edits.insert(0, Edit(entry["file"], entry["find"], entry["replace"]))
        found.append(Defence(entry["name"], tuple(edits), tuple(entry["tests"])))
    return found


def controls(defences: Sequence[Defence]) -> list[Defence]:
    """Return their tests by module, with nothing taken out: one that fails by itself would prove nothing."""
    modules: dict[str, dict[str, None]] = {}
    for test in (test for defence in defences for test in defence.tests):
        modules.setdefault(test.partition("::")[0], {})[test] = None
    return [Defence(f"nothing: {module}", (), tuple(tests)) for module, tests in modules.items()]


def tried(defence: Defence, *, workshop: Workshop, record: Record) -> bool:
    """Take a defence out, say what happened, and tell whether it is proven."""
    began, root = time.monotonic(), workshop.renew()
    fingerprint = defence.fingerprint(root)
    lines, proven = [], False
    try:
        for edit in defence.edits:
            edit.make(root)
        outcomes = workshop.outcomes(defence.tests)
        proven = {outcome.word for outcome in outcomes.values()} == {defence.expected}
        lines = [
            f"       {_SAID.get(outcome.word, outcome.word):11}  {test.rpartition('::')[2]}  {outcome.reason}".rstrip()
            for test, outcome in outcomes.items()
            if defence.edits or outcome.word != "passed"
        ]
    except NotRun as error:
        lines = [f"       {'HUNG' if isinstance(error, Hung) else 'NOT RUN'}", str(error)]
    if proven:
        record.keep(defence, fingerprint)
    head = f"{'ok ' if proven else 'BAD'}  without {defence.name}  ({time.monotonic() - began:.0f} s)"
    print("\n".join([head, *lines]), flush=True)
    return proven


def unproven(defences: Sequence[Defence], workshops: Sequence[Workshop], record: Record) -> list[Defence]:
    """Try all, one in each workshop at a time, and return those that are not proven."""
    free: queue.SimpleQueue[Workshop] = queue.SimpleQueue()
    for workshop in workshops:
        free.put(workshop)

    def one(defence: Defence) -> bool:
        workshop = free.get()
        try:
            return tried(defence, workshop=workshop, record=record)
        finally:
            free.put(workshop)

    with ThreadPoolExecutor(len(workshops)) as pool:
        try:
            return [defence for defence, proven in zip(defences, pool.map(one, defences), strict=True) if not proven]
        except KeyboardInterrupt:
            for workshop in workshops:
                workshop.end()
            raise


def main(words: list[str]) -> int:
    """Try all defences, or those named; 0 when each is proven."""
    options = {word for word in words if word.startswith("--")}
    asked = set(words) - options
    chosen = [defence for defence in read() if not asked or any(word in defence.name for word in asked)]
    everything = chosen + controls(chosen)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    record, began = Record(RECORD), time.monotonic()
    todo = [defence for defence in everything if "--again" in options or not record.holds(defence)]
    left = _left(todo, record, at_once=1 if "--alone" in options else AT_ONCE) if todo else []
    for defence in left:
        print(f"BAD  not proven: {defence.name}")
    earlier = f"{len(everything) - len(todo)} proven earlier, {len(todo) - len(left)} now"
    print(f"{len(everything)} in all: {earlier}, {len(left)} not; {time.monotonic() - began:.0f} s.")
    return 1 if left else 0


def _left(todo: Sequence[Defence], record: Record, *, at_once: int) -> list[Defence]:
    """Return what is not proven. What is not at first is tried again by itself: others may have been in its way."""
    place = Path(tempfile.mkdtemp(prefix="vaas-proof-", dir="/var/tmp"))  # in /tmp, sandboxes would show it
    place.chmod(0o755)  # jobs of other accounts read the code, too
    try:
        workshops = [Workshop(place / "0")]
        workshops += [Workshop(place / str(number), like=workshops[0]) for number in range(1, at_once)]
        left = unproven(todo, workshops, record)
        if left and len(todo) > 1:
            print(f"{len(left)} are tried again, each by itself.", flush=True)
            left = unproven(left, workshops[:1], record)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
