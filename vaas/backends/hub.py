"""App servers and people by the Hub's REST API, with the portal's own least-privileged token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from vaas.backends.base import Backend, Directory, OwnServer
from vaas.errors import NotFound, Unavailable, VaasError
from vaas.http import Http, Response
from vaas.model import ServerName, ServerState, User
from vaas.slug import is_account

__all__ = ["LISTEN", "HubApi", "HubBackend", "HubDirectory", "as_starting", "decoded", "failed_words", "problem"]

#: What the Hub writes before the words of a spawner.
_HUB_WORDS = re.compile(r"^Spawn failed: (?:[45]\d\d SpawnException(?:\(reason=[\w-]+\))?: )?")
#: What the Hub says of one that started and never answered, with an address that is not for people.
_SILENT = re.compile(r"Server at \S+ didn't respond in|Timeout(?:Error)?$|timed out$", re.IGNORECASE)
#: What is no word for people: exceptions of libraries, paths in quotes, addresses of engines and names of pods.
_TECHNICAL = re.compile(r"Error\b|Exception\b|Errno|\+docker://|['\"]/\w|\bpod \S+/|['\"]\)|0x[0-9a-f]{6}")
#: What somebody wrote into an error of HTTP, as a site's own hook does.
_SAID = re.compile(r"HTTP \d{3}: [^(]*\((.*)\)", re.DOTALL)
_IN_THE_LOG = "It could not be started there. Those who run this site find why in the Hub's log."
#: Seconds between looks at a server that starts: a visitor waits for each; a slow one is not asked so often.
_FIRST_LOOK, _LAST_LOOK = 0.04, 0.5
#: So long is waited for what the Hub says at once of a server that starts: its first words, and the spawner's.
LISTEN, _FIRST_WORDS = 0.4, 2
#: An app that starts is listened to when it has taken so many seconds, as most are up by then, and then so often.
_SLOW, _LISTENS_EVERY = 2.0, 10.0
#: What the Hub itself says of every start, whatever happens.
_NO_NEWS = {"Server requested", "Spawning server..."}
#: What is said of an app that starts while its spawner says nothing.
_STARTS = OwnServer("starting", progress=10, message="Starting the app.")
#: A list that changes while it is read is read anew, so many times.
_TRIES = 5
#: So many bytes of events are read.
_MOST_EVENTS = 100_000
_DOWN = "The Hub does not answer. Try again in a moment."


class HubApi:
    """JSON over the Hub's REST API at ``url`` (".../hub/api"), as the holder of ``token``."""

    def __init__(self, url: str, token: str, *, http: Http) -> None:
        self._url, self._token, self._http = url.rstrip("/"), token, http

    async def answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
        """Return the Hub's answer, whatever it is. Raises Unavailable when there is none."""
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else (b"{}" if method in {"POST", "PUT"} else None)
        try:
            return await self._http.request(method, self._url + path, headers=headers, body=data)
        except VaasError as error:
            raise Unavailable(_DOWN, log_message=f"{method} {path}: {error.log_message}") from error

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the decoded answer, None for an empty one. Raises NotFound for 404, Unavailable for other errors."""
        answer = await self.answer(method, path, body)
        if answer.status == 404:
            raise NotFound("The Hub knows nothing by this name.", log_message=f"{method} {path}: 404")
        if answer.status >= 400:
            raise Unavailable(problem(answer), log_message=f"{method} {path}: {answer.status} {answer.body[:500]!r}")
        return decoded(answer) if answer.body else None

    async def events(self, path: str, *, seconds: float, enough: int = 100) -> list[dict[str, Any]]:
        """Return the events that come within ``seconds``, until there are ``enough``; none for an error status."""
        headers, told = {"Authorization": f"token {self._token}"}, b""
        with contextlib.suppress(VaasError, TimeoutError):
            stream = self._http.stream("GET", self._url + path, headers=headers, max_bytes=_MOST_EVENTS)
            async with asyncio.timeout(seconds), stream as answer:
                async for chunk in answer.chunks():
                    told += chunk if answer.status == 200 else b""
                    if told.count(b"data:") >= enough and told.endswith(b"\n\n"):
                        break
        return list(_events(told.decode(errors="replace")))

    async def progress(self, path: str, *, seconds: float) -> list[dict[str, Any]]:
        """Return what the Hub says first of how the server at ``path`` starts."""
        return await self.events(f"{path}/progress", seconds=seconds, enough=_FIRST_WORDS)

    async def names(self, path: str) -> list[str]:
        """Return the names of all that is listed there, sorted, however many pages that are."""
        for _ in range(_TRIES):
            if (found := await self._names(path)) is not None:
                return sorted(found)
        raise Unavailable(_DOWN, log_message=f"What the Hub lists at {path} changes again and again.")

    async def _names(self, path: str) -> list[str] | None:
        """Return the names; None: something in front of them went meanwhile, and others moved up unseen."""
        found: list[str] = []
        while True:
            # Each page begins with the last name of the one before.
            page = await self._page(path, max(0, len(found) - 1))
            if page[:1] != (found[-1:] or page[:1]):
                return None
            new = page[len(found[-1:]) :] or await self._page(path, len(found))  # a Hub may list one at a time
            if not new:
                return found
            found += new

    async def _page(self, path: str, offset: int) -> list[str]:
        return [each["name"] for each in await self.call("GET", f"{path}?limit=200&offset={offset}") or ()]


def decoded(answer: Response) -> Any:
    """Return what the answer's JSON says. Raises Unavailable for what is none: a page of something in between."""
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise Unavailable(_DOWN, log_message=f"No JSON from {answer.host}: {answer.body[:100]!r}") from error


