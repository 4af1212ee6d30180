"""Size limits, time-outs and broken answers of the HTTP seam, against real servers on loopback."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.servers import raw, web
from vaas.errors import TooLarge, Unavailable
from vaas.http import internal_http


@pytest.mark.parametrize("declared", [True, False])
async def test_more_than_the_limit_is_refused(declared: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = b"Content-Length: 200000000\r\n" if declared else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        for _ in range(3000):
            writer.write(b"x" * 65536)
            await writer.drain()

    async with raw(talk) as port:
        with pytest.raises(TooLarge, match="larger than 1 MB"):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/", max_bytes=1_000_000)


@pytest.mark.parametrize("digits", [19, 5_000])
async def test_a_length_beyond_all_numbers_is_too_large(digits: int, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * digits + b"\r\n\r\nx")
        await writer.drain()

    async with raw(talk) as port:
        with pytest.raises(TooLarge, match="larger than 1 MB"):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/", max_bytes=1_000_000)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_body_at_the_limit_is_whole() -> None:
    async with web(lambda _: (200, {}, b"x" * 300_000)) as port:
        answer = await internal_http().request("GET", f"http://127.0.0.1:{port}/", max_bytes=300_000)
    assert len(answer.body) == 300_000


async def test_a_head_request_may_announce_more_than_the_limit() -> None:
    async with web(lambda _: (200, {}, b"x" * 5000)) as port:
        answer = await internal_http().request("HEAD", f"http://127.0.0.1:{port}/", max_bytes=10)
    assert (answer.headers["content-length"], answer.body) == ("5000", b"")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw(talk) as port:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}.*did not answer in time"):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/", seconds=0.2)


async def test_a_server_that_drips_is_given_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw(talk) as port:
        with pytest.raises(Unavailable, match="in time"):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/", seconds=0.4)


async def test_a_silent_stream_is_given_up_and_a_slow_reader_is_not() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstart")
        await reader.read()

    async with raw(talk) as port, web(lambda _: (200, {}, b"x" * 1_000_000)) as good:
        with pytest.raises(Unavailable, match="in time"):
            async with internal_http().stream("GET", f"http://127.0.0.1:{port}/", seconds=0.2) as answer:
                assert [chunk async for chunk in answer.chunks()]
        size = 0
        async with internal_http().stream("GET", f"http://127.0.0.1:{good}/", seconds=3) as answer:
            async for chunk in answer.chunks():
                size += len(chunk)
                await asyncio.sleep(0.03)
    assert size == 1_000_000


async def test_a_reader_that_waits_holds_the_server_back() -> None:
    sent = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 400:
            writer.write(b"x" * 262_144)
            await writer.drain()
            sent += 1

    async with raw(talk) as port:
        async with internal_http().stream("GET", f"http://127.0.0.1:{port}/", max_bytes=1 << 40) as answer:
            await anext(aiter(answer.chunks()))
            await asyncio.sleep(0.5)
        assert sent < 100


async def test_leaving_a_stream_hangs_up(caplog: pytest.LogCaptureFixture) -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstart")
        await reader.read()
        gone.set()

    async with raw(talk) as port:
        with caplog.at_level(logging.WARNING):
            async with internal_http().stream("GET", f"http://127.0.0.1:{port}/") as answer:
                assert await anext(aiter(answer.chunks())) == b"start"
            await asyncio.wait_for(gone.wait(), 2)
    assert not caplog.records


async def test_a_cancelled_request_hangs_up() -> None:
    came, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()
        gone.set()

    async with raw(talk) as port:
        task = asyncio.create_task(internal_http().request("GET", f"http://127.0.0.1:{port}/"))
        await asyncio.wait_for(came.wait(), 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 2)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200"]
)
async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    async with raw(talk) as port:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/", seconds=5)


async def test_a_reset_connection_is_unavailable() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()

    async with raw(talk) as port:
        with pytest.raises(Unavailable):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/", seconds=5)


async def test_an_interim_answer_is_not_the_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async with raw(talk) as port:
        answer = await internal_http().request("GET", f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.body, "x-a" in answer.headers, answer.headers["x-b"]) == (201, b"ok", False, "2")
