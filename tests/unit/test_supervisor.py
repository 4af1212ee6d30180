"""The logs of what the supervisor keeps running have an end, while it runs and when it is started again."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_service import supervisor
from hub_service.supervisor import Child
from tests.portal_fixture import until

#: Prints a numbered line of 100 bytes for each byte of the file "go".
_TALKS = """
import os, time
said = 0
while True:
    while said < os.path.getsize("go"):
        print(f"{said:099}", flush=True)
        said += 1
    time.sleep(0.01)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """Return a child that talks, whose log is long with more than ten lines."""
    monkeypatch.setattr(supervisor, "_LOG_BYTES", 1000)
    (tmp_path / "go").touch()
    child = Child("talks", [sys.executable, "-c", _TALKS], env={}, log=tmp_path / "talks.log", cwd=tmp_path)
    child.tend(time.monotonic())
    yield child
    child.stop(5.0)


def says(child: Child, lines: int) -> None:
    """Let the child say so many lines more, and wait until they are in its log."""
    go, size = child.log.with_name("go"), child.log.stat().st_size
    go.write_bytes(go.read_bytes() + b"." * lines)
    until(lambda: child.log.stat().st_size == size + lines * 100, seconds=20, what="its lines")


def numbers(log: Path) -> list[int]:
    """Return which lines are in the log."""
    return [int(line) for line in log.read_text().splitlines()]


def test_a_long_log_is_kept_once_and_begun_anew_while_its_process_goes_on_writing(child: Child) -> None:
    before = child.log.with_name("talks.log.1")
    says(child, 10)
    child.tend(time.monotonic())
    assert not before.exists()
    says(child, 2)
    child.tend(time.monotonic())
    assert (numbers(before), numbers(child.log)) == (list(range(12)), [])
    says(child, 11)
    assert numbers(child.log) == list(range(12, 23))
    child.tend(time.monotonic())
    assert (numbers(before), numbers(child.log)) == (list(range(12, 23)), [])


def test_a_log_that_cannot_be_copied_is_kept_and_tried_again_when_it_is_longer(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        tried.append(child.log.stat().st_size)
        raise OSError(28, "No space left on device")

    tried: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        says(child, 11)
        for _ in range(3):
            child.tend(time.monotonic())
        says(child, 10)
        child.tend(time.monotonic())
        assert tried == [1100]
        assert numbers(child.log) == list(range(21))
    says(child, 1)
    child.tend(time.monotonic())
    assert (numbers(child.log.with_name("talks.log.1")), numbers(child.log)) == (list(range(22)), [])
