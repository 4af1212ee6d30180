"""The window: which page asks, how much it may, and how odd a question may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest

from tests.servers import web
from vaas.facts import WINDOW, Way
from vaas.runtime.portal_client import PortalClient
from vaas.runtime.visits import Page, Visit
from vaas.runtime.window import Window, is_for_window


class Here:
    """A window, its portal, and a clock that tests move on."""

    def __init__(self, window: Window, heard: list[dict[str, Any]]) -> None:
        self.window, self.heard, self.seconds = window, heard, 0.0
        window._clock = lambda: self.seconds

    async def page(self, visit: Visit, token: str = "t") -> tuple[Page, Way]:
        """Return a page of a visit, with its way."""
        page = Page(token, visit.id, 0.0)
        visit.pages[token] = page
        way = await self.window.open(page, visit)
        assert way is not None
        return page, way


@asynccontextmanager
async def opened(*, speaks: bool = True, patience: float = 30.0) -> AsyncIterator[Here]:
    heard: list[dict[str, Any]] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        heard.append(json.loads(request.body))
        return 200, {"Content-Type": "application/json"}, b'{"said": 1}'

    async with web(answer) as port:
        portal = PortalClient(f"http://127.0.0.1:{port}/", token="t")
        window = Window(portal, speaks=speaks, gate=None, patience=patience)
        try:
            yield Here(window, heard)
        finally:
            window.shut()
            portal.close()


def visit(name: str = "bob", *, proof: str = "proof") -> Visit:
    return Visit(f"visit of {name}", "cookie", name, (), False, 0.0, proof=proof)


class Connection:
    """A connection of a kernel's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, way: Way) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", way.port))

    def say(self, secret: str, body: bytes = b"", *, head: str = "", size: int | None = None) -> None:
        """Send a question; ``size`` is what its head says of the body."""
        length = len(body) if size is None else size
        said = head or f"POST http://{WINDOW}/ask HTTP/1.1\r\nAuthorization: Visit {secret}\r\nContent-Length: {length}"
        self.writer.write(f"{said}\r\n\r\n".encode() + body)

    async def ask(
        self, secret: str, body: bytes = b'{"verb": "me", "args": {}}', *, head: str = "", size: int | None = None
    ) -> tuple[int, Any]:
        """Ask, and return status and answer; 0 when the connection was closed."""
        self.say(secret, body, head=head, size=size)
        try:
            line = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, None
        size = int(line.lower().partition("content-length: ")[2].partition("\r\n")[0])
        return int(line.split()[1]), json.loads(await self.reader.readexactly(size))

    def close(self) -> None:
        self.writer.close()


@pytest.mark.parametrize(("speaks", "proof"), [(False, "proof"), (True, "")])
async def test_who_may_not_ask_has_no_way(speaks: bool, proof: str) -> None:
    async with opened(speaks=speaks) as here:
        assert await here.window.open(Page("t", "v", 0.0), visit(proof=proof)) is None
        assert here.window._server is None, "nothing listens for nobody"


async def test_a_page_that_has_ended_meanwhile_has_no_way() -> None:
    async with opened() as here:
        assert await here.window.open(Page("t", "v", 0.0, ended="left"), visit()) is None


async def test_each_page_asks_for_its_own_visit_over_one_connection_or_more() -> None:
    async with opened() as here:
        (_, bobs), (_, eves) = await here.page(visit()), await here.page(visit("eve", proof="other"))
        connection = await Connection.to(bobs)
        for secret in (bobs.secret, bobs.secret, eves.secret):
            assert await connection.ask(secret) == (200, {"said": 1})
        assert [asked["proof"] for asked in here.heard] == ["proof", "proof", "other"]
        connection.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET http://portal.vaas.internal/ask HTTP/1.1\r\nContent-Length: 0", 400),
        ("POST /ask HTTP/1.1\r\nContent-Length: 0", 400),
        ("POST http://portal.vaas.internal/ask HTTP/1.1", 400),
        ("POST http://portal.vaas.internal/ask HTTP/1.1\r\nContent-Length: x", 400),
        ("POST http://portal.vaas.internal/ask HTTP/1.1\r\nContent-Length: 65537", 413),
        ("POST http://portal.vaas.internal/ask HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked", 400),
        ("POST http://portal.vaas.internal/ask HTTP/1.1\r\nContent-Length: 0", 403),
        ("POST http://portal.vaas.internal/ask HTTP/1.1\r\nContent-Length: 0\r\nAuthorization: Bearer {}", 403),
        ("x" * 40_000, 0),
    ],
)
async def test_what_is_no_question_ends_the_connection(head: str, status: int) -> None:
    async with opened() as here:
        _, way = await here.page(visit())
        connection = await Connection.to(way)
        assert (await connection.ask("", b"", head=head.format(way.secret)))[0] == status
        assert await connection.ask(way.secret) == (0, None)
        assert here.heard == []
        connection.close()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"verb": 1, "args": {}}', b'{"verb": "a"}', b"[" * 60_000, b"\xff"]
)
async def test_a_body_that_cannot_be_understood_is_said(body: bytes) -> None:
    async with opened() as here:
        _, way = await here.page(visit())
        connection = await Connection.to(way)
        status, said = await connection.ask(way.secret, body)
        assert status == 400 and said["error"]["message"] == "This is no question to the portal."
        assert (await connection.ask(way.secret))[0] == 200
        connection.close()


