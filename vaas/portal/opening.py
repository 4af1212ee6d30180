"""Opening an app: policy, a running server, and a ticket for it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

from vaas.errors import Conflict, NotFound, VaasError
from vaas.events import happens
from vaas.keeping import Handed
from vaas.model import App, Draft, ServerName, Snapshot, Version, Visitor
from vaas.policy import ACTIONS, OWNER
from vaas.portal.core import Core, terms, version_server
from vaas.portal.environments import Environments
from vaas.slug import ACCOUNT_PREFIX, account_of

__all__ = ["Opening", "Progress"]

_log = logging.getLogger("vaas")


@dataclass(frozen=True)
class Progress:
    """How far an opening is; ``ticket`` and ``action`` are set when it is ready, ``error`` when it failed."""

    app: App
    phase: str
    progress: int = 0
    message: str = ""
    action: str = ""
    ticket: str = field(default="", repr=False)
    error: str = ""
    #: The end of the server's log, for those who may read it.
    detail: str = ""


#: A draft's page lies open while its author reads the report; only they can use its ticket.
_PREVIEW_SECONDS = 1800
#: The page that a visitor looks at meanwhile comes first (seconds): two that start share the processor.
_HEAD_START = 0.06
_OTHERWISE = "The app has changed meanwhile. Nothing was handed over."
_MESSAGES = {
    "starting": "Starting the app. It was asleep because nobody used it.",
    "stopping": "The app is just going to sleep; it is woken in a moment.",
    "stopped": "Waking the app.",
}


class Opening:
    """The one door to an app."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: What the Hub said of each failure; it may quote the app's log, so that it is for those who may read that.
        self._failed: dict[ServerName, str] = {}
        self._environments = Environments(core)
        #: What is done of an environment that has to be made again before its server starts.
        self._making: dict[ServerName, str] = {}
        #: Those that are being started, each with what tells that its start is over.
        self._starting: dict[ServerName, asyncio.Event] = {}

    async def begin(self, visitor: Visitor, slug: str, *, handed: Handed | None = None) -> Progress:
        """Start the app's server unless it runs, and return how far it is; forgets an earlier failure.

        ``handed`` is what the visitor said yes to. Raises Conflict when the app is not what they said it to any more.
        """
        app, server, access = self._find(visitor, slug, handed)
        self._failed.pop(server, None)
        return await self._progress(app, server, visitor, access, handed=handed)

    async def progress(self, visitor: Visitor, slug: str, *, handed: Handed | None = None) -> Progress:
        """Return how far the opening is; after a failure it stays failed until somebody begins anew."""
        app, server, access = self._find(visitor, slug, handed)
        return await self._progress(app, server, visitor, access, handed=handed)

    async def look(self, visitor: Visitor, slug: str) -> Progress:
        """Return how far it is without starting anything."""
        app, server, access = self._find(visitor, slug)
        return await self._progress(app, server, visitor, access, start=False)

    async def pause(self, visitor: Visitor, slug: str, seconds: float) -> None:
        """Wait until there may be news of the opening: its start is over, or ``seconds`` have passed."""
        _, server, _ = self._find(visitor, slug)
        over = self._starting.get(server, asyncio.Event())
        await happens(over, seconds=seconds)

    def outline(self, visitor: Visitor, slug: str) -> list[dict[str, Any]]:
        """Return the outline of the app's page, for those who may open it; nothing when there is none yet.

        It is content: it shows what the page shows.
        """
        app = self._core.see(visitor, slug, "open").app
        return self._core.outlines.of(app.id, app.version)

    async def running(self, app: App) -> str:
        """Return the phase of the server that new visitors get."""
        return (await self._core.backend.state(self._server(app))).phase

    def app_of(self, visitor: Visitor, account: str) -> App:
        """Return the app whose servers run under this account. Raises NotFound, for hidden ones too."""
        with self._core.database.begin() as records:
            app = records.apps.by_id(account.removeprefix(ACCOUNT_PREFIX))
        return self._core.see(visitor, app.slug if app else "", "open").app

    def log(self, visitor: Visitor, slug: str) -> str:
        """Return the last lines that the current version's server wrote; for WRITE."""
        app = self._core.see(visitor, slug, "read log").app
        return self._core.log_of(self._server(app))

    async def preview(self, draft: Draft, visitor: Visitor) -> tuple[str, str]:
        """Return the address to post to and a ticket for the draft's own server; empty while it is not up."""
        server = draft_server(draft)
        if (await self._core.backend.state(server)).phase != "ready":
            return "", ""
        with self._core.database.begin() as records:
            app = records.apps.by_id(draft.app_id)
        known = app is not None and app.knows_visitor
        ticket = self._core.ticket(
            server, visitor, purpose="visit", access=OWNER, seconds=_PREVIEW_SECONDS, known=known
        )
        return self._core.backend.url(server) + "visit", ticket

    def _find(self, visitor: Visitor, slug: str, handed: Handed | None = None) -> tuple[App, ServerName, int]:
        seen = self._core.see(visitor, slug, "open")
        # A version that was published since is other code: nobody said yes to that.
        to = (handed.app, handed.version, handed.terms) if handed else None
        if to and to != (seen.app.id, seen.app.version, terms(seen.app, self._core.network)):
            raise Conflict(_OTHERWISE)
        return seen.app, self._server(seen.app), seen.access

    def _server(self, app: App) -> ServerName:
        return version_server(app.id, self._current(app))

    def _current(self, app: App) -> Version:
        current = self._core.version(app)
        if current is None:
            raise NotFound("This app has no version to open. Its owner can publish one.")
        return current

    async def _progress(
        self,
        app: App,
        server: ServerName,
        visitor: Visitor,
        access: int,
        *,
        start: bool = True,
        handed: Handed | None = None,
    ) -> Progress:
        state = await self._core.backend.state(server)
        if server in self._failed:  # looked up last: a start can fail while we ask
            reads = access >= ACTIONS["read log"]
            detail = "\n".join([self._failed[server], self._core.log_of(server)]).strip() if reads else ""
            return Progress(app, "failed", error="The app could not be started.", detail=detail)
        if state.phase == "ready":
            says = {"known": app.knows_visitor, "speaks": app.speaks, "launches": True}
            ticket = self._core.ticket(server, visitor, purpose="visit", access=access, handed=handed, **says)
            return Progress(app, "ready", 100, "Ready.", self._core.backend.url(server) + "visit", ticket)
        if not start and server not in self._starting and state.phase in {"stopped", "failed"}:
            return Progress(app, "stopped", message="The app sleeps.")
        if state.phase in {"stopped", "failed"} and server not in self._starting:
            self._starting[server] = asyncio.Event()
            self._core.spawn(self._start(server, self._current(app).snapshot))
        message = self._making.get(server) or state.message or _MESSAGES.get(state.phase, _MESSAGES["starting"])
        return Progress(app, "starting", state.progress, message)

    async def _start(self, server: ServerName, snapshot: Snapshot) -> None:
        def told(step: str) -> None:
            self._making[server] = f"Making the app’s environment again: {step}."

        try:
            await asyncio.sleep(_HEAD_START)
            await self._environments.ready(snapshot, told=told)
            self._making.pop(server, None)
            await self._core.backend.start(server)
        except VaasError as error:
            self._failed[server] = error.message
            _log.error("The app server %s did not start: %s", server.path, error.log_message)
        finally:
            self._making.pop(server, None)
            self._starting.pop(server).set()


def draft_server(draft: Draft) -> ServerName:
    """Return the server that checks and previews this draft."""
    return ServerName(account_of(draft.app_id), f"d{draft.id}")
