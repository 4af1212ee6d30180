"""What a launch is given to place, by the rights that its person has now, and what it says of how that goes."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from vaas.content import pack, snapshot_of
from vaas.errors import NotFound, VaasError
from vaas.events import happens
from vaas.keeping import Thing
from vaas.launching import Environment, Launch, launch_server
from vaas.loading import address, lines
from vaas.model import ServerName, Snapshot, User, Visitor
from vaas.portal.baskets import Baskets
from vaas.portal.carrying import Carrying
from vaas.portal.core import Core
from vaas.portal.drafts import Drafts
from vaas.portal.environments import Environments
from vaas.portal.gathering import fetch, is_chosen
from vaas.portal.giving import given_to
from vaas.portal.offering import modules_in
from vaas.portal.placed import clean_placed
from vaas.portal.reading import Reading
from vaas.portal.run_belongings import files_in
from vaas.portal.things import Held
from vaas.portal.whereabouts import folder_name, record_at, store_of, thing_at
from vaas.readers import MODULES
from vaas.stores.base import Piece, check_path

__all__ = ["Placing"]

#: So many snapshots are remembered between the question for their list and that for their bytes.
_MOST = 50
#: States in which a launch says no more, because it is to end.
_OVER = frozenset({"stopped", "failed"})
_SHARED = "shared-"
#: So many things are looked for at once, and for so many seconds in all: the launch waits for them.
_AT_ONCE, _PATIENCE = 8, 10.0
_SILENT = "Nobody could say in time where its files are. Start the launch again."


@dataclass(frozen=True)
class _Where:
    """What is to be fetched of a thing: under which name, whether in one go, or why nothing is."""

    name: str = ""
    whole: bool = False
    why: str = ""


class Placing:
    """Answers launches; each speaks for itself alone, and for nobody but its person."""

    def __init__(self, core: Core, drafts: Drafts, baskets: Baskets, reading: Reading) -> None:
        self._core, self._drafts, self._baskets, self._reading = core, drafts, baskets, reading
        self._carrying = Carrying(core, baskets, reading)
        #: Launch → what it places.
        self._snapshots: OrderedDict[str, Snapshot | None] = OrderedDict()
        #: Launch → what those wait for who watch it, as long as they do: that its JupyterLab listens.
        self._listens = WeakValueDictionary[str, asyncio.Event]()

    async def manifest(self, server: ServerName, *, public_url: str) -> dict[str, Any]:
        """Return all that is to be placed. Raises NotFound for what the person may not see any more."""
        launch, visitor = await self._asker(server)
        here = self._stores(launch)
        snapshot = self._snapshots[launch.id] = await self._snapshot(launch, visitor, here)
        while len(self._snapshots) > _MOST:
            self._snapshots.popitem(last=False)
        things = await self._things(launch, visitor)
        where = await self._where(things, visitor)
        folder, notebook = self._folder(launch, here), self._notebook(launch, snapshot, here)
        locked = files_in(launch.asked) if "files" in launch.asked else snapshot
        environment = Environments(self._core).offering(launch.asked, locked).environment(launch.environment)
        return {
            "id": launch.id,
            "title": launch.title,
            "folder": folder,
            "notebook": notebook,
            "files": [asdict(file) for file in snapshot.files] if snapshot else [],
            "things": [self._told(each, where[each.thing.id], visitor, here, public_url) for each in things],
            "given": dict(given_to(launch)),
            "environment": {
                name: getattr(environment, name) if environment else ""
                for name in ("id", "title", "kind", "where", "language")
            },
            "modules": _readers(environment),
            "portal": public_url,
            "publish": f"{public_url}files/home/" if "home" in here else "",
        }

    async def content(self, server: ServerName) -> Iterator[bytes]:
        """Return the files of the working copy as a tar."""
        launch, visitor = await self._asker(server)
        snapshot = self._snapshots.get(launch.id) or await self._snapshot(launch, visitor, self._stores(launch))
        if snapshot is None:
            raise NotFound("There are no files to copy.")
        return pack(self._core.content, snapshot)

    async def piece(self, server: ServerName, thing: str, *, offset: int, size: int) -> Piece:
        """Return some bytes of a thing of the launch's basket. Raises as vaas.portal.reading does."""
        launch, visitor = await self._asker(server)
        if not (basket := _word(launch.asked.get("basket"))):
            raise NotFound("This launch has no basket.")
        return await self._reading.piece(visitor, basket, thing, offset=offset, size=size)

    async def parcel(self, server: ServerName, thing: str) -> AsyncGenerator[bytes, None]:
        """Yield a thing of the launch's basket as one parcel. Raises as vaas.portal.carrying does."""
        launch, visitor = await self._asker(server)
        if not (basket := _word(launch.asked.get("basket"))):
            raise NotFound("This launch has no basket.")
        async with aclosing(self._carrying.parcel(visitor, basket, thing)) as parts:
            async for each in parts:
                yield each

    def progressed(self, server: ServerName, said: Mapping[str, Any]) -> bool:
        """Keep what a launch says of itself; return whether it is to stop."""
        with self._core.database.begin() as records:
            launch = records.launches.get(_id(server))
            if launch is None or launch.owner != server.account or launch.state in _OVER:
                return True
            placed = clean_placed(said, known=launch.progress)
            wanted = self._folder(launch, self._stores(launch))
            moved = _moved(launch, placed.pop("folder", ""), placed.pop("notebook", ""), wanted=wanted)
            state, error = placed.pop("state", moved.state), placed.pop("error", moved.error)
            records.launches.save(replace(moved, state=state, error=error, progress=placed, changed=self._core.now()))
        if state == "ready" and (listens := self._listens.pop(launch.id, None)):
            listens.set()
        return False

    async def pause(self, launch_id: str, seconds: float) -> bool:
        """Wait so many seconds, or until the launch says that its JupyterLab listens; tell whether it did."""
        listens = self._listens.setdefault(launch_id, asyncio.Event())
        return await happens(listens, seconds=seconds)

    async def _asker(self, server: ServerName) -> tuple[Launch, Visitor]:
        """Return the launch, and its person as they are now. Raises NotFound."""
        with self._core.database.begin() as records:
            launch = records.launches.get(_id(server))
        user = await self._core.directory.user(server.account)
        if launch is None or user is None or launch.owner != user.name:
            raise NotFound("There is no such launch.")
        return launch, Visitor(user)

    def _stores(self, launch: Launch) -> tuple[str, ...]:
        """Return which stores lie where the launch runs."""
        facility = self._core.offering.facility(launch.facility)
        return facility.stores if facility else ()

    async def _snapshot(self, launch: Launch, visitor: Visitor, here: tuple[str, ...]) -> Snapshot | None:
        """Return what is copied; None where nothing is: the notebook lies there already, or there is none."""
        asked = launch.asked
        if slug := _word(asked.get("app")):
            app = self._core.see(visitor, slug, "launch").app
            version = self._core.version(app, _word(asked.get("version")))
            if version is None:
                raise NotFound("The version that was launched is not there any more. Launch the app again.")
            return version.snapshot
        if asked.get("run"):
            if slug := _word(asked.get("of")):
                self._core.see(visitor, slug, "launch")
            return files_in(asked)
        if asked.get("path") and not _in_place(launch, here):
            assert visitor.user is not None
            return await self._of_store(visitor.user, _word(asked.get("store")), check_path(_word(asked["path"])))
        return None

    async def _of_store(self, user: User, store_id: str, path: str) -> Snapshot:
        """Return the notebook with what it seems to need, as for publishing."""
        store, _, entries, needed = await self._drafts.around(user, store_id, path)
        folder, _, name = path.rpartition("/")
        wanted = [await store.stat(path), *(each for each in entries if is_chosen(each, needed))]
        strip = len(folder) + 1 if folder else 0
        return snapshot_of(name, await fetch(self._core, store, wanted, chosen={path, *needed}, strip=strip))

    def _folder(self, launch: Launch, here: tuple[str, ...]) -> str:
        """Return the folder in the home in which the launch works, or is to work."""
        if _in_place(launch, here):
            return check_path(_word(launch.asked["path"])).rpartition("/")[0]
        return launch.folder or f"Launches/{folder_name(launch.title)} {launch.created:%Y-%m-%d}"

    def _notebook(self, launch: Launch, snapshot: Snapshot | None, here: tuple[str, ...]) -> str:
        """Return the notebook in it that is opened; "" where one is begun."""
        if _in_place(launch, here):
            return check_path(_word(launch.asked["path"])).rpartition("/")[2]
        return snapshot.notebook if snapshot else launch.notebook

    async def _things(self, launch: Launch, visitor: Visitor) -> list[Held]:
        basket = _word(launch.asked.get("basket"))
        if not basket:
            return []
        try:
            look = await self._baskets.look(visitor, basket)
        except NotFound:
            return []  # gone since, or not shared any more: the rest of the launch is as good without
        return [each for each in look.things if each.state == "there"]

    async def _where(self, things: list[Held], visitor: Visitor) -> dict[str, _Where]:
        """Return for each thing what is to be fetched of it; other sites are asked all at once, and none for long."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(held: Held) -> _Where:
            async with turns:
                return await self._one(held, visitor)

        asked = [asyncio.create_task(look(each)) for each in things]
        if asked:
            await asyncio.wait(asked, timeout=_PATIENCE)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        return {
            each.thing.id: _late(each.thing) if task.cancelled() else task.result()
            for each, task in zip(things, asked, strict=True)
        }

    async def _one(self, held: Held, visitor: Visitor) -> _Where:
        thing, name, how = held.thing, _name(held.thing), held.thing.access.get("how")
        if how not in {"http", "store"}:
            return _Where()
        try:
            if how == "http":  # its address is told anyway, beside why it is not there
                store, path = await record_at(self._core, visitor, thing.catalog, thing.record)
            else:
                store, path = await thing_at(self._core, visitor, thing)
            entry = await store.stat(path)
        except VaasError as error:
            # What lies in a store is asked for again when it is its turn, and says then what is wrong.
            return _Where(name, why="" if name else error.message)
        return _Where(name or entry.name or folder_name(thing.title), whole=how == "http" or entry.folder)

    def _told(self, held: Held, where: _Where, visitor: Visitor, here: tuple[str, ...], base: str) -> dict[str, Any]:
        thing = held.thing
        return {
            **{name: getattr(thing, name) for name in ("id", "title", "checksum")},
            **asdict(where),
            "size": thing.size or 0,
            "etag": held.etag,
            "mounted": self._mounted(held, visitor, here),
            "written": thing.access.get("written", {}),
            "uri": address(thing.uri, base=base),
            "code": "" if where.name else lines(thing.kind, thing.uri, thing.access, base=base),
        }

    def _mounted(self, held: Held, visitor: Visitor, here: tuple[str, ...]) -> dict[str, str] | None:
        """Return where the file lies already, where the launch runs: in the home, or in a shared folder by its name."""
        assert visitor.user is not None
        if not (path := _path(held.thing)):
            return None
        store = store_of(self._core.stores, visitor.user, record=held.thing.record, path=path)
        if store is not None and store.id == "home" and "home" in here:
            return {"store": "home", "path": path}
        if store is not None and store.id.startswith(_SHARED) and "shared" in here:
            return {"store": "shared", "path": f"{store.title.removeprefix('Shared: ')}/{path}"}
        return None


def _path(thing: Thing) -> str:
    """Return where a thing lies in a store; "" for what lies in none."""
    return str(thing.access.get("via", {}).get("path", "")) if thing.access.get("how") == "store" else ""


def _name(thing: Thing) -> str:
    return _path(thing).rpartition("/")[2]


def _late(thing: Thing) -> _Where:
    """Return where a thing is of which nobody could say it in time: what lies in a store is asked for again."""
    name = _name(thing)
    return _Where(name, why="" if name else _SILENT)


def _id(server: ServerName) -> str:
    launch_id = server.name[1:]
    return launch_id if launch_server(launch_id) == server.name else ""


def _in_place(launch: Launch, here: tuple[str, ...]) -> bool:
    asked = launch.asked
    return bool(asked.get("path")) and asked.get("store") == "home" and "home" in here and not asked.get("copy")


def _moved(launch: Launch, folder: str, notebook: str, *, wanted: str) -> Launch:
    """Return the launch with where it says that it works, if it was told so, or to the same without a number."""
    same = folder == wanted or (wanted and re.fullmatch(rf"{re.escape(wanted)}-[0-9]{{1,3}}", folder))
    return replace(launch, folder=folder, notebook=notebook) if notebook and same else launch


def _readers(environment: Environment | None) -> list[str] | None:
    """Return what is in the environment of all that reads data; None where nobody knows."""
    there = modules_in(environment, MODULES) if environment else None
    return None if there is None else sorted(there)


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