async def test_pages_of_one_visit_share_what_it_may_ask() -> None:
    async with opened() as here:
        bob = visit()
        (_, one), (_, two) = await here.page(bob), await here.page(bob, "t2")
        _, eves = await here.page(visit("eve"))
        connection = await Connection.to(one)
        statuses = [(await connection.ask(way.secret))[0] for way in (one, two) * 40]
        assert statuses == [200] * 60 + [429] * 20
        assert (await connection.ask(eves.secret))[0] == 200
        here.seconds += 1.0
        assert [(await connection.ask(one.secret))[0] for _ in range(25)] == [200] * 20 + [429] * 5
        connection.close()


async def test_a_visit_has_so_many_connections() -> None:
    async with opened() as here:
        _, way = await here.page(visit())
        _, eves = await here.page(visit("eve"))
        connections = [await Connection.to(way) for _ in range(9)]
        statuses = [(await connection.ask(way.secret))[0] for connection in connections]
        assert statuses == [200] * 8 + [429]
        assert (await connections[8].ask(way.secret))[0] == 0
        other = await Connection.to(eves)
        assert (await other.ask(eves.secret))[0] == 200
        connections[0].close()
        for _ in range(400):  # until it is noticed
            again = await Connection.to(way)
            status, _ = await again.ask(way.secret)
            again.close()
            if status == 200:
                break
            here.seconds += 1
            await asyncio.sleep(0.05)
        assert status == 200
        for connection in (*connections, other):
            connection.close()


async def test_a_connection_counts_from_its_head_on_however_slow_the_rest_is() -> None:
    async with opened() as here:
        bob = visit()
        _, way = await here.page(bob)
        slow = [await Connection.to(way) for _ in range(8)]
        for connection in slow:
            connection.say(way.secret, size=10)
        async with asyncio.timeout(30):
            while len(here.window._allowances[bob.id].connections) < 8:
                await asyncio.sleep(0.01)
        assert (await (ninth := await Connection.to(way)).ask(way.secret))[0] == 429
        _, eves = await here.page(visit("eve"))
        assert (await (other := await Connection.to(eves)).ask(eves.secret))[0] == 200
        for connection in (*slow, ninth, other):
            connection.close()


async def test_who_has_no_secret_is_answered_without_the_rest() -> None:
    async with opened() as here:
        _, way = await here.page(visit())
        connection = await Connection.to(way)
        assert (await connection.ask("wrong", b"", size=10))[0] == 403
        assert await connection.ask(way.secret) == (0, None)
        connection.close()


async def test_a_connection_has_to_say_soon_whose_it_is() -> None:
    async with opened(patience=0.2) as here:
        _, way = await here.page(visit())
        connection = await Connection.to(way)
        connection.writer.write(f"POST http://{WINDOW}/ask HTTP/1.1\r\n".encode())
        assert await asyncio.wait_for(connection.reader.read(), 30) == b""
        connection.close()


async def test_of_connections_that_say_nothing_the_oldest_make_place() -> None:
    async with opened() as here:
        _, way = await here.page(visit())
        silent = [await Connection.to(way) for _ in range(70)]
        for connection in silent[:6]:
            assert await asyncio.wait_for(connection.reader.read(), 30) == b""
        assert len(here.window._unsaid) == 64
        assert (await silent[6].ask(way.secret))[0] == 200
        for connection in silent:
            connection.close()


async def test_what_ends_is_forgotten() -> None:
    async with opened() as here:
        bob = visit()
        (one, way), (two, _) = await here.page(bob), await here.page(bob, "t2")
        connection = await Connection.to(way)
        assert (await connection.ask(way.secret))[0] == 200
        here.window.close(one)
        here.window.close(one)
        assert (await connection.ask(way.secret))[0] == 403
        assert list(here.window._allowances) == [bob.id]
        here.window.close(two)
        assert not here.window._allowances and not here.window._known and not here.window._keys
        connection.close()


def test_only_questions_go_to_the_window() -> None:
    assert is_for_window(b"POST http://portal.vaas.internal/ask HTTP/1.1\r\n")
    for other in (
        b"POST http://portal.vaas.internal.example.org/ask HTTP/1.1",
        b"POST http://portal.vaas.internal:80/ask HTTP/1.1",
        b"GET http://portal.vaas.internal/ask HTTP/1.1",
        b"POST http://portal.vaas.internal/asks HTTP/1.1",
        b"POST http://portalxvaas.internal/ask HTTP/1.1",
        b"CONNECT portal.vaas.internal:443 HTTP/1.1",
    ):
        assert not is_for_window(other)
