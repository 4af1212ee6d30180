"""Talk to the portal: manifest, content, heartbeats, the check's report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import IO, Any
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from vaas.errors import Forbidden, Unavailable
from vaas.patience import SERVER
from vaas.runtime.manifest import Manifest, share
from vaas.runtime.outline import Outline
from vaas.runtime.sandbox import Isolation
from vaas.wires import Wires, connections_to

__all__ = ["Answer", "PortalClient"]

_MOST_CONTENT = 1 << 36
#: What the portal may answer to a visit's question, in bytes; how many are asked at once, of which some may
#: wait seconds for catalogs elsewhere; and how many connections are kept.
_MOST_ANSWER, _QUESTIONS, _KEPT = 4_000_000, 128, 32
_REFUSED = frozenset({401, 403, 404})
_LATER = "The portal cannot answer at the moment. Please try again."


@dataclass(frozen=True)
class Answer:
    """What a heartbeat is answered: the visits to end, whether to stop, what kernels may reach (None: as before),
    whether the notebook's code may be told who is looking, and this server's share of what the site may."""

    revoked: tuple[str, ...]
    stop: bool
    network: tuple[str, ...] | None
    knows_visitor: bool
    site_visits: int | None
    site_memory: int | None


class PortalClient:
    """The portal's runtime API, for the server whose token this is.

    Every method raises Forbidden when the portal does not know the token, and Unavailable when it does not answer.
    """

    def __init__(self, url: str, *, token: str) -> None:
        self._url = url.rstrip("/") + "/api/runtime/"
        self._headers = {"Authorization": f"token {token}", "Accept": "application/json"}
        # An instance of its own: the shared one belongs to whoever configures it first.
        self._http: AsyncHTTPClient = SimpleAsyncHTTPClient(force_instance=True, max_body_size=_MOST_CONTENT)
        # Questions of visits go by connections that stay open, as tornado's client has none: to open one costs more
        # than most answers. And nothing that is needed to stay waits behind them.
        parts = urlsplit(self._url)
        connect = connections_to(parts.scheme, parts.hostname or "", parts.port, seconds=SERVER)
        self._wires = Wires(connect, kept=_KEPT, most=_MOST_ANSWER)
        self._threads = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="questions")

    async def manifest(self) -> Manifest:
        """Fetch what this server is to serve."""
        response = await self._fetch(self._request("manifest"))
        return Manifest.from_json(json.loads(response.body))

    async def content(self, into: IO[bytes]) -> None:
        """Write the tar with the version's files into an open file."""
        await self._fetch(self._request("content", timeout=600, into=into))

    async def heartbeat(
        self,
        *,
        visits: list[dict[str, object]],
        idle_seconds: float,
        incidents: list[dict[str, str]],
        isolation: Isolation,
        load: Mapping[str, int],
        opens: Mapping[str, object],
    ) -> Answer:
        """Say who is in and how many wait, what went wrong, whether kernels are isolated, and how the app opens."""
        body = {
            "visits": visits,
            "idle_seconds": round(idle_seconds, 1),
            "incidents": incidents,
            "isolation": asdict(isolation),
            "load": dict(load),
            "opens": dict(opens),
        }
        response = await self._fetch(self._request("heartbeat", body=body, timeout=10))
        answer = json.loads(response.body)
        network = tuple(answer["network"]) if "network" in answer else None
        knows = answer.get("knows_visitor") is True
        shares = share(answer, "site_visits"), share(answer, "site_memory")
        return Answer(tuple(answer.get("revoked", ())), bool(answer.get("stop")), network, knows, *shares)

    async def check(self, body: Mapping[str, Any], *, of: str) -> None:
        """Hand over progress of the check or its report; ``of`` is the hash of what is checked."""
        await self._fetch(self._request("check", body={**body, "hash": of}, timeout=60))

    async def outline(self, outline: Outline) -> None:
        """Hand over what the page shows, for those who wait for it; of a run that no visitor had a part in."""
        await self._fetch(self._request("outline", body=outline.to_json(), timeout=20))

    async def picture(self) -> str:
        """Fetch how the page looked last, as a piece of HTML without scripts; "" when the portal has none."""
        response = await self._fetch(self._request("picture", timeout=3))
        return response.body.decode(errors="replace")

    async def give(self, proof: str, given: Mapping[str, Any]) -> str:
        """Have something kept for the launch of the visitor whom the portal gave this proof; return its id."""
        response = await self._fetch(self._request("given", body={"proof": proof, "given": dict(given)}, timeout=5))
        return str(json.loads(response.body)["id"])

    async def ask(self, proof: str, verb: str, args: Mapping[str, Any]) -> tuple[int, bytes]:
        """Ask as the visitor whom the portal gave this proof; return status and answer, both as the portal says them.

        Raises Unavailable alone: what else is wrong is in the answer.
        """
        body = json.dumps({"proof": proof, "verb": verb, "args": dict(args)}).encode()
        headers = self._headers | {"Content-Type": "application/json"}
        ask = partial(self._wires.exchange, "POST", urlsplit(self._url).path + "ask", headers=headers, body=body)
        try:
            async with asyncio.timeout(SERVER):
                reply = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise Unavailable(_LATER, log_message=f"The portal cannot be asked: {error!r}") from error
        if not reply.kind.startswith("application/json") or len(reply.body) > _MOST_ANSWER:
            raise Unavailable(_LATER, log_message=f"The portal's answer ({reply.status}) cannot be handed on.")
        return reply.status, reply.body

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._wires.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _request(
        self, path: str, *, body: Mapping[str, Any] | None = None, timeout: float = 20, into: IO[bytes] | None = None
    ) -> HTTPRequest:
        return HTTPRequest(
            self._url + path,
            method="GET" if body is None else "POST",
            headers=self._headers | ({} if body is None else {"Content-Type": "application/json"}),
            body=None if body is None else json.dumps(body),
            connect_timeout=min(5.0, timeout),
            request_timeout=timeout,
            follow_redirects=False,
            streaming_callback=None if into is None else _writer(into),
        )

    async def _fetch(self, request: HTTPRequest) -> HTTPResponse:
        try:
            return await self._http.fetch(request)
        except HTTPClientError as error:
            if error.code in _REFUSED:
                raise Forbidden("The portal does not know this server.", log_message=str(error)) from error
            raise Unavailable("The portal does not answer as it should.", log_message=str(error)) from error
        except (OSError, ValueError) as error:
            raise Unavailable("The portal cannot be reached.", log_message=str(error)) from error


def _writer(into: IO[bytes]) -> Any:
    def write(chunk: bytes) -> None:
        into.write(chunk)

    return write
