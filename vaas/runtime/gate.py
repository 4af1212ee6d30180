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
from urllib.parse import urlsplit

from vaas import network
from vaas.addresses import AddressRules
from vaas.errors import VaasError
from vaas.runtime.sandbox import GATE_PORT

__all__ = ["Gate", "environment"]

_MOST_HEAD = 32_768
_PATIENCE = 30.0
_PIECE = 65_536
#: How many connections all kernels of an app may have at once.
_MOST_CONNECTIONS = 256
_MOST_TOLD = 100
log = logging.getLogger(__name__)


class Gate:
    """Serves the kernels of one app.

    Parameters
    ----------
    allowed:
        What may be reached, as :mod:`vaas.network` writes it; can be changed at any time.
    trusted:
        Hosts that the site itself names: they may have private addresses.
    """

    def __init__(self, allowed: tuple[str, ...], *, trusted: Sequence[str] = ()) -> None:
        self.allowed = allowed
        #: Called once for each place that was refused, with a sentence for the app's owner.
        self.tell: Callable[[str], None] = log.warning
        #: Called with each host that is asked for, let through or not: a check tells its author of them.
        self.heard: Callable[[str], None] = lambda host: None
        self._trusted = tuple(trusted)
        self._rules = AddressRules(())
        self._told: set[str] = set()
        self._open = 0

    async def serve(self, listening: socket.socket) -> asyncio.Server:
        """Serve what connects to this socket until the result is closed."""
        return await asyncio.start_server(self._answer, sock=listening, limit=_MOST_HEAD)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > _MOST_CONNECTIONS:
                raise _Refused("503 Service Unavailable", "Too many connections are open.")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE)
            host, port, onward = _target(head)
            there, back = await self._connect(host, port)
            try:
                if onward:
                    back.write(onward)
                else:
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_pour(reader, back), _pour(there, writer))
            finally:
                back.close()
        except _Refused as refused:
            text = f"{refused.text}\n".encode()
            head = f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain; charset=utf-8\r\n".encode()
            writer.write(head + f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
            with contextlib.suppress(OSError):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, to an address that was looked at: asked again, a name could lead elsewhere."""
        place = f"{host}:{port}"
        self.heard(host)
        if not network.permits(self.allowed, host, port):
            self._refuse(place, f"This app may not reach {place}. Its owner can allow it in the app's settings.")
        try:
            found = await asyncio.wait_for(
                asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM), _PATIENCE
            )
        except (OSError, TimeoutError) as error:
            raise _Refused("502 Bad Gateway", f"The name {host} is not known.") from error
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        if not network.permits(self._trusted, host, port):
            addresses = [address for address in addresses if self._rules.allows(address, port)]
        if not addresses:
            self._refuse(place, f"{place} is not on the open internet. Ask the people who run this site to allow it.")
        for address in addresses:
            with contextlib.suppress(OSError, TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(address, port, limit=_PIECE), _PATIENCE)
        raise _Refused("504 Gateway Timeout", f"{place} does not answer.")

    def _refuse(self, place: str, text: str) -> None:
        if place not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(place)
            self.tell(text)
        raise _Refused("403 Forbidden", text)


class _Refused(Exception):
    """What is answered instead of a connection."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


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
    kept = [h for h in rest.split(b"\r\n") if h and not re.match(rb"(?i)(proxy-[\w-]+|connection|keep-alive):", h)]
    onward = [method + b" " + path.encode() + b" HTTP/1.1", *kept, b"Connection: close", b"", b""]
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
