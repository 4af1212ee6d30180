"""What kernels use is counted for the visit that uses it, forks of one template apart."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaas.machine.processes import memory_of, temporary_of
from vaas.runtime.excess import Lookout
from vaas.runtime.sandbox import Bounds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
#: A template that forks a visit, which takes memory and forks a helper; says which processes they are.
TREE = """
import os, time
visit = os.fork()
if visit == 0:
    taken = bytearray(b"x") * 150_000_000
    helper = os.fork()
    if helper == 0:
        time.sleep(60)
    print(os.getpid(), flush=True)
    time.sleep(60)
time.sleep(60)
"""


@pytest.fixture
def tree() -> Iterator[tuple[int, int]]:
    """Run a template and its visit; return their process numbers."""
    process = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 20)[0], "it did not start"
    yield process.pid, int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_fork_that_takes_memory_is_named_and_its_template_is_not(tree: tuple[int, int]) -> None:
    template, visit = tree
    found = Lookout(Bounds(memory=100_000_000)).look({"template": template, "visit": visit})
    assert {name: excess.kind for name, excess in found.items()} == {"visit": "memory"}
    assert "100 MB" in found["visit"].text
    # Without the fork among the kernels it is the template's.
    assert set(Lookout(Bounds(memory=100_000_000)).look({"template": template})) == {"template"}
    assert Lookout(Bounds(memory=2_000_000_000)).look({"template": template, "visit": visit}) == {}


def test_too_many_processes_at_two_looks_in_a_row_are_too_many(tree: tuple[int, int]) -> None:
    template, visit = tree
    lookout = Lookout(Bounds(processes=2))
    assert lookout.look({"template": template, "visit": visit}) == {}, "a moment is no excess"
    assert {name: each.kind for name, each in lookout.look({"template": template, "visit": visit}).items()} == {
        "visit": "processes"
    }


def test_what_a_visit_leaves_that_is_being_ended_is_not_its_templates(tree: tuple[int, int]) -> None:
    template, visit = tree
    lookout, place = Lookout(Bounds(memory=100_000_000)), temporary_of(visit)
    assert lookout.look({"template": template}, {"visit": place}) == {}
    assert set(lookout.look({"template": template}, {"another": place + 1})) == {"template"}


def test_a_process_whose_first_thread_has_ended_is_seen_all_the_same() -> None:
    code = (
        "import ctypes, threading, time\n"
        "taken = bytearray(b'x') * 150_000_000\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('begun', flush=True)\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            state = Path(f"/proc/{process.pid}/stat")
            for _ in range(200):
                if b") Z" in state.read_bytes():
                    break
                time.sleep(0.05)
            assert b") Z" in state.read_bytes(), "its first thread goes on"
            assert temporary_of(process.pid) == os.lstat("/tmp").st_dev
            assert memory_of([process.pid], more_than=-1) > 100_000_000
        finally:
            process.kill()


def test_who_had_nearly_all_its_memory_is_remembered_when_it_has_died(tree: tuple[int, int]) -> None:
    template, visit = tree
    lookout = Lookout(Bounds(memory=2_000_000_000))
    lookout.look({"template": template, "visit": visit})
    assert lookout.full == set()
    lookout = Lookout(Bounds(memory=100_000_000))
    lookout.look({"template": template, "visit": visit})
    assert lookout.full == {"visit"}
    # No process has this number.
    lookout.look({"visit": 1 << 30})
    assert lookout.full == {"visit"}
    lookout.look({"another": 1 << 30})
    assert lookout.full == set()


def test_nobody_is_looked_at_where_nobody_runs() -> None:
    assert Lookout(Bounds()).look({}) == {}
