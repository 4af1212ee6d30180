"""The gate: the one way from a sandboxed kernel to the network, a forward proxy for the hosts that its app may reach.

A kernel's own network has nobody in it but this proxy (RFC 9110, section 9.3.6, CONNECT; RFC 9112, section 3.2.2,
absolute addresses), which programs find by ``https_proxy`` and its siblings. It stands in the app server, asks the
names itself, and connects to public addresses only, unless the site names a host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

from vaas import network
from vaas.addresses import AddressRules
from vaas.errors import VaasError
from vaas.runtime.sandbox import GATE_PORT
from vaas.runtime.window import NOT_ALLOWED, Window, is_for_window

__all__ = ["Gate", "Service", "environment"]

_MOST_HEAD = 32_768
#: How long (seconds) a place may take to answer; and a connection, to say where it leads.
_PATIENCE, _SAID = 30.0, 10.0
_PIECE = 65_536
#: How many connections a kernel may have at once, and how many names all kernels of an app may ask for.
_MOST_CONNECTIONS = 64
_LOOKUPS = 4
_MOST_TOLD = 100
log = logging.getLogger(__name__)


class Service:
    """One kernel's way through the gate, until it is closed."""

    def __init__(self) -> None:
        #: What goes through, with where it leads: "" and 0 before that is known.
        self.through: dict[asyncio.Task[None], tuple[str, int]] = {}
        #: What asks the portal, and is counted there: each visit keeps a connection.
        self.asking: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None

    def close(self) -> None:
        """End it with all that goes through."""
        if self.server is not None:
            self.server.close()
        for task in [*self.through, *self.asking]:
            task.cancel()


class Gate:
    """Serves the kernels of one app.

    Parameters
    ----------
    allowed:
        What may be reached, as :mod:`vaas.network` writes it.
    trusted:
        Hosts that the site itself names: they may have private addresses.
    """

    def __init__(self, allowed: tuple[str, ...], *, trusted: Sequence[str] = ()) -> None:
        self._allowed = allowed
        #: Called once for each place that was refused, with a sentence for the app's owner.
        self.tell: Callable[[str], None] = log.warning
        #: Called with each host that is asked for, let through or not: a check tells its author of them.
        self.heard: Callable[[str], None] = lambda host: None
        #: Where requests for the portal go; None: this app may not ask for its visitors.
        self.window: Window | None = None
        self._trusted = tuple(trusted)
        self._rules = AddressRules(())
        self._told: set[str] = set()
        self._services: set[Service] = set()
        # Threads of its own: names that nobody answers for must not keep others waiting.
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="gate")
        self._asking = 0

    @property
    def allowed(self) -> tuple[str, ...]:
        """What may be reached."""
        return self._allowed

    @allowed.setter
    def allowed(self, network_: tuple[str, ...]) -> None:
        """Change it, and end what is open and no longer allowed."""
        self._allowed = network_
        for service in self._services:
            for task, (host, port) in list(service.through.items()):
                if host and not network.permits(network_, host, port):
                    task.cancel()

    def change(self, allowed: tuple[str, ...], *, wider: bool) -> None:
        """Change it; if not ``wider``, nothing that may not be reached now, for as long as this server runs.

        What people hand over is in its kernels by then, who said yes to what they were shown.
        """
        self.allowed = allowed if wider else network.within(allowed, self._allowed)

    async def serve(self, listening: socket.socket) -> Service:
        """Serve what connects to this socket until the result is closed."""
        service = Service()
        self._services = {kept for kept in self._services if kept.server and kept.server.is_serving()} | {service}
        answer = partial(self._answer, service)
        service.server = await asyncio.start_server(answer, sock=listening, limit=_MOST_HEAD)
        return service

    async def _answer(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        service.through[task] = ("", 0)
        try:
            if len(service.through) > _MOST_CONNECTIONS:
                raise _Refused("503 Service Unavailable", "Too many connections are open.")
            async with asyncio.timeout(_SAID):
                head = await reader.readuntil(b"\r\n\r\n")
            if is_for_window(head):
                service.asking.add(task)
                del service.through[task]
                await self._ask(reader, writer, head)
                return
            host, port, onward = _target(head)
            service.through[task] = (host, port)
            await self._carry(reader, writer, (host, port), onward)
        except _Refused as refused:
            writer.write(refused.answer())
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            service.through.pop(task, None)
            service.asking.discard(task)
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        """Hand a connection over that is for the portal."""
        if self.window is None:
            raise _Refused("403 Forbidden", NOT_ALLOWED)
        await self.window.answer(reader, writer, head)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: tuple[str, int], onward: bytes
    ) -> None:
        """Connect and carry both ways; when one side has said all, the other has a while to finish."""
        there, back = await self._connect(*place)
        ways: set[asyncio.Task[None]] = set()
        try:
            (back if onward else writer).write(onward or b"HTTP/1.1 200 Connection established\r\n\r\n")
            ways = {asyncio.create_task(_pour(reader, back)), asyncio.create_task(_pour(there, writer))}
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(left or ways, timeout=_PATIENCE)
        finally:
            for way in ways:
                way.cancel()
            back.close()

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, to an address that was looked at: asked again, a name could lead elsewhere."""
        place = f"{host}:{port}"
        self.heard(host)
        if not network.permits(self.allowed, host, port):
            self._refuse(place, f"This app may not reach {place}. Its owner can allow it in the app's settings.")
        addresses = await self._addresses(host, port)
        if not network.permits(self._trusted, host, port):
            addresses = [
                address for address in addresses if self._rules.allows(address, port) and not _is_ours(address)
            ]
        if not addresses:
            self._refuse(place, f"{place} is not on the open internet. Ask the people who run this site to allow it.")
        for address in addresses:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    return await asyncio.open_connection(address, port, limit=_PIECE)
        raise _Refused("504 Gateway Timeout", f"{place} does not answer.")

    async def _addresses(self, host: str, port: int) -> list[str]:
        if self._asking >= 4 * _LOOKUPS:
            raise _Refused("503 Service Unavailable", "Too many names are asked for at once.")
        self._asking += 1
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except (OSError, TimeoutError, ValueError) as error:
            raise _Refused("502 Bad Gateway", f"The name {host} is not known.") from error
        finally:
            self._asking -= 1
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))

    def _refuse(self, place: str, text: str) -> None:
        if place not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(place)
            self.tell(text)
        raise _Refused("403 Forbidden", text)


def _is_ours(address: str) -> bool:
    """Tell whether this is an address of this machine: what listens here is no matter of an app, even in public."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


