"""What app servers ask the portal: what to run, whether their visitors may stay, and what a check found."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from vaas import network, policy
from vaas.content import pack
from vaas.errors import NotFound, Unavailable
from vaas.model import App, Draft, Grant, Isolation, ServerName, Snapshot, Version, Visitor
from vaas.portal.capacity import Capacity, Load
from vaas.portal.core import Core, takes, version_server
from vaas.portal.environments import Environments
from vaas.portal.incidents import Incidents
from vaas.portal.outlines import clean_outline
from vaas.portal.reports import clean_progress, clean_report
from vaas.slug import ACCOUNT_PREFIX
from vaas.tickets import derive_key

__all__ = ["Heartbeat", "Servers", "Visit"]

_log = logging.getLogger("vaas")
#: How many people of one heartbeat the Hub is asked for at a time.
_AT_ONCE = 16
#: The limits that app servers keep themselves.
_LIMITS = (
    "heartbeat",
    "lost_after",
    "visits",
    "cell_seconds",
    "kernel_memory",
    "kernel_processes",
    "server_memory",
    "memory",
    "ahead",
    "spares",
    "warm",
    "template_age",
    "leave_after",
    "kernel_disk",
    "kernel_file",
    "kernel_open_files",
    "kernel_cpu",
    "output",
    "ping",
    "stalled_after",
)


@dataclass(frozen=True)
class Visit:
    """A visit as its server reports it."""

    id: str
    user: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Heartbeat:
    """What an app server says of itself; ``idle_seconds`` since its last open page, 0 while there is one."""

    visits: tuple[Visit, ...]
    idle_seconds: float
    #: How its kernels are kept apart; None when it does not say.
    isolation: Isolation | None = None
    #: Kind and text of what went wrong since the last one.
    incidents: tuple[tuple[str, str], ...] = ()
    load: Load = Load()
    #: How the app opens, as vaas.portal.reports.clean_opens has it; nothing while it is not known.
    opens: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """What a server is there for: a version of an app, or a draft (whose app may not exist yet)."""

    app: App | None
    draft: Draft | None
    snapshot: Snapshot
    current: bool
    #: What the version's check said.
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> tuple[str, ...]:
        """What its owner asked that it may reach."""
        return self.draft.network if self.draft else self.app.network if self.app else ()

    @property
    def knows_visitor(self) -> bool:
        """Whether its code is told who is looking; a draft's as its app's."""
        return self.app is not None and self.app.knows_visitor

    @property
    def speaks(self) -> bool:
        """Whether its kernels may ask as their visitor; a draft's never."""
        return self.app is not None and self.draft is None and self.app.speaks

    @property
    def takes_basket(self) -> bool:
        """Whether its kernels may ask for what their visitor hands over; nobody hands anything to a draft."""
        return self.draft is None and bool(takes(self.report))


