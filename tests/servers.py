"""Small web servers on free ports of 127.0.0.1, for tests of what talks to the outside."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

__all__ = ["Answer", "echo", "raw", "recorded", "web"]

Answer = Callable[[HTTPServerRequest], tuple[int, dict[str, str], bytes]]


@asynccontextmanager
async def web(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve one function on a free port of 127.0.0.1 and yield the port."""

    class Page(RequestHandler):
        SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "PROPFIND", "MKCOL", "MOVE")

        def prepare(self) -> None:
            status, headers, body = answer(self.request)
            self.set_status(status)
            for name, value in headers.items():
                self.set_header(name, value)
            self.finish(body if status not in {204, 304} else None)

    server = HTTPServer(Application([(r".*", Page)]), ssl_options=tls)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.stop()


@asynccontextmanager
async def raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve bytes by hand, for servers that misbehave."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def echo(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
    text = f"{request.method} {request.uri} host={request.headers['Host']}\n".encode()
    return 200, {"X-Test": "yes"}, text + request.body


def recorded(asked: list[HTTPServerRequest], answer: Answer = echo) -> Answer:
    """Return ``answer`` so that each request is written down in ``asked``."""

    def note(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(request)
        return answer(request)

    return note
