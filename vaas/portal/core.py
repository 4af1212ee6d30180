"""What every verb stands on: the ports, the clock, and the one way to an app past the policy."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from vaas import policy
from vaas.backends.base import Backend, Directory, OwnServers
from vaas.content import Content
from vaas.db.base import Database, Records
from vaas.environments.base import Maker
from vaas.errors import Invalid, NotFound, VaasError
from vaas.keeping import Handed
from vaas.launching import Environment, Offering
from vaas.locks import Lock
from vaas.model import App, ServerName, User, Version, Visitor
from vaas.network import ALL, within
from vaas.portal.outlines import Outlines
from vaas.served import APPS
from vaas.slug import account_of
from vaas.stores.base import Store, StoreSource
from vaas.tickets import Ticket, derive_key, derive_proof_key, sign

__all__ = ["Core", "Limits", "Seen", "takes", "terms", "version_server"]

_log = logging.getLogger("vaas")
_SILENT = "Its batch system does not answer at the moment. What runs there goes on, and what is started waits."
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Limits:
    """What a site allows. Times are in seconds, sizes in bytes."""

    check_seconds: int = 300
    cell_seconds: int = 600
    idle_after: int = 600
    superseded_after: int = 15
    lost_after: int = 60
    heartbeat: int = 5
    ticket_seconds: int = 30
    #: For how long a visit of the portal's own app may ask as its visitor.
    proof_seconds: int = 86_400
    visits: int = 200
    notebook_bytes: int = 50_000_000
    file_bytes: int = 500_000_000
    draft_bytes: int = 1_000_000_000
    draft_files: int = 2_000
    draft_hours: int = 72
    drafts_each: int = 50
    checks_each: int = 4
    #: What one person keeps of searching, and how many of their requests for access may be open at once.
    basket_things: int = 500
    baskets_each: int = 50
    basket_subjects: int = 50
    #: How many bytes of a basket that it was handed one visit of an app may read.
    basket_read: int = 2_000_000_000
    searches_each: int = 50
    requests_each: int = 20
    #: How many launches one person keeps, stopped ones too, and how many of them may run at once.
    launches_each: int = 50
    running_each: int = 5
    cover_bytes: int = 3_000_000
    #: Of one kernel with all its processes.
    kernel_memory: int = 2_000_000_000
    kernel_processes: int = 256
    server_memory: int = 4_000_000_000
    #: Of all kernels of one app's server together, and of those of the whole site; 0: as much as there is.
    memory: int = 0
    site_memory: int = 0
    #: Open pages of all apps together; 0: as many as the apps may have.
    site_visits: int = 0
    #: Whether notebooks run ahead of visits (1) or for each of them (0); how many forks of such a run are kept ready,
    #: and how many kernels where there can be no forks.
    ahead: int = 1
    spares: int = 3
    warm: int = 2
    #: After how many seconds a notebook is run again for new visits; 0: only when its version or its data change.
    template_age: int = 3600
    #: For how many seconds a page that was left is kept for its return.
    leave_after: int = 5
    #: Of its temporary folder, and of any one file.
    kernel_disk: int = 500_000_000
    kernel_file: int = 500_000_000
    kernel_open_files: int = 1024
    #: Computing time of one process.
    kernel_cpu: int = 3600
    #: Of the environment that a notebook asks for: how long it may take to be made, and how large it may be.
    environment_seconds: int = 600
    environment_bytes: int = 8_000_000_000
    #: Of those that no version uses: how many bytes are kept, with what was fetched, and for how many days.
    environments_bytes: int = 20_000_000_000
    environment_days: int = 30
    #: Runs: how many at once on this machine and of each person anywhere; how many wait of each; how many that are over
    #: are listed, whose results stay in the store whatever the list says; rows of one series.
    runs: int = 4
    runs_each: int = 2
    runs_queued: int = 500
    runs_kept: int = 1_000
    series_runs: int = 200
    #: E-mails that tell of one person's runs in a day: whom they are sent to may not have asked.
    emails_each: int = 50
    #: How long one may take where its size does not say, how many bytes of data are brought for it, and how many it
    #: writes; for how many days results that cannot be put into a store are kept.
    run_seconds: int = 86_400
    run_data: int = 5_000_000_000
    run_disk: int = 10_000_000_000
    run_days: int = 14
    #: Schedules of each person, the days after which they end at the latest, and the seconds between two of its times.
    schedules_each: int = 20
    schedule_days: int = 366
    schedule_every: int = 300
    #: What one page may put out while it is prepared.
    output: int = 50_000_000
    #: Between two pings of a websocket, so that no proxy on the way takes it for dead.
    ping: int = 20
    #: After how long without a word a page that is being prepared counts as stalled.
    stalled_after: int = 20
    #: How long one look into an environment may take.
    probe_seconds: int = 30


@dataclass(frozen=True)
class Seen:
    """An app as one visitor sees it: how much they may do, and why."""

    app: App
    access: int
    reason: str


def _now() -> datetime:
    return datetime.now(UTC)


async def _known() -> None:
    """Wait for nothing: what all apps share is known, or will not be."""


async def _nothing_elsewhere(_catalog: str, _record: str, _visitor: Visitor) -> Store:
    """Tell that there are no catalogs of other sites."""
    raise NotFound("There is no such catalog here.")


async def _no_poke(_server: ServerName, _ticket: str) -> None:
    """Tell nobody: the app server asks by itself within its heartbeat."""


@dataclass
class Core:
    """The ports and settings that the verbs share."""

    database: Database
    content: Content
    outlines: Outlines
    backend: Backend
    directory: Directory
    stores: StoreSource
    master_key: bytes = field(repr=False)
    limits: Limits = Limits()
    #: The portal's own address, with a slash at its end, for those to whom it is told where something is.
    public_url: str = ""
    #: Where apps may load pictures from, as a content security policy writes it; maps need their tiles.
    picture_sources: tuple[str, ...] = ("https:",)
    #: Which other sites may show apps in a frame, by origin.
    frame_ancestors: tuple[str, ...] = ()
    #: The most that any app may reach, as vaas.network writes it.
    network: tuple[str, ...] = ALL
    #: Where people may launch and run what, and with which environments.
    offering: Offering = Offering()
    #: Tells of a kind of facilities whether what runs jobs there did not answer when it was asked last.
    silent: Callable[[str], bool] = lambda _kind: False
    #: What all apps share, as far as that is known by now, and how it is made again, if it can be.
    common: Environment = Environment(APPS, "As in apps", "python", "")
    common_lock: Lock | None = None
    #: Returns when that is known.
    look_at_common: Callable[[], Coroutine[None, None, None]] = _known
    #: Makes the environments that notebooks ask for; None: this site makes none.
    maker: Maker | None = None
    #: Where people's own servers run; None: nobody has any.
    own_servers: OwnServers | None = None
    #: Returns what a plan names of a person's files: the folder of their home, and the shared folders that they see.
    folders: Callable[[User], tuple[str, tuple[str, ...]]] = lambda _user: ("", ())
    now: Callable[[], datetime] = _now
    #: Tells an app server to ask again at once; takes its name and a ticket for "poke".
    poke: Callable[[ServerName, str], Coroutine[None, None, None]] = _no_poke
    #: Hears of what is written into a store of that person through the portal: the store's id, and the path.
    written: Callable[[User, str, str], None] = lambda _user, _store, _path: None
    #: Returns what holds the files of a record of another site's catalog: its id, the record's, and for whom.
    files_elsewhere: Callable[[str, str, Visitor], Coroutine[None, None, Store]] = _nothing_elsewhere
    #: Returns the last lines that a server wrote, for those who may read its log; "" where logs are elsewhere.
    log_of: Callable[[ServerName], str] = lambda _server: ""
    tasks: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    @property
    def offered(self) -> Offering:
        """The offering with what is known at this moment of the places: why some are silent."""
        if not any(self.silent(each.kind) for each in self.offering.facilities):
            return self.offering
        facilities = tuple(
            replace(each, silent=_SILENT) if self.silent(each.kind) else each for each in self.offering.facilities
        )
        return replace(self.offering, facilities=facilities)

    def see(self, visitor: Visitor, slug: str, action: str = "see") -> Seen:
        """Return the app if the visitor may do ``action`` with it; raises as vaas.policy.require does."""
        with self.database.begin() as records:
            return self.see_in(records, visitor, slug, action)

    def version(self, app: App, content: str = "") -> Version | None:
        """Return the app's version with this content, by its hash; by default the one that new visitors get."""
        with self.database.begin() as records:
            versions = records.versions.of(app.id)
        return next((each for each in versions if each.snapshot.hash == (content or app.version)), None)

    def see_in(self, records: Records, visitor: Visitor, slug: str, action: str) -> Seen:
        """Do the same inside a transaction that is open already."""
        app = records.apps.get(slug)
        # Asked for an app that there is not, too: a stranger's answer about a hidden one must not take longer.
        grants = records.grants.of([app.id if app else ""])
        decision = policy.require(visitor, action, app, grants, now=self.now())
        assert app is not None
        return Seen(app, decision.access, decision.reason)

    def check_network(self, network: tuple[str, ...]) -> tuple[str, ...]:
        """Return what an owner asks to reach. Raises Invalid for a host that the site lets no app reach."""
        closed = [entry for entry in network if network != ALL and not within((entry,), self.network)]
        if closed:
            raise Invalid(
                f"This site lets no app reach {', '.join(closed[:3])}. Leave it out, or ask the people who run it.",
                field="network",
            )
        return network

    def store(self, user: User, store_id: str) -> Store:
        """Return the person's store. Raises NotFound."""
        found = next((store for store in self.stores.of(user) if store.id == store_id), None)
        if found is None:
            raise NotFound("You have no such place for files.")
        return found

    def new_id(self, length: int = 12) -> str:
        """Return a random id of small letters and digits."""
        return "".join(secrets.choice(_ID_LETTERS) for _ in range(length))

    def ticket(
        self,
        server: ServerName,
        visitor: Visitor,
        *,
        purpose: str,
        access: int,
        seconds: int = 0,
        known: bool = False,
        speaks: bool = False,
        launches: bool = False,
        handed: Handed | None = None,
    ) -> str:
        """Return a signed ticket for that server, good for ``seconds`` (0: what the site says).

        ``known`` lets its app know the visitor's name and groups, ``speaks`` lets it ask as them, and ``handed`` for
        these things of theirs alone; ``launches`` lets its server keep something for their launch.
        """
        expires = self.now().timestamp() + (seconds or self.limits.ticket_seconds)
        links = tuple(sorted(visitor.links))
        groups = tuple(sorted(visitor.user.groups)) if known and visitor.user else ()
        nonce = secrets.token_urlsafe(12)
        proof = self._proof(server, visitor, handed=None if speaks else handed) if speaks or handed else ""
        ticket = Ticket(purpose, server.path, visitor.name, links, access, nonce, expires, known, groups, proof)
        if launches and visitor.user and ticket.may_read:
            ticket = replace(ticket, launch=self._proof(server, visitor, purpose="launch"))
        return sign(ticket, key=derive_key(self.master_key, server))

    def _proof(
        self, server: ServerName, visitor: Visitor, *, purpose: str = "ask", handed: Handed | None = None
    ) -> str:
        """Return what tells us again who came. Servers know the keys of their tickets, and could make those."""
        expires = self.now().timestamp() + self.limits.proof_seconds
        links, nonce = tuple(sorted(visitor.links)), secrets.token_urlsafe(12)
        if handed and not handed.basket:
            raise Invalid("This is no basket.")  # a proof without one would be good for everything
        proof = Ticket(purpose, server.path, visitor.name, links, 0, nonce, expires)
        if handed:
            proof = replace(proof, basket=handed.basket, things=handed.things, terms=handed.terms)
        return sign(proof, key=derive_proof_key(self.master_key, server))

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work`` in the background; what goes wrong is logged, never lost."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    async def close(self) -> None:
        """End what runs in the background."""
        left = list(self.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            if isinstance(error, VaasError):  # we have words for it
                _log.error("Background work failed: %s", error.log_message)
            else:
                _log.error("Background work failed: %s", error, exc_info=error)

    def poke_app(self, app: App) -> None:
        """Make the app's running servers ask again who may stay."""
        with self.database.begin() as records:
            versions = records.versions.of(app.id)
        for version in versions[:5]:
            server = version_server(app.id, version)
            self.spawn(self.poke(server, self.ticket(server, Visitor(), purpose="poke", access=0)))


def takes(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the app of a version with this report works on when it is handed to it: "basket", or nothing."""
    return ("basket",) if "basket" in report.get("takes", ()) else ()


def terms(app: App, site: tuple[str, ...]) -> str:
    """Return what becomes another one when the app may reach or know something else: where what it reads can go."""
    said = [sorted(within(app.network, site)), app.knows_visitor]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def version_server(app_id: str, version: Version) -> ServerName:
    """Return the server that runs this version: one each, so that visitors keep theirs."""
    return ServerName(account_of(app_id), f"v{version.number}")
