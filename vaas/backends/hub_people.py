"""People's own servers by the Hub's REST API, with what each person lends for one request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from vaas.backends.base import Lent, OwnServer, OwnServers
from vaas.backends.hub import LISTEN, HubApi, as_starting, decoded, failed_words, problem
from vaas.errors import Conflict, Forbidden, Unavailable
from vaas.http import Http, Response

__all__ = ["HubOwnServers"]

#: So often a server that starts is listened to, in seconds, and of so many it is kept what was heard.
_LISTENS_EVERY, _MOST_SAID = 4.0, 1000
#: So often, and after so many seconds, it is tried again to stop one that is about to start or to stop.
_TRIES, _PAUSE = 4, 0.5
_NOT_LENT = (
    "The portal may not do this with your servers. Sign out and in again; "
    "a token needs the Hub's scopes start:servers, delete:servers and read:servers."
)
#: What the Hub calls a start that was called off.
_CALLED_OFF = "Spawn cancelled"


class HubOwnServers(OwnServers):
    """Named servers of people at the Hub's API at ``url`` (".../hub/api")."""

    def __init__(self, url: str, *, http: Http, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._http, self._clock = url, http, clock
        #: Of servers that start: when the Hub was listened to, and what it said. Each time it keeps a stream open until
        #: the start is over.
        self._said: dict[tuple[str, str], tuple[float, list[dict[str, Any]]]] = {}

    async def start(self, lent: Lent, name: str, *, title: str, plan: str) -> None:
        """Ask for the server, and do not wait for it; no-op when it runs or starts."""
        body = {"display_name": title, "user_options": {"plan": plan}}
        answer = await self._ask(lent, "POST", name, body)
        if answer.status < 400:
            return
        now = await self.state(lent, name)
        # It may run by now, or have failed in the meantime: then its state says why.
        if now.phase not in {"stopped", "stopping"}:
            return
        log = f"start of {name}: {answer.status} {answer.body[:300]!r}"
        raise (Conflict if answer.status == 400 else Unavailable)(problem(answer), log_message=log)

    async def state(self, lent: Lent, name: str) -> OwnServer:
        """Return how the server is doing, and why it did not start."""
        answer = await self._ask(lent, "GET", name)
        if answer.status == 404:
            return OwnServer()
        model = _model(answer)
        pending, told = model.get("pending"), _told(model)
        if pending and pending != "stop":
            return as_starting(told, await self._lately(lent, name))
        self._said.pop((lent.user.name, name), None)
        return told if model.get("ready") or pending else _ended(told, await self._events(lent, name, seconds=5.0))

    async def all(self, lent: Lent) -> Mapping[str, OwnServer]:
        """Return how all their servers are doing, by name."""
        path = f"/users/{quote(lent.user.name, safe='')}?include_stopped_servers"
        model = _model(_allowed(await self._api(lent).answer("GET", path)))
        return {name: _told(server) for name, server in (model.get("servers") or {}).items()}

    async def stop(self, lent: Lent, name: str) -> None:
        """Stop the server, also while it starts; no-op when none runs."""
        await self._end(lent, name, None)

    async def remove(self, lent: Lent, name: str) -> None:
        """Stop the server and forget it; no-op when there is none."""
        await self._end(lent, name, {"remove": True})

    async def _end(self, lent: Lent, name: str, body: dict[str, Any] | None) -> None:
        for _ in range(_TRIES):
            answer = await self._ask(lent, "DELETE", name, body)
            if answer.status < 400 or answer.status == 404:
                return
            # Two that stop it at once are in each other's way, and the Hub has no better word for that.
            await asyncio.sleep(_PAUSE)
        raise Unavailable(
            "The server could not be stopped. Try again in a moment.",
            log_message=f"end of {name}: {answer.status} {answer.body[:300]!r}",
        )

    async def _lately(self, lent: Lent, name: str) -> list[dict[str, Any]]:
        """Return what the Hub says of a start, or has said a moment ago."""
        key = lent.user.name, name
        heard, said = self._said.get(key, (float("-inf"), []))
        if self._clock() - heard >= _LISTENS_EVERY:
            said = await self._events(lent, name, seconds=LISTEN)
            self._said = dict([*self._said.items(), (key, (self._clock(), said))][-_MOST_SAID:])
        return said

    async def _events(self, lent: Lent, name: str, *, seconds: float) -> list[dict[str, Any]]:
        return await self._api(lent).progress(_path(lent, name), seconds=seconds)

    async def _ask(self, lent: Lent, method: str, name: str, body: dict[str, Any] | None = None) -> Response:
        return _allowed(await self._api(lent).answer(method, _path(lent, name), body))

    def _api(self, lent: Lent) -> HubApi:
        return HubApi(self._url, lent.token, http=self._http)


def _path(lent: Lent, name: str) -> str:
    return f"/users/{quote(lent.user.name, safe='')}/servers/{quote(name)}"


def _allowed(answer: Response) -> Response:
    if answer.status in {401, 403}:
        raise Forbidden(_NOT_LENT, log_message=f"The Hub refused what a person lent: {answer.body[:300]!r}")
    return answer


def _model(answer: Response) -> Mapping[str, Any]:
    if answer.status >= 400:
        raise Unavailable(problem(answer), log_message=f"A person's servers: {answer.status} {answer.body[:300]!r}")
    model: Mapping[str, Any] = decoded(answer)
    return model


def _told(model: Mapping[str, Any]) -> OwnServer:
    """Return what the Hub's model of a server says; of one that does not run it does not say why."""
    pending = model.get("pending")
    phase = "stopping" if pending == "stop" else "starting" if pending else "ready" if model.get("ready") else "stopped"
    return OwnServer(
        phase, url=str(model.get("full_url") or model.get("url") or ""), used=_moment(model.get("last_activity"))
    )


def _ended(told: OwnServer, events: Sequence[Mapping[str, Any]]) -> OwnServer:
    why = failed_words(events)
    if not why or why == _CALLED_OFF:
        return told
    return replace(told, phase="failed", message=why)


def _moment(said: object) -> datetime | None:
    return datetime.fromisoformat(said) if isinstance(said, str) and said else None
