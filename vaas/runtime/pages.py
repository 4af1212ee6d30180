"""The page of an app: run the notebook for one visitor and send the page while it grows, with an end to every wait."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tornado.iostream import StreamClosedError

from vaas.errors import VaasError
from vaas.runtime.endings import Trouble
from vaas.runtime.handlers import Guarded
from vaas.runtime.visits import Page, Visit
from vaas.runtime.watch import Watch

if TYPE_CHECKING:
    from vaas.runtime.server import AppServer

__all__ = ["NotebookPage"]

#: Proxies give up on a connection that is silent for long; a cell may take minutes.
_KEEP_ALIVE = 10.0
#: Sent piece by piece, so that a browser that reads slowly is told from one that does not read.
_PIECE = 1 << 18
#: How long what was cancelled may take to clean up.
_FAREWELL = 5.0
log = logging.getLogger(__name__)


class _Progress:
    """Hands what the executor tells to the page, its watch and its owner."""

    def __init__(self, page: Page, *, server: AppServer, queue: asyncio.Queue[str | None], watch: Watch) -> None:
        self._page, self._server, self._queue, self._watch = page, server, queue, watch
        self.where = "before its first cell"

    def begins(self, cell: int, cells: int) -> None:
        """Show which cell runs."""
        self._watch.moved()
        self.where = f"at cell {cell} of {cells}"
        self._queue.put_nowait(f"<script>window.vaas && window.vaas.runs({cell}, {cells})</script>\n")

    def moves(self) -> None:
        """Tell the watch."""
        self._watch.moved()

    def slow(self, text: str) -> None:
        """Tell the owner."""
        self._server.incident("slow", text)

    def over(self, trouble: Trouble) -> None:
        """End the page."""
        self._server.break_off(self._page, trouble)


class NotebookPage(Guarded):
    """Run the notebook for this visitor and send the page while it grows."""

    page: Page | None = None

    def turn_away(self) -> None:
        """Send somebody without a visit to the portal's door, with the query they came with."""
        there = urlsplit(self.server.manifest.open)
        query = "&".join(filter(None, [there.query, self.request.query]))
        self.redirect(there._replace(query=query).geturl(), status=303)

    async def get(self) -> None:
        """Send the page; the kernel ends at once if the visitor goes away meanwhile."""
        assert self.visit is not None
        page = self.page = self.server.open_page(self.visit)
        work = asyncio.ensure_future(self._send(page, visit=self.visit))
        self.server.rendering[page.token] = work
        try:
            await work
        except (asyncio.CancelledError, StreamClosedError):
            self.server.end(page, why="left")
            self._say_ended(page.ended)
        except VaasError as error:
            # Known before the page began: the answer says it.
            self.server.break_off(page, Trouble("failed", "start", error.message))
            raise
        except Trouble as trouble:
            self.server.break_off(page, trouble)
            self._say_ended(page.ended)
        except Exception as error:
            if not page.ended:
                log.exception("The page could not be rendered")
            text = f"The page could not be rendered: {type(error).__name__}."
            self.server.break_off(page, Trouble("failed", "start", text))
            self._say_ended(page.ended)
        finally:
            self.server.rendering.pop(page.token, None)

    def _say_ended(self, why: str) -> None:
        """Tell a page that is under way that it will not be completed; no-op for one whose visitor left."""
        if why == "left":
            return
        if self._headers_written:
            self.write(f"<script>window.vaas && window.vaas.end({json.dumps(why)})</script>")
        else:
            self.set_status(503)
            self.write(self.server.message(503, text="The app could not be prepared. Please try again."))

    def on_connection_close(self) -> None:
        """End what nobody waits for."""
        super().on_connection_close()
        if self.page is not None:
            self.server.end(self.page, why="left")

    async def _send(self, page: Page, *, visit: Visit) -> None:
        server, limits = self.server, self.server.manifest.limits
        renderer = await server.rendered.open(server.manifest.title, page=server.page_facts(page, visit=visit))
        name = renderer.notebook.metadata.kernelspec.name
        kernel_id = await server.bring_kernel(page, name=name, request=self._request_facts())
        activity = server.kernels.mapping.activity(kernel_id)
        watch = Watch(patience=limits.stalled_after, idle=lambda: renderer.kernel_started and not activity.busy)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        progress = _Progress(page, server=server, queue=queue, watch=watch)

        async def produce() -> None:
            try:
                ready = partial(server.keep_state, page)
                async for snippet in server.rendered.snippets(renderer, kernel_id, reporter=progress, ready=ready):
                    watch.moved()
                    queue.put_nowait(snippet)
            finally:
                queue.put_nowait(None)

        async def guard() -> None:
            await watch.until_stalled()
            text = f"A page stood still {progress.where} while its kernel was idle. It was ended, and starts again."
            server.break_off(page, Trouble("stalled", "stalled", text))

        producer = asyncio.ensure_future(produce())
        guarding = asyncio.ensure_future(guard())
        producer.add_done_callback(lambda _: guarding.cancel())
        try:
            while await self._send_next(queue):
                pass
            await producer
        finally:
            for task in (guarding, producer):
                task.cancel()
            await asyncio.wait({asyncio.gather(producer, guarding, return_exceptions=True)}, timeout=_FAREWELL)
        server.visits.rendered(page, now=server.clock())

    async def _send_next(self, queue: asyncio.Queue[str | None]) -> bool:
        """Send all that is ready in one piece; False after the last."""
        try:
            pieces = [await asyncio.wait_for(queue.get(), _KEEP_ALIVE)]
        except TimeoutError:
            pieces = ["<script>window.voila_heartbeat()</script>\n"]
        while not queue.empty():
            pieces.append(queue.get_nowait())
        text = "".join(piece for piece in pieces if piece is not None)
        for start in range(0, max(1, len(text)), _PIECE):
            self.write(text[start : start + _PIECE])
            await self._flush()
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

    def _request_facts(self) -> dict[str, str]:
        """What Voilà tells notebooks of a request, in CGI's words."""
        host, _, port = self.request.host.lower().partition(":")
        return {
            "SCRIPT_NAME": self.request.path,
            "PATH_INFO": "",
            "QUERY_STRING": self.request.query,
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
