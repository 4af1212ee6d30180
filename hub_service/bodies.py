"""How large a request's body may be: small everywhere but where files are sent, so that strangers fill no memory."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from tornado import httputil
from tornado.web import Application

from hub_service.handlers.oversized import OversizedJson, OversizedPage

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


#: So much is thrown away as it comes, since who is still sending reads no answer; more ends the connection.
_DRAINED = 1_000_000_000


class SizedApplication(Application):
    """An application with a limit for each body before it is read: what is larger is refused, a stranger's cut off."""

    def start_request(self, server_conn: object, request_conn: Any) -> httputil.HTTPMessageDelegate:
        """Put the limit between the connection and the routes."""
        return _Sized(self, super().start_request(server_conn, request_conn), request_conn)

    def oversized(self, request: httputil.HTTPServerRequest, *, sent: int, most: int) -> httputil.HTTPMessageDelegate:
        """Return what answers a request with so large a body."""
        of_program = request.path.removeprefix(self.settings["prefix"]).startswith("api/")
        handler = OversizedJson if of_program else OversizedPage
        return self.get_handler_delegate(request, handler, {"access": "anyone", "sent": sent, "most": most})


class _Sized(httputil.HTTPMessageDelegate):
    """Passes everything on but a body that is too large; sets the limit once the headers are there."""

    def __init__(self, application: SizedApplication, inner: httputil.HTTPMessageDelegate, connection: Any) -> None:
        self._application, self._inner, self._connection = application, inner, connection
        self._prefix: str = application.settings["prefix"]
        self._over = False

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Awaitable[None] | None:
        """Choose the limit by the path; somebody who does not even claim to be anyone sends nothing large."""
        assert isinstance(start_line, httputil.RequestStartLine)
        path = start_line.path.partition("?")[0].removeprefix(self._prefix)
        found = next((size for start, size in _BY_PATH.items() if path.startswith(start)), _SMALL)
        claims = "Authorization" in headers or "Cookie" in headers
        most, sent = (found if claims else _SMALL), _length(headers)
        self._over = claims and most < sent <= _DRAINED
        self._connection.set_max_body_size(sent if self._over else most)
        if self._over:
            headers.pop("Content-Type", None)  # nothing of what it says is there
            request = httputil.HTTPServerRequest(connection=self._connection, start_line=start_line, headers=headers)
            self._inner = self._application.oversized(request, sent=sent, most=most)
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass it on."""
        return None if self._over else self._inner.data_received(chunk)

    def finish(self) -> None:
        """Pass it on."""
        self._inner.finish()

    def on_connection_close(self) -> None:
        """Pass it on."""
        self._inner.on_connection_close()


def _length(headers: httputil.HTTPHeaders) -> int:
    """Return how long the body is said to be; 0 for one that is not told, or in no number."""
    told = headers.get("Content-Length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else 0
