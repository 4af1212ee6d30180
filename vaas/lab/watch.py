"""An eye on what a launch uses with all its processes together, and an end for what takes too much."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from vaas.launching import Size
from vaas.machine.processes import children_of, cpu_of, memory_of, written_in

__all__ = ["Watch", "family"]


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


def family(first: int) -> list[int]:
    """Return the process and all that it and they have started."""
    found = [first]
    for pid in found:
        found += children_of(pid)
    return found
