"""Who waits when an app is full: the page that they see, the way it hears when it is their turn, and who is next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from typing import TYPE_CHECKING

from tornado.web import HTTPError

from vaas.errors import VaasError
from vaas.events import happens
from vaas.runtime.endings import Trouble
from vaas.runtime.excess import FIXES
from vaas.runtime.handlers import Guarded
from vaas.runtime.line import Line, Standing
from vaas.runtime.room import Memory, Room
from vaas.runtime.visits import Page, Visit

if TYPE_CHECKING:
    from vaas.runtime.portal_client import Answer
    from vaas.runtime.server import AppServer

__all__ = ["Queue", "Waiting"]

#: How long a question for news is kept open: shorter than what proxies bear.
_HELD = 10.0
#: Measuring takes the system some milliseconds a kernel: it may take this part of the time, and comes at most so often.
_PART, _OFTEN = 0.05, 2.0
#: Who reloads a page is back so soon, in seconds; until then nobody else takes the place.
_RELOAD = 2.0
#: For how long the picture of the app is good enough.
_PICTURE = 60.0
log = logging.getLogger(__name__)


class Waiting:
    """The line before one app, and the room in it."""

    def __init__(self, server: AppServer) -> None:
        limits = server.manifest.limits
        self._server = server
        self.line = Line(now=server.clock())
        self.room = Room(visits=limits.visits, memory=limits.memory)
        self.room.site_visits, self.room.site_memory = server.manifest.site_visits, server.manifest.site_memory
        self._news = asyncio.Event()
        self._measure_at = 0.0
        self._reported = 0
        self._picture, self._picture_until = "", 0.0

    @property
    def free(self) -> int:
        """How many pages may be opened now; what its visitor left long enough ago gives way."""
        now = self._server.clock()
        pages = [p for p in self._server.visits.pages() if p.away_since is None or self._just_left(p, now)]
        return self.room.free(pages=len(pages))

    @staticmethod
    def _just_left(page: Page, now: float) -> bool:
        return page.away_since is not None and now - page.away_since < _RELOAD

    def _give_away(self) -> None:
        """End the page that was left first, if it has the place of who comes in: its visitor cannot have it back."""
        away = self._server.visits.away()
        if away and self.room.free(pages=len(self._server.visits.pages())) < 1:
            self._server.end(away[0], why="left")

    def come_in(self, visit: Visit, *, token: str = "") -> bool:
        """Tell whether the visit may open a page; if not, it waits in line.

        Who leaves a page for this one, by a link to another query say, has a place already: ``token`` is that page's.
        """
        now = self._server.clock()
        left = [page for page in visit.pages.values() if self._just_left(page, now) or page.token == token]
        if left and self.free < 1:
            self._server.end(left[0], why="left")
            return True
        if self.line.come_in(visit.id, now=now, room=self.free):
            self._give_away()
            self.room.opened()
            visit.in_line = False
            return True
        self._waits(visit)
        return False

    def standing(self, visit: Visit) -> Standing:
        """Return where the visit stands in line."""
        standing = self.line.ask(visit.id, now=self._server.clock(), room=self.free)
        self._waits(visit)
        return standing

    async def news(self, visit: Visit, *, known: int) -> Standing:
        """Return where the visit stands, as soon as that is another place than ``known``, or after a while."""
        until = time.monotonic() + _HELD
        standing = self.standing(visit)
        self.line.listens(visit.id)
        try:
            while standing.position == known != 0 and time.monotonic() < until:
                await happens(self._news, seconds=until - time.monotonic())
                if not self._server.visits.lives(visit):
                    raise HTTPError(404)
                standing = self.standing(visit)
        finally:
            self.line.hangs_up(visit.id, now=self._server.clock())
        return standing

    async def page(self, visit: Visit) -> str:
        """Return what a visitor sees who waits."""
        picture = await self._looked_last()
        others = self.room.is_for_others(pages=len(self._server.visits.pages()))
        return self._server.messages.waiting(standing=self.standing(visit), picture=picture, others=others)

    async def _looked_last(self) -> str:
        """Return how the app's page looked last, as the portal has it; it is asked now and then."""
        if time.monotonic() >= self._picture_until:
            # Before the answer: who comes meanwhile must not wait as well.
            self._picture_until = time.monotonic() + _PICTURE
            with contextlib.suppress(VaasError):
                self._picture = await self._server.portal.picture()
        return self._picture

    def left(self, visit_id: str) -> None:
        """Take a visit that has ended out of the line."""
        self.line.leave(visit_id)
        self._tell()

    def freed(self) -> None:
        """Note that a page has ended."""
        self.line.freed(self._server.clock())
        self._tell()

    def told(self, answer: Answer) -> None:
        """Take what the portal lets this server have of what the whole site may."""
        self.room.site_visits, self.room.site_memory = answer.site_visits, answer.site_memory
        self._tell()

    def load(self) -> dict[str, int]:
        """Return what the portal wants to know to share out what there is."""
        pages = len(self._server.visits.pages())
        self._reported = len(self.line)
        return {"pages": pages, "waiting": self._reported, "memory": self.room.measured.total}

    async def look(self) -> None:
        """Measure, if it is time; end what makes the app too large; and see who has gone from the line."""
        if self.room.needs_measuring and time.monotonic() >= self._measure_at:
            began = time.monotonic()
            await self._measure()
            self._measure_at = time.monotonic() + max(_OFTEN, (time.monotonic() - began) / _PART)
        if self.line.tidy(self._server.clock(), room=self.free):
            self._tell()

    async def _measure(self) -> None:
        server = self._server
        kernels = await server.kernels.memory()
        pages = [page for page in server.visits.pages() if page.kernel in kernels]
        spare = tuple(kernels[kernel] for kernel in server.stock.spare if kernel in kernels)
        seen = Memory(sum(kernels.values()), tuple(kernels[page.kernel] for page in pages), spare)
        self.room.see(seen)
        await server.stock.bound(self.room.ahead)
        worst = self.room.excess()
        if worst is not None:
            self._end(pages[worst])

    def _end(self, page: Page) -> None:
        most = self._server.manifest.limits.memory
        text = (
            f"The visits of this app together used more than the {most / 1e6:.0f} MB of memory that it may use. "
            f"The one that used most was ended. {FIXES['memory']}"
        )
        self._server.break_off(page, Trouble("greedy", "memory", text))

    def _waits(self, visit: Visit) -> None:
        """Note that the visit is there; and ask the portal for a larger share, if that is what is missing."""
        visit.seen, visit.in_line = self._server.clock(), True
        shared = self.room.site_visits is not None or self.room.site_memory is not None
        if shared and len(self.line) > self._reported:
            self._reported = len(self.line)
            self._server.poked.set()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Queue(Guarded):
    """Tell a page that waits where it stands."""

    _asking: asyncio.Future[Standing] | None = None

    async def get(self) -> None:
        """Answer when it has moved up, or after a while."""
        assert self.visit is not None
        said = self.get_query_argument("known", "")
        known = int(said) if said.isdecimal() and len(said) < 9 else -1
        self._asking = asyncio.ensure_future(self.server.waiting.news(self.visit, known=known))
        try:
            standing = await self._asking
        except asyncio.CancelledError:
            return
        place, estimate = standing.words
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"position": standing.position, "place": place, "estimate": estimate}))

    def on_connection_close(self) -> None:
        """Ask for nobody who has gone."""
        super().on_connection_close()
        if self._asking is not None:
            self._asking.cancel()
