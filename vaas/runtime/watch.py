"""Find a page that stands still although its kernel has nothing to do, which is no cell that takes long."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Activity", "Watch"]

_REMEMBERED = 50
_RUNS = "execute_request"
_QUESTIONS = frozenset({"kernel_info_request", "comm_info_request"})
_WORK = frozenset({_RUNS, "comm_open", "comm_msg", "comm_close"})


class Activity:
    """Which requests a kernel works on, by what it publishes."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: request → since when.
        self._busy: dict[str, float] = {}
        # Threads of a notebook go on in the name of a cell that ended long ago.
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)
        #: How often it has said something that may change what a page shows: all but that it looks at a question.
        self.said = 0
        self._expected: dict[str, asyncio.Event] = {}

    @property
    def busy(self) -> bool:
        """Whether the kernel works on a cell, or on what a widget told it."""
        return bool(self._busy)

    @property
    def seconds(self) -> float:
        """For how long it has worked on the request that takes the longest."""
        return self._clock() - min(self._busy.values(), default=self._clock())

    async def until_idle_after(self, question: str) -> None:
        """Return when the kernel has answered a question (its id); all that it published before has been heard then."""
        event = self._expected[question] = asyncio.Event()
        try:
            await event.wait()
        finally:
            del self._expected[question]

    def heard(self, parent: Mapping[str, Any], *, state: str = "") -> None:
        """Take note of a message in the name of ``parent``; ``state`` is that of a status message."""
        kind, request = parent.get("msg_type"), str(parent.get("msg_id"))
        # That it starts is said in nobody's name.
        if not state or not (kind is None or kind in _QUESTIONS):
            self.said += 1
        elif state == "idle" and request in self._expected:
            self._expected[request].set()
        if kind not in _WORK:
            return
        if state == "idle":
            self._busy.pop(request, None)
            self._ended.append(request)
        elif state == "busy" and kind == _RUNS:
            # One cell at a time: an "idle" of an earlier one that was lost is none to wait for.
            self._busy = {request: self._busy.get(request, self._clock())}
        elif state == "busy" or (kind == _RUNS and request not in self._ended):
            self._busy.setdefault(request, self._clock())


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
