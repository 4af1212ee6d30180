"""Harvesting: what is in the places where files are comes into the database, and stays as it is there.

One process at a time sweeps all places and listens to what changes in them; what is written through the portal is
looked at by the process that wrote it. The index of every process follows from the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from vaas.db.base import Find
from vaas.errors import NotFound, VaasError
from vaas.insides.base import Looker
from vaas.model import User
from vaas.portal.core import Core
from vaas.portal.looking import Looking
from vaas.portal.walks import Bounds, Skipped, Thing, Walk, is_left_out, walk, whole_of
from vaas.stores.base import Place, Touched

__all__ = ["Harvesting", "Report"]

_log = logging.getLogger("vaas")
_AT_ONCE = 200
#: What a report names of one sweep.
_MOST_SKIPPED = 1_000
#: Where more is touched at once on this machine, it is quicker to look through the whole place.
_MOST_TOUCHED = 8
#: When so many times the changes that are remembered have come, those that are not are forgotten.
_MANY = 1.5
#: So many are gone through at once, and for so many seconds others may write before it goes on.
_FORGOTTEN, _PAUSE = 2_000, 0.02
_CLOSED = "It cannot be opened at the moment. What was found in it stays."


@dataclass(frozen=True)
class Report:
    """What a sweep did, for the people who run the site.

    Parameters
    ----------
    found:
        How much can be found now.
    looked:
        How much was new or different.
    gone:
        How much is not there any more.
    """

    places: int = 0
    found: int = 0
    looked: int = 0
    gone: int = 0
    seconds: float = 0.0
    skipped: tuple[Skipped, ...] = ()

    def __add__(self, other: Report) -> Report:
        return Report(
            self.places + other.places,
            self.found + other.found,
            self.looked + other.looked,
            self.gone + other.gone,
            max(self.seconds, other.seconds),
            (self.skipped + other.skipped)[:_MOST_SKIPPED],
        )


class Harvesting:
    """Keeps what is known of the places as they are.

    Parameters
    ----------
    looker:
        Looks into files; None: all are found by their names alone.
    """

    def __init__(self, core: Core, looker: Looker | None = None, *, bounds: Bounds | None = None) -> None:
        self._core, self.bounds = core, bounds or Bounds()
        self._looker = looker
        self._looking = Looking(looker, bounds=self.bounds, now=core.now)
        #: What was skipped in each place the last time: the log has each once.
        self._told: dict[str, frozenset[Skipped]] = {}

    async def close(self) -> None:
        """End what reads files; no-op when nothing does."""
        if self._looker is not None:
            await self._looker.close()

    async def sweep(self, *, here: bool = True, told: Callable[[int, int], None] = lambda _done, _all: None) -> Report:
        """Walk all places, and return what was done. ``told`` hears how many places are done, and of how many.

        ``here``: those on this machine, too.

        Raises
        ------
        VaasError
            It is not known who there is, or which places there are.
        """
        began, done = time.monotonic(), 0
        places, kept = await self._places()
        there = {place.id for place in places}
        # A Hub that knows nobody at all has lost its list, and not each of its people.
        gone, closed = await asyncio.to_thread(self._forget_others, there, kept) if kept else (0, ())
        await self._forget_changes()
        for each in closed:
            self._tell(each.place, each.place, [each])
        places = [place for place in places if here or not place.store.here]
        turn = asyncio.Semaphore(self.bounds.places)

        async def one(place: Place) -> Report:
            nonlocal done
            async with turn:
                report = await self._sweep_safely(place)
            done += 1
            told(done, len(places))
            return report

        reports = await asyncio.gather(*map(one, places))
        report = sum(reports, Report(gone=gone, skipped=closed))
        report = replace(report, places=len(places), seconds=round(time.monotonic() - began, 1))
        _log.info(
            "Looked through %d places in %.1f s: %d can be found, %d of them new or different, %d gone%s.",
            *(report.places, report.seconds, report.found, report.looked, report.gone),
            f", {len(report.skipped)} skipped" if report.skipped else "",
        )
        return report

    async def touched(self, touched: Collection[Touched]) -> Report:
        """Look again at what may have changed; nothing that goes wrong is raised."""
        report = Report()
        by_place: dict[str, set[str]] = {}
        for each in touched:
            by_place.setdefault(each.place, set()).add(each.path)
        places = await asyncio.to_thread(self._named, by_place.keys())
        for name in places:
            folders = _folders(by_place[name], depth=self.bounds.depth)
            if len(folders) > _MOST_TOUCHED and places[name].store.here:
                folders = [("", True)]
            for path, deep in folders:
                report += await self._safely(places[name], path, deep=deep)
        return report

    def _named(self, names: Collection[str]) -> dict[str, Place]:
        """Return those of these places that there are; where all are on this machine, no account has to be opened."""
        for elsewhere in (False, True):
            places = {place.id: place for place in self._core.stores.places(elsewhere=elsewhere) if place.id in names}
            if len(places) == len(names):
                break
        return places

    def noted(self) -> tuple[Skipped, ...]:
        """Return all that is found by its name only, because it could not be looked into; so many at most."""
        with self._core.database.begin() as records:
            return tuple(Skipped(*each) for each in records.finds.noted(limit=_MOST_SKIPPED))

    def written(self, user: User, store_id: str, path: str) -> None:
        """Look soon at what was just written through the portal; no-op for what is no store of the person's."""
        touched: list[Touched] = []
        for place in self._core.stores.places(user):
            if place.store.id == store_id:
                with suppress(VaasError):  # it is gone already
                    touched.append(Touched(place.id, place.store.real(path)))
        self._core.spawn(self._written(touched))

    async def _written(self, touched: Collection[Touched]) -> None:
        await self.touched(touched)

    async def _places(self) -> tuple[list[Place], frozenset[str]]:
        """Return the places that some person who is there may see, and the ids of all that these people have."""
        people = await self._core.directory.people()
        groups = await self._core.directory.groups()
        there = {*(f"user:{name}" for name in people), *(f"group:{name}" for name in groups)}
        places = await asyncio.to_thread(self._core.stores.places)
        kept = await asyncio.to_thread(self._core.stores.owned, frozenset(people))
        return [place for place in places if any(":" not in each or each in there for each in place.readers)], kept

    def _forget_others(self, there: set[str], kept: frozenset[str]) -> tuple[int, tuple[Skipped, ...]]:
        """Forget what is nobody's any more, and return how much; and what stays though it cannot be opened now."""
        with self._core.database.begin() as records:
            known = records.finds.places()
        gone = {name: count for name, count in known.items() if name not in there | kept}
        for name in gone:
            with self._core.database.begin() as records:
                paths = list(records.finds.marks(name))
            for at in range(0, len(paths), _AT_ONCE):
                with self._core.database.begin() as records:
                    records.finds.remove(name, paths[at : at + _AT_ONCE])
            with self._core.database.begin() as records:
                records.finds.remove(name)
        closed = sorted(known.keys() - there - gone.keys())
        return sum(gone.values()), tuple(Skipped(name, "", _CLOSED) for name in closed)

    async def _forget_changes(self) -> None:
        """Forget long lists of files that are gone, piece by piece: whoever else writes comes between."""

        def are_many() -> bool:
            with self._core.database.begin() as records:
                return records.changes.last() - records.changes.forgotten() > _MANY * self.bounds.remembered

        def forget() -> bool:
            with self._core.database.begin() as records:
                return records.changes.forget(keep=self.bounds.remembered, most=_FORGOTTEN)

        more = await asyncio.to_thread(are_many)
        while more:
            more = await asyncio.to_thread(forget)
            await asyncio.sleep(_PAUSE)

    async def _sweep_safely(self, place: Place) -> Report:
        report = await self._safely(place, "")
        self._tell(f"{place.id} ({place.owner or place.store.title})", place.id, report.skipped)
        return report

    def _tell(self, name: str, place: str, skipped: Collection[Skipped]) -> None:
        """Say in the log what was skipped in the place, once for as long as it is so."""
        for each in skipped:
            if each not in self._told.get(place, ()):
                level, where = (logging.INFO, each.path) if each.path else (logging.WARNING, "all of it")
                _log.log(level, "%s, %s: %s", name, where, each.why)
        self._told[place] = frozenset(skipped)

    async def _safely(self, place: Place, path: str, *, deep: bool = True) -> Report:
        """Reconcile, and say in the report what went wrong: no place keeps the others from being swept."""
        try:
            async with asyncio.timeout(self.bounds.patience):
                return await _Round(self._core, self._looking, place, self.bounds).go(path, deep=deep)
        except TimeoutError:
            why = f"It took longer than {self.bounds.patience:.0f} s. The rest comes with the next sweep."
        except VaasError as error:
            why = error.message
        except Exception:
            _log.exception("Place %s", place.id)
            why = "Something went wrong here; the log says what."
        return Report(skipped=(Skipped(place.id, path, why),))


