"""The audit hook in a process of its own, for a hook stays where it was installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vaas.runtime import audit
from vaas.runtime.audit import Event

Watch = Callable[..., list[Event]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "content"
    made.mkdir()
    return made


@pytest.fixture
def watch(tmp_path: Path, folder: Path) -> Watch:
    """Run code under the hook, in the notebook's folder, and return what was noted."""

    def run(code: str, *, timeout: float = 30) -> list[Event]:
        notes = tmp_path / "audit"
        head = f"from vaas.runtime import audit\naudit.install({str(notes)!r}, folder={str(folder)!r})\n"
        environment = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONPATH": os.getcwd()}
        done = subprocess.run(
            [sys.executable, "-c", head + code],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return audit.read(notes)

    return run


def test_reading_a_file_of_the_folder_is_noted_once(watch: Watch, folder: Path) -> None:
    (folder / "data.csv").write_text("1")
    assert watch("for _ in range(9): open('data.csv').close()") == [Event("read", str(folder / "data.csv"))]


def test_a_file_that_is_not_there_is_noted_as_such(watch: Watch, folder: Path) -> None:
    noted = watch("try: open('gone.csv')\nexcept FileNotFoundError: pass")
    assert noted == [Event("read", str(folder / "gone.csv"), exists=False)]


@pytest.mark.parametrize(
    "code",
    [
        "open('data.csv', 'rb')",
        "import os; os.open('data.csv', os.O_RDONLY)",
        "open(b'data.csv')",
        "import pathlib; pathlib.Path('data.csv').read_bytes()",
        "open('data.csv', 'r+')",
        "import sqlite3; sqlite3.connect('data.csv')",
    ],
)
def test_there_are_many_ways_to_read(watch: Watch, folder: Path, code: str) -> None:
    (folder / "data.csv").write_text("1")
    assert watch(code) == [Event("read", str(folder / "data.csv"))]


@pytest.mark.parametrize(
    "code",
    [
        "open('new.csv', 'w')",
        "open('new.csv', 'a')",
        "import json, http.client, sqlite3, multiprocessing",
        "open('/etc/hostname'); open('/proc/self/status'); open('/dev/null')",
        "import tempfile; open(tempfile.mkstemp()[1])",
        "import os; os.listdir('/'); os.listdir('.'); os.listdir('..')",
        "import sqlite3; sqlite3.connect(':memory:')",
        "import os; os.fdopen(os.open('/dev/null', 0))",
        "import importlib.metadata; list(importlib.metadata.distributions())",
        "import os\ntry: os.listdir('__editable__.x-1.finder.__path_hook__')\nexcept OSError: pass",
    ],
)
def test_writing_and_the_systems_own_files_are_no_news(watch: Watch, code: str) -> None:
    assert watch(code) == []


def test_our_own_library_is_no_file_of_the_author_s(tmp_path: Path, folder: Path) -> None:
    # Installed for development it is on no path that Python looks in.
    notes, root = tmp_path / "audit", os.getcwd()
    code = (
        f"import sys; sys.path.insert(0, {root!r}); from vaas.runtime import audit; del sys.path[0]\n"
        f"audit.install({str(notes)!r}, folder={str(folder)!r}); open(audit.__file__).close()"
    )
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, env=clean, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert audit.read(notes) == []


def test_a_folder_that_is_not_there_is_noted(watch: Watch, folder: Path) -> None:
    noted = watch("import glob; glob.glob('data/*.csv')")
    assert noted == [Event("list", str(folder / "data"), exists=False)]


def test_files_reached_through_a_link_count_by_where_they_lie(watch: Watch, folder: Path, tmp_path: Path) -> None:
    (folder / "hosts").symlink_to("/etc/hostname")
    assert watch("open('hosts')") == []


@pytest.mark.parametrize(
    ("code", "host"),
    [
        ("socket.getaddrinfo('data.invalid', 443)", "data.invalid"),
        ("socket.create_connection(('data.invalid', 443), timeout=1)", "data.invalid"),
        ("socket.gethostbyname('data.invalid')", "data.invalid"),
        ("urllib.request.urlopen('http://data.invalid/x', timeout=1)", "data.invalid"),
        ("s = socket.socket(); s.settimeout(0.1); s.connect(('192.0.2.1', 80))", "192.0.2.1"),
        ("s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('192.0.2.2', 53))", "192.0.2.2"),
    ],
)
def test_connecting_outside_is_noted_by_name(watch: Watch, code: str, host: str) -> None:
    noted = watch(f"import socket, urllib.request\ntry:\n    {code}\nexcept OSError: pass")
    assert noted == [Event("connect", host)]


@pytest.mark.parametrize(
    "code",
    [
        "socket.getaddrinfo('localhost', 80)",
        "socket.socket().connect_ex(('127.0.0.1', 9))",
        "socket.socket(socket.AF_INET6).connect_ex(('::1', 9))",
        "socket.socket(socket.AF_UNIX).connect_ex('nowhere')",
        "socket.getaddrinfo(None, 80)",
        "socket.getaddrinfo(socket.gethostname(), 80)",
    ],
)
def test_this_machine_is_not_outside(watch: Watch, code: str) -> None:
    assert watch(f"import socket\ntry:\n    {code}\nexcept OSError: pass") == []


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess; subprocess.run(['echo', 'hi'])",
        "import os; os.system('echo hi')",
        "import os; os.posix_spawn('/bin/echo', ['echo', 'hi'], {})",
        "import os\nif os.fork() == 0: os.execv('/bin/echo', ['echo', 'hi'])\nos.wait()",
    ],
)
def test_starting_a_program_is_noted(watch: Watch, code: str) -> None:
    assert watch(code) == [Event("start", "echo hi")]


