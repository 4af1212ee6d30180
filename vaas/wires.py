"""HTTP connections to one server of ours that stay open from one question to the next."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection

__all__ = ["Reply", "Wires", "connections_to"]

#: How long (seconds) an open connection is trusted that nobody uses.
_TRUSTED = 60.0


@dataclass(frozen=True)
class Reply:
    """What came back, as it came; the body may be one byte longer than it may be, and is not whole then."""

    status: int
    kind: str
    body: bytes


def connections_to(scheme: str, host: str, port: int | None, *, seconds: float) -> Callable[[], HTTPConnection]:
    """Return what makes connections to that server, each of whose waits may take so long."""
    make = HTTPSConnection if scheme == "https" else HTTPConnection
    return lambda: make(host, port, timeout=seconds)


class Wires:
    """Connections that several threads may share; a process that is forked begins anew.

    Parameters
    ----------
    connect:
        Makes a connection.
    kept:
        How many stay open when nobody uses them.
    most:
        How many bytes a body may have.
    """

    def __init__(self, connect: Callable[[], HTTPConnection], *, kept: int, most: int) -> None:
        self._connect, self._kept, self._most = connect, kept, most
        self._lock = threading.Lock()
        self._free: list[tuple[HTTPConnection, float]] = []
        self._used: set[HTTPConnection] = set()
        self._process = os.getpid()

    def exchange(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send a request and return the reply; redirects are replies.

        Raises
        ------
        OSError
            Nobody answers, or not in HTTP.
        ValueError
            A header cannot be sent.
        """
        connection, kept = self._take()
        try:
            try:
                reply = self._exchange(connection, method, target, headers, body)
            except ConnectionError:
                if not kept:
                    raise
                # It was closed while nobody used it. What only takes too long is not sent twice.
                self._drop(connection)
                connection = self._new()
                reply = self._exchange(connection, method, target, headers, body)
        except HTTPException as error:
            self._drop(connection)
            raise OSError(f"This is no HTTP: {type(error).__name__}") from error
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection, whole=len(reply.body) <= self._most)
        return reply

    def close(self) -> None:
        """Close what is open; what is under way ends with an error."""
        with self._lock:
            free, self._free = self._free, []
            used = list(self._used)
        for connection, _ in free:
            connection.close()
        for opened in [connection.sock for connection in used]:
            with contextlib.suppress(OSError, AttributeError):  # not connected, or not yet
                opened.shutdown(socket.SHUT_RDWR)

    def _exchange(
        self, connection: HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        connection.request(method, target, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return Reply(answer.status, answer.getheader("Content-Type", ""), answer.read(self._most + 1))

    def _take(self) -> tuple[HTTPConnection, bool]:
        """Return a connection, and whether it was used before."""
        with self._lock:
            if self._process != os.getpid():
                self._free, self._used, self._process = [], set(), os.getpid()
            while self._free:
                connection, since = self._free.pop()
                if time.monotonic() - since < _TRUSTED:
                    self._used.add(connection)
                    return connection, True
                connection.close()
        return self._new(), False

    def _new(self) -> HTTPConnection:
        connection = self._connect()
        with self._lock:
            self._used.add(connection)
        return connection

    def _drop(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._used.discard(connection)
        connection.close()

    def _give_back(self, connection: HTTPConnection, *, whole: bool) -> None:
        with self._lock:
            if whole and connection.sock is not None and len(self._free) < self._kept:
                self._used.discard(connection)
                self._free.append((connection, time.monotonic()))
                return
        self._drop(connection)
