"""What each app server may have of what the whole site may: so many pages, so many bytes. No I/O; the time comes in.

A share is a promise until the server's next heartbeat: nobody gets what was promised to another, so that all servers
together stay below the site's limit however they use their shares. Who wants more gets it as others say that they use
less, at most one heartbeat of each later. A server that is silent for long has closed its visits, and has no share.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

__all__ = ["Capacity", "Load", "fair"]

#: A server that does not reach the portal for 30 s ends its visits; only then are its places given away.
_GONE = 40.0


@dataclass(frozen=True)
class Load:
    """What a server says of itself: open pages, visits that wait in line, and bytes of memory of all its kernels."""

    pages: int = 0
    waiting: int = 0
    memory: int = 0


@dataclass(frozen=True)
class _Server:
    """One server: its load, what was promised to it, when it spoke last, and since when all of it waits."""

    load: Load
    heard: float
    starving: float | None
    visits: int = 0
    memory: int = 0

    @property
    def wanted_memory(self) -> int:
        """Bytes for those who wait too, if each takes what those take who are in."""
        return self.load.memory + self.load.waiting * (self.load.memory // max(1, self.load.pages))


class Capacity:
    """The site's limits, shared out among its servers.

    Parameters
    ----------
    visits, memory:
        How many pages and how many bytes all servers together may have; 0: no limit.
    """

    def __init__(self, *, visits: int, memory: int) -> None:
        self._visits, self._memory = visits, memory
        self._servers: dict[Hashable, _Server] = {}

    def share(self, name: Hashable, load: Load, *, now: float) -> dict[str, int]:
        """Return what this server may have until it asks again, by the names of the protocol."""
        self._servers = {other: server for other, server in self._servers.items() if now - server.heard < _GONE}
        before = self._servers.get(name)
        starved = before.starving if before is not None and before.starving is not None else now
        starving = starved if load.waiting and not load.pages else None
        me = self._servers[name] = _Server(load, now, starving)
        # Those who starve longest are last, where what cannot be divided goes.
        order = sorted(self._servers.items(), key=lambda pair: -(pair[1].starving or now))
        promised: dict[str, int] = {}
        others = [server for other, server in order if other != name]
        if self._visits:
            wants = {other: server.load.pages + server.load.waiting for other, server in order}
            taken = sum(max(server.visits, server.load.pages) for server in others)
            promised["site_visits"] = max(0, min(fair(self._visits, wants)[name], self._visits - taken))
        if self._memory:
            wants = {other: server.wanted_memory for other, server in order}
            taken = sum(max(server.memory, server.load.memory) for server in others)
            promised["site_memory"] = max(0, min(fair(self._memory, wants)[name], self._memory - taken))
        visits, memory = promised.get("site_visits", 0), promised.get("site_memory", 0)
        self._servers[name] = replace(me, visits=visits, memory=memory)
        return promised

    def waiting(self, name: Hashable) -> int:
        """Return how many visits waited in the server's line when it spoke last; 0 for an unknown one."""
        server = self._servers.get(name)
        return server.load.waiting if server else 0

    def forget(self, name: Hashable) -> None:
        """Give away what a server had that has ended; no-op for an unknown one."""
        self._servers.pop(name, None)


def fair(total: int, wants: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """Share out ``total``: nobody gets less than they want while another gets more than they; the rest goes to all."""
    got: dict[Hashable, int] = {}
    left = total
    # Sorting is stable: among equal wants, the later ones get what cannot be divided.
    for number, (name, want) in enumerate(sorted(wants.items(), key=lambda pair: pair[1])):
        got[name] = min(want, left // (len(wants) - number))
        left -= got[name]
    return {name: amount + left // len(wants) for name, amount in got.items()}
