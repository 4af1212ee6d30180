"""The one HTTP seam: every address that came from outside is reached through here, and only through here."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO
from urllib.parse import SplitResult

from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.iostream import IOStream
from tornado.netutil import DefaultLoopResolver, Resolver
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

from vaas.addresses import AddressRules, check_url, follow, is_localhost
from vaas.errors import Invalid, TooLarge, Unavailable, VaasError
from vaas.events import happens

__all__ = ["Body", "REDIRECTS", "FileBody", "Http", "Response", "Stream", "internal_http"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 3
#: Chunks (of 64 kB) that may wait for a slow reader before the server is held back.
_WAITING_CHUNKS = 4
_PIECE = 1 << 18


@dataclass(frozen=True)
class FileBody:
    """An open file of which the first ``size`` bytes are sent, piece by piece: it may be larger than the memory."""

    file: BinaryIO
    size: int

    async def send(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand all of it on, from its start. Raises OSError when there is less by now."""
        at = 0
        while at < self.size:
            piece = await asyncio.to_thread(os.pread, self.file.fileno(), min(_PIECE, self.size - at), at)
            if not piece:
                raise OSError("the file became shorter while it was sent")
            await write(piece)
            at += len(piece)


Body = bytes | FileBody | None


@dataclass(frozen=True)
class Response:
    """A whole answer; ``headers`` has lower-case names, ``host`` is who answered."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    host: str

    def json(self) -> Any:
        """Return the body's value; Unavailable when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as exc:
            raise Unavailable(f"“{self.host}” sent an answer that cannot be read.") from exc


