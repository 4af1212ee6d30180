"""The line before an app that is full: who waits, in which order, and how long it may take. No I/O; the time comes in.

First come, first served. A place is a visit's: a reload keeps it, and a second tab gets no second one.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["LONGEST", "Line", "Standing"]

#: More than so many do not wait: they are asked to come again.
LONGEST = 300
#: Pages that ended so long ago say nothing about how long it takes now, and so few say nothing at all.
_RECENT = 900.0
_FEW = 3


@dataclass(frozen=True)
class Standing:
    """Where somebody stands, and for how many seconds, if that can be told.

    1 is who is next, 0 who may come in, and -1 who has no place, since too many wait already.
    """

    position: int
    seconds: float | None = None

    @property
    def words(self) -> tuple[str, str]:
        """What the visitor reads: the place, and the estimate."""
        if self.position < 0:
            return "Many people wait already.", "Please come again later; or stay, and take a place when there is one."
        if self.position == 0:
            return "It is your turn.", "The app opens."
        place = "You are next." if self.position == 1 else f"You are number {self.position} in line."
        return place, _estimate(self.seconds)


@dataclass
class _Place:
    heard: float
    #: Requests that are being held until there is news.
    listening: int = 0
    #: Since when they may come in.
    called: float | None = None


class Line:
    """Those who wait for one app.

    Parameters
    ----------
    now:
        When the app server started.
    silent:
        Who has not been heard of for so many seconds has gone.
    held:
        For how many seconds a place in the app is held for who may come in.
    """

    def __init__(self, *, now: float, silent: float = 20.0, held: float = 20.0) -> None:
        self._silent, self._held = silent, held
        self._places: dict[str, _Place] = {}
        self._started = now
        self._freed: deque[float] = deque(maxlen=1000)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._places)

    def __contains__(self, visit: str) -> bool:
        """Tell whether this visit waits."""
        return visit in self._places

    def come_in(self, visit: str, *, now: float, room: int) -> bool:
        """Tell whether the visit may open a page now; it leaves the line if so, and has a place in it if not."""
        self.tidy(now, room=room)
        if visit not in self._places and room > len(self._places):
            return True
        if self.ask(visit, now=now, room=room).position:
            return False
        del self._places[visit]
        return True

    def ask(self, visit: str, *, now: float, room: int) -> Standing:
        """Return where the visit stands; at the end if it was not in line, or was called and did not come."""
        if visit in self._places:
            self._places[visit].heard = now
        self.tidy(now, room=room)
        if visit not in self._places:
            if len(self._places) >= LONGEST:
                return Standing(-1)
            self._places[visit] = _Place(now)
            self._call(now, room=room)
        if self._places[visit].called is not None:
            return Standing(0)
        position = list(self._places).index(visit) + 1 - max(0, room)
        return Standing(position, self._seconds(position, now))

    def listens(self, visit: str) -> None:
        """Note that the visit waits for news, however long; no-op for one that is not in line."""
        if visit in self._places:
            self._places[visit].listening += 1

    def hangs_up(self, visit: str, *, now: float) -> None:
        """Note that it does no longer: it comes back soon, or has gone."""
        if visit in self._places:
            place = self._places[visit]
            place.listening, place.heard = max(0, place.listening - 1), now

    def leave(self, visit: str) -> None:
        """Take the visit out of the line; no-op when it is not in it."""
        self._places.pop(visit, None)

    def freed(self, now: float) -> None:
        """Note that a page has ended."""
        self._freed.append(now)

    def tidy(self, now: float, *, room: int) -> bool:
        """Take out who has gone and who was called and did not come; tell whether there is news for others."""
        before = list(self._places)
        for visit, place in list(self._places.items()):
            silent = not place.listening and now - place.heard > self._silent
            if silent or (place.called is not None and now - place.called > self._held):
                del self._places[visit]
        return self._call(now, room=room) or len(self._places) < len(before)

    def _call(self, now: float, *, room: int) -> bool:
        """Call the first ones in; who was called waits again if there is no room after all."""
        news = False
        for index, place in enumerate(self._places.values()):
            news = news or (index < room and place.called is None)
            place.called = (now if place.called is None else place.called) if index < room else None
        return news

    def _seconds(self, position: int, now: float) -> float | None:
        """Return how long it takes until so many pages have ended, if they go on ending as they did lately."""
        since = max(self._started, now - _RECENT)
        ended = sum(1 for moment in self._freed if moment >= since)
        return position * (now - since) / ended if ended >= _FEW else None


def _estimate(seconds: float | None) -> str:
    if seconds is None:
        return "We cannot tell yet how long it takes."
    if seconds < 45:
        return "It should take less than a minute."
    minutes = math.ceil(seconds / 60)
    if minutes > 60:
        return "It may take more than an hour."
    return f"It may take about {minutes} minutes." if minutes > 1 else "It may take about a minute."
