"""Keeping the index of this process as the database is: each change is followed, and the whole can be made anew.

The index is never the truth. What is in it is made from the database and the content, by every portal process for
itself; the database says what has changed (:class:`vaas.db.base.Changes`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from vaas.catalogs.base import Entries, Entry
from vaas.db.base import Changes, Records
from vaas.errors import Unavailable
from vaas.portal.core import Core
from vaas.portal.indexed import IndexedApps, IndexedFiles, IndexedShares, Kind
from vaas.portal.work import Work

__all__ = ["Indexing"]

_log = logging.getLogger("vaas")
#: So often the database is asked what has changed, in seconds.
_OFTEN, _LATEST = 1.0, 60.0
#: After so many seconds without an answer, what the index says is not believed any more.
_FRESH = 30.0
_AT_ONCE = 500


def _tell_nobody(_done: int, _all: int) -> None:
    """Hear how far it is, and keep it to oneself."""


class Indexing:
    """Follows what changes. ``work`` says to other processes how far it is."""

    def __init__(self, core: Core, index: Entries, *, work: Work | None = None) -> None:
        self._core, self._index = core, index
        kinds: tuple[Kind[Any], ...] = (IndexedApps(core), IndexedFiles(), IndexedShares())
        self._kinds = {kind.name: kind for kind in kinds}
        self._work = work or Work(core, "index")
        #: One at a time: what was read first must not be written last.
        self._turn = threading.RLock()
        self._is_closed = False
        self._seen = -math.inf
        self._upto = core.now()

    @property
    def is_fresh(self) -> bool:
        """Whether the index has lately been as the database is; else it may show what nobody may see any more."""
        return time.monotonic() - self._seen < _FRESH

    @property
    def upto(self) -> datetime:
        """Until when the index is known to have all that had changed; a second or two ago, as a rule."""
        return self._upto

    def close(self) -> None:
        """End what is being followed or made at the next piece, and let go of the index."""
        self._is_closed = True
        with self._turn:
            self._index.close()

    def _check(self) -> None:
        if self._is_closed:
            raise Unavailable("Searching here is not possible for a moment.", log_message="The portal ends.")

    async def follow(self) -> None:
        """Bring the index up to what the database says, again and again; until cancelled."""
        pause = _OFTEN
        try:
            while True:
                try:
                    await asyncio.to_thread(self._catch_up_safely)
                    pause = _OFTEN
                except Exception:
                    pause = min(2 * pause, _LATEST)
                    _log.exception("The index could not be brought up to date; it is tried again in %.0f s.", pause)
                await asyncio.sleep(pause)
        finally:
            self._work.end()

    def _catch_up_safely(self) -> None:
        try:
            self.catch_up()
            self._work.tell_sometimes(epoch=self._followed(), entries=len(self._index))
        except Exception:
            raise
        except BaseException as error:
            # The engine's own panic is no Exception, and would end the loop for good.
            raise RuntimeError("The index's engine failed.") from error

    def catch_up(self) -> int:
        """Follow all changes until now, and what has expired; return how many there were."""
        count = 0
        with self._turn:
            while True:
                self._check()
                asked = self._core.now()
                expired = self._index.expired(asked)
                count += self._put(each.partition(":")[::2] for each in expired) if expired else 0
                with self._core.database.begin() as records:
                    if self._is_lost(records.changes):
                        break
                    epoch, found = (
                        records.changes.epoch(),
                        records.changes.since(self._index.followed[1], limit=_AT_ONCE),
                    )
                if not found:
                    self._seen, self._upto = time.monotonic(), asked
                    return count
                count += self._put(((each.kind, each.key) for each in found), upto=(epoch, found[-1].number))
            return self.rebuild(told=self._tell)

    def _is_lost(self, changes: Changes) -> bool:
        """Tell whether the index cannot go on where it is.

        It followed another database than this, or a later state of it than there is now, or so early a one that what
        has gone since is forgotten.
        """
        epoch, number = self._index.followed
        if not number:
            return False
        return epoch != changes.epoch() or number > changes.last() or number < changes.forgotten()

    def rebuild(self, *, told: Callable[[int, int], None] = _tell_nobody) -> int:
        """Make the index anew; return how many entries it has. ``told`` hears how far it is: so many of so many."""
        with self._turn:
            with self._core.database.begin() as records:
                changes = records.changes
                followed, number = self._index.followed
                if followed == changes.epoch() and number > changes.last():
                    # An older copy of the database was put in its place: other processes have to see it, too.
                    changes.begin_epoch()
                epoch, last, count = changes.epoch(), changes.last(), changes.count()
            # What changes meanwhile is followed afterwards.
            self._index.put(self._all(last, count, told), fresh=True, upto=(epoch, last))
            return len(self._index)

    def _all(self, last: int, count: int, told: Callable[[int, int], None]) -> Iterator[Entry]:
        at, done = 0, 0
        while at < last:
            self._check()
            with self._core.database.begin() as records:
                found = [each for each in records.changes.since(at, limit=_AT_ONCE) if each.number <= last]
                rows = self._read(records, ((each.kind, each.key) for each in found))
            at = found[-1].number if found else last
            for kind, _, row in rows:
                if row is not None:
                    yield kind.entry(row)
            done += len(found)
            told(min(done, count), count)

    def _put(self, things: Iterable[tuple[str, ...]], *, upto: tuple[int, int] | None = None) -> int:
        with self._core.database.begin() as records:
            rows = self._read(records, things)
        gone = [f"{kind.name}:{key}" for kind, key, row in rows if row is None]
        self._index.put((kind.entry(row) for kind, _, row in rows if row is not None), remove=gone, upto=upto)
        return len(rows)

    def _read(self, records: Records, things: Iterable[tuple[str, ...]]) -> list[tuple[Kind[Any], str, Any]]:
        """Return what the database says of these, None for what is gone; of kinds that are not ours, nothing."""
        keys: dict[str, list[str]] = {}
        for name, key in things:
            keys.setdefault(name, []).append(key)
        found = []
        for kind in (self._kinds[name] for name in keys if name in self._kinds):
            rows = kind.read(records, keys[kind.name])
            found += [(kind, key, rows.get(key)) for key in keys[kind.name]]
        return found

    def _followed(self) -> int:
        """Return the epoch that the index is of; of one that nothing is in yet, too."""
        epoch, number = self._index.followed
        if number:
            return epoch
        with self._core.database.begin() as records:
            return records.changes.epoch()

    def _tell(self, done: int, of: int) -> None:
        self._work.tell_sometimes(done=done, of=of)
