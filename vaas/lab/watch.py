"""An eye on what a launch uses with all its processes together, and an end for what takes too much."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Mapping

from vaas.launching import Size
from vaas.machine.processes import children_of, cpu_of, memory_of, written_in

__all__ = ["Watch", "family", "seconds_left"]

#: A batch system ends by force what lasts until its end, so a launch ends so many seconds before.
_AHEAD = 15.0


class Watch:
    """Watches the process ``first`` and all that it has started."""

    def __init__(self, first: int, size: Size) -> None:
        self._first, self._size = first, size
        self._cpu: dict[int, float] = {}
        self._since = time.monotonic()

    def look(self) -> str:
        """End the largest process when all together have too much memory; return what was done in words, or ""."""
        mine, most = family(self._first), self._size.memory
        lying = written_in(mine[-1])
        if memory_of(mine, more_than=most - lying) + lying <= most:
            return ""
        largest = max(mine, key=lambda pid: memory_of([pid]))
        with contextlib.suppress(OSError):
            os.kill(largest, signal.SIGKILL)
        return f"The largest process was ended: all together used more than the {most / 1e9:.1f} GB of this launch."

    def use(self) -> dict[str, float]:
        """Return bytes of memory, and how many cores were busy since this was asked last."""
        mine, now = family(self._first), time.monotonic()
        before, self._cpu = self._cpu, cpu_of(mine)
        spent = sum(seconds - before.get(pid, 0.0) for pid, seconds in self._cpu.items())
        passed, self._since = max(0.1, now - self._since), now
        return {"memory": memory_of(mine, more_than=-1) + written_in(mine[-1]), "cpu": round(spent / passed, 2)}


def seconds_left(size: Size, environ: Mapping[str, str], *, now: float) -> float:
    """Return how long a launch that begins now may last: as its size says, or until its job ends; inf for ever."""
    left = float(size.seconds) or math.inf
    ends = environ.get("SLURM_JOB_END_TIME", "")
    return min(left, max(0.0, int(ends) - now - _AHEAD)) if ends.isdecimal() else left


def family(first: int) -> list[int]:
    """Return the process and all that it and they have started."""
    found = [first]
    for pid in found:
        found += children_of(pid)
    return found
