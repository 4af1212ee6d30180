"""The window: where the kernels of the portal's own app ask the portal, each as its own visitor and nobody else.

A kernel reaches it by the gate in its own network, or where there is no sandbox by a port of this machine. What it says
for which visit it asks is a secret of that page alone; who that is knows the portal by the proof that it gave itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from vaas.errors import VaasError
from vaas.facts import WINDOW, Way
from vaas.runtime.portal_client import PortalClient
from vaas.runtime.sandbox import GATE_PORT
from vaas.runtime.visits import Page, Visit

if TYPE_CHECKING:
    from vaas.runtime.gate import Gate

__all__ = ["NOT_ALLOWED", "Window", "is_for_window"]

NOT_ALLOWED = "This app may not ask for its visitor."
_TOO_MUCH = "This page asks for too much at once. Wait a moment, then try again."
_MOST_HEAD, _MOST_BODY = 32_768, 65_536
#: How long (seconds) the rest of a visit's question may take to arrive, and its answer to be taken; how long its
#: connection may say nothing; and how long anybody else's is still listened to.
_PATIENCE, _IDLE, _LINGER = 30.0, 300.0, 1.0
#: Of one visit: so many questions at once, and after them so many a second; and so many connections, which are all
#: that can be under way.
_BURST, _RATE, _CONNECTIONS = 60.0, 20.0, 8
#: Connections of all visits together, and those that have not said yet whose they are.
_MOST_CONNECTIONS, _MOST_UNSAID = 2048, 64
_LINE = re.compile(rb"POST http://" + re.escape(WINDOW.encode()) + rb"/ask HTTP/1\.1")
log = logging.getLogger(__name__)


def is_for_window(head: bytes) -> bool:
    """Tell whether a request to the gate is one for the portal."""
    return _LINE.match(head) is not None


class _Wrong(Exception):
    """What is answered instead; the connection ends then, unless it ``goes_on``."""

    def __init__(self, status: int, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.status, self.message, self.goes_on = status, message, goes_on

    @property
    def body(self) -> bytes:
        """The same as the portal says what is wrong."""
        return json.dumps({"error": {"kind": "Error", "message": self.message, "fix": ""}}).encode()


@dataclass(eq=False)
class _Allowance:
    """How much one visit may ask; all its pages share it."""

    at: float
    left: float = _BURST
    connections: set[asyncio.StreamWriter] = field(default_factory=set)

    def join(self, connection: asyncio.StreamWriter) -> None:
        """Count this connection; no-op for one that is counted. Raises _Wrong when there are too many."""
        if len(self.connections | {connection}) > _CONNECTIONS:
            raise _Wrong(429, _TOO_MUCH)
        self.connections.add(connection)

    def take(self, now: float) -> None:
        """Take one question off. Raises _Wrong when there is none left."""
        self.left, self.at = min(_BURST, self.left + (now - self.at) * _RATE), now
        if self.left < 1:
            raise _Wrong(429, _TOO_MUCH, goes_on=True)
        self.left -= 1


class Window:
    """Asks the portal for the visitors of one app server.

    Parameters
    ----------
    portal:
        Who is asked.
    speaks:
        Whether the app may ask for its visitors whatever they may.
    takes_basket:
        Whether it may ask for what they hand over. An app of which neither holds is told no way here.
    gate:
        By which kernels come; None: there is no sandbox, and they come by a port of this machine.
    clock:
        Seconds, from whenever.
    patience:
        Seconds within which a connection has to say whose it is.
    """

    def __init__(
        self,
        portal: PortalClient,
        *,
        speaks: bool,
        takes_basket: bool = False,
        gate: Gate | None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = 10.0,
    ) -> None:
        self._portal, self._clock, self._patience = portal, clock, patience
        self.speaks, self._takes_basket, self._sandboxed = speaks, takes_basket, gate is not None
        if gate is not None and (speaks or takes_basket):
            gate.window = self
        #: Found by what is made of the secret: how long that takes tells nothing of it. What a page was handed stays
        #: what it asks for, whatever its visitor hands to another page; "" where the visit's own proof counts.
        self._known: dict[bytes, tuple[Page, Visit, str]] = {}
        self._keys: dict[Page, bytes] = {}
        self._allowances: dict[str, _Allowance] = {}
        self._server: asyncio.Server | None = None
        self._starting = asyncio.Lock()
        self._connections = 0
        #: The oldest first.
        self._unsaid: dict[asyncio.StreamWriter, None] = {}

    async def open(self, page: Page, visit: Visit) -> Way | None:
        """Return the way here for the kernel of a page; None where the app may not ask for this visitor."""
        if not (self.speaks or self._takes_basket) or not visit.proof:
            return None
        port = GATE_PORT if self._sandboxed else await self._port()
        self.close(page)
        if page.ended:
            return None
        way = Way(port, secrets.token_urlsafe(32))
        key = self._keys[page] = _key(way.secret)
        self._known[key] = page, visit, "" if self.speaks else visit.proof
        self._allowances.setdefault(visit.id, _Allowance(self._clock()))
        return way

    def handed_to(self, visit: Visit) -> str:
        """Return a mark of what the visit was handed; "" for nothing, and where that makes no difference to a page."""
        if self.speaks or not visit.proof:
            return ""
        return sha256(visit.proof.encode()).hexdigest()

    def close(self, page: Page) -> None:
        """Hear nothing more from a page; no-op for one that has no way here."""
        key = self._keys.pop(page, None)
        if key is not None:
            _, visit, _ = self._known.pop(key)
            if not any(other in self._keys for other in visit.pages.values()):
                self._allowances.pop(visit.id, None)

    def shut(self) -> None:
        """Hear nobody any more."""
        self._known.clear()
        self._keys.clear()
        if self._server is not None:
            self._server.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        """Answer what comes by one connection, of which the first head was read, until it ends."""
        self._connections += 1
        held: list[_Allowance] = []
        try:
            while await self._answer(reader, writer, head, held):
                async with asyncio.timeout(_IDLE):
                    head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            self._connections -= 1
            for allowance in held:
                allowance.connections.discard(writer)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, held: list[_Allowance]
    ) -> bool:
        """Answer one question; False when the connection has to end. Whose it is, is added to ``held``."""
        goes_on = True
        try:
            page, proof, body = await self._question(reader, writer, head, held)
            status, told = await self._ask(page, proof, body)
        except _Wrong as wrong:
            status, told, goes_on = wrong.status, wrong.body, wrong.goes_on
        words = f"HTTP/1.1 {status} Answer\r\nContent-Type: application/json\r\nContent-Length: {len(told)}\r\n"
        words += "\r\n" if goes_on else "Connection: close\r\n\r\n"
        writer.write(words.encode() + told)
        async with asyncio.timeout(_PATIENCE):
            await writer.drain()
        return goes_on

    async def _question(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, held: list[_Allowance]
    ) -> tuple[Page, str, bytes]:
        """Return which page asks, by which proof, and what.

        The connection counts as its visit's from the head on, not when all is there.
        """
        secret, size = _read(head)
        try:
            page, visit, proof = self._asker(secret)
            allowance = self._allowances.setdefault(visit.id, _Allowance(self._clock()))
            allowance.join(writer)
        except _Wrong:
            # Closed before all was read, it would be reset, and what is wrong be lost on the way.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_LINGER):
                    await reader.readexactly(size)
            raise
        if allowance not in held:
            held.append(allowance)
        async with asyncio.timeout(_PATIENCE):
            body = await reader.readexactly(size)
        allowance.take(self._clock())
        return page, proof or visit.proof, body

    def _asker(self, secret: str) -> tuple[Page, Visit, str]:
        """Return who has this secret; who has none is not listened to."""
        page, visit, proof = self._known.get(_key(secret), (None, None, ""))
        if page is None or visit is None or page.ended:
            raise _Wrong(403, NOT_ALLOWED)
        if self._connections > _MOST_CONNECTIONS:
            raise _Wrong(503, "Many people are here at the moment. Please try again.")
        return page, visit, proof

    async def _ask(self, page: Page, proof: str, body: bytes) -> tuple[int, bytes]:
        verb, args = _question(body)
        if page.ended:
            raise _Wrong(403, NOT_ALLOWED)  # while it was still asking
        try:
            return await self._portal.ask(proof, verb, args)
        except VaasError as error:
            log.warning("A visit asked the portal: %s", error.log_message)
            raise _Wrong(503, error.message, goes_on=True) from error

    async def _port(self) -> int:
        """Return the port where kernels without a sandbox come."""
        async with self._starting:
            if self._server is None:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MOST_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._unsaid[writer] = None
        if len(self._unsaid) > _MOST_UNSAID:
            # The oldest: it has had the most time to say something.
            oldest = next(iter(self._unsaid))
            del self._unsaid[oldest]
            oldest.close()
        try:
            async with asyncio.timeout(self._patience):
                head = await reader.readuntil(b"\r\n\r\n")
            self._unsaid.pop(writer, None)
            await self.answer(reader, writer, head)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            self._unsaid.pop(writer, None)
            writer.close()


def _key(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _read(head: bytes) -> tuple[str, int]:
    """Return the secret and the size of the body that a request's head names."""
    line, _, rest = head.partition(b"\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (h.partition(b":") for h in rest.split(b"\r\n"))
    }
    if _LINE.fullmatch(line) is None or b"transfer-encoding" in headers:
        raise _Wrong(400, "This is no question to the portal.")
    size = headers.get(b"content-length", b"")
    if not re.fullmatch(rb"[0-9]{1,8}", size):
        raise _Wrong(400, "This is no question to the portal: its length is missing.")
    if int(size) > _MOST_BODY:
        raise _Wrong(413, "This question is too long.")
    found = re.fullmatch(rb"(?i:visit) ([A-Za-z0-9_-]{1,200})", headers.get(b"authorization", b""))
    return found[1].decode() if found else "", int(size)


def _question(body: bytes) -> tuple[str, dict[str, Any]]:
    try:
        said = json.loads(body)
        verb, args = said["verb"], said["args"]
    except (ValueError, TypeError, KeyError, RecursionError):
        verb = args = None
    if not isinstance(verb, str) or not isinstance(args, dict):
        raise _Wrong(400, "This is no question to the portal.", goes_on=True)
    return verb, args
