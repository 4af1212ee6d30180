"""An eye on what kernels use together with all processes that they start: the system's own limits hold for one each."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vaas.machine.processes import family_of, files_in, memory_of, parents, temporary_of, threads_of
from vaas.runtime.endings import Kind
from vaas.runtime.sandbox import Bounds

__all__ = ["FIXES", "MOST_FILES", "Excess", "Lookout"]

#: kind → what the author of a notebook can do about it.
FIXES: Mapping[str, str] = {
    "disk": "Make fewer and larger files, and remove those that are no longer needed.",
    "memory": "Use less data or load only the columns you need.",
    "processes": "Start fewer processes and threads; apps of many visitors share this machine.",
}

#: A kernel that comes this near to its number of processes at two looks in a row is not there to compute.
_MANY = 0.9
#: Who has so much of its memory may well have died of it.
_NEARLY = 0.8
#: So many files may be in a temporary folder: each takes memory that its size does not count.
MOST_FILES = 50_000
#: Threads are asked of so many processes of a kernel; where there are more, they are what is too many.
_FEW = 50


@dataclass(frozen=True)
class Excess:
    """What a kernel uses too much of or ended by: a kind and a sentence for the app's owner."""

    kind: Kind
    text: str


class Lookout:
    """Looks at running kernels; where the system does not tell, it sees nothing wrong."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._crowded: set[str] = set()
        #: Those that had nearly as much memory as they may when they were seen last.
        self.full: set[str] = set()

    def look(self, running: Mapping[str, int], places: Mapping[str, int] = MappingProxyType({})) -> dict[str, Excess]:
        """Return what is wrong with which of the kernels. May be slow.

        Parameters
        ----------
        running:
            Their first processes.
        places:
            Of forks in places of their own, the device of the temporary folder; of those that are being ended, too.
        """
        if not running or sys.platform != "linux":
            return {}
        crowded, found = set(), {}
        for kernel, family in _families(running, places).items():
            if max(len(family), sum(map(threads_of, family[:_FEW]))) >= _MANY * self._bounds.processes:
                crowded.add(kernel)
            used = memory_of(family, more_than=int(_NEARLY * self._bounds.memory))
            if used > _NEARLY * self._bounds.memory:
                self.full.add(kernel)
            elif used:
                # One that is gone has none: what was seen before is what is known of it.
                self.full.discard(kernel)
            if excess := self._excess(family, used, long_crowded=kernel in crowded & self._crowded):
                found[kernel] = excess
        self._crowded = crowded
        self.full &= running.keys()
        return found

    def memory(self, running: Mapping[str, int], places: Mapping[str, int]) -> dict[str, int]:
        """Return how much memory each kernel has; of what it shares with others, its part. Is slow."""
        if not running or sys.platform != "linux":
            return {}
        return {kernel: memory_of(family, more_than=-1) for kernel, family in _families(running, places).items()}

    def _excess(self, family: list[int], used: int, *, long_crowded: bool) -> Excess | None:
        most = self._bounds.memory
        if used > most:
            text = f"A kernel was ended: it used more than the {most / 1e6:.0f} MB of memory that it may use."
            return Excess("memory", text)
        if long_crowded:
            text = f"A kernel was ended: it started more than the {self._bounds.processes} processes that it may start."
            return Excess("processes", text)
        files = max(map(files_in, family[:2]), default=0)
        if files > MOST_FILES:
            text = f"A kernel was ended: it had made {files} files in its temporary folder, more than {MOST_FILES}."
            return Excess("disk", text)
        return None


def _families(running: Mapping[str, int], places: Mapping[str, int]) -> dict[str, list[int]]:
    """Return which processes are whose.

    A fork is a child of its template, and counts for itself; so does what it has started and left to itself, which
    the system makes a child of the template's warden: it is known by the place that it cannot leave.
    """
    known: dict[int, list[int]] = defaultdict(list)
    roots = set(running.values())
    for child, parent in parents().items():
        if child not in roots:
            known[parent].append(child)
    families = {kernel: family_of(pid, known) for kernel, pid in running.items()}
    owners = {device: kernel for kernel, device in places.items() if device}
    for kernel in families.keys() - places.keys() if owners else ():
        family, families[kernel] = families[kernel], []
        for pid in family:
            # One that is gone by now was anybody's.
            if device := temporary_of(pid):
                owner = owners.get(device, kernel)
                # What a kernel has left that is being ended is killed: it counts for no other, its template least.
                if owner in families:
                    families[owner].append(pid)
    return families
