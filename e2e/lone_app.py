"""One app server without a Hub, for what a page does when things go wrong: as a thread, with a proxy that cuts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext

from tests.service.portal_stub import COOKIE, SERVER, AppProcess, PortalStub, Visitor, running

__all__ = ["LoneApp", "Proxy", "alone"]

_T = TypeVar("_T")


@dataclass
class Proxy:
    """A TCP proxy that cuts connections on which nothing has passed for ``idle`` seconds."""

    port: int = 0
    idle: float = 600.0
    #: How many connections it has cut.
    cuts: int = 0
    #: While it is set, nothing new gets through.
    down: bool = False
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def before(self, app: AppProcess) -> AsyncIterator[Proxy]:
        """Listen on a free port in front of the app server."""
        host, port = urlsplit(app.url).netloc.split(":")

        async def passes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.down:
                writer.close()
                return
            there, back = await asyncio.open_connection(host, int(port))
            self._open |= {writer, back}
            moved = [asyncio.get_running_loop().time()]
            copies = [asyncio.ensure_future(self._copy(*ends, moved)) for ends in ((reader, back), (there, writer))]
            while not any(copy.done() for copy in copies):
                await asyncio.wait(copies, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
                if asyncio.get_running_loop().time() - moved[0] > self.idle:
                    self.cuts += 1
                    break
            for end in (writer, back):
                end.close()
            for copy in copies:
                copy.cancel()
            self._open -= {writer, back}

        server = await asyncio.start_server(passes, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Cut all that is open now."""
        for writer in list(self._open):
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: list[float]) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                moved[0] = asyncio.get_running_loop().time()
                writer.write(data)
                await writer.drain()


class LoneApp:
    """An app server, its portal and a proxy, which run in a loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, portal: PortalStub, app: AppProcess, proxy: Proxy) -> None:
        self._loop, self.portal, self.app, self.proxy = loop, portal, app, proxy
        self.url = f"http://127.0.0.1:{proxy.port}{SERVER.path}"

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the app's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def cut(self) -> None:
        """Cut all connections of the proxy."""
        self._loop.call_soon_threadsafe(self.proxy.cut)

    def visitor(self, browser: Browser, **options: Any) -> BrowserContext:
        """Return a window of somebody who is in."""

        async def enter() -> str:
            visitor = Visitor(self.app, portal=self.portal)
            await visitor.enter()
            return visitor.cookie

        context = browser.new_context(**options)
        # Chromium takes loopback for secure, and playwright wants the address to say so.
        cookie = {"name": COOKIE, "value": self.run(enter()), "url": "https://127.0.0.1/", "secure": True}
        context.add_cookies([cookie])  # type: ignore[list-item]
        return context

    @property
    def told(self) -> list[str]:
        """What the owner was told."""
        return [told["kind"] for heard in self.portal.heartbeats for told in heard["incidents"]]


@contextlib.contextmanager
def alone(
    document: bytes, *, folder: Path, files: Mapping[str, bytes] | None = None, **limits: float
) -> Iterator[LoneApp]:
    """Start an app server for the notebook and the files beside it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = contextlib.AsyncExitStack()

    async def start() -> LoneApp:
        content = {"a.ipynb": document, **(files or {})}
        stub = PortalStub(content, notebook="a.ipynb", title="Waves", limits={"heartbeat": 0.5, **limits})
        portal = await stack.enter_async_context(stub.served())
        app = await stack.enter_async_context(running(portal, folder=folder))
        proxy = await stack.enter_async_context(Proxy().before(app))
        return LoneApp(loop, portal, app, proxy)

    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
