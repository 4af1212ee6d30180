"""What apps run with: packages that a notebook asks for become a lock among its files; or the site's, by choice."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from vaas.content import snapshot_of
from vaas.db.base import Query, Records
from vaas.environments.base import Made, Maker, Told, nobody
from vaas.errors import Invalid, Unavailable, VaasError
from vaas.launching import Environment, Facility, Offering
from vaas.locks import LOCK, Lock, digest_of, lock_file, read_lock
from vaas.model import Draft, File, Snapshot, User, Version, Visitor
from vaas.portal.core import Core
from vaas.portal.gathering import fetch
from vaas.portal.serving import Serving
from vaas.requirements import FILES, Requirements, read_requirements, requirements_path
from vaas.served import Served, served_file
from vaas.stores.base import Store

__all__ = ["BESIDE", "Environments", "Shown", "own_title", "without_lock"]

#: The id of the environment that a notebook of a store asks for by a file beside it, made or not.
BESIDE = "beside"
#: The kind of environments that are made of a lock.
_LOCK = "lock"
_log = logging.getLogger("vaas")
#: All apps, however many there are.
_ALL = 1_000_000
_MOST_BYTES = 4_000_000
#: The kind of facilities at which made environments lie; others say so.
_HERE = "local"
_NOT_THERE = "What this portal makes does not lie there. Choose another environment, or another place."
_MAKES_NONE = "This site makes no environments."
_CENTURY = timedelta(days=36_500)
#: For so many seconds what could not be made again is not tried again: the app runs with what all share meanwhile.
_PATIENCE = 600.0


@dataclass(frozen=True)
class Shown:
    """What people are told of an environment.

    Parameters
    ----------
    asked:
        The path of the file that asks for it, "" if there is none.
    packages:
        What is in it, if it is the notebook's own; nothing: it runs with what is installed for all apps.
    since:
        When it was locked.
    makes:
        Whether this site makes environments at all.
    served:
        The site's environment with which it is served instead; None where that is not kept.
    changed:
        What is another in it by now, package → version, "" for what is gone, and what it runs with for all that.
    again:
        Whether it is made again of its lock, so that it runs with what it was published with.
    away:
        Why it cannot be served with it at the moment, "" where it can.
    """

    asked: str
    packages: Mapping[str, str]
    since: datetime
    makes: bool
    served: Served | None = None
    changed: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    away: str = ""


class Environments:
    """The environments of snapshots."""

    def __init__(self, core: Core) -> None:
        self._core, self._serving = core, Serving(core)
        #: When what could not be made again was tried, by its digest.
        self._failed: dict[str, float] = {}

    def asks(self, snapshot: Snapshot) -> str:
        """Return the path of the file by which the snapshot asks for packages of its own; "" if it has none."""
        return requirements_path({file.path for file in snapshot.files}, snapshot.notebook)

    async def equip(self, snapshot: Snapshot, *, before: Snapshot | None = None, told: Told = nobody) -> Snapshot:
        """Return the snapshot with the lock of what it asks for, when its environment is made.

        A lock that it brings along, or that ``before`` has, is taken as it is where the same is asked for, so nothing
        changes unasked. One that asks for nothing gets none, and none where the site makes no environments: it keeps
        what is in the environment of the site with which it is served.

        Raises
        ------
        Invalid, TooLarge
            What it asks for cannot be had; the message names the line.
        Unavailable, StorageFull
            It cannot be had now.
        """
        bare, maker, path = without_lock(snapshot), self._core.maker, self.asks(snapshot)
        asked = self._asked(snapshot, path) if path and maker else None
        if self._serving.of(snapshot) or maker is None or asked is None or not asked.asked:
            await self._core.look_at_common()
            return self._serving.settled(bare, before=before)
        known = [lock for each in (snapshot, before) if each and (lock := self._lock(each))]
        for lock in known:
            if lock.wanted == maker.wanted(asked) and await self._may_be_had(lock, maker, told):
                return self._with_lock(bare, lock)
        lock = await maker.lock(asked, before=known[0] if known else None, told=told)
        await maker.make(lock, told=told)
        return self._with_lock(bare, lock)

    async def ready(self, snapshot: Snapshot, *, told: Told = nobody) -> Made | None:
        """Return the snapshot's environment, made again of its lock if it is not there; None for the apps' own.

        Raises
        ------
        Unavailable, Invalid, TooLarge, StorageFull
            It is not there, and cannot be made.
        """
        lock, maker = self._lock(snapshot), self._core.maker
        if not digest_of(snapshot):
            await self._core.look_at_common()
            self._serving.site(snapshot)
            return await self._again(snapshot, told)
        if maker is None or lock is None:
            raise Unavailable("It has an environment of its own, and this site makes none. Tell the people who run it.")
        return maker.find(lock.digest) or await maker.make(lock, told=told)

    async def _again(self, snapshot: Snapshot, told: Told) -> Made | None:
        """Make what all apps shared when it was published, where they share something else now.

        An app that has nothing of its own is not lost over it: where it cannot be, it runs with what they share now.
        """
        lock, maker, now = self._serving.lost(snapshot), self._core.maker, time.monotonic()
        if lock is None or maker is None or now < self._failed.get(lock.digest, now - 1):
            return None
        try:
            return maker.find(lock.digest) or await maker.make(lock, told=told)
        except VaasError as error:
            _log.warning("What apps shared before cannot be made again: %s", error.log_message)
            self._failed[lock.digest] = now + _PATIENCE
            return None

    async def restore(self) -> None:
        """Make again what apps shared when they were published, for those that new visitors get."""
        # In a thread: there may be thousands, and the portal answers meanwhile.
        for snapshot in await asyncio.to_thread(self._served_to_visitors):
            await self._again(snapshot, nobody)

    def _served_to_visitors(self) -> list[Snapshot]:
        """Return a snapshot for each file that says what a current version is served with; many have the same."""
        with self._core.database.begin() as records:
            apps = records.apps.visible(Visitor(User("", admin=True)), Query(limit=_ALL), now=self._core.now())
            versions = [
                each for app in apps for each in records.versions.of(app.id) if each.snapshot.hash == app.version
            ]
        files = {file.sha256: each.snapshot for each in versions if (file := served_file(each.snapshot))}
        return [*files.values()]

    def runs_in(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return what an app server is told of it: the digest of the "environment" that was made, or the "site"'s own.

        "" and None: what all apps share. Raises Unavailable where it cannot be used.
        """
        lock, maker = self._serving.lost(snapshot), self._core.maker
        made = maker.find(lock.digest) if lock and maker else None
        return {
            "environment": digest_of(snapshot) or (made.digest if made else ""),
            "site": self._serving.site(snapshot),
        }

    def of(self, snapshot: Snapshot) -> Environment | None:
        """Return the snapshot's own environment, as launches and runs may choose it; None if it has none.

        What all apps shared when it was published is its own, too, once they share something else.
        """
        lock, maker = self._lock(snapshot), self._core.maker
        if lock is None and maker is not None:
            lock = self._serving.lost(snapshot)
        if lock is None:
            return None
        state = "ready" if maker and maker.find(lock.digest) else "unknown" if maker else "broken"
        why = "" if maker else _MAKES_NONE
        digest, name = lock.digest, f"{_LOCK}-{lock.digest[:12]}"
        title, packages = own_title(name), lock.packages
        return Environment(name, title, _LOCK, digest, packages=packages, digest=digest, state=state, why=why)

    async def prepare(self, snapshot: Snapshot, environment: str, *, told: Told = nobody) -> Snapshot:
        """Make what launches and runs have chosen of the snapshot's own, if it is not there.

        Return the snapshot: with the lock now, where a file asked for packages. Raises as ``ready`` and ``equip`` do.
        """
        if environment == BESIDE:
            if self._core.maker is None:
                raise Unavailable(_MAKES_NONE)
            return await self.equip(snapshot, told=told)
        lost, maker = self._serving.lost(snapshot), self._core.maker
        if lost and maker:
            await maker.make(lost, told=told)
        else:
            await self.ready(snapshot, told=told)
        return snapshot

    async def beside(self, store: Store, path: str) -> Snapshot | None:
        """Return what of a store says which packages the notebook needs; None where nothing does, or cannot be read."""
        folder, _, name = path.rpartition("/")
        try:
            there = {each.path: each for each in await store.list(folder) if not each.folder}
            wanted = [each for each in there.values() if each.name in {*FILES, LOCK} and each.size <= _MOST_BYTES]
            if not any(each.name in FILES for each in wanted):
                return None
            found = [there[path], *wanted]
            chosen, strip = {each.path for each in found}, len(folder) + 1 if folder else 0
            return snapshot_of(name, await fetch(self._core, store, found, chosen=chosen, strip=strip))
        except (VaasError, KeyError):
            return None

    def offering(self, asked: Mapping[str, Any], snapshot: Snapshot | None) -> Offering:
        """Return what the site offers for what is asked for, and where environments lie that we make, its own as well.

        That is what an app was published with, for the app and for the result of a run "of" it; for a notebook of a
        store, and what a run of that came to, what the file beside it asks for. It comes first. Nothing else knows its
        id, so that no other app is launched or run in it.
        """
        offering, own = self._core.offered, None
        if snapshot is not None and (asked.get("app") or asked.get("of")):
            own = self.of(snapshot)
        elif snapshot is not None:
            own = self.of_file(snapshot) or self._unmade(snapshot)
        if own is None:
            return offering
        nowhere = "" if self._core.maker else own.why
        facilities = tuple(_with(own.id, each, nowhere) for each in offering.facilities)
        return replace(offering, facilities=facilities, environments=(own, *offering.environments))

    def shown(self, version: Version | Draft) -> Shown:
        """Return what people are told of the environment of a version or a draft."""
        lock, since = self._lock(version.snapshot), version.created
        if lock and isinstance(version, Version):
            with self._core.database.begin() as records:
                before = records.versions.of(version.app_id)
            since = min((each.created for each in before if digest_of(each.snapshot) == lock.digest), default=since)
        packages, makes = lock.packages if lock else {}, self._core.maker is not None
        return Shown(self.asks(version.snapshot), packages, since, makes, *self._served(version.snapshot))

    def _served(self, snapshot: Snapshot) -> tuple[Served | None, Mapping[str, str], bool, str]:
        """Return what of the site's it is served with, what is another in it now, if it is made again, and why not."""
        served = self._serving.of(snapshot)
        now = self._serving.now(served) if served else None
        lost, maker = self._serving.lost(snapshot), self._core.maker
        again = lost is not None and maker is not None and maker.find(lost.digest) is not None
        away = ""
        try:
            self._serving.site(snapshot)
        except Unavailable as error:
            away = error.message
        return served, served.changed(now) if served and now else {}, again, away

    def sweep(self) -> int:
        """Remove environments that nobody has used for long, but none of a version, a draft, a run or a schedule."""
        if self._core.maker is None:
            return 0
        with self._core.database.begin() as records:
            snapshots = [*self._snapshots(records)]
        kept = {digest for snapshot in snapshots if (digest := digest_of(snapshot))}
        # Many versions share one file of this.
        served = {file.sha256: snapshot for snapshot in snapshots if (file := served_file(snapshot))}
        kept |= {lock.digest for snapshot in served.values() if (lock := self._locked(snapshot))}
        gone = self._core.maker.sweep(keep=kept)
        if gone:
            _log.info("%d environments that nobody used are removed.", gone)
        return gone

    def _locked(self, snapshot: Snapshot) -> Lock | None:
        served = self._serving.of(snapshot)
        return served.lock if served else None

    def _snapshots(self, records: Records) -> Iterator[Snapshot]:
        now = self._core.now()
        everything = Visitor(User("", admin=True))
        for app in records.apps.visible(everything, Query(limit=_ALL), now=now):
            yield from (version.snapshot for version in records.versions.of(app.id))
        yield from (draft.snapshot for draft in records.drafts.older(now + _CENTURY))
        yield from records.runs.snapshots()
        yield from (schedule.snapshot for schedule in records.schedules.due(now + _CENTURY))

    def of_file(self, snapshot: Snapshot) -> Environment | None:
        """Return what a file beside the notebook asks for, None if none does; why not, where it cannot be had."""
        maker, path = self._core.maker, self.asks(snapshot)
        if maker is None or not path:
            return None
        bare = Environment(BESIDE, own_title(BESIDE, path), _LOCK, "")
        try:
            asked = self._asked(snapshot, path)
        except VaasError as error:
            return replace(bare, state="broken", why=error.message)
        lock = self._lock(snapshot)
        if lock is not None and lock.wanted == maker.wanted(asked):
            state = "ready" if maker.find(lock.digest) else "unknown"
            bare = replace(bare, where=lock.digest, digest=lock.digest, packages=lock.packages, state=state)
        return bare if asked.asked else None

    def _unmade(self, snapshot: Snapshot) -> Environment | None:
        """Return what a file beside the notebook would bring, where the site makes nothing of it."""
        if self._core.maker is not None or not (path := self.asks(snapshot)):
            return None
        with suppress(VaasError):
            if not self._asked(snapshot, path).asked:
                return None
        return Environment(BESIDE, own_title(BESIDE, path), _LOCK, "", state="broken", why=_MAKES_NONE)

    def _asked(self, snapshot: Snapshot, path: str) -> Requirements:
        file = next(file for file in snapshot.files if file.path == path)
        return read_requirements(self._read(file), path=path)

    async def _may_be_had(self, lock: Lock, maker: Maker, told: Told) -> bool:
        """Make the environment of a lock that is there already. False: it is of no use any more."""
        try:
            await maker.make(lock, told=told)
        except Invalid as error:
            _log.info("A lock that travelled along is of no use, and is made anew: %s", error.log_message)
            return False
        return True

    def _lock(self, snapshot: Snapshot) -> Lock | None:
        """Return the snapshot's lock, which may be a stranger's; None if it has none."""
        found = lock_file(snapshot)
        try:
            return read_lock(self._read(found).decode()) if found else None
        except (VaasError, ValueError):
            return None

    def _read(self, file: File) -> bytes:
        if file.size > _MOST_BYTES:
            raise Invalid(f"“{file.path}” is larger than such a file may be.")
        return self._core.content.read(file.sha256)

    def _with_lock(self, bare: Snapshot, lock: Lock) -> Snapshot:
        digest, size = self._core.content.add(lock.text.encode())
        return snapshot_of(bare.notebook, (*bare.files, File(LOCK, digest, size)))


def own_title(environment: str, path: str = "") -> str:
    """Return what a notebook's own environment with this id is called, "" for one that a site offers.

    ``path`` is that of the file that asks for it.
    """
    if environment == BESIDE:
        return f"Packages of {path.rpartition('/')[2]}" if path else "Packages of its own"
    return "As published" if environment.startswith(f"{_LOCK}-") else ""


def _with(own: str, facility: Facility, nowhere: str) -> Facility:
    """Return the facility with an environment that we make, or with why it cannot be had there, or nowhere."""
    there = facility.kind == _HERE or facility.environments_shared
    if there and not nowhere:
        return replace(facility, environments=(own, *facility.environments))
    if not facility.environments:  # nothing can be chosen there anyway
        return facility
    return replace(facility, lacks_environments={own: nowhere or _NOT_THERE, **facility.lacks_environments})


def without_lock(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without a lock."""
    if lock_file(snapshot) is None:
        return snapshot
    return snapshot_of(snapshot.notebook, (file for file in snapshot.files if file.path != LOCK))
