"""Connections to the portal that stay open, by HTTP: through the server of the app, or to the REST interface."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from socket import gaierror
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from vaas.addresses import is_localhost
from vaas.client.errors import PortalError, api_of, refusal
from vaas.facts import WINDOW, Way
from vaas.patience import KERNEL
from vaas.wires import Wires, connections_to

__all__ = ["Rest", "Visit", "Wire"]

#: How many connections are kept; of a visit fewer, whose pages share what they may have open.
_KEPT, _KEPT_VISIT = 4, 1
#: Bytes of an answer, and of a question: the server reads no more.
_MOST, _LONGEST = 8_000_000, 65_536


class Wire(ABC):
    """Carries questions to the portal; threads may share it."""

    def __init__(self, connect: Callable[[], HTTPConnection], *, kept: int = _KEPT) -> None:
        self._wires = Wires(connect, kept=kept, most=_MOST)

    @abstractmethod
    def ask(self, verb: str, args: Mapping[str, Any]) -> Any:
        """Return what the portal answers. Raises PortalError."""

    def close(self) -> None:
        """Close what is open; no-op when nothing is."""
        self._wires.close()

    def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Any:
        try:
            reply = self._wires.exchange(method, target, headers=headers, body=body)
        except gaierror:
            raise PortalError("The portal's name is not known here. Check its address.", kind="Unavailable") from None
        except OSError:
            raise PortalError("The portal does not answer. Try again in a moment.", kind="Unavailable") from None
        except ValueError:  # a token that is none
            raise PortalError("This cannot be asked: the token or a text has signs that it cannot have.") from None
        if reply.status >= 400:
            raise refusal(reply.status, reply.body)
        if len(reply.body) > _MOST:
            raise PortalError("The portal's answer is too large.")
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise PortalError("The portal's answer cannot be read.") from None


class Visit(Wire):
    """The way of a visit's own kernel: the portal answers as to the visitor."""

    def __init__(self, way: Way) -> None:
        super().__init__(connections_to("http", "127.0.0.1", way.port, seconds=KERNEL), kept=_KEPT_VISIT)
        self._headers = {"Authorization": f"Visit {way.secret}", "Content-Type": "application/json"}

    def ask(self, verb: str, args: Mapping[str, Any]) -> Any:
        """Return what the portal answers the visitor. Raises PortalError."""
        body = json.dumps({"verb": verb, "args": dict(args)}).encode()
        if len(body) > _LONGEST:
            raise PortalError("This question is too long.", kind="TooLarge")
        return self._send("POST", f"http://{WINDOW}/ask", self._headers, body)


#: verb → where REST has it, with what of the arguments belongs into the path; the others go into the query.
_PLACES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "me": ("me", ()),
    "search": ("search", ()),
    "suggest": ("search/suggest", ()),
    "record": ("records/{}/{}", ("catalog", "id")),
    "preview": ("previews/{}/{}", ("catalog", "id")),
}
#: What is called otherwise there.
_NAMES = {"text": "q", "beginning": "q"}


class Rest(Wire):
    """The way of everybody else: the REST interface, as the holder of a token."""

    def __init__(self, url: str, token: str) -> None:
        api = urlsplit(api_of(url))
        if api.scheme not in {"http", "https"} or not api.hostname:
            raise PortalError(f"“{url}” is no web address of a portal.")
        try:
            host, port = api.hostname, api.port
        except ValueError:
            raise PortalError(f"“{url}” is no web address of a portal.") from None
        self._path = api.path
        self._headers = {"Content-Type": "application/json"}
        if api.scheme == "http" and is_localhost(host):  # not every system knows the names under it
            self._headers["Host"] = host if port is None else f"{host}:{port}"
            host = "127.0.0.1"
        super().__init__(connections_to(api.scheme, host, port, seconds=KERNEL))
        if token.strip():
            self._headers["Authorization"] = f"token {token.strip()}"

    def ask(self, verb: str, args: Mapping[str, Any]) -> Any:
        """Return what the portal answers the token's holder. Raises PortalError."""
        if verb not in _PLACES:
            body = json.dumps({"verb": verb, "args": dict(args)}).encode()
            return self._send("POST", f"{self._path}ask", self._headers, body)
        place, named = _PLACES[verb]
        path = place.format(*(quote(str(args[name]), safe="") for name in named))
        asked = {_NAMES.get(n, n): int(v) if isinstance(v, bool) else v for n, v in args.items() if n not in named}
        query = f"?{urlencode(asked)}" if asked else ""
        return self._send("GET", f"{self._path}{path}{query}", self._headers, None)
