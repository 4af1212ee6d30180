"""A whole portal in one folder: real database, real files, and small real servers and people."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.notebooks import markdown, notebook
from vaas.backends.base import Backend, Directory
from vaas.content import Content
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase
from vaas.errors import Unavailable
from vaas.model import App, Draft, ServerName, ServerState, StoreAccount, User, Visitor
from vaas.portal import Core, Limits, Portal, Publication
from vaas.portal.opening import draft_server
from vaas.portal.outlines import Outlines
from vaas.stores.base import Place, Store, StoreSource
from vaas.stores.folder import FolderStore

__all__ = [
    "ADA",
    "BOB",
    "EVE",
    "NOBODY",
    "OK",
    "PUBLIC_URL",
    "ROOT",
    "Clock",
    "Homes",
    "Machines",
    "People",
    "World",
    "made",
]

ADA = User("ada", frozenset({"physics"}))
BOB = User("bob", frozenset({"physics"}))
EVE = User("eve")
ROOT = User("root", admin=True)
NOBODY = Visitor()
PUBLIC_URL = "http://vaas.localhost/services/vaas/"
#: The report of a check that went well.
OK: Mapping[str, Any] = {"ok": True, "errors": [], "problems": [], "seconds": 1.0}


class Clock:
    """The time, which moves on only when a test says so."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **by: float) -> None:
        """Move on, by what timedelta takes."""
        self.time += timedelta(**by)


class Machines(Backend):
    """Servers that are up as soon as they are started, but for the ``broken`` ones and while ``held``."""

    def __init__(self) -> None:
        self.phases: dict[ServerName, str] = {}
        self.broken: set[ServerName] = set()
        self.all_broken = False
        self.go = asyncio.Event()
        self.go.set()
        self.starts: list[ServerName] = []
        self.stops: list[ServerName] = []
        self.forgotten: list[str] = []

    async def start(self, server: ServerName) -> None:
        self.starts.append(server)
        if self.phases.get(server) == "ready":
            return
        self.phases[server] = "starting"
        await self.go.wait()
        if server in self.broken or self.all_broken:
            self.phases[server] = "stopped"
            raise Unavailable("The app could not be started: no more memory.")
        self.phases[server] = "ready"

    async def state(self, server: ServerName) -> ServerState:
        await asyncio.sleep(0)
        return ServerState(self.phases.get(server, "stopped"))

    async def stop(self, server: ServerName) -> None:
        self.stops.append(server)
        self.phases.pop(server, None)

    async def forget(self, account: str) -> None:
        self.forgotten.append(account)
        self.phases = {server: phase for server, phase in self.phases.items() if server.account != account}

    def url(self, server: ServerName) -> str:
        return f"http://{server.account}.vaas.localhost{server.path}"


class People(Directory):
    """Who there is, by name; ``down`` says that the Hub does not answer."""

    def __init__(self, *people: User) -> None:
        self.known = {person.name: person for person in people}
        self.down = False

    async def user(self, name: str) -> User | None:
        if self.down:
            raise Unavailable("The Hub does not answer.")
        await asyncio.sleep(0)
        return self.known.get(name)

    async def people(self) -> list[str]:
        return sorted(self.known)

    async def groups(self) -> list[str]:
        return sorted({group for person in self.known.values() for group in person.groups})


class Homes(StoreSource):
    """A folder of their own for each person, and nothing to connect."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, user: User) -> list[Store]:
        home = self.root / user.name
        home.mkdir(parents=True, exist_ok=True)
        return [FolderStore("home", "Home", home)]

    def accounts(self, user: User) -> list[StoreAccount]:
        return []

    async def connect(self, user: User, *, title: str, url: str, username: str, password: str) -> StoreAccount:
        raise Unavailable("No accounts can be connected here.")

    def disconnect(self, user: User, account_id: str) -> None:
        return None

    def places(self, user: User | None = None, *, elsewhere: bool = True) -> list[Place]:
        names = [user.name] if user else sorted(path.name for path in self.root.glob("*"))
        stores = ((name, FolderStore("home", "Home", self.root / name)) for name in names)
        return [Place(f"home-{name}", store, frozenset({f"user:{name}"}), name) for name, store in stores]

    def owned(self, people: Collection[str]) -> frozenset[str]:
        return frozenset(f"home-{name}" for name in people)


@dataclass
class World:
    """A portal and what it stands on, with the shortest words for what tests do over and over."""

    core: Core
    machines: Machines
    people: People
    clock: Clock
    homes: Path
    #: Which servers were poked.
    poked: list[ServerName] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.portal = Portal(self.core)

        async def poke(server: ServerName, _ticket: str) -> None:
            self.poked.append(server)

        self.core.poke = poke

    def put(self, user: User, path: str, data: bytes | str) -> None:
        """Put a file into the person's home."""
        target = self.homes / user.name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)

    def limit(self, **changed: int) -> None:
        """Change limits of the site."""
        self.core.limits = replace(self.core.limits, **changed)

    async def settle(self) -> None:
        """Wait until nothing runs in the background; what fails there is the test's to look for."""
        while self.core.tasks:
            await asyncio.gather(*self.core.tasks, return_exceptions=True)

    def report(self, draft: Draft, report: Mapping[str, Any] = OK) -> None:
        """Let the draft's server say how its check went."""
        self.portal.servers.checked(draft_server(draft), progress={}, report=report)

    def uploaded(self, user: User, *cells: Any, slug: str = "", **files: bytes) -> Draft:
        """Make a checked draft of a notebook with these cells, and of files whose names end with _csv."""
        sent = {name.replace("_csv", ".csv"): data for name, data in files.items()}
        sent["lesson.ipynb"] = notebook(*(cells or (markdown("# Waves"), "x = 1")))
        draft = self.portal.drafts.begin_upload(user, sent, slug=slug)
        self.report(draft)
        return draft

    async def published(self, user: User, *cells: Any, to: tuple[str, ...] = (), **said: Any) -> App:
        """Publish a notebook with these cells; ``slug_of`` names the app that gets a new version."""
        draft = self.uploaded(user, *cells, slug=said.pop("slug_of", ""))
        app, _ = self.portal.drafts.publish(user, draft.id, Publication(subjects=to, **said))
        await self.settle()
        return app

    def server(self, app: App, number: int) -> ServerName:
        """Return the server of that version."""
        return ServerName(f"app-{app.id}", f"v{number}")


def tables(folder: Path) -> bytes:
    """Return a database file with all tables and no rows: copying one is quicker than making one."""
    database = SqlDatabase(f"sqlite:///{folder / 'portal.sqlite'}", seal=Seal(b"seal"))
    database.upgrade()
    database.close()
    return (folder / "portal.sqlite").read_bytes()


def made(folder: Path, *, empty: bytes) -> World:
    """Return a new portal in that folder, where ada, bob, eve and root are known; ``empty`` is its database."""
    (folder / "portal.sqlite").write_bytes(empty)
    database = SqlDatabase(f"sqlite:///{folder / 'portal.sqlite'}", seal=Seal(b"seal"))
    machines, people, clock = Machines(), People(ADA, BOB, EVE, ROOT), Clock()
    core = Core(
        database=database,
        content=Content(folder / "content"),
        outlines=Outlines(folder / "outlines"),
        backend=machines,
        directory=people,
        stores=Homes(folder / "homes"),
        master_key=b"m" * 32,
        limits=Limits(),
        now=clock,
    )
    return World(core, machines, people, clock, folder / "homes")
