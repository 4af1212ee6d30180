"""The launcher tells why a launch ends, of real processes: each with a small program in JupyterLab's place."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.portal_fixture import until
from tests.unit.test_lab_placing import Shelf, shelf
from vaas.lab.clock import seconds_left
from vaas.launching import LAUNCH_ENDS, Size
from vaas.portal.ends import ENDS

__all__ = ["shelf"]

_LAUNCHER = """
import json, os, subprocess, sys
from vaas.lab.launcher import Launcher
from vaas.launching import Environment, Size
from vaas.orders import Order

class Small(Launcher):
    def _start(self):
        print("began", flush=True)
        return subprocess.Popen([sys.executable, "-c", sys.argv[1]])

size = Size("s", "S", 1, **json.loads(sys.argv[2]))
sys.exit(Small(Order("slurm", Environment("e", "E", "python", "/python"), size), os.environ).run())
"""
_SLEEP = "import time; time.sleep(60)"
_GROW = "import time; x = bytearray(200_000_000); time.sleep(60)"
_SMALL = '{"memory": 100000000}'


def launcher(shelf: Shelf, program: str, size: str, **environ: str) -> subprocess.Popen[str]:
    """Start one, and return when it has."""
    env = {**os.environ, "VAAS_PORTAL_URL": shelf.url, "JUPYTERHUB_API_TOKEN": "t", **environ}
    command = [sys.executable, "-c", _LAUNCHER, program, size]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "began\n"
    return process


def ended(shelf: Shelf, process: subprocess.Popen[str]) -> str:
    """Return why it ended, as the portal hears it."""
    process.wait(20)
    assert process.stdout is not None
    process.stdout.close()
    said = {post["ended"] for post in shelf.posts if "ended" in post}
    assert len(said) == 1, shelf.posts
    return str(said.pop())


@pytest.mark.parametrize(
    ("program", "size", "why"),
    [
        ("pass", "{}", "closed"),
        ("raise SystemExit(3)", "{}", "crashed"),
        ("import os; os.kill(os.getpid(), 9)", "{}", "crashed"),
        (_GROW, _SMALL, "memory"),
        (_SLEEP, '{"seconds": 1}', "time"),
    ],
)
def test_what_ends_by_itself_says_why(shelf: Shelf, program: str, size: str, why: str) -> None:
    assert ended(shelf, launcher(shelf, program, size)) == why


def test_a_full_memory_is_a_notice_while_it_goes_on(shelf: Shelf) -> None:
    grow = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {_GROW!r}]); time.sleep(60)"
    process = launcher(shelf, grow, _SMALL)
    until(lambda: any("0.1 GB" in post.get("notice", "") for post in shelf.posts), seconds=20, what="the notice")
    process.terminate()
    # It was stopped, though its memory was full a moment ago.
    assert ended(shelf, process) == "outside"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("size", "why"), [("{}", "outside"), ('{"seconds": 20}', "time"), ('{"seconds": 900}', "outside")]
)
def test_who_sends_the_signal_is_told_by_the_time_that_was_left(
    shelf: Shelf, number: signal.Signals, size: str, why: str
) -> None:
    process = launcher(shelf, _SLEEP, size)
    time.sleep(0.3)
    process.send_signal(number)
    assert ended(shelf, process) == why


def test_a_job_of_a_batch_system_ends_in_good_order_before_it_is_ended(shelf: Shelf) -> None:
    process = launcher(shelf, _SLEEP, "{}", SLURM_JOB_END_TIME=str(int(time.time()) + 17))
    assert ended(shelf, process) == "time"


@pytest.mark.parametrize(
    ("seconds", "ends", "left"),
    [
        (0, "", math.inf),
        (60, "", 60),
        (0, "1100", 85),
        (60, "1100", 60),
        (3600, "1100", 85),
        (0, "990", 0),
        (0, "x", math.inf),
    ],
)
def test_it_lasts_as_long_as_its_size_and_its_job(seconds: int, ends: str, left: float) -> None:
    environ = {"SLURM_JOB_END_TIME": ends} if ends else {}
    assert seconds_left(Size("s", "S", seconds=seconds), environ, now=1000.0) == left


SQUEUE = """#!/bin/sh
echo "$*" >"$ASKED"
echo "$SAID"
"""


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("1:00", 45),
        ("30:00", 1785),
        ("2:00:00", 7185),
        ("1-00:00:10", 86_395),
        ("0:05", 0),
        ("UNLIMITED", math.inf),
        ("INVALID", math.inf),
        ("", math.inf),
    ],
)
def test_a_slurm_that_sets_no_variable_is_asked_what_is_left_of_the_job(tmp_path: Path, said: str, left: float) -> None:
    (tmp_path / "squeue").write_text(SQUEUE)
    (tmp_path / "squeue").chmod(0o755)
    asked = tmp_path / "asked"
    environ = {"PATH": str(tmp_path), "SLURM_JOB_ID": "17", "ASKED": str(asked), "SAID": said}
    assert seconds_left(Size("s", "S"), environ, now=1000.0) == left
    assert asked.read_text() == "--noheader --jobs=17 --format=%L\n"
    asked.unlink()
    assert seconds_left(Size("s", "S", seconds=60), environ, now=1000.0) == 60
    assert seconds_left(Size("s", "S"), {**environ, "SLURM_JOB_ID": "x"}, now=1000.0) == math.inf
    assert not asked.exists()


def test_a_node_without_slurms_programs_starts_what_it_is_to_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"PATH": str(tmp_path), "SLURM_JOB_ID": "17"}
    assert seconds_left(Size("s", "S"), environ, now=1000.0) == math.inf
    assert "Slurm does not say how long this job lasts" in capsys.readouterr().err


def test_there_are_words_for_all_that_a_launch_can_tell() -> None:
    assert set(LAUNCH_ENDS) | {"asked"} == set(ENDS)
    said = [text for end in ENDS.values() for text in (end.why, end.fix) if text]
    assert all(text.endswith(".") for text in said) and len(set(said)) == len(said)
