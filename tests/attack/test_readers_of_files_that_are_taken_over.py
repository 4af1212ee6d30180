"""A file that takes over what reads it: the reader's fork, or the worker as a whole.

What is a hole in a library is not known, so hostile code stands in the reader's place, where readers run
(:mod:`tests.insides_takeover`); it tries everything, and each test looks at one of the attempts.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.portal_fixture import ROOT, app_python
from tests.sandbox import NEEDS_SANDBOX

pytestmark = [pytest.mark.attack, pytest.mark.app]

#: Who was taken over, and what VAAS_SANDBOX says: a fork has few rights left without a sandbox, too.
FORKS = ["fork auto", "fork off"]
Ear = tuple[int, str]
SECRET, OWN = "known to nobody", "a,b\n1,2\n"


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    """Listen at a port, and at a socket that every process of this machine's network can name."""
    name = f"\0vaas-reader-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        yield listening.getsockname()[1], name


def attacked(folder: Path, ear: Ear, case: str) -> dict[str, Any]:
    """Hand a file over, and return what was got with it."""
    where, sandbox = case.split()
    home, own = folder / "home", folder / "own.csv"
    home.mkdir()
    (home / "secret").write_text(SECRET)
    own.write_text(OWN)
    for path in (folder, home, home / "secret", own):
        # Who may read or write them is not what protects them here.
        path.chmod(0o777)
    wishes = {"secret": str(home / "secret"), "home": str(home), "writable": str(folder), "files": [str(own)]}
    wishes |= {"port": ear[0], "abstract": ear[1]}
    environ = {**os.environ, "VAAS_SANDBOX": sandbox, "VAAS_TOKEN": SECRET, "HOME": str(home)}
    command = [str(app_python()), "-m", "tests.insides_takeover", where, json.dumps(wishes)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    got: dict[str, Any] = json.loads(done.stdout)["told"]
    assert got["own file"] == OWN, "it was handed over, or nothing was attacked"
    return {**got, "own file": own.read_text()}


@pytest.fixture(scope="module", params=FORKS)
def fork(request: pytest.FixtureRequest, ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a fork got that was taken over."""
    return attacked(tmp_path_factory.mktemp("fork"), ear, request.param)


@pytest.fixture(scope="module")
def worker(ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the worker got that was taken over as a whole, in its sandbox."""
    return attacked(tmp_path_factory.mktemp("worker"), ear, "worker auto")


def reached(answers: dict[str, str]) -> list[str]:
    return [name for name, answer in answers.items() if answer.startswith("got")]


def has_landlock() -> bool:
    """Tell whether this system can say of a process what it may open."""
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) > 0


@pytest.mark.skipif(not has_landlock(), reason="this system has no Landlock; there the sandbox alone hides files")
def test_a_reader_that_is_taken_over_opens_no_other_file(fork: dict[str, Any]) -> None:
    assert reached({name: fork[name] for name in ("secret", "passwords")}) == []
    assert fork["neighbours"] == [] and fork["home"] == []


def test_a_reader_that_is_taken_over_changes_no_file_not_even_its_own(fork: dict[str, Any]) -> None:
    assert reached(fork["written"]) == []
    assert fork["own file"] == OWN


def test_a_reader_that_is_taken_over_starts_nothing(fork: dict[str, Any]) -> None:
    assert reached(fork["started"]) == []


def test_a_reader_that_is_taken_over_reaches_no_other_process(fork: dict[str, Any]) -> None:
    assert reached(fork["others"]) == []


def test_a_reader_that_is_taken_over_reaches_no_network(fork: dict[str, Any]) -> None:
    assert reached({name: fork[name] for name in ("network", "abstract")}) == []


def test_a_reader_that_is_taken_over_knows_no_secret_of_the_portal(fork: dict[str, Any]) -> None:
    assert [name for name, value in fork["environment"].items() if value == SECRET] == []


@NEEDS_SANDBOX
def test_a_worker_that_is_taken_over_sees_no_home_and_no_other_file(worker: dict[str, Any]) -> None:
    assert reached({name: worker[name] for name in ("secret", "passwords")}) == []
    assert worker["neighbours"] == [] and worker["home"] == []


@NEEDS_SANDBOX
def test_a_worker_that_is_taken_over_reaches_no_network(worker: dict[str, Any]) -> None:
    assert reached({name: worker[name] for name in ("network", "abstract")}) == []