def test_a_fork_goes_on_noting(watch: Watch, folder: Path) -> None:
    (folder / "data.csv").write_text("1")
    noted = watch("import os\nif os.fork() == 0: open('data.csv'); os._exit(0)\nos.wait()")
    assert noted == [Event("read", str(folder / "data.csv"))]


def test_the_hook_never_gets_in_the_way(watch: Watch, folder: Path) -> None:
    code = """
import os, sys
sys.audit("open", object(), None, None)
sys.audit("open")
sys.audit("socket.connect", None, (b"\\xff", 1))
sys.audit("os.exec", 7, 7)
sys.setrecursionlimit(120)
def deep():
    try: deep()
    except RecursionError: open("data.csv").close()
deep()
"""
    (folder / "data.csv").write_text("1")
    watch(code)


def test_notes_do_not_end_up_in_a_file_that_took_over_their_descriptor(watch: Watch, folder: Path) -> None:
    code = """
import os
os.closerange(3, 256)
other = [open("mine.txt", "w") for _ in range(20)]
try: open("gone.csv")
except OSError: pass
"""
    watch(code)
    assert (folder / "mine.txt").read_text() == ""


def test_notes_stop_at_a_bound(watch: Watch, tmp_path: Path) -> None:
    code = """
for i in range(30_000):
    try: open(f"gone-{i}-" + "x" * 200)
    except OSError: pass
"""
    assert 1_000 < len(watch(code)) <= 5_000
    assert (tmp_path / "audit").stat().st_size < 1_100_000


def test_what_follows_a_mark_belongs_to_its_cell(tmp_path: Path) -> None:
    notes = tmp_path / "audit"
    audit.mark_cell(notes, 3)
    with notes.open("a") as file:
        file.write('{"kind": "connect", "name": "a.example.org"}\n')
    audit.mark_cell(notes, 7)
    with notes.open("a") as file:
        file.write('{"kind": "connect", "name": "b.example.org"}\n')
    assert audit.read(notes) == [Event("connect", "a.example.org", 3), Event("connect", "b.example.org", 7)]


def test_lines_that_the_notebook_wrote_itself_do_no_harm(tmp_path: Path) -> None:
    notes = tmp_path / "audit"
    notes.write_bytes(b'\xff\nnull\n[]\n{"cell": "x"}\n{"kind": 1, "name": 2}\n' + b"[" * 50_000 + b'\n{"kind": "read"')
    assert audit.read(notes) == []


def test_no_notes_are_no_events(tmp_path: Path) -> None:
    assert audit.read(tmp_path / "audit") == []
