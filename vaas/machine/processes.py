"""The processes of this machine as Linux tells of them: who started whom, and how much memory each has of its own."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = [
    "children_of",
    "cpu_of",
    "family_of",
    "files_in",
    "make_expendable",
    "memory_of",
    "namespace_of",
    "parents",
    "temporary_of",
    "threads_of",
    "written_in",
]

#: Whether a process's children can be asked for; else all processes have to be looked at.
_TELLS = os.path.exists(f"/proc/self/task/{os.getpid()}/children")

#: Folders of which processes have their own.
_TEMPORARY = ("/tmp", "/dev/shm")

#: So often a process is looked at that ends threads meanwhile.
_LOOKS = 3


def children_of(pid: int) -> list[int]:
    """Return the processes that this one started and that are there now."""
    if not _TELLS:
        return [child for child, parent in parents().items() if parent == pid]
    found: list[int] = []
    for _ in range(_LOOKS):
        try:
            threads = os.listdir(f"/proc/{pid}/task")
            told = [Path(f"/proc/{pid}/task/{thread}/children").read_text() for thread in threads]
        except OSError:
            # It has ended, or a thread of it, whose children are another's now.
            continue
        found = [int(word) for word in " ".join(told).split()]
        break
    return found


def make_expendable(pid: int) -> None:
    """Let the system end this process first when memory runs out; done by root, it cannot be undone by the process."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text("800")
    except OSError:
        return  # gone, or no Linux


def parents() -> dict[int, int]:
    """Return for each process the one that started it."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                # The command in brackets may hold anything, brackets too.
                found[int(name)] = int(Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    return found


def family_of(pid: int, known: dict[int, list[int]]) -> list[int]:
    """Return the process and all that it and they have started; ``known`` has for each process its children."""
    found = [pid]
    for each in found:
        found += known.get(each, ())
    return found


def namespace_of(pid: int) -> str:
    """Return which process namespace the process is in; "" where the system does not tell us."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def temporary_of(pid: int) -> int:
    """Return the device of the temporary folder that the process sees; 0 for one that is gone."""
    for place in _told_at(pid):
        with contextlib.suppress(OSError):
            # No link is followed: it would lead through our own files.
            return os.lstat(f"{place}/root/tmp").st_dev
    return 0


def threads_of(pid: int) -> int:
    """Return how many threads the process has; 0 for one that is gone."""
    return _number(_status(pid), "Threads")


def memory_of(pids: Iterable[int], *, more_than: int = 0) -> int:
    """Return how many bytes of memory the processes have, together.

    What they share is counted for each of them, which is quick, unless the sum is ``more_than`` that: then
    it is counted once, which takes the system milliseconds.
    """
    pids = list(pids)
    quick = sum(_own(_status(pid)) for pid in pids)
    return quick if quick <= more_than else min(quick, sum(map(_proportional, pids)))


def files_in(pid: int, *, folders: Iterable[str] = _TEMPORARY) -> int:
    """Return how many files and folders are in the temporary folders that the process sees; 0 for our own."""
    return sum(told.f_files - told.f_ffree for told in _temporary(pid, folders))


def cpu_of(pids: Iterable[int]) -> dict[int, float]:
    """Return for each process the seconds of computing time that it has used; without those that are gone."""
    found, tick = {}, os.sysconf("SC_CLK_TCK")
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            found[pid] = (int(words[11]) + int(words[12])) / tick
        except (OSError, IndexError, ValueError):
            continue
    return found


def written_in(pid: int, *, folders: Iterable[str] = _TEMPORARY) -> int:
    """Return how many bytes lie in the temporary folders that the process sees, which are memory; 0 for our own."""
    return sum((told.f_blocks - told.f_bfree) * told.f_frsize for told in _temporary(pid, folders))


def _temporary(pid: int, folders: Iterable[str]) -> Iterator[os.statvfs_result]:
    """Yield how full each of the folders is, of those that are the process's and not ours."""
    for folder in folders:
        try:
            ours, theirs = os.stat(folder), os.lstat(f"/proc/{pid}/root{folder}")
            told = os.statvfs(f"/proc/{pid}/root{folder}")
        except OSError:
            continue
        if stat.S_ISDIR(theirs.st_mode) and not os.path.samestat(ours, theirs):
            yield told


def _told_at(pid: int) -> Iterator[str]:
    """Yield where the system tells of the process: when its first thread has ended, only at the others."""
    yield f"/proc/{pid}"
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            yield f"/proc/{pid}/task/{thread}"


def _status(pid: int) -> str:
    told = ""
    for place in _told_at(pid):
        with contextlib.suppress(OSError):
            told = Path(f"{place}/status").read_text(errors="replace")
        if "VmPTE" in told:
            break
    return told


def _proportional(pid: int) -> int:
    """Return the process's share of memory that it has together with others."""
    status = _status(pid)
    try:
        shares = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return _own(status)
    return 1024 * (_number(shares, "Pss_Anon") + _number(shares, "Pss_Shmem") + _number(status, "VmPTE"))


def _own(status: str) -> int:
    """Return the bytes that a process has of its own, with the tables by which the system keeps track of them."""
    return 1024 * sum(_number(status, name) for name in ("RssAnon", "RssShmem", "VmPTE"))


def _number(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0
