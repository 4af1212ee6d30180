"""Keeping the index of this process as the database is: each change is followed, and the whole can be made anew.

The index is never the truth. What is in it of an app is made from the app, its grants and its notebook, by every portal
process for itself; the database says what has changed (:class:`vaas.db.base.Changes`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from vaas.catalogs.base import ADMINS, Entries, Entry, Record
from vaas.db.base import Changes, Records
from vaas.model import App, Grant, Version
from vaas.notebook import Notebook, parse
from vaas.portal.core import Core
from vaas.prose import without_data

__all__ = ["Indexing"]

_log = logging.getLogger("vaas")
#: So often the database is asked what has changed, in seconds.
_OFTEN, _LATEST = 1.0, 60.0
#: After so many seconds without an answer, what the index says is not believed any more.
_FRESH = 30.0
_AT_ONCE = 50
#: So much of a notebook's text is looked through, and so much of a name is kept, in characters.
_MOST_TEXT, _MOST_NAME = 100_000, 40
#: What a page does not show of Markdown: comments, tags, where links lead to.
_NOT_SHOWN = re.compile(
    r"<!--.*?(?:-->|\Z)|<[^<>]{0,2000}>|(?<=\])\([^()]{0,2000}\)|^ {0,3}\[[^\]\n]{1,200}\]:.*$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class _Found:
    """What the database says of one app."""

    app: App
    grants: tuple[Grant, ...]
    version: Version | None


class Indexing:
    """Follows what changes."""

    def __init__(self, core: Core, index: Entries) -> None:
        self._core, self._index = core, index
        #: One at a time: what was read first must not be written last.
        self._turn = threading.RLock()
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

    async def follow(self) -> None:
        """Bring the index up to what the database says, again and again; until cancelled."""
        pause = _OFTEN
        while True:
            try:
                await asyncio.to_thread(self._catch_up_safely)
                pause = _OFTEN
            except Exception:
                pause = min(2 * pause, _LATEST)
                _log.exception("The index could not be brought up to date; it is tried again in %.0f s.", pause)
            await asyncio.sleep(pause)

    def _catch_up_safely(self) -> None:
        try:
            self.catch_up()
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
                asked = self._core.now()
                expired = [each.partition(":")[2] for each in self._index.expired(self._core.now())]
                count += self._put(expired) if expired else 0
                with self._core.database.begin() as records:
                    if self._is_of_another(records.changes):
                        break
                    epoch, found = (
                        records.changes.epoch(),
                        records.changes.since(self._index.followed[1], limit=_AT_ONCE),
                    )
                if not found:
                    self._seen, self._upto = time.monotonic(), asked
                    return count
                apps = [change.key for change in found if change.kind == "app"]
                count += self._put(apps, upto=(epoch, found[-1].number))
            return self.rebuild()

    def _is_of_another(self, changes: Changes) -> bool:
        """Tell whether the index followed another database than this, or a later state of it than there is now."""
        epoch, number = self._index.followed
        return bool(number) and (epoch != changes.epoch() or number > changes.last())

    def rebuild(self, *, told: Callable[[int], None] = lambda _: None) -> int:
        """Make the index anew; return how many entries it has. ``told`` hears how many are in it so far."""
        with self._turn:
            with self._core.database.begin() as records:
                changes = records.changes
                if self._is_of_another(changes) and self._index.followed[0] == changes.epoch():
                    # An older copy of the database was put in its place: other processes have to see it, too.
                    changes.begin_epoch()
                epoch, last = changes.epoch(), changes.last()
            # What changes meanwhile is followed afterwards.
            self._index.put(self._all(last, told), fresh=True, upto=(epoch, last))
            return len(self._index)

    def _all(self, last: int, told: Callable[[int], None]) -> Iterator[Entry]:
        at, done = 0, 0
        while at < last:
            with self._core.database.begin() as records:
                found = [each for each in records.changes.since(at, limit=_AT_ONCE) if each.number <= last]
                rows = [self._look(records, each.key) for each in found if each.kind == "app"]
            at = found[-1].number if found else last
            for row in filter(None, rows):
                done += 1
                yield self._entry(row)
            told(done)

    def _put(self, apps: list[str], *, upto: tuple[int, int] | None = None) -> int:
        with self._core.database.begin() as records:
            rows = {f"app:{key}": self._look(records, key) for key in apps}
        gone = [name for name, row in rows.items() if row is None]
        self._index.put((self._entry(row) for row in rows.values() if row is not None), remove=gone, upto=upto)
        return len(rows)

    @staticmethod
    def _look(records: Records, app_id: str) -> _Found | None:
        app = records.apps.by_id(app_id)
        if app is None:
            return None
        versions = records.versions.of(app_id)
        current = next((each for each in versions if each.snapshot.hash == app.version), None)
        return _Found(app, tuple(records.grants.of([app_id])), current)

    def _entry(self, found: _Found) -> Entry:
        app, now = found.app, self._core.now()
        grants = [grant for grant in found.grants if grant.holds(now)]
        readers = {ADMINS, f"user:{app.owner}", *(grant.subject for grant in grants)}
        until = min((grant.expires for grant in grants if grant.expires), default=None)
        record = Record(
            id=f"app:{app.id}",
            type="app",
            title=app.title,
            summary=app.description,
            owner=app.owner,
            tags=app.tags,
            category=app.category,
            names=(app.slug,),
            changed=app.updated,
            catalog="here",
            details={"slug": app.slug},
        )
        return Entry(self._told(record, found.version), frozenset(readers), until=until)

    def _told(self, record: Record, version: Version | None) -> Record:
        """Add what the notebook's page shows, if it can be read: its code and its files are not for all."""
        if version is None:
            return record
        path = version.snapshot.notebook
        try:
            digest = next(file.sha256 for file in version.snapshot.files if file.path == path)
            notebook = parse(self._core.content.read(digest), name=path)
            return replace(record, text=_text(notebook), kernel=_whole(notebook.language[:_MOST_NAME]))
        except Exception as error:
            # Whatever is wrong with one app keeps no other from being found, and nobody from losing access.
            _log.warning("%s is in the index without its notebook: %s", record.id, error)
            return record


def _text(notebook: Notebook) -> str:
    texts, room = [], _MOST_TEXT
    for cell in notebook.cells:
        if cell.kind == "markdown" and room > 0:
            texts.append(_NOT_SHOWN.sub(" ", without_data(cell.source[:room])))
            room -= len(cell.source)
    return _whole("\n".join(texts))


def _whole(text: str) -> str:
    """Return the text without halves of characters, which JSON may hold and no index keeps."""
    return text.encode(errors="replace").decode()
