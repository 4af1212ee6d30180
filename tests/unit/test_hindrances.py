"""What a fork does not survive is found in the process itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.portal_stub import REPOSITORY

LOOK = """
import asyncio, json, os, sys
sys.path.insert(0, {repository!r})
asyncio.set_event_loop(asyncio.new_event_loop())
from vaas.runtime import hindrances
os.chdir({folder!r})
before = hindrances.open_files()
async def cell():
{cell}
asyncio.get_event_loop().run_until_complete(cell())
print(json.dumps(hindrances.find(before, own=set())))
sys.stdout.flush()
os._exit(0)
"""
#: What the cell leaves → kind and a few words.
LEFT = {
    "thread": (
        "import threading, time; threading.Thread(target=time.sleep, args=(99,), name='Mine', daemon=True).start()",
        ("threads", "a thread runs: Mine"),
    ),
    "pool of threads": (
        "from concurrent.futures import ThreadPoolExecutor as P; global p; p = P(2); p.submit(int).result()",
        ("threads", "a thread runs: ThreadPoolExecutor"),
    ),
    "thread past Python": (
        "import _thread, time; _thread.start_new_thread(time.sleep, (99,)); time.sleep(0.1)",
        ("threads", "threads of compiled libraries run: 1"),
    ),
    "task": (
        "global t; t = asyncio.ensure_future(asyncio.sleep(99))",
        ("tasks", "an asyncio task is under way: sleep"),
    ),
    "later": ("asyncio.get_event_loop().call_later(99, print)", ("tasks", "call_later")),
    "timer": (
        "import signal; signal.signal(signal.SIGALRM, print); signal.setitimer(0, 99)",
        ("tasks", "a timer of the system is set"),
    ),
    "process": (
        "import subprocess; global p; p = subprocess.Popen(['sleep', '1'])",
        ("processes", "processes were started and have not ended: 1"),
    ),
    "socket": ("import socket; global s; s = socket.socketpair()", ("connections", "to a database, say): 2")),
    "pipe": ("global ends; ends = os.pipe()", ("connections", "pipes are open: 2")),
    "file": ("global f; f = open('written', 'w')", ("files", "a file is open for writing: written")),
    "database": (
        "import sqlite3; global b; b = sqlite3.connect('base.db'); b.execute('create table t (a)'); b.commit()",
        ("databases", "a database is open: base.db"),
    ),
    "database by its beginning": (
        "import sqlite3; global b; b = sqlite3.connect('base'); b.execute('create table t (a)'); b.commit()",
        ("databases", "a database is open: base"),
    ),
    "mapped": (
        "import mmap; global m; f = open('map', 'w+b'); f.truncate(99); m = mmap.mmap(f.fileno(), 99); f.close()",
        ("memory", "memory is shared with other processes: map"),
    ),
    "shared": ("import mmap; global m; m = mmap.mmap(-1, 4096)", ("memory", "shared with other processes: of no file")),
}
#: What is no hindrance.
GOOD = {
    "nothing": "pass",
    "read": "global f; f = open(__file__ if '__file__' in globals() else '/etc/passwd'); f.readline()",
    "mapped for reading": "import mmap; global m; m = mmap.mmap(os.open('/etc/passwd', 0), 0, prot=mmap.PROT_READ)",
    "private": "import mmap; global m; m = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE)",
    "over": "import threading, subprocess; t = threading.Thread(target=int); t.start(); t.join(); "
    "subprocess.run(['true'])",
    "waited for": "await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.01))",
    "cancelled": "asyncio.get_event_loop().call_later(99, print).cancel()",
    "database in memory": "import sqlite3; global b; b = sqlite3.connect(':memory:'); b.execute('create table t (a)')",
    "database for reading": "import sqlite3; global b; w = sqlite3.connect('x.db'); w.execute('create table t (a)'); "
    "w.close(); "
    "b = sqlite3.connect('file:x.db?mode=ro', uri=True); b.execute('select 1 from t').fetchall()",
}


def found(cell: str, folder: Path) -> list[tuple[str, str]]:
    program = LOOK.format(repository=str(REPOSITORY), folder=str(folder), cell=f"    {cell}")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return [(each["kind"], each["text"]) for each in json.loads(done.stdout)]


@pytest.mark.parametrize("name", LEFT)
def test_what_does_not_survive_a_fork_is_found(tmp_path: Path, name: str) -> None:
    cell, (kind, words) = LEFT[name]
    said = found(cell, tmp_path)
    assert [text for each, text in said if each == kind and words in text] != [], said


@pytest.mark.parametrize("name", GOOD)
def test_what_survives_is_no_hindrance(tmp_path: Path, name: str) -> None:
    assert found(GOOD[name], tmp_path) == []
