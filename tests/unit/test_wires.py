"""Connections that stay open: used again, opened anew when they were closed, and nothing sent twice without need."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from vaas.wires import Reply, Wires, connections_to

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nok"
OK = Reply(200, "text/x", b"ok")


class Server:
    """Counts connections and requests; ``answer`` writes what is answered to a request's number."""

    def __init__(self, answer: Callable[[int, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.connections = self.requests = 0
        self.port = 0
        self._answer = answer

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self._answer(self.requests, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(answer: Callable[[int, asyncio.StreamWriter], Awaitable[None]] | None = None) -> AsyncIterator[Server]:
    async def plain(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)

    here = Server(answer or plain)
    server = await asyncio.start_server(here.handle, "127.0.0.1", 0)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()


def wires(port: int, *, seconds: float = 20.0, kept: int = 4, most: int = 1000) -> Wires:
    return Wires(connections_to("http", "127.0.0.1", port, seconds=seconds), kept=kept, most=most)


def get(way: Wires) -> Reply:
    return way.exchange("GET", "/", headers={}, body=None)


async def test_a_connection_is_used_again() -> None:
    async with served() as server:
        way = wires(server.port)
        for _ in range(5):
            assert await asyncio.to_thread(get, way) == OK
        assert (server.connections, server.requests) == (1, 5)
        way.close()
        assert await asyncio.to_thread(get, way) == OK
        assert server.connections == 2
        way.close()


async def test_one_that_was_closed_meanwhile_is_opened_again() -> None:
    async def once(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async with served(once) as server:
        way = wires(server.port)
        for _ in range(3):
            assert await asyncio.to_thread(get, way) == OK
        assert server.connections == 3


async def test_what_takes_too_long_is_not_sent_twice() -> None:
    async def slow(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(ANSWER)
        else:
            await asyncio.sleep(20)

    async with served(slow) as server:
        way = wires(server.port, seconds=1.0)
        assert await asyncio.to_thread(get, way) == OK
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(get, way)
        assert server.requests == 2


async def test_nobody_and_nonsense_are_errors() -> None:
    async def nonsense(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"what?\r\n\r\n")

    async with served(nonsense) as server:
        with pytest.raises(OSError, match="no HTTP"):
            await asyncio.to_thread(get, wires(server.port))
    with pytest.raises(OSError):
        await asyncio.to_thread(get, wires(9))
    with pytest.raises(ValueError):
        wires(9).exchange("GET", "/", headers={"A": "b\nc"}, body=None)


async def test_a_body_without_end_is_left() -> None:
    async def endless(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()

    async with served(endless) as server:
        way = wires(server.port, most=1000)
        assert len((await asyncio.to_thread(get, way)).body) == 1001
        assert not way._free and not way._used


async def test_threads_have_connections_of_their_own_and_few_are_kept() -> None:
    together = threading.Barrier(6)

    async def meet(_number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(together.wait, 20)
        writer.write(ANSWER)

    async with served(meet) as server:
        way = wires(server.port, kept=2)
        with ThreadPoolExecutor(6) as pool:
            loop = asyncio.get_running_loop()
            assert await asyncio.gather(*(loop.run_in_executor(pool, get, way) for _ in range(6))) == [OK] * 6
        assert server.connections == 6 and len(way._free) == 2 and not way._used
        way.close()


async def test_closing_ends_what_is_under_way() -> None:
    begun = asyncio.Event()

    async def never(_number: int, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with served(never) as server:
        way = wires(server.port, seconds=60)
        asking = asyncio.ensure_future(asyncio.to_thread(get, way))
        await asyncio.wait_for(begun.wait(), 20)
        way.close()
        with pytest.raises(OSError):
            await asyncio.wait_for(asking, 20)


async def test_a_forked_process_has_connections_of_its_own() -> None:
    async with served() as server:
        way = wires(server.port)
        assert await asyncio.to_thread(get, way) == OK
        way._process = os.getpid() + 1  # as a child finds it
        assert await asyncio.to_thread(get, way) == OK
        assert server.connections == 2
        way.close()
