"""The portal's REST interface for commands: which portal, as whom, and its answers in its own words."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from vaas.client.errors import PortalError, api_of, refusal
from vaas.errors import Forbidden, Invalid, Unavailable, VaasError
from vaas.http import Http, internal_http
from vaas.prose import clean_text

__all__ = ["IN_A_STORE", "RUN_PAGE", "Client", "add_portal", "completed", "of", "of_anybody", "say"]

#: How a notebook is named that lies in a store, and the address of a run's page.
IN_A_STORE = re.compile(r"([A-Za-z0-9_-]{1,60}):(.+\.ipynb)")
RUN_PAGE = re.compile(r"https?://.+/runs/([a-z0-9]{12})/?")
_WHERE = "VAAS_TOKEN or --token-file"
#: Answers of a front or a proxy behind which the portal is being started again.
_NOT_NOW = frozenset({502, 503, 504})
#: So many looks in a row may find no portal before following ends: a second or so apart.
_LOOKS = 180


def add_portal(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which portal, and as whom."""
    default = os.environ.get("VAAS_URL", "http://vaas.localhost:8000/services/vaas/")
    parser.add_argument("--url", default=default, help="the portal's address; default: VAAS_URL, or the demo's")
    parser.add_argument(
        "--token-file", type=Path, help="a file with a Hub token; default: VAAS_TOKEN of the environment"
    )


def of(options: argparse.Namespace) -> Client:
    """Return the client that these options mean. Raises Forbidden without a token."""
    token = _token(options.token_file)
    if not token:
        raise Forbidden(f"A token is needed: make one at {_place(options.url)} and put it into {_WHERE}.")
    return Client(options.url, token)


def of_anybody(options: argparse.Namespace) -> Client:
    """Return the client that these options mean; without a token it asks as anybody, and says so."""
    token = _token(options.token_file)
    if not token:
        said = f"Note: asked as anybody. To find what is yours, make a token at {_place(options.url)}"
        print(f"{said} and put it into {_WHERE}.", file=sys.stderr)
    return Client(options.url, token)


def completed(command: str, work: Coroutine[Any, Any, int], *, interrupted: str) -> int:
    """Do it and return its status: 2 where it went wrong, which is said; 130 when it was interrupted, with this."""
    # What libraries write into logs is not for the terminal.
    logging.getLogger("tornado").addHandler(logging.NullHandler())
    try:
        return asyncio.run(work)
    except VaasError as error:
        print(f"vaas {command}: {clean_text(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"vaas {command}: {error.filename or 'The system says'}: {error.strerror or error}.", file=sys.stderr)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 2


def say(text: str, *, error: bool = False) -> None:
    """Print a line: what others wrote is shown to a terminal, and nothing in it may be a command to it."""
    print(clean_text(text), file=sys.stderr if error else sys.stdout, flush=True)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get("VAAS_TOKEN", "")
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Invalid(f"The file of the token, {file}, cannot be read: {why}.") from error


def _place(portal: str) -> str:
    return urljoin(portal, "/hub/token")


def _passes(error: VaasError) -> bool:
    """Tell whether it may be another answer in a while."""
    return isinstance(error, Unavailable) or (isinstance(error, PortalError) and error.status in _NOT_NOW)


class Client:
    """The REST interface as the holder of a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = api_of(url), token
        host = urlsplit(url).hostname or ""
        self._http: Http = internal_http(url) if host else Http()

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the decoded answer; raise what the portal says in its own words."""
        return await self._send(method, path, json.dumps(body).encode() if body is not None else None)

    async def look(self, path: str, *, every: float) -> Any:
        """Return how something goes on; a portal that is being started again is waited for."""
        missed = 0
        while True:
            try:
                return await self.call("GET", path)
            except VaasError as error:
                missed += 1
                if missed == _LOOKS or not _passes(error):
                    raise
            if missed == 1:
                say("The portal does not answer at the moment. It is asked again.", error=True)
            await asyncio.sleep(every)

    async def write(self, store: str, path: str, data: bytes) -> None:
        """Write a new file into a store, with the folders that it is in; one that is there already stays as it is."""
        try:
            await self._send("PUT", f"stores/{store}/files/{quote(path)}?parents=1", data)
        except PortalError as error:
            if error.kind != "Conflict":
                raise

    async def _send(self, method: str, path: str, data: bytes | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"token {self._token}"
        answer = await self._http.request(method, self._url + path, headers=headers, body=data, seconds=300)
        if answer.status >= 400 and not answer.body.startswith(b"{"):
            raise self._not_the_portals(answer.status)
        value = answer.json() if answer.body else None
        if answer.status >= 400:
            raise refusal(answer.status, value)
        return value

    def _not_the_portals(self, status: int) -> VaasError:
        """Return what an answer means that is not in the portal's own words."""
        if status in {401, 403}:
            return Forbidden(
                f"The portal does not accept this token. Make another one at {urljoin(self._url, '/hub/token')}."
            )
        if status >= 500:
            return Unavailable("The portal does not answer at the moment. Try again in a minute.")
        return Invalid(f"There is no portal at {self._url.removesuffix('api/')} ({status}). Check the address.")
