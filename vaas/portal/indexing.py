"""Keeping the index of this process as the database is: each change is followed, and the whole can be made anew.

The index is never the truth. What is in it of an app is made from the app, its grants and its notebook, by every portal
process for itself; the database says what has changed (:class:`vaas.db.base.Changes`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from vaas.catalogs.base import ADMINS, Entries, Entry, Record
from vaas.db.base import Records
from vaas.errors import VaasError
from vaas.model import Version
from vaas.notebook import Notebook, parse
from vaas.portal.core import Core

__all__ = ["Indexing"]

_log = logging.getLogger("vaas")
#: So often the database is asked what has changed, in seconds.
_OFTEN, _LATEST = 1.0, 60.0
_AT_ONCE = 500
#: So much of a notebook's text is looked through, in characters.
_MOST_TEXT = 100_000


class Indexing:
    """Follows what changes."""

    def __init__(self, core: Core, index: Entries) -> None:
        self._core, self._index = core, index
        self._makers: Mapping[str, Callable[[Records, str], Entry | None]] = {"app": self._app}

    async def follow(self) -> None:
        """Bring the index up to what the database says, again and again; until cancelled."""
        pause = _OFTEN
        while True:
            try:
                await asyncio.to_thread(self.catch_up)
                pause = _OFTEN
            except Exception:
                pause = min(2 * pause, _LATEST)
                _log.exception("The index could not be brought up to date; it is tried again in %.0f s.", pause)
            await asyncio.sleep(pause)

    def catch_up(self) -> int:
        """Follow all changes until now, and what has expired; return how many there were."""
        expired = [each.split(":", 1) for each in self._index.expired(self._core.now())]
        count = self._put(expired) if expired else 0
        while True:
            with self._core.database.begin() as records:
                found = records.changes.since(self._index.followed, limit=_AT_ONCE)
            if not found:
                return count
            count += self._put([[change.kind, change.key] for change in found], upto=found[-1].number)

    def rebuild(self, *, told: Callable[[int], None] = lambda _: None) -> int:
        """Make the index anew; return how many entries it has. ``told`` hears how many are in it so far."""
        with self._core.database.begin() as records:
            last = records.changes.last()
        # What changes meanwhile is followed afterwards.
        self._index.put(self._all(last, told), fresh=True, upto=last)
        return len(self._index)

    def _all(self, last: int, told: Callable[[int], None]) -> Iterator[Entry]:
        at, done = 0, 0
        while at < last:
            with self._core.database.begin() as records:
                found = [each for each in records.changes.since(at, limit=_AT_ONCE) if each.number <= last]
                made = [self._made(records, change.kind, change.key) for change in found]
            at = found[-1].number if found else last
            for entry in filter(None, made):
                done += 1
                yield entry
            told(done)

    def _put(self, changed: list[list[str]], *, upto: int | None = None) -> int:
        with self._core.database.begin() as records:
            made = {f"{kind}:{key}": self._made(records, kind, key) for kind, key in changed}
        gone = [name for name, entry in made.items() if entry is None]
        self._index.put(filter(None, made.values()), remove=gone, upto=upto)
        return len(made)

    def _made(self, records: Records, kind: str, key: str) -> Entry | None:
        """Return what is there now; None: nothing is, or it is nothing that this version knows."""
        make = self._makers.get(kind)
        return make(records, key) if make is not None else None

    def _app(self, records: Records, app_id: str) -> Entry | None:
        app, now = records.apps.by_id(app_id), self._core.now()
        if app is None:
            return None
        grants = [grant for grant in records.grants.of([app_id]) if grant.holds(now)]
        readers = {ADMINS, f"user:{app.owner}", *(grant.subject for grant in grants)}
        until = min((grant.expires for grant in grants if grant.expires), default=None)
        record = Record(
            id=f"app:{app_id}",
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
        versions = records.versions.of(app_id)
        current = next((each for each in versions if each.snapshot.hash == app.version), None)
        return Entry(self._told(record, current), frozenset(readers), until=until)

    def _told(self, record: Record, version: Version | None) -> Record:
        """Add what the notebook shows, if it can be read; nothing of its code, which not all may see."""
        if version is None:
            return record
        path = version.snapshot.notebook
        try:
            digest = next(file.sha256 for file in version.snapshot.files if file.path == path)
            notebook = parse(self._core.content.read(digest), name=path)
        except (VaasError, StopIteration) as error:
            _log.warning("%s is in the index without its notebook: %s", record.id, error)
            return record
        names = (*record.names, PurePosixPath(path).name)
        return replace(record, text=_text(notebook), kernel=notebook.language, names=names)


def _text(notebook: Notebook) -> str:
    prose = (cell.source for cell in notebook.cells if cell.kind == "markdown")
    return "\n".join(prose)[:_MOST_TEXT]
