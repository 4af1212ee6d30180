"""The page of an app: run the notebook for one visitor and send the page while it grows, with an end to every wait."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from tornado.iostream import StreamClosedError

from vaas import cookies
from vaas.errors import VaasError
from vaas.facts import Facts
from vaas.runtime.endings import Trouble
from vaas.runtime.growing import Growing, Passing
from vaas.runtime.handlers import Guarded
from vaas.runtime.recorded import Recorded
from vaas.runtime.stock import Claim
from vaas.runtime.visits import Page, Visit

__all__ = ["RETURN", "NotebookPage"]

#: Proxies give up on a connection that is silent for long; a cell may take minutes.
_KEEP_ALIVE = 10.0
#: Sent piece by piece, so that a browser that reads slowly is told from one that does not read.
_PIECE = 1 << 18
#: A page that was made for one visit is kept for its return up to this size, in characters.
_MOST_KEPT = 4_000_000
#: How long what was cancelled may take to clean up.
_FAREWELL = 5.0
log = logging.getLogger(__name__)


#: The cookie that a page sets for a moment when it may be about to be loaded again; it opens nothing by itself.
RETURN = "vaas-return"


class NotebookPage(Guarded):
    """Run the notebook for this visitor and send the page while it grows."""

    page: Page | None = None
    #: The page's token when this request began.
    _token = ""

    def turn_away(self) -> None:
        """Send somebody without a visit to the portal's door, with the query they came with."""
        there = urlsplit(self.server.manifest.open)
        query = "&".join(filter(None, [there.query, self.request.query]))
        self.redirect(there._replace(query=query).geturl(), status=303)

    async def get(self) -> None:
        """Send the page; the kernel ends if the visitor goes away before it is complete."""
        assert self.visit is not None
        facts = self._facts(self.visit)
        # A page that was made for somebody of another name, for another address or basket, is none to come back to.
        made_for = repr((facts.query, facts.name, facts.groups, self.server.window.handed_to(self.visit)))
        # A browser asks for a page anew before the old one says farewell, so the old one leaves its token here.
        token = cookies.only("; ".join(self.request.headers.get_list("Cookie")), RETURN)
        former = self.server.return_to(self.visit, made_for=made_for, token=token)
        if former is None and not self.server.waiting.come_in(self.visit, token=token):
            self.set_status(503)
            self.set_header("Retry-After", "10")
            self.finish(await self.server.waiting.page(self.visit))
            return
        page = self.page = former or self.server.open_page(self.visit, made_for=made_for)
        self._token, page.query = page.token, facts.query
        work = asyncio.ensure_future(
            self._send_again(page) if former else self._send(page, visit=self.visit, facts=facts)
        )
        self.server.rendering[page.token] = work
        try:
            await self._see_through(work, page)
        finally:
            self.server.rendering.pop(self._token, None)

    async def _see_through(self, work: asyncio.Future[None], page: Page) -> None:
        """Wait for the page; whatever ends it is said to the visitor, and to the owner."""
        try:
            await work
        except (asyncio.CancelledError, StreamClosedError):
            self._left()
            self._say_ended(page.ended)
        except VaasError as error:
            self.server.break_off(page, Trouble("failed", "start", error.message))
            if not self._headers_written:
                raise  # the answer says it
            log.info("%s: %s", self.request.path, error.log_message)
            self._say_ended(page.ended)
        except Trouble as trouble:
            self.server.break_off(page, trouble)
            self._say_ended(page.ended)
        except Exception as error:
            if not page.ended:
                log.exception("The page could not be rendered")
            text = f"The page could not be rendered: {type(error).__name__}."
            self.server.break_off(page, Trouble("failed", "start", text))
            self._say_ended(page.ended)

    def _say_ended(self, why: str) -> None:
        """Tell a page that is under way that it will not be completed; no-op for one whose visitor left."""
        if why == "left":
            return
        if self._headers_written:
            self.write(f"<script>window.vaas && window.vaas.end({json.dumps(why)})</script>")
        else:
            self.set_status(503)
            self.write(self.server.messages.wrong(503, text="The app could not be prepared. Please try again."))

    def on_connection_close(self) -> None:
        """End what nobody waits for."""
        super().on_connection_close()
        self._left()

    def _left(self) -> None:
        """Let the page go that nobody waits for, unless its visitor has come back to it by another request."""
        if self.page is not None and self.page.token == self._token:
            self.server.leave(self.page)

    async def _send_again(self, page: Page) -> None:
        """Send the page of a visit that goes on; its widgets ask the kernel how they are now."""
        assert isinstance(page.sent, Recorded)
        await self._send_at_once(page.sent.filled(token=page.token, kernel_id=page.kernel))
        self.server.visits.rendered(page, now=self.server.clock())

    async def _send(self, page: Page, *, visit: Visit, facts: Facts) -> None:
        server = self.server
        facts = replace(facts, way=await server.window.open(page, visit))
        shown = self._shown(page, visit)
        tried = server.stock.fits_whole(facts)
        claimed = await server.claim(page, facts, shown=shown) if tried else None
        if claimed is not None and claimed.page is not None:
            page.sent = claimed.page
            await self._send_at_once(claimed.page.filled(token=page.token, kernel_id=claimed.kernel_id))
        else:
            await self._send_growing(page, facts=facts, shown=shown, claims=[claimed] if tried else [])
        server.visits.rendered(page, now=server.clock())

    async def _send_growing(
        self, page: Page, *, facts: Facts, shown: Mapping[str, object], claims: list[Claim | None]
    ) -> None:
        """Send the page while its notebook runs: for all that come now, in the template, or for this visit alone.

        ``claims`` has what came of a claim, if there was one: nobody claims twice.
        """
        server = self.server
        renderer = await server.rendered.open(server.manifest.title, page=shown)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        growing = Growing(server, page=page, facts=facts, shown=shown, queue=queue, renderer=renderer, claims=claims)

        async def produce() -> None:
            try:
                async for snippet in server.rendered.snippets(renderer, begin=growing.begin):
                    growing.watch.moved()
                    queue.put_nowait(snippet)
            finally:
                queue.put_nowait(None)

        producer = asyncio.ensure_future(produce())
        guarding = asyncio.ensure_future(growing.guard())
        producer.add_done_callback(lambda _: guarding.cancel())
        try:
            pieces: list[str] = []
            while await self._send_next(queue, pieces):
                pass
            await producer
            if sum(map(len, pieces)) <= _MOST_KEPT:
                page.sent = Recorded("".join(pieces), token=page.token, kernel_id=page.kernel)
        finally:
            for task in (guarding, producer):
                task.cancel()
            await asyncio.wait({asyncio.gather(producer, guarding, return_exceptions=True)}, timeout=_FAREWELL)

    async def _send_at_once(self, text: str) -> None:
        for start in range(0, len(text), _PIECE):
            self.write(text[start : start + _PIECE])
            await self._flush()

    async def _send_next(self, queue: asyncio.Queue[str | None], sent: list[str]) -> bool:
        """Send all that is ready in one piece; False after the last. What the page consists of is added to ``sent``."""
        try:
            async with asyncio.timeout(_KEEP_ALIVE):
                pieces = [await queue.get()]
        except TimeoutError:
            pieces = [Passing("<script>window.voila_heartbeat()</script>\n")]
        while not queue.empty():
            pieces.append(queue.get_nowait())
        sent += [piece for piece in pieces if piece is not None and not isinstance(piece, Passing)]
        await self._send_at_once("".join(piece for piece in pieces if piece is not None) or "\n")
        return pieces[-1] is not None

    async def _flush(self) -> None:
        """Wait until the browser has taken what was written; who takes nothing for long is not there."""
        sent = asyncio.ensure_future(self.flush())
        await asyncio.wait({sent}, timeout=self.server.manifest.limits.lost_after)
        if not sent.done():
            assert self.page is not None
            self.server.end(self.page, why="lost")
            self.request.connection.close()  # type: ignore[union-attr]
            raise StreamClosedError
        sent.result()

    def _shown(self, page: Page, visit: Visit) -> dict[str, object]:
        """Return what our template shows and needs."""
        manifest = self.server.manifest
        return {
            "title": manifest.title,
            "about": manifest.about,
            "launch": manifest.launch if visit.may_read else "",
            # Only people launch: the address has others sign in, and come back to it.
            "stranger": not visit.user,
            "give": f"{self.server.base_url}vaas/given" if visit.launch else "",
            "open": manifest.open,
            "token": page.token,
            "farewell": f"{self.server.base_url}vaas/farewell",
        }

    def _facts(self, visit: Visit) -> Facts:
        """What the notebook may know of the visit, in CGI's words and with the variables that Voilà sets."""
        host, _, port = self.request.host.lower().partition(":")
        request = {
            "SCRIPT_NAME": self.request.path,
            "PATH_INFO": "",
            "SERVER_SOFTWARE": "voila",
            "SERVER_PROTOCOL": self.request.version,
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "VOILA_PREHEAT": "False",
            "VOILA_BASE_URL": self.server.base_url,
            "VOILA_SERVER_URL": self.server.base_url,
            "VOILA_REQUEST_URL": self.request.full_url(),
            "VOILA_APP_PORT": port,
        }
        return self.server.facts(visit, query=self.request.query, request=request)
