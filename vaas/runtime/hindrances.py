"""What a notebook has left in its kernel that a fork does not survive: found in the process itself, never guessed.

Threads, tasks and timers, child processes, connections, files that are written, memory that is shared with others,
devices that compute. The process is looked at when its kernel's own threads and sockets are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from vaas.runtime import arrow

__all__ = ["children", "find", "kept_files", "open_files", "open_folders", "reopen_files", "reopen_folders"]

_DEVICES = re.compile(r"^/dev/(nvidia|dri/|kfd|accel)")
_SHARED = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .w.s \S+ \S+ (\d+)\s*(.*)$", re.MULTILINE)
#: How a database of SQLite's begins, and how files beside it are named.
_SQLITE, _BESIDE = b"SQLite format 3\0", re.compile(r"-(wal|journal|shm)$")
#: Event counters, timers, watches of files and the like: what one process does with it, all others notice.
_KERNEL_OBJECT = "anon_inode:"
_MOMENT = 0.02
_TASKS = Path("/proc/self/task")


def open_files() -> dict[int, str]:
    """Return number → what it is of all files, sockets and pipes that are open."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing itself
    return found


def find(before: dict[int, str], *, own: set[int]) -> list[dict[str, str]]:
    """Return what is in the way, each as ``kind`` and ``text``; ``before`` was open before the notebook ran."""
    new = {fd: what for fd, what in open_files().items() if fd > 2 and fd not in own and before.get(fd) != what}
    found = [*_tasks(), *_timers(), *_threads(), *_processes(), *_connections(new), *_written(new), *_shared()]
    return [{"kind": kind, "text": text} for kind, text in found]


