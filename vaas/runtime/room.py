"""How many more pages an app may open: by their number, by the memory of its kernels, by what the site has left.

No I/O. Memory is measured now and then; between two looks each new page counts as much as those that are open.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Memory", "Room"]

#: Nobody's page takes less; and as long as none is open, nothing is known of them.
_LEAST = 10_000_000
#: No number of pages.
_MANY = 1 << 30


@dataclass(frozen=True)
class Memory:
    """How many bytes all kernels have together, and of these the kernels of pages, and those that are kept ready."""

    total: int = 0
    pages: tuple[int, ...] = ()
    spare: tuple[int, ...] = ()

    @property
    def each(self) -> int:
        """How much a page takes, as far as is known: what kernels share is counted in parts."""
        kernels = self.pages or self.spare
        return max(_LEAST, sum(kernels) // len(kernels)) if kernels else _LEAST


class Room:
    """The room of one app.

    Parameters
    ----------
    visits:
        How many pages may be open at once.
    memory:
        How many bytes all kernels may have together; 0: as many as there are.
    """

    def __init__(self, *, visits: int, memory: int) -> None:
        self._visits, self._memory = visits, memory
        #: What the portal lets this server have of what the whole site may; None: it does not say.
        self.site_visits: int | None = None
        self.site_memory: int | None = None
        self._seen = Memory()
        self._opened = 0

    @property
    def measured(self) -> Memory:
        """What was seen last."""
        return self._seen

    @property
    def needs_measuring(self) -> bool:
        """Whether anything hangs on how much memory there is."""
        return bool(self._memory or self.site_memory is not None)

    def see(self, memory: Memory) -> None:
        """Take a new measurement."""
        self._seen, self._opened = memory, 0

    def opened(self) -> None:
        """Note a page that no measurement has seen yet."""
        self._opened += 1

    def free(self, *, pages: int) -> int:
        """Return how many more pages may be opened beside those that are.

        A first page may always be opened as far as memory goes: its kernel has a limit of its own, and an app that is
        too large for its share would not open at all.
        """
        return self._free(pages, self.site_visits, self.site_memory)

    def is_for_others(self, *, pages: int) -> bool:
        """Tell whether it is the site that is full rather than the app: alone on it, the app would have room."""
        return self.free(pages=pages) < 1 <= self._free(pages, None, None)

    def _free(self, pages: int, site_visits: int | None, site_memory: int | None) -> int:
        by_number = self._visits if site_visits is None else min(self._visits, site_visits)
        by_memory = self._by_memory(site_memory)
        return max(0, min(by_number - pages, by_memory if pages else max(1, by_memory)))

    @property
    def ahead(self) -> int:
        """How many kernels may be kept ready: none that would take the room of a visit."""
        return max(0, self._by_memory(self.site_memory))

    def excess(self) -> int | None:
        """Return which of the measured pages has to end because all have more memory than they may; None: none has.

        What is kept ready goes first, and the last page stays: its kernel's own limit holds for it.
        """
        taken = self._seen.total - sum(self._seen.spare)
        if not self._memory or taken <= self._memory or len(self._seen.pages) < 2:
            return None
        return self._seen.pages.index(max(self._seen.pages))

    def _by_memory(self, site: int | None) -> int:
        bounds = [bound for bound in (self._memory or None, site) if bound is not None]
        if not bounds:
            return _MANY
        # What is kept ready makes room: it becomes a page, or is ended.
        left = min(bounds) - (self._seen.total - sum(self._seen.spare))
        return left // self._seen.each - self._opened
