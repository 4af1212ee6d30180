"""What the servers that a benchmark started use: computing time, memory and open files, read from /proc (Linux).

Computing time is that of everything below this process: of what runs (its own, and that of its children that have
ended), and of what this process has collected. A process that outlives its parent becomes a child of this one, so that
none gets away. What the kernel does not tell is the time of children that nobody collects (a parent that ignores
SIGCHLD): `uncounted` names such parents.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Memory",
    "Process",
    "adopt",
    "below",
    "cpu_seconds",
    "machine_seconds",
    "memory",
    "reap",
    "settled",
    "uncounted",
]

_TICK = os.sysconf("SC_CLK_TCK")
_MB = 1_000_000
_SUBREAPER = 36
#: A server is at rest when it takes less than this share of one processor for a second.
_REST = 0.05


@dataclass(frozen=True)
class Process:
    """A process at one moment; with ``began`` its number is unique."""

    pid: int
    parent: int
    began: int
    state: str
    own_ticks: int
    children_ticks: int

    @property
    def command(self) -> str:
        """Its command line, "" once it has ended."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""


@dataclass(frozen=True)
class Memory:
    """MB of one process or several: what it alone has, and with its part of what it shares."""

    private: float = 0.0
    proportional: float = 0.0


def adopt() -> None:
    """Become the parent of all below that lose theirs; who is asked to end, ends what was started first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "This system has no PR_SET_CHILD_SUBREAPER.")


def reap(*, known: Iterable[int] = ()) -> None:
    """Collect what was adopted and has ended; ``known`` are children that somebody else waits for."""
    kept = set(known)
    for process in _all():
        if process.parent == os.getpid() and process.state == "Z" and process.pid not in kept:
            os.waitpid(process.pid, os.WNOHANG)


def below(pid: int | None = None) -> list[Process]:
    """Return all processes below this one, or below another."""
    children: dict[int, list[Process]] = {}
    for process in _all():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [os.getpid() if pid is None else pid]
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += [process.pid for process in more]
    return found


def cpu_seconds() -> float:
    """Return the computing time of everything that was ever started below this process."""
    ended = os.times()
    ticks = sum(process.own_ticks + process.children_ticks for process in below())
    return ended.children_user + ended.children_system + ticks / _TICK


def machine_seconds() -> float:
    """Return the computing time of the whole machine: what others took meanwhile is told from it."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, irq, soft_irq, _stolen = fields
    return (user + nice + system + irq + soft_irq) / _TICK


def memory() -> dict[tuple[int, int], Memory]:
    """Return the memory of each process below this one."""
    found = {}
    for process in below():
        try:
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        lines = (line.split() for line in text.splitlines()[1:])
        kilobytes = {fields[0]: int(fields[1]) for fields in lines}
        private = sum(count for name, count in kilobytes.items() if name.startswith("Private_"))
        pss = kilobytes.get("Pss:", 0)
        found[process.pid, process.began] = Memory(private * 1024 / _MB, pss * 1024 / _MB)
    return found


def uncounted() -> list[str]:
    """Return the commands of those whose children's computing time is lost: they ignore that children end."""
    found = []
    for process in below():
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
        if ignored >> (signal.SIGCHLD - 1) & 1 and process.state != "Z":
            found.append(process.command[:120])
    return found


async def settled(*, seconds: float = 60.0) -> None:
    """Return when the servers are at rest, or after ``seconds``."""
    for _ in range(int(seconds)):
        before = cpu_seconds()
        await asyncio.sleep(1)
        if cpu_seconds() - before < _REST:
            return


def _all() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := _read(int(name))):
            yield process


def _read(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in brackets may hold anything; what follows it does not.
    fields = text.rpartition(")")[2].split()
    numbers = [int(field) for field in fields[1:20]]
    own, children = numbers[10] + numbers[11], numbers[12] + numbers[13]
    return Process(pid, numbers[0], numbers[18], fields[0], own, children)