class Servers:
    """The portal's side of the talk with app servers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._incidents, self._environments = Incidents(core), Environments(core)
        self._stopping: set[ServerName] = set()
        self._isolation: dict[ServerName, tuple[Isolation, datetime]] = {}
        self._capacity = Capacity(visits=core.limits.site_visits, memory=core.limits.site_memory)

    def manifest(self, server: ServerName, *, public_url: str) -> dict[str, Any]:
        """Return all that the server needs to know. Raises NotFound when nothing is to run there."""
        task = self._task(server)
        limits = self._core.limits
        page = f"{public_url}apps/{task.app.slug}/" if task.app and not task.draft else public_url
        if task.draft:
            page = f"{public_url}drafts/{task.draft.id}/"
        return {
            "server": server.path,
            "app": _about(task),
            "version": "draft" if task.draft else server.name.removeprefix("v"),
            "hash": task.snapshot.hash,
            "notebook": task.snapshot.notebook,
            "files": [asdict(file) for file in task.snapshot.files],
            "ticket_key": base64.urlsafe_b64encode(derive_key(self._core.master_key, server)).decode(),
            "portal": public_url,
            "about": page,
            "launch": f"{page}launch" if task.app and not task.draft else page,
            "open": page if task.draft else f"{public_url}wake/{server.account}",
            "check": {"seconds": limits.check_seconds} if task.draft and task.draft.state != "done" else None,
            "limits": {name: getattr(limits, name) for name in _LIMITS},
            "network": self._network(task),
            "knows_visitor": task.knows_visitor,
            "speaks": task.speaks,
            **self._environments.runs_in(task.snapshot),
            "takes_basket": task.takes_basket,
            # Hosts that the site names may have private addresses; "all" names none.
            "network_trusted": [] if self._core.network == network.ALL else list(self._core.network),
            "picture_sources": list(self._core.picture_sources),
            # What asks as its visitor is in no other site's frame, where a click may be meant for something else.
            "frame_ancestors": [public_url.split("/services/")[0]] if task.draft or task.speaks else self._ancestors,
            **self._share(server, Load()),
        }

    @property
    def _ancestors(self) -> list[str]:
        return list(self._core.frame_ancestors) or ["'none'"]

    def content(self, server: ServerName) -> Iterator[bytes]:
        """Return the files as a tar."""
        return pack(self._core.content, self._task(server).snapshot)

    async def heartbeat(self, server: ServerName, beat: Heartbeat) -> dict[str, Any]:
        """Return which visits must end, what may be reached and known, and whether the server is of no more use.

        Stops idle servers, and keeps what a server says of itself.
        """
        try:
            task = self._task(server)
        except NotFound:
            self._isolation.pop(server, None)
            self._capacity.forget(server)
            gone = [visit.id for visit in beat.visits]
            return {"revoked": gone, "stop": True, "network": [], "knows_visitor": False}
        self._note_isolation(server, beat.isolation)
        if beat.incidents and task.app and not task.draft:
            self._incidents.keep(task.app.id, int(server.name.removeprefix("v")), beat.incidents)
        self._note_opens(task, server, beat.opens)
        revoked = await self._revoked(task, beat.visits)
        if self._is_idle(task, beat) and server not in self._stopping:
            self._stopping.add(server)
            self._core.spawn(self._stop(server))
        told = {"network": self._network(task), "knows_visitor": task.knows_visitor}
        return {"revoked": revoked, "stop": False, **told, **self._share(server, beat.load)}

    def waiting(self, app: App, version: Version) -> int:
        """Return how many visits wait in the version's line, as its server said last."""
        return self._capacity.waiting(version_server(app.id, version))

    def isolation(self) -> dict[ServerName, Isolation]:
        """Return what the servers that live said last about how their kernels are kept apart."""
        since = self._core.now() - timedelta(seconds=self._core.limits.lost_after)
        self._isolation = {server: told for server, told in self._isolation.items() if told[1] >= since}
        return {server: isolation for server, (isolation, _) in self._isolation.items()}

    def checked(
        self, server: ServerName, *, progress: Mapping[str, Any], report: Mapping[str, Any], of: str = ""
    ) -> None:
        """Keep what a check says of itself; a non-empty report ends it.

        ``of`` is the hash of what was checked: where the draft is something else by now, nothing of it counts.
        """
        with self._core.database.begin() as records:
            draft = records.drafts.get(server.name.removeprefix("d"))
            ours = draft is not None and server == ServerName(f"{ACCOUNT_PREFIX}{draft.app_id}", f"d{draft.id}")
            if draft is None or not ours:
                raise NotFound("There is no such draft.")
            if draft.state == "done" or of not in {"", draft.snapshot.hash}:
                return
            kept, found = clean_progress(progress) or draft.progress, clean_report(report)
            records.drafts.save(
                replace(draft, state="done" if found else "running", progress=kept, report=found or draft.report)
            )

    def outlined(self, server: ServerName, said: Mapping[str, Any]) -> None:
        """Keep the outline of the page that the server shows, made of a run that no visitor had a part in.

        One that is empty leaves the last one.
        """
        task = self._task(server)
        if blocks := clean_outline(said):
            self._core.outlines.keep(server.account.removeprefix(ACCOUNT_PREFIX), task.snapshot.hash, blocks)

    def outline(self, server: ServerName) -> list[dict[str, Any]]:
        """Return the outline of the page that the server shows; nothing when there is none."""
        task = self._task(server)
        return self._core.outlines.of(server.account.removeprefix(ACCOUNT_PREFIX), task.snapshot.hash)

    def _note_isolation(self, server: ServerName, told: Isolation | None) -> None:
        if told is None:
            return
        before = self._isolation.get(server)
        if not told.isolated and (before is None or before[0] != told):
            _log.warning("Kernels of %s are not isolated: %s", server.path, told.why or "no reason given.")
        self._isolation[server] = (told, self._core.now())

    def _note_opens(self, task: _Task, server: ServerName, told: Mapping[str, Any]) -> None:
        """Keep how the app opens with what its check said: it is shown when the server sleeps, too."""
        kept = task.draft.report if task.draft else task.report
        if not told or kept.get("opens") == told:
            return
        with self._core.database.begin() as records:
            if task.draft:
                draft = records.drafts.get(task.draft.id)
                if draft is not None and draft.report:
                    records.drafts.save(replace(draft, report={**draft.report, "opens": dict(told)}))
            elif task.app:
                number = int(server.name.removeprefix("v"))
                records.versions.annotate(task.app.id, number, {**kept, "opens": dict(told)})

    def _share(self, server: ServerName, load: Load) -> dict[str, int]:
        return self._capacity.share(server, load, now=self._core.now().timestamp())

    def _network(self, task: _Task) -> list[str]:
        return list(network.within(task.network, self._core.network))

    def _task(self, server: ServerName) -> _Task:
        app_id = server.account.removeprefix(ACCOUNT_PREFIX)
        with self._core.database.begin() as records:
            app = records.apps.by_id(app_id)
            if server.name.startswith("d"):
                draft = records.drafts.get(server.name.removeprefix("d"))
                if draft and draft.app_id == app_id:
                    return _Task(app, draft, draft.snapshot, current=True)
            elif app:
                for version in records.versions.of(app_id):
                    if f"v{version.number}" == server.name:
                        current = version.snapshot.hash == app.version
                        return _Task(app, None, version.snapshot, current, version.report)
        raise NotFound("Nothing is published for this server.")

    async def _revoked(self, task: _Task, visits: Iterable[Visit]) -> list[str]:
        with self._core.database.begin() as records:
            grants = records.grants.of([task.app.id]) if task.app else []
        some = asyncio.Semaphore(_AT_ONCE)

        async def stays(visit: Visit) -> bool:
            async with some:
                return await self._may_stay(task, visit, grants)

        known = list(visits)
        answers = await asyncio.gather(*(stays(visit) for visit in known))
        return [visit.id for visit, stay in zip(known, answers, strict=True) if not stay]

    async def _may_stay(self, task: _Task, visit: Visit, grants: list[Grant]) -> bool:
        if task.draft:
            return visit.user == task.draft.owner
        assert task.app is not None
        user = await self._core.directory.user(visit.user) if visit.user else None
        if visit.user and user is None:
            return False
        visitor = Visitor(user, frozenset(visit.links))
        return policy.decide(visitor, "open", task.app, grants, now=self._core.now()).allowed

    def _is_idle(self, task: _Task, beat: Heartbeat) -> bool:
        limits = self._core.limits
        patience = limits.idle_after if task.current else limits.superseded_after
        checking = task.draft is not None and task.draft.state != "done"
        return not checking and beat.idle_seconds >= patience

    async def _stop(self, server: ServerName) -> None:
        try:
            await self._core.backend.stop(server)
            self._capacity.forget(server)
        except Unavailable:
            pass  # the next heartbeat tries again
        finally:
            self._stopping.discard(server)


def _about(task: _Task) -> dict[str, str]:
    if task.app:
        app = task.app
        return {
            "id": app.id,
            "slug": app.slug,
            "title": task.draft.title if task.draft else app.title,
            "owner": app.owner,
            "description": app.description,
        }
    assert task.draft is not None
    draft = task.draft
    return {"id": draft.app_id, "slug": "", "title": draft.title, "owner": draft.owner, "description": ""}