def problem(answer: Response) -> str:
    """Return in words why the Hub did not do what it was asked to."""
    try:
        message = json.loads(answer.body).get("message", "")
    except (ValueError, AttributeError):
        message = ""
    return f"The Hub refused: {message}" if message and answer.status < 500 else _DOWN


def failed_words(events: Iterable[Mapping[str, Any]]) -> str:
    """Return the spawner's own words on a start that failed, as the Hub's events tell them; "" when they do not."""
    told = [str(event.get("message", "")) for event in events if event.get("failed")]
    if not told:
        return ""
    words = _HUB_WORDS.sub("", told[-1]).strip()
    if not words or _SILENT.match(words):
        return "It did not answer in time."
    if said := _SAID.fullmatch(words):
        words = said[1]
    # An exception that is for people says so; another may be anything.
    return _IN_THE_LOG if "SpawnException" not in told[-1] and _TECHNICAL.search(words) else words[:500]


def as_starting(told: OwnServer, events: Sequence[Mapping[str, Any]]) -> OwnServer:
    """Return a server that starts with how far it is, by the last event that says more than that it does."""
    said = [event for event in events if event.get("message") not in _NO_NEWS]
    last = said[-1] if said else {}
    message, wait = str(last.get("message") or "")[:500], last.get("starts_in")
    queued = last.get("phase") == "queued" or "queue" in message.casefold()
    starts_in = float(wait) if isinstance(wait, int | float) and wait >= 0 else None
    percent = last.get("progress")
    progress = max(0, min(100, int(percent))) if isinstance(percent, int | float) else 0
    phase = "queued" if queued else "starting"
    return replace(told, phase=phase, progress=progress, message=message, starts_in=starts_in)


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # the last one may be cut
            said = json.loads(line.removeprefix("data:")) if line.startswith("data:") else None
            if isinstance(said, dict):
                yield said


