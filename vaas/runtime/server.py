"""One running app server: visits, their kernels and pages, and what happens by itself while they last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tornado.web import Application, HTTPError
from tornado.websocket import WebSocketHandler

from vaas import tickets
from vaas.cookies import own_name
from vaas.errors import Unavailable, VaasError
from vaas.events import happens
from vaas.facts import Facts
from vaas.runtime.assets import Squeezer
from vaas.runtime.confinement import Confinement
from vaas.runtime.endings import CLOSE_CODES, Kind, Trouble, Why
from vaas.runtime.excess import Excess
from vaas.runtime.handlers import Missing
from vaas.runtime.kernels import Kernels
from vaas.runtime.manifest import Manifest
from vaas.runtime.messages import Messages
from vaas.runtime.portal_client import PortalClient
from vaas.runtime.rendering import Rendering
from vaas.runtime.routes import route_table, rules
from vaas.runtime.settings import application_settings
from vaas.runtime.stock import Claim, Stock
from vaas.runtime.visits import Page, Patience, Visit, Visits
from vaas.runtime.waiting import Waiting
from vaas.runtime.window import Window
from vaas.tickets import Ticket

__all__ = ["AppServer"]

_SWEEP = 1.0
#: So many visits get their kernels at once; the others wait a moment for their turn.
_CLAIMS = 8
_WORTH_WAITING = 10.0
_MOST_INCIDENTS = 20
_FAREWELL = 10.0
_LONGEST_INCIDENT = 300
#: What is ended so need not be asked to say goodbye: it would not, or it is the trouble.
_AT_ONCE = frozenset({"died", "closing", "stalled", "flooded", "slow", "failed", "greedy"})
log = logging.getLogger(__name__)


class AppServer:
    """Everything that handlers share.

    Parameters
    ----------
    manifest:
        What to serve.
    portal:
        Who to ask.
    folder:
        A private folder that has the version's files in ``content``.
    base_url:
        The path under which the server answers, with slashes at both ends.
    environ:
        The server's own environment, of which kernels get a little.
    confinement:
        How kernels are confined.
    clock:
        Seconds since the epoch.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        portal: PortalClient,
        folder: Path,
        base_url: str,
        environ: Mapping[str, str],
        confinement: Confinement,
        clock: Callable[[], float] = time.time,
    ) -> None:
        limits = manifest.limits
        self.manifest = manifest
        self.base_url, self.clock = base_url, clock
        self.content = folder / "content"
        patience = Patience(lost=limits.lost_after, connect=limits.connect_within, leave=limits.leave_after)
        self.visits = Visits(limit=limits.visits, patience=patience)
        self.confinement = confinement
        gate = confinement.gate if confinement.sandbox else None
        self.window = Window(portal, speaks=manifest.speaks, takes_basket=manifest.takes_basket, gate=gate)
        if confinement.gate is not None:
            confinement.gate.tell = partial(self.incident, "network")
        self.kernels = Kernels(folder=folder, notebook=manifest.notebook, environ=environ, confinement=confinement)
        self.rendered = Rendering(manifest=manifest, folder=folder, base_url=base_url, kernels=self.kernels)
        self.stock = Stock(self.kernels, self.rendered, manifest.limits, stop=self.rendered.first_question())
        self.squeezer = Squeezer()
        self.waiting = Waiting(self)
        self.knows_visitor = manifest.knows_visitor
        self.rendering: dict[str, asyncio.Future[None]] = {}
        self.sockets: dict[str, set[WebSocketHandler]] = {}
        self.poked = asyncio.Event()
        self.told: Mapping[str, object] = {}  # how the app opens, as the last heartbeat said
        self.stopped = asyncio.Event()
        self._claiming = asyncio.Semaphore(_CLAIMS)
        self.portal = portal
        self._started = self._heard = clock()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._incidents: list[dict[str, str]] = []
        self.kernels.mapping.flooded = self._overflow
        self.messages = Messages(manifest, base_url=base_url)

    @property
    def preparing(self) -> bool:
        """Whether the first run of the notebook is under way, and so young that its end is worth waiting for.

        Until then the portal shows how the page looked last, which says more than one that grows. Its publisher's
        look at a draft waits for nothing.
        """
        young = self.clock() - self._started < _WORTH_WAITING
        return young and self.stock.mode == "preparing" and self.manifest.check_seconds is None

    @property
    def cookie(self) -> str:
        """The name of a visit's cookie; several versions of an app share its host, and so the cookies."""
        return own_name(f"vaas-visit-{self.manifest.server.name}", secure=self.manifest.secure)

    def application(self) -> Application:
        """Return the web application with its routes."""
        routes = route_table(static=self.rendered.static_paths, labextensions=self.rendered.labextension_paths)
        settings = application_settings(self.manifest, base_url=self.base_url, kernels=self.kernels)
        missing = {"server": self, "access": "open"}
        return Application(
            rules(routes, base_url=self.base_url, server=self),
            default_handler_class=Missing,
            default_handler_args=missing,
            **settings,
        )

    def take_ticket(self, text: str, *, purpose: str) -> Ticket:
        """Return the portal's ticket and see that it is not used again; Invalid if it is not good."""
        now = self.clock()
        manifest = self.manifest
        ticket = tickets.verify(text, key=manifest.ticket_key, purpose=purpose, server=manifest.server, now=now)
        self.visits.spend(ticket, now)
        return ticket

    def admit(self, ticket: Ticket, *, secret: str) -> Visit:
        """Return the visit of the ticket's holder; ``secret`` is the cookie that they came with."""
        self._check_portal()
        visit, ended = self.visits.admit(ticket, secret=secret, now=self.clock())
        for page in ended:
            self.end(page, why="closing")
        return visit

    def open_page(self, visit: Visit, *, made_for: str) -> Page:
        """Return a new page of the visit; Unavailable when there are too many. Pages that were left give way."""
        self._check_portal()
        while True:
            try:
                return self.visits.open_page(visit, now=self.clock(), made_for=made_for)
            except Unavailable:
                left = self.visits.away()
                if not left:
                    raise
                own = [page for page in left if page.visit == visit.id]
                self.end((own or left)[0], why="left")

    def return_to(self, visit: Visit, *, made_for: str, token: str) -> Page | None:
        """Return the page that the visitor comes back to, by a reload say; None: there is none."""
        self._check_portal()
        tokens = {id(page): page.token for page in visit.pages.values()}
        page = self.visits.return_to(visit, made_for=made_for, token=token, now=self.clock())
        if page is not None:
            # Of a page that is loaded again, the old websocket is still there.
            self.sockets[page.token] = self.sockets.pop(tokens[id(page)], set())
        if page is not None and not self.kernels.lives(page.kernel):
            self.end(page, why="died")
            return None
        return page

    def leave(self, page: Page) -> None:
        """Take a page's farewell: its kernel ends soon, unless the visitor comes back."""
        if page.sent is None:
            self.end(page, why="left")
        else:
            self.visits.leave(page, now=self.clock())

    async def state_of(self, page: Page) -> str:
        """Return the name of the state that the page's kernel is in; "" if it changed since that was taken."""
        if page.state is None:
            return ""
        try:
            said = await self.kernels.mapping.said(page.kernel)
        except (TimeoutError, KeyError):
            return ""
        return page.state.snapshot.digest if said == page.state.said else ""

    def facts(self, visit: Visit, *, query: str, request: Mapping[str, str]) -> Facts:
        """Return what the notebook's code may know of the visit; who it is only if its owner and the ticket say so."""
        if not (self.knows_visitor and visit.known and visit.user):
            return Facts(query, request=request)
        return Facts(query, visit.user, visit.groups, request)

    async def claim(self, page: Page, facts: Facts, *, shown: Mapping[str, object]) -> Claim | None:
        """Give the page a kernel that has run the notebook already; None: there is none."""

        async def claim() -> Claim | None:
            await self.stock.settled()
            async with self._claiming:
                # Who is in a hurry may have left before its turn.
                claimed = None if page.ended else await self.stock.claim(facts, page=shown)
            if claimed is not None:
                page.state = claimed.state
                page.unprepared = bool(claimed.failed)
                for name in claimed.failed:
                    self.incident("callback", f"A function given to vaas.on_visit failed with {name}.")
                await self._give(page, claimed.kernel_id)
            return claimed

        return await asyncio.shield(self._keep(claim()))

    async def bring_kernel(self, page: Page, *, name: str, facts: Facts) -> str:
        """Start the page's kernel; it ends by itself if the page has ended meanwhile.

        Raises
        ------
        Unavailable
            It could not be started.
        Trouble
            It takes too long.
        """

        async def bring() -> str:
            kernel_id = await self.kernels.start_for(name, facts, seconds=seconds)
            await self._give(page, kernel_id)
            return kernel_id

        seconds = self.manifest.limits.start_seconds
        try:
            # Shielded: a start that is cancelled half-way would leave a process that nobody knows.
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._keep(bring()))
        except TimeoutError:
            raise Trouble("stalled", "start", f"The kernel did not start within {seconds:.0f} s.") from None
        except VaasError:
            raise
        except Exception as error:
            text = "The app's kernel could not be started. Tell the owner of this app if it stays like this."
            raise Unavailable(text, log_message=f"The kernel {name!r} could not be started: {error}") from error

    async def _give(self, page: Page, kernel_id: str) -> None:
        former, page.kernel = page.kernel, kernel_id
        for left in filter(None, (former, kernel_id if page.ended else "")):
            await self.kernels.stop(left, now=True)

    def end(self, page: Page, *, why: Why) -> bool:
        """End a page: its websocket, its rendering, its kernel; False when it had ended before."""
        if not self.visits.forget(page, why=why, now=self.clock()):
            return False
        log.info("A page ends: %s", why)
        self.window.close(page)
        self.waiting.freed()
        if (work := self.rendering.pop(page.token, None)) is not None:
            work.cancel()
        for socket in self.sockets.pop(page.token, set()):
            socket.close(CLOSE_CODES[why], why)
        if page.kernel:
            self._keep(self.kernels.stop(page.kernel, now=why in _AT_ONCE))
        return True

    def break_off(self, page: Page, trouble: Trouble) -> None:
        """End a page before its time and tell the owner why; no-op when it has ended."""
        if self.end(page, why=trouble.why):
            self.incident(trouble.kind, trouble.text)

    def incident(self, kind: Kind, text: str) -> None:
        """Log what went wrong in one line, for the owner, and tell the portal with the next heartbeat."""
        told = {"kind": kind, "text": " ".join(text.split())[:_LONGEST_INCIDENT]}
        log.warning("%s: %s", kind, told["text"])
        self._incidents = [*filter(told.__ne__, self._incidents), told][-_MOST_INCIDENTS:]

    def end_visit(self, visit_id: str, *, why: Why) -> None:
        """End all pages of a visit; its cookie opens nothing any more."""
        for page in self.visits.end(visit_id, now=self.clock()):
            self.end(page, why=why)
        self.waiting.left(visit_id)

    async def beat(self) -> None:
        """Ask the portal at short intervals, and when poked, who may stay; without an answer for long, nobody may."""
        while not self.stopped.is_set():
            try:
                await self._beat_once()
            except VaasError as error:
                log.warning("Heartbeat: %s (%s)", error.message, error.log_message)
            except Exception:
                log.exception("Heartbeat")
            if self._unreachable():
                for page in self.visits.end_all(now=self.clock()):
                    self.end(page, why="revoked")
            await happens(self.poked, seconds=self.manifest.limits.heartbeat)

    async def sweep(self) -> None:
        """End what nobody looks at any more, and what died."""
        while not self.stopped.is_set():
            await asyncio.sleep(_SWEEP)
            try:
                for page in self.visits.overdue(self.clock()):
                    self.end(page, why="lost")
                self._end_stuck()
                self._end_with("greedy", await self.kernels.greedy())
                self._end_with("died", await self.kernels.dead())
                await self.waiting.look()
            except Exception:
                log.exception("Looking after pages")

    def _end_with(self, why: Why, found: Mapping[str, Excess]) -> None:
        pages = {page.kernel: page for page in self.visits.pages()}
        for kernel_id, excess in found.items():
            if kernel_id in pages:
                self.break_off(pages[kernel_id], Trouble(why, excess.kind, excess.text))
            else:
                # It was kept ready. Whoever keeps it sees that it is gone.
                log.warning("Kept for visits, %s: %s", kernel_id, excess.text)
                self._keep(self.kernels.stop(kernel_id, now=True))

    def _end_stuck(self) -> None:
        """End pages whose widgets wait for an answer for longer than a cell may take; cells have their own end."""
        seconds = self.manifest.limits.cell_seconds
        stuck = self.kernels.stuck(seconds=seconds)
        for page in [page for page in self.visits.pages() if page.rendered and page.kernel in stuck]:
            self.break_off(page, Trouble("slow", "slow", f"An answer to a widget took longer than {seconds:.0f} s."))

    async def close(self) -> None:
        """End everything."""
        for page in self.visits.end_all(now=self.clock()):
            self.end(page, why="closing")
        self.window.shut()
        await self.stock.close()
        await self.kernels.stop_all()
        await asyncio.wait({asyncio.gather(*self._tasks, return_exceptions=True)}, timeout=_FAREWELL)
        self.kernels.close()

    async def _beat_once(self) -> None:
        self.poked.clear()
        now = self.clock()
        idle = 0.0 if len(self.waiting.line) else self.visits.idle_seconds(started=self._started, now=now)
        told, self._incidents = self._incidents, []
        self.told = self.stock.opens
        try:
            answer = await self.portal.heartbeat(
                visits=self.visits.report(),
                idle_seconds=idle,
                incidents=told,
                isolation=self.confinement.isolation,
                load=self.waiting.load(),
                opens=self.told,
            )
        except VaasError:
            self._incidents = [*told, *self._incidents][-_MOST_INCIDENTS:]
            raise
        self._heard = self.clock()
        if answer.network is not None and self.confinement.gate is not None:
            self.confinement.gate.change(answer.network, wider=not self.manifest.takes_basket)
        self.knows_visitor = answer.knows_visitor
        self.waiting.told(answer)
        for visit_id in answer.revoked:
            self.end_visit(visit_id, why="revoked")
        if answer.stop:
            log.info("The portal says that this server is no longer needed")
            self.stopped.set()

    def _overflow(self, kernel_id: str, text: str) -> None:
        for page in [page for page in self.visits.pages() if page.kernel == kernel_id]:
            self.break_off(page, Trouble("flooded", "output", text))

    def _unreachable(self) -> bool:
        return self.clock() - self._heard > self.manifest.limits.unreachable

    def _check_portal(self) -> None:
        if self._unreachable():
            raise Unavailable("The portal does not answer at the moment. Please try again in a minute.")

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Run in the background, and say in the log what goes wrong."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, HTTPError):
            log.error("A kernel could not be started or ended", exc_info=error)