class _Refused(Exception):
    """What is answered instead of a connection."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    def answer(self) -> bytes:
        """Return the answer as it is sent."""
        text = f"{self.text}\n".encode()
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + text


def _target(head: bytes) -> tuple[str, int, bytes]:
    """Return host and port that the request names, and what to send on to them: nothing for CONNECT."""
    line, _, rest = head.partition(b"\r\n")
    found = re.fullmatch(rb"([A-Z]+) (\S+) HTTP/1\.[01]", line)
    if found is None:
        raise _Refused("400 Bad Request", "This is no request to a proxy.")
    method, address = found[1], found[2].decode("ascii", "replace")
    try:
        parts = urlsplit(f"//{address}" if method == b"CONNECT" else address)
        host, port = parts.hostname or "", parts.port
    except (ValueError, VaasError) as error:
        raise _Refused("400 Bad Request", "This is no address.") from error
    if method == b"CONNECT":
        if not host or not port:
            raise _Refused("400 Bad Request", "A connection needs a host and a port.")
        return host, port, b""
    if parts.scheme != "http" or not host:
        raise _Refused("400 Bad Request", "This is no web address.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    dropped = re.compile(rb"(?i)(proxy-[\w-]+|connection|keep-alive|host):")
    kept = [header for header in rest.split(b"\r\n") if header and not dropped.match(header)]
    named = f"Host: {parts.netloc.rpartition('@')[2]}".encode()
    onward = [method + b" " + path.encode() + b" HTTP/1.1", named, *kept, b"Connection: close", b"", b""]
    return host, port or 80, b"\r\n".join(onward)


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand on all that comes, then say that nothing more will."""
    with contextlib.suppress(OSError):
        while data := await source.read(_PIECE):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


def environment() -> dict[str, str]:
    """Return the variables by which programs in the sandbox find the gate."""
    gate = f"http://127.0.0.1:{GATE_PORT}"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return {name: gate for name in names} | {
        "no_proxy": "localhost,127.0.0.1,::1",
        "NO_PROXY": "localhost,127.0.0.1,::1",
    }
