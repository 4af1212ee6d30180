"""Turns: work for people at so many places, little of each person's at a time.

Whoever has much to be done waits for themselves alone; all others come before what is left of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vaas.errors import Unavailable

__all__ = ["Turn", "Turns"]

_Place = TypeVar("_Place")
_Answer = TypeVar("_Answer")


@dataclass
class _Person:
    room: asyncio.Semaphore
    #: How much of theirs is under way or waits.
    count: int = 0


class Turn(Generic[_Place]):
    """One person's turn."""

    def __init__(self, free: asyncio.Queue[_Place]) -> None:
        self._free = free
        self._working: asyncio.Task[Any] | None = None

    async def work(self, do: Callable[[_Place], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """Return what is done at a place, as soon as one is free.

        Who is cancelled before that leaves the line. What has begun goes on to its end and is counted until then:
        going away and asking again is no way past the others.
        """
        place = await self._free.get()
        working = self._working = asyncio.create_task(do(place))

        def leave(done: asyncio.Task[_Answer]) -> None:
            self._free.put_nowait(place)
            if not done.cancelled():
                done.exception()  # who asked may be gone

        working.add_done_callback(leave)
        return await asyncio.shield(working)

    def over(self, then: Callable[[], None]) -> None:
        """Call ``then`` when nothing of the turn is under way any more."""
        if self._working is None or self._working.done():
            then()
        else:
            self._working.add_done_callback(lambda _: then())


class Turns(Generic[_Place]):
    """Gives people their turns.

    Parameters
    ----------
    places:
        Where work is done, one thing at a time in each; the last that was used is used first.
    each:
        How much of one person's may be under way.
    most:
        How much of one person's may be under way or wait; None: as much as they like.
    """

    def __init__(self, places: Iterable[_Place], *, each: int = 1, most: int | None = None) -> None:
        self._free: asyncio.Queue[_Place] = asyncio.LifoQueue()
        for place in places:
            self._free.put_nowait(place)
        self._each, self._most = each, most
        self._people: dict[str, _Person] = {}

    @asynccontextmanager
    async def of(self, whose: str) -> AsyncIterator[Turn[_Place]]:
        """Give the person a turn when enough of what they asked for is done. Raises Unavailable when too much waits."""
        person = self._people.setdefault(whose, _Person(asyncio.Semaphore(self._each)))
        if self._most is not None and person.count >= self._most:
            raise Unavailable("You look at many things at once. Wait a moment, then try again.")
        person.count += 1
        try:
            await person.room.acquire()
        except BaseException:
            self._forget(whose, person)
            raise
        turn = Turn(self._free)
        try:
            yield turn
        finally:
            turn.over(lambda: self._end(whose, person))

    def _end(self, whose: str, person: _Person) -> None:
        person.room.release()
        self._forget(whose, person)

    def _forget(self, whose: str, person: _Person) -> None:
        person.count -= 1
        if not person.count:
            self._people.pop(whose, None)