class HubBackend(Backend):
    """App servers are named servers of app accounts; ``origin`` gives an account's public origin.

    ``proxy`` is an internal address of the proxy, by which a server that the Hub believes to be ready is
    asked whether it is. A start of which nothing new is said for ``patience`` seconds is given up, but not while it
    waits in a queue: for that the Hub has an end.
    """

    def __init__(
        self, api: HubApi, *, http: Http, origin: Callable[[str], str], proxy: str, patience: float = 90.0
    ) -> None:
        self._api, self._http, self._origin = api, http, origin
        self._proxy, self._patience = proxy.rstrip("/"), patience
        #: Of servers that start: when their spawner is listened to next, and what it said.
        self._said: dict[ServerName, tuple[float, OwnServer]] = {}

    async def start(self, server: ServerName) -> None:
        """Ask for the server and its account, and wait until it answers; no-op when it runs or starts."""
        await self._api.call("PUT", f"/vaas/accounts/{server.account}")
        state = await self.state(server)
        if state.phase == "failed":  # the Hub believes that it runs, but nothing answers
            await self.stop(server)
        if state.phase in {"failed", "stopping"}:
            await self._until(server, {"stopped"})
        if state.phase in {"failed", "stopping", "stopped"}:
            await self._api.call("POST", self._path(server), {})
        final = await self._until(server, {"ready", "stopped"}, queue=True)
        if final.phase != "ready":
            why = await self._why(server)
            raise Unavailable(why or "The app's server did not start.", log_message=f"{server.path} failed: {why}")

    async def state(self, server: ServerName) -> ServerState:
        """Return how the server is doing; "failed" for one that should run and does not answer."""
        try:
            account = await self._api.call("GET", f"/users/{quote(server.account)}")
        except NotFound:
            account = {}
        found = (account.get("servers") or {}).get(server.name) or {}
        if found.get("pending") not in {None, "stop"}:
            return await self._starting(server)
        self._said.pop(server, None)
        if found.get("pending"):
            return ServerState("stopping", 5)
        if not found.get("ready"):
            return ServerState("stopped")
        return await self._answering(server)

    async def stop(self, server: ServerName) -> None:
        """Stop the server; no-op when none runs. The Hub stops none that is still starting, so we wait for it."""
        if (await self.state(server)).phase == "starting":
            await self._until(server, {"ready", "stopped", "failed"})
        try:
            await self._api.call("DELETE", self._path(server))
        except NotFound:
            return

    async def forget(self, account: str) -> None:
        """Stop all servers of the account and remove it; no-op when it does not exist."""
        try:
            await self._api.call("DELETE", f"/vaas/accounts/{account}")
        except NotFound:
            return

    def url(self, server: ServerName) -> str:
        """Return the server's public address."""
        return self._origin(server.account) + server.path

    async def poke(self, server: ServerName, ticket: str) -> None:
        """Make a running server ask the portal again at once; silent when none runs."""
        try:
            await self._ask(server, "POST", "vaas/poke", f"ticket={quote(ticket)}".encode())
        except VaasError:
            return

    async def _starting(self, server: ServerName) -> ServerState:
        """Return how far it is, with the queue's words where it waits in one."""
        now = time.monotonic()
        due, told = self._said.setdefault(server, (now + _SLOW, _STARTS))
        if now >= due:
            self._said[server] = now + _LISTENS_EVERY, told  # others that look meanwhile do not wait for it
            heard = as_starting(_STARTS, await self._api.progress(self._path(server), seconds=LISTEN))
            told = heard if heard.message else _STARTS
            self._said[server] = now + _LISTENS_EVERY, told
        return ServerState("starting", told.progress, told.message)

    async def _why(self, server: ServerName) -> str:
        """Return what the Hub says of a start that failed, or ""."""
        return failed_words(await self._api.events(f"{self._path(server)}/progress", seconds=5.0))

    async def _answering(self, server: ServerName) -> ServerState:
        """Ask the server itself: where nothing listens the proxy says so; silence is only busy."""
        try:
            status = (await self._ask(server, "GET", "api")).status
        except VaasError:
            return ServerState("ready", 100)
        if status == 202:
            return ServerState("starting", 75, "Preparing the page.")
        return ServerState("ready", 100) if status in {200, 204} else ServerState("failed", 20)

    async def _ask(self, server: ServerName, method: str, path: str, body: bytes | None = None) -> Response:
        headers = {"Host": urlsplit(self._origin(server.account)).netloc}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = self._proxy + server.path + path
        return await self._http.request(method, url, headers=headers, body=body, seconds=5.0)

    async def _until(self, server: ServerName, phases: set[str], *, queue: bool = False) -> ServerState:
        """Wait for one of the phases; with ``queue`` for as long as it waits in one. Raises Unavailable."""
        state, pause, told, deadline = await self.state(server), _FIRST_LOOK, "", 0.0
        while state.phase not in phases:
            _, said = self._said.get(server, (0.0, _STARTS))
            if not deadline or (queue and (said.phase == "queued" or state.message != told)):
                told, deadline = state.message, time.monotonic() + self._patience
            if time.monotonic() > deadline:
                raise Unavailable("The app's server takes too long to start. Try again later.")
            await asyncio.sleep(pause)
            pause = min(_LAST_LOOK, 1.1 * pause)
            state = await self.state(server)
        return state

    def _path(self, server: ServerName) -> str:
        return f"/users/{quote(server.account)}/servers/{quote(server.name)}"


class HubDirectory(Directory):
    """People and groups as the Hub knows them, kept for a few seconds."""

    def __init__(self, api: HubApi, *, keep_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._keep, self._clock = api, keep_seconds, clock
        self._known: dict[str, tuple[float, User | None]] = {}

    async def user(self, name: str) -> User | None:
        """Return the person with this name, or None; app accounts are no people."""
        if not name or is_account(name):
            return None
        made, user = self._known.get(name, (float("-inf"), None))
        if self._clock() - made > self._keep:
            user = await self._fetch(name)
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[name] = (self._clock(), user)
        return user

    async def people(self) -> list[str]:
        """Return the names of all people, sorted."""
        return [name for name in await self._api.names("/users") if not is_account(name)]

    async def groups(self) -> list[str]:
        """Return the names of all groups of people, sorted."""
        return [name for name in await self._api.names("/groups") if name != "vaas-apps"]

    async def _fetch(self, name: str) -> User | None:
        try:
            model = await self._api.call("GET", f"/users/{quote(name, safe='')}")
        except NotFound:
            return None
        return User(model["name"], frozenset(model.get("groups") or ()), bool(model.get("admin")))
