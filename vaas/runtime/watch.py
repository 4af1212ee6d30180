"""Find a page that stands still although its kernel has nothing to do, which is no cell that takes long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Watch"]


class Watch:
    """The watchdog of one page that is prepared.

    Parameters
    ----------
    patience:
        For how many seconds it may stand still.
    idle:
        Tells whether the kernel has nothing to do.
    """

    def __init__(
        self, *, patience: float, idle: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience, self._idle, self._clock = patience, idle, clock
        self._moves = 0

    def moved(self) -> None:
        """Take note that the page goes on."""
        self._moves += 1

    async def until_stalled(self) -> None:
        """Return when the page has stalled."""
        tick = min(1.0, self._patience / 10)
        still, moves, looked = 0.0, self._moves, self._clock()
        while still < self._patience:
            await asyncio.sleep(tick)
            now = self._clock()
            # A server that was busy itself has looked away: that time does not count.
            passed, looked = min(now - looked, 2 * tick), now
            still = still + passed if self._idle() and moves == self._moves else 0.0
            moves = self._moves
