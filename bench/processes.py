"""What the servers that a benchmark started use: computing time, memory and open files, read from Linux.

Computing time is that of everything that was ever started below this process. Where a control group can be made (as
root, or where the system hands some to its users) all of them are in it with this process, and its own time is taken
off: nothing gets away. Elsewhere it is added up from /proc: what runs, and what was collected of what has ended. A
process that outlives its parent becomes a child of this one for that. Then the time of children that nobody collects
is lost, such as all that is in a sandbox that is killed, so servers look cheaper: `Counting.how` tells.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Counting", "Memory", "Process", "below", "counting", "machine_seconds", "memory", "reap"]

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


@dataclass
class Counting:
    """How computing time is counted."""

    #: "cgroup" or "processes".
    how: str = "processes"
    group: Path | None = None
    _file: str = ""
    _unit: float = 1.0

    def cpu_seconds(self) -> float:
        """Return the computing time of everything that was ever started below this process."""
        if self.group is not None:
            used = (self.group / self._file).read_text().replace("usage_usec", "").split()[0]
            return int(used) / self._unit - time.process_time()
        ended = os.times()
        ticks = sum(process.own_ticks + process.children_ticks for process in below())
        return ended.children_user + ended.children_system + ticks / _TICK

    async def settled(self, *, seconds: float = 60.0) -> None:
        """Return when the servers are at rest, or after ``seconds``."""
        for _ in range(int(seconds)):
            before = self.cpu_seconds()
            await asyncio.sleep(1)
            if self.cpu_seconds() - before < _REST:
                return


@contextmanager
def counting() -> Iterator[Counting]:
    """Count until the end of the context; who is asked to end meanwhile ends what was started first.

    This process becomes the parent of all below that lose theirs.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "This system has no PR_SET_CHILD_SUBREAPER.")
    for home, file, unit in _groups():
        group = home / f"vaas-bench-{os.getpid()}"
        try:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        try:
            yield Counting("cgroup", group, file, unit)
        finally:
            reap()
            for pid in (group / "cgroup.procs").read_text().split():
                (home / "cgroup.procs").write_text(pid)
            group.rmdir()
        return
    yield Counting()


def _groups() -> Iterator[tuple[Path, str, float]]:
    """Where a control group may be made, which file of it tells the time, and in what part of a second."""
    root = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):
            yield root / controllers / path.strip("/"), "cpuacct.usage", 1e9
        elif not controllers:
            unified = root / "unified" if (root / "unified").is_dir() else root
            yield unified / path.strip("/"), "cpu.stat", 1e6


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