def reopen_files(opened: Iterable[int]) -> None:
    """Open what is open for reading once more, so that this process has a place in it of its own."""
    for fd in opened:
        try:
            mode = fcntl.fcntl(fd, fcntl.F_GETFL)
            if not stat.S_ISREG(os.fstat(fd).st_mode) or mode & os.O_ACCMODE != os.O_RDONLY:
                continue
            again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        os.lseek(again, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
        os.dup2(again, fd, inheritable=os.get_inheritable(fd))
        os.close(again)


def open_folders(opened: Mapping[int, str]) -> dict[int, str]:
    """Return those that are folders, of what is ``opened``: number → path."""
    found = {}
    for fd, path in opened.items():
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                found[fd] = path
    return found


def reopen_folders(folders: Mapping[int, str]) -> None:
    """Open them once more by their paths, in what is this process's root now.

    In the place of one that is not there comes the root: who has its number believes that it is open.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    for fd, path in folders.items():
        try:
            again = os.open(path, flags)
        except OSError:
            again = os.open("/", flags)
        os.dup2(again, fd, inheritable=os.get_inheritable(fd))
        os.close(again)


def kept_files(*folders: str) -> tuple[int, int]:
    """Return how many files the folders have, and how many bytes; what is mounted in them is not theirs."""
    number = size = 0
    for folder in folders:
        device = os.stat(folder).st_dev
        for place, below, names in os.walk(folder):
            below[:] = [name for name in below if os.lstat(os.path.join(place, name)).st_dev == device]
            for name in names:
                number += 1
                size += _size(os.path.join(place, name))
    return number, size


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _tasks() -> list[tuple[str, str]]:
    tasks = [task for task in asyncio.all_tasks(asyncio.get_event_loop()) if not task.done()]
    names = Counter(getattr(task.get_coro(), "__qualname__", "a task") for task in tasks)
    return [("tasks", f"an asyncio task is under way: {name}") for name in names]


def _timers() -> list[tuple[str, str]]:
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        return [("tasks", "a timer of the system is set (signal.setitimer)")]
    due = [timer for timer in getattr(asyncio.get_event_loop(), "_scheduled", ()) if not timer.cancelled()]
    return [("tasks", "something is to be called later (call_later)")] if due else []


def _threads() -> list[tuple[str, str]]:
    """Count after a first fork: libraries that know about forks (OpenBLAS does) have ended their threads before it."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    named = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    found = [("threads", f"a thread runs: {thread.name}") for thread in named]
    others = _unknown_threads()
    if others and (idle := arrow.idle_threads()):
        others = _unknown_threads(besides=idle)
    if others:
        # Some say what they are of; who does not has the name of the program.
        own = _name_of(str(os.getpid()))
        names = sorted({name.rstrip("-0123456789") for tid in others if (name := _name_of(tid)) not in ("", own)})
        said = f" ({', '.join(names)})" if names else ""
        kind = "polars" if any(name.startswith("polars") for name in names) else "threads"
        found.append((kind, f"threads of compiled libraries run: {len(others)}{said}"))
    return found


def _unknown_threads(*, besides: Iterable[int] = ()) -> list[str]:
    """Return the threads that Python does not know; one that has been waited for may take a moment to be gone."""
    for pause in (*[_MOMENT] * 10, 0):
        # The main thread of a fork still has the number of its parent's, in Python 3.11.
        known = {os.getpid(), *besides, *(thread.native_id for thread in threading.enumerate())}
        others = [tid for tid in os.listdir(_TASKS) if int(tid) not in known]
        if not others:
            break
        time.sleep(pause)
    return others


def _name_of(thread: str) -> str:
    try:
        return (_TASKS / thread / "comm").read_text().strip()
    except OSError:
        return ""  # it has just ended


def children() -> list[str]:
    """Return the processes that this one has started and that have not been waited for."""
    return [pid for task in _TASKS.iterdir() for pid in (task / "children").read_text().split()]


def _processes() -> list[tuple[str, str]]:
    found = children()
    return [("processes", f"processes were started and have not ended: {len(found)}")] if found else []


def _connections(new: dict[int, str]) -> list[tuple[str, str]]:
    """Sockets and pipes; and devices, which keep state for one process."""
    found = []
    kinds = Counter("socket" if what.startswith("socket:") else "pipe" for what in new.values() if _is_channel(what))
    if kinds["socket"]:
        found.append(("connections", f"connections are open (to a database, say): {kinds['socket']}"))
    if kinds["pipe"]:
        found.append(("connections", f"pipes are open: {kinds['pipe']}"))
    for what in sorted({what for what in new.values() if what.startswith(_KERNEL_OBJECT)}):
        name = what.removeprefix(_KERNEL_OBJECT).strip("[]")
        found.append(("connections", f"something is open that all visits would share: {name}"))
    if any(_DEVICES.match(what) for what in new.values()):
        found.append(("devices", "a graphics processor is in use"))
    return found


def _is_channel(what: str) -> bool:
    return what.startswith(("socket:", "pipe:"))


def _written(new: dict[int, str]) -> list[tuple[str, str]]:
    found = []
    for fd, what in new.items():
        try:
            mode, kind = fcntl.fcntl(fd, fcntl.F_GETFL), os.fstat(fd).st_mode
        except OSError:
            continue
        if stat.S_ISREG(kind) and mode & os.O_ACCMODE != os.O_RDONLY:
            name = os.path.basename(what)
            if _is_database(fd, name):
                found.append(("databases", f"a database is open: {_BESIDE.sub('', name)}"))
            else:
                found.append(("files", f"a file is open for writing: {name}"))
    # One database is several files.
    return list(dict.fromkeys(found))


def _is_database(fd: int, name: str) -> bool:
    """Tell whether the file is a database of SQLite's, or lies beside one."""
    if _BESIDE.search(name) or name.endswith((".db", ".sqlite", ".sqlite3")):
        return True
    try:
        return os.pread(fd, len(_SQLITE), 0) == _SQLITE
    except OSError:
        return False  # it is not open for reading


def _shared() -> list[tuple[str, str]]:
    maps = Path("/proc/self/maps").read_text()
    shared = {name if name and not name.startswith("/dev/zero") else "of no file" for _, name in _SHARED.findall(maps)}
    return [("memory", f"memory is shared with other processes: {os.path.basename(name)}") for name in sorted(shared)]
