"""How large a request's body may be: small everywhere but where files are sent, so that strangers fill no memory."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from tornado import httputil
from tornado.web import Application

__all__ = ["SizedApplication"]

_SMALL = 2_000_000
#: Where app servers post reports, and where people send pictures, and tables that are told when they are too long.
_MEDIUM = 12_000_000
_LARGE = 250_000_000
_BY_PATH = {
    "upload": _LARGE,
    "api/uploads": _LARGE,
    "api/stores/": _LARGE,
    "api/runtime/check": _MEDIUM,
    "api/runtime/outline": _SMALL,
    "apps/": _MEDIUM,
    "runs/new": _MEDIUM,
}


class SizedApplication(Application):
    """An application that says before a body is read how large it may be; a larger one ends the connection."""

    def start_request(self, server_conn: object, request_conn: Any) -> httputil.HTTPMessageDelegate:
        """Put the limit between the connection and the routes."""
        return _Sized(super().start_request(server_conn, request_conn), request_conn, self.settings["prefix"])


class _Sized(httputil.HTTPMessageDelegate):
    """Passes everything on; sets the limit once the headers are there."""

    def __init__(self, inner: httputil.HTTPMessageDelegate, connection: Any, prefix: str) -> None:
        self._inner, self._connection, self._prefix = inner, connection, prefix

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Awaitable[None] | None:
        """Choose the limit by the path; somebody who does not even claim to be anyone sends nothing large."""
        assert isinstance(start_line, httputil.RequestStartLine)
        path = start_line.path.partition("?")[0].removeprefix(self._prefix)
        found = next((size for start, size in _BY_PATH.items() if path.startswith(start)), _SMALL)
        claims = "Authorization" in headers or "Cookie" in headers
        self._connection.set_max_body_size(found if claims else _SMALL)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass it on."""
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        """Pass it on."""
        self._inner.finish()

    def on_connection_close(self) -> None:
        """Pass it on."""
        self._inner.on_connection_close()