class _Round:
    """One time through a place, or through one folder of it."""

    def __init__(self, core: Core, looking: Looking, place: Place, bounds: Bounds) -> None:
        self._database, self._looking, self._place, self._bounds = core.database, looking, place, bounds
        self._skipped: list[Skipped] = []
        #: What has to be looked at again the next time.
        self._unsettled: list[str] = []
        self._fetched = 0
        #: The marks of what was known before, by path.
        self._known: Mapping[str, str] = {}

    async def go(self, path: str, *, deep: bool) -> Report:
        whole = deep and not path
        self._known, count, before = await asyncio.to_thread(self._read, path, deep=deep)
        known = self._known
        bounds = replace(self._bounds, files=max(0, self._bounds.files - (count - len(known))))
        seen = await walk(self._place, path, bounds=bounds, before=before if whole else {}, deep=deep)
        self._skipped += seen.skipped
        gone = await self._really_gone(seen.gone(known, below=path), ours=seen.ours)
        await asyncio.to_thread(self._remove, gone)
        different = [
            thing for thing in seen.things.values() if known.get(thing.entry.path) != self._looking.mark(thing)
        ]
        # What is known and still there stays, so there may be less room than the walk had.
        room = max(0, self._bounds.files - (count - len(gone)))
        new = [thing for thing in different if thing.entry.path not in known]
        left_out = {thing.entry.path for thing in new[room:]}
        different = [thing for thing in different if thing.entry.path not in left_out]
        await self._take_in(different)
        if whole:
            await asyncio.to_thread(self._settle, seen, before)
        found = count - len(gone) + len(new[:room])
        return Report(0, found, len(different), len(gone), 0.0, self._told())

    def _read(self, path: str, *, deep: bool) -> tuple[dict[str, str], int, Mapping[str, str]]:
        """Return what is known there by path, how much is known of the whole place, and how its folders were."""
        place = self._place.id
        with self._database.begin() as records:
            known = records.finds.marks(place, path, deep=deep)
            if deep and not path:
                return known, len(known), records.walks.of(place)
            return known, records.finds.count(place), {}

    def _told(self) -> tuple[Skipped, ...]:
        return tuple(self._skipped[:_MOST_SKIPPED])

    async def _really_gone(self, paths: list[str], *, ours: Collection[str]) -> list[str]:
        """Return those that are not there now either: somebody may have put one there since."""
        if not self._place.store.here:
            return paths
        return [path for path in paths if path in ours or not await self._is_there(path)]

    async def _is_there(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        if is_left_out(path, depth=self._bounds.depth):
            return False
        try:
            # What a link leads to is found where it is.
            if await asyncio.to_thread(self._place.store.real, folder) != folder:
                return False
            entry = await self._place.store.stat(path)
        except NotFound:
            return False
        except VaasError:
            return True
        return not entry.folder

    def _remove(self, paths: list[str]) -> None:
        for at in range(0, len(paths), _AT_ONCE):
            with self._database.begin() as records:
                records.finds.remove(self._place.id, paths[at : at + _AT_ONCE])

    async def _take_in(self, things: Iterable[Thing]) -> None:
        """Save what is new: by their names many at once, and one by one what is looked into."""
        by_name: list[Find] = []
        for thing in things:
            if self._looking.looks_into(thing):
                await self._look(thing)
            else:
                by_name.append(self._looking.by_name(self._place, thing))
            if len(by_name) >= _AT_ONCE:
                await asyncio.to_thread(self._save, by_name)
                by_name = []
        await asyncio.to_thread(self._save, by_name)

    async def _look(self, thing: Thing) -> None:
        path, why = thing.entry.path, ""
        find: Find | None = None
        if not self._may_fetch(thing):
            why = "So much was fetched from here that it has to wait for the next sweep."
        else:
            try:
                find = await self._looking.look(self._place, thing)
            except VaasError as error:
                why = error.message
            except Exception:
                _log.exception("Place %s: %s", self._place.id, path)
                find = self._looking.by_name(self._place, thing, note="It could not be looked into.")
        if why:
            self._unsettled.append(path)
            # What was known of it is better than its name; without a mark, it is looked at again.
            find = (
                None if path in self._known else self._looking.by_name(self._place, replace(thing, mark=""), note=why)
            )
        if said := why or (find.note if find else ""):
            self._skipped.append(Skipped(self._place.id, path, said))
        if find is not None and await self._is_still(thing):
            await asyncio.to_thread(self._save, [find])

    def _may_fetch(self, thing: Thing) -> bool:
        """Tell whether there is room for it in what one sweep may fetch, and take it."""
        if not self._place.store.here:
            self._fetched += min(thing.entry.size, self._bounds.copied)
        return self._fetched <= self._bounds.fetched

    async def _is_still(self, thing: Thing) -> bool:
        """Tell whether it has not changed while it was looked at; who saw it change looks at it again."""
        if not self._place.store.here or thing.entry.folder:
            return True
        try:
            return (await self._place.store.stat(thing.entry.path)).etag == thing.entry.etag
        except VaasError:
            return False

    def _save(self, finds: list[Find]) -> None:
        if finds:
            with self._database.begin() as records:
                records.finds.save(finds)

    def _settle(self, seen: Walk, before: Mapping[str, str]) -> None:
        """Keep the etags of folders of which all is known."""
        seen.unsettle(self._unsettled)
        if seen.etags != before:
            with self._database.begin() as records:
                records.walks.save(self._place.id, seen.etags)


def _folders(paths: set[str], *, depth: int) -> list[tuple[str, bool]]:
    """Return which folders have to be listed for these paths, and whether with all that is below them.

    What is touched may be a file, or a folder that came with all its files; its own folder may speak of it.
    """
    near = {path for path in paths if not is_left_out(path, depth=depth)}
    # Of what lies within one thing, that thing.
    near |= {whole for path in paths - near if (whole := whole_of(path)) and not is_left_out(whole, depth=depth)}
    above = {path.rpartition("/")[0] for path in near if path}
    return [(path, False) for path in sorted(above)] + [(path, True) for path in sorted(near)]
