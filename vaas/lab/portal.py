"""What a launch asks the portal by its own token: what to place, the bytes of it, and where it says how it goes."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from vaas.errors import Forbidden, Invalid, Unavailable, VaasError
from vaas.parcels import DAMAGED, digest_field, parts

__all__ = ["Piece", "PortalClient"]

_SECONDS = 30.0
_CHUNK = 1 << 20
_AWAY = "The portal does not answer."
_REFUSED = frozenset({401, 403, 404})

#: The bytes, the size of the whole, and the mark of the state that they are of.
Piece = tuple[bytes, int, str]


class PortalClient:
    """The portal's routes for launches at ``url``, as the holder of ``token``; a connection for each question.

    Every method raises Forbidden or Invalid where the portal refuses, in its words, and Unavailable when it does not
    answer.
    """

    def __init__(self, url: str, *, token: str) -> None:
        self._parts, self._headers = urlsplit(url), {"Authorization": f"token {token}"}

    def manifest(self) -> dict[str, Any]:
        """Return what is to be placed."""
        found = json.loads(b"".join(self._read("GET", "manifest")[1]))
        if not isinstance(found, dict):
            raise Unavailable(_AWAY)
        return found

    def content(self) -> Iterator[bytes]:
        """Yield the tar with the files of the working copy."""
        return self._read("GET", "content")[1]

    def piece(self, thing: str, offset: int, size: int) -> Piece:
        """Return some bytes of a thing. Raises Unavailable also for bytes that are others than were sent."""
        path = f"things/{quote(thing, safe='')}?offset={offset}&size={size}"
        answer, body = self._read("GET", path)
        data = b"".join(body)
        sent = answer.getheader("Content-Digest")  # a portal of before sends none
        if sent is not None and sent != digest_field(data):
            raise Unavailable(DAMAGED, log_message=f"{path}: not the bytes that were sent.")
        whole = answer.getheader("X-Size", "")
        return data, int(whole) if whole.isdecimal() else offset + len(data), answer.getheader("ETag", "").strip('"')

    def parcel(self, thing: str) -> Generator[tuple[dict[str, Any], bytes], None, None]:
        """Yield the parts of a thing's parcel, as :func:`vaas.parcels.parts` does."""
        return parts(self._read("GET", f"things/{quote(thing, safe='')}/parcel")[1])

    def post(self, said: Mapping[str, Any]) -> bool:
        """Say how it goes; return whether the launch is to stop."""
        body = b"".join(self._read("POST", "progress", json.dumps(said).encode())[1])
        return bool(json.loads(body).get("stop"))

    def _read(self, method: str, path: str, body: bytes | None = None) -> tuple[HTTPResponse, Iterator[bytes]]:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=_SECONDS)
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            connection.request(method, f"{self._parts.path}api/launched/{path}", body=body, headers=headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refused(answer.status, answer.read(_CHUNK))
        except (OSError, HTTPException, VaasError) as error:
            connection.close()
            if isinstance(error, VaasError):
                raise
            raise Unavailable(_AWAY, log_message=f"{method} {path}: {error!r}") from error
        return answer, _chunks(connection, answer)


def _chunks(connection: HTTPConnection, answer: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := answer.read(_CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise Unavailable(_AWAY, log_message=repr(error)) from error
    finally:
        connection.close()


def _refused(status: int, body: bytes) -> VaasError:
    """Return what the portal says in its own words."""
    try:
        said = str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = _AWAY
    kind = Forbidden if status in _REFUSED else Invalid if status < 500 else Unavailable
    return kind(said, log_message=f"{status}: {said}")