@dataclass(frozen=True)
class Stream:
    """An answer whose body is still on its way; good inside its ``async with`` only."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    host: str
    #: Call it once: yields the body's bytes in order.
    chunks: Callable[[], AsyncIterator[bytes]] = field(repr=False)


@dataclass(frozen=True)
class _Limits:
    """Bytes of the body; seconds without a byte; seconds in all."""

    max_bytes: int
    silence: float
    total: float


class Http:
    """Make HTTP requests to addresses that people typed in.

    Only http and https, no user name in the address, TLS verified, redirects only within the same scheme,
    host and port. Private, loopback, link-local, reserved and multicast addresses are refused, whatever name
    leads to them, unless ``allowed_private`` lists them (see AddressRules). ``*.localhost`` is 127.0.0.1.

    Every method raises Invalid for an address that cannot be used, Unavailable, naming the host, when it
    does not answer, and TooLarge over the size limit. HTTP error statuses are answers, not exceptions.
    """

    def __init__(
        self,
        *,
        allowed_private: Iterable[str] = (),
        connect_seconds: float = 10.0,
        seconds: float = 60.0,
        stream_seconds: float = 3600.0,
        max_bytes: int = 100_000_000,
        ca_file: str = "",
        resolver: Resolver | None = None,
    ) -> None:
        self._rules = AddressRules(allowed_private)
        self._resolver = _GuardedResolver()
        self._resolver.inner = resolver or DefaultLoopResolver()
        self._resolver.rules = self._rules
        self._connect_seconds = connect_seconds
        self._seconds = seconds
        self._stream_seconds = stream_seconds
        self._max_bytes = max_bytes
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def trusts(self, url: str) -> bool:
        """Tell whether configuration itself lists the host of ``url``; Invalid for what is no web address."""
        return self._rules.trusts(check_url(url))

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        max_bytes: int | None = None,
        seconds: float | None = None,
    ) -> Response:
        """Return the answer when all of it has come, redirects and body within ``seconds``."""
        total = seconds or self._seconds
        limits = _Limits(max_bytes or self._max_bytes, total, total)
        opened = self._open(method, url, headers or {}, body, limits, _MAX_REDIRECTS)
        try:
            async with asyncio.timeout(total), opened as answer:
                found = b"".join([chunk async for chunk in answer.chunks()])
                return Response(answer.status, answer.headers, found, answer.host)
        except TimeoutError as exc:
            raise _explain(exc, check_url(url).netloc) from exc

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        seconds: float | None = None,
        redirects: int = _MAX_REDIRECTS,
    ) -> AbstractAsyncContextManager[Stream]:
        """Open an answer and read it as it comes: ``seconds`` is the longest silence, not the whole.

        With 0 ``redirects`` one is an answer as any other: who asks says where it may lead, and with what.
        """
        limits = _Limits(max_bytes or self._max_bytes, seconds or self._seconds, self._stream_seconds)
        return self._open(method, url, headers or {}, None, limits, redirects)

    def public(self) -> Http:
        """Return one that reaches the open internet alone, whatever configuration lists."""
        found = copy(self)
        found._rules = AddressRules(())
        found._resolver = _GuardedResolver()
        found._resolver.inner, found._resolver.rules = self._resolver.inner, found._rules
        return found

    @asynccontextmanager
    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, limits: _Limits, redirects: int
    ) -> AsyncIterator[Stream]:
        target = check_url(url)
        for _ in range(redirects + 1):
            exchange = _Exchange(self._resolver, self._prepare(method, target, headers, body, limits), limits)
            try:
                await exchange.head()
                location = exchange.headers.get("location", "")
                if exchange.status not in REDIRECTS or not location or not redirects:
                    yield Stream(exchange.status, exchange.headers, target.netloc, exchange.chunks)
                    return
            finally:
                exchange.close()
            target = follow(target, location)
            if exchange.status == 303 or (method == "POST" and exchange.status in {301, 302}):
                method, body = ("HEAD" if method == "HEAD" else "GET"), None
        raise Unavailable(f"“{target.netloc}” sends the request from one address to the next, without an end.")

    def _prepare(
        self, method: str, target: SplitResult, headers: Mapping[str, str], body: Body, limits: _Limits
    ) -> HTTPRequest:
        if any(c in text for pair in headers.items() for text in pair for c in "\r\n\0"):
            raise Invalid("This request cannot be made: a name, a password or a header holds a line break.")
        sent: dict[str, Any] = {"body": b"" if body is None and method in {"POST", "PUT", "PATCH"} else body}
        if isinstance(body, FileBody):
            sent, headers = {"body_producer": body.send}, {**headers, "Content-Length": str(body.size)}
        return HTTPRequest(
            target.geturl(),
            method=method,
            headers={"User-Agent": "vaas", **headers},
            **sent,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            # Compressed bodies would need a second limit, and change what an etag stands for.
            decompress_response=False,
            connect_timeout=self._connect_seconds,
            request_timeout=limits.total,
            ssl_options=self._tls,
        )


def internal_http(*addresses: str, seconds: float = 30.0, ca_file: str = "") -> Http:
    """Return an Http for our own Hub and portal: loopback, and the hosts of ``addresses``, wherever they are."""
    hosts = [check_url(address).netloc for address in addresses]
    return Http(allowed_private=("127.0.0.0/8", "::1", *hosts), connect_seconds=5.0, seconds=seconds, ca_file=ca_file)


class _GuardedResolver(Resolver):
    """Looks names up and keeps only addresses that may be connected to.

    The addresses it returns are the ones that are then used, so a name cannot lead elsewhere the second time.
    """

    inner: Resolver
    rules: AddressRules

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """Return (family, address) pairs; Invalid when none of them may be connected to."""
        if is_localhost(host):
            found: list[tuple[int, Any]] = [(socket.AF_INET, ("127.0.0.1", port))]
        else:
            found = await self.inner.resolve(host, port, family)
        if self.rules.names(host, port):
            return found
        fit = [pair for pair in found if self.rules.allows(pair[1][0], port)]
        if not fit:
            raise Invalid(
                f"“{host}” is inside a private network, where this portal does not connect to. "
                "Ask whoever runs the portal to allow it."
            )
        return fit


class _Line(TCPClient):
    """Connects and can hang up, also while it still connects: a fetch of tornado's cannot be called off."""

    _stream: IOStream | None = None
    _closed = False

    async def connect(
        self,
        host: str,
        port: int,
        af: socket.AddressFamily = socket.AF_UNSPEC,
        ssl_options: dict[str, Any] | ssl.SSLContext | None = None,
        max_buffer_size: int | None = None,
        source_ip: str | None = None,
        source_port: int | None = None,
        timeout: float | timedelta | None = None,
    ) -> IOStream:
        """Return the connected stream and remember it."""
        stream = await super().connect(host, port, af, ssl_options, max_buffer_size, source_ip, source_port, timeout)
        self._stream = stream
        if self._closed:
            stream.close()
        return stream

    def hang_up(self) -> None:
        """Close the connection, now or as soon as it is made."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()


class _Exchange:
    """One request and its answer on a connection of their own; the reader sets the pace."""

    def __init__(self, resolver: Resolver, request: HTTPRequest, limits: _Limits) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._limits = limits
        self._host = check_url(request.url).netloc
        self._has_body = request.method != "HEAD"
        self._received = 0
        self._closed = False
        self._error: VaasError | None = None
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = asyncio.Semaphore(_WAITING_CHUNKS)
        self._ready = asyncio.Event()
        self._line = _Line(resolver)
        # Our own count is the limit: tornado's would look like a broken connection.
        client = SimpleAsyncHTTPClient(
            force_instance=True, resolver=resolver, max_clients=1, max_buffer_size=1 << 20, max_body_size=1 << 62
        )
        client.tcp_client = self._line
        request.header_callback = self._take_header
        request.streaming_callback = self._take_chunk
        self._fetch = asyncio.ensure_future(client.fetch(request, raise_error=False))
        self._fetch.add_done_callback(self._end)

    async def head(self) -> None:
        """Wait for status and headers."""
        if not await happens(self._ready, seconds=self._limits.silence):
            raise _explain(TimeoutError(), self._host)
        if self._error or self._fetch.done():
            self._raise_what_went_wrong()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        try:
            while chunk := await self._next():
                self._room.release()
                yield chunk
        except TimeoutError as exc:
            raise _explain(exc, self._host) from exc
        self._raise_what_went_wrong()

    async def _next(self) -> bytes:
        async with asyncio.timeout(self._limits.silence):
            return await self._queue.get()

    def close(self) -> None:
        """Hang up; no-op when the answer is complete."""
        self._closed = True
        self._line.hang_up()
        self._room.release()

    def _raise_what_went_wrong(self) -> None:
        error = self._error or (self._fetch.exception() if self._fetch.done() else None)
        if isinstance(error, VaasError):
            raise error
        if error is not None:
            raise _explain(error, self._host) from error

    def _take_header(self, line: str) -> None:
        name, colon, value = line.rstrip("\r\n").partition(":")
        if line.startswith("HTTP/") and not self._ready.is_set():
            # A status line in the 100s may come before the one that counts.
            self.status, self.headers = int(line.split(" ", 2)[1]), {}
        elif colon:
            key = name.strip().lower()
            self.headers[key] = f"{self.headers[key]}, {value.strip()}" if key in self.headers else value.strip()
        elif self.status >= 200:
            length = self.headers.get("content-length", "")
            if self._has_body and length.isdecimal():
                # A number that int() would refuse for its length is larger than any limit.
                self._check_size(int(length) if len(length) <= 18 else 10**18)
            self._ready.set()

    async def _take_chunk(self, chunk: bytes) -> None:
        if self._closed:
            return
        await self._room.acquire()
        self._received += len(chunk)
        if self._check_size(self._received):
            self._queue.put_nowait(chunk)

    def _check_size(self, size: int) -> bool:
        if size > self._limits.max_bytes:
            shown = f"{self._limits.max_bytes / 1e6:.3g} MB"
            self._error = TooLarge(f"What “{self._host}” sends is larger than {shown}.")
            self._line.hang_up()
        return self._error is None

    def _end(self, fetch: asyncio.Future[HTTPResponse]) -> None:
        if not fetch.cancelled():
            fetch.exception()  # taken note of: otherwise asyncio logs it as never retrieved
        self._ready.set()
        self._queue.put_nowait(b"")


def _explain(error: BaseException, host: str) -> VaasError:
    """Return what a person may read for an error of the network."""
    log = f"{host}: {type(error).__name__}: {error}"
    if isinstance(error, HTTPTimeoutError | TimeoutError):
        return Unavailable(f"“{host}” did not answer in time. Try again later.", log_message=log)
    if isinstance(error, socket.gaierror | UnicodeError):
        return Unavailable(f"There is no host “{host}”. Check the address.", log_message=log)
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
        text = f"“{host}” does not answer by https as it should. Check the port, and whether it is http:// there."
        return Unavailable(text, log_message=log)
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"The connection to “{host}” is not safe: its certificate is not valid.", log_message=log)
    if isinstance(error, ConnectionRefusedError):
        return Unavailable(f"Nothing answers at “{host}”. Check the address and the port.", log_message=log)
    return Unavailable(f"“{host}” cannot be reached, or ended the connection too early.", log_message=log)
