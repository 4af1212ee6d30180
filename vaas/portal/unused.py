"""Content that nothing uses any more: noted when it is found so, and removed when it still is days later.

A wrong removal would destroy people's apps. So nobody has to say what uses content, which could be forgotten: what the
database names anywhere, in any table, is kept. What was added lately is kept as well, for it may be named soon.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from vaas.portal.core import Core

__all__ = ["Unused"]

_log = logging.getLogger("vaas")
#: How often it is looked, and for how long content must have been found unused at each look, and not been added again.
_EVERY, _UNUSED = timedelta(hours=20), timedelta(days=7)
_NOTES = ".unused.json"


@dataclass
class _Notes:
    """Which database the content is of, when it was looked last, and since when what is unused."""

    database: int
    looked: float = 0.0
    since: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, database: int) -> _Notes:
        """Return what was noted; new notes where there are none, or they are damaged."""
        try:
            said = json.loads(path.read_bytes())
            since = {str(name): float(when) for name, when in said["since"].items()}
            return cls(int(said["database"]), float(said["looked"]), since)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls(database)

    def write(self, path: Path) -> None:
        """Keep them, whole or not at all. Raises OSError."""
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_text(json.dumps(vars(self)))
        new.replace(path)


class Unused:
    """Removes it, from a process that does so now and then."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def sweep(self) -> int:
        """Remove what nothing has used for days; return how many files went. No-op when it was looked lately.

        Raises
        ------
        Unavailable, OSError
            The database or the folder cannot be read whole: then nothing is removed.
        """
        now, path = self._core.now(), self._core.content.root / _NOTES
        database = self._core.database.identity()
        notes = _Notes.read(path, database=database)
        if notes.database != database:
            _log.warning(
                "Content that nothing uses is not removed: %s says that the content is of another database than this. "
                "If this is the right one, remove that file.",
                path,
            )
            return 0
        if now - timedelta.resolution < datetime.fromtimestamp(notes.looked, now.tzinfo) + _EVERY:
            return 0
        present = self._core.content.present()
        # Read after the folder: what is named later was added later, or was named before.
        named = self._core.database.hashes()
        gone = self._remove(present, named, notes, now)
        notes.looked = now.timestamp()
        notes.write(path)
        if gone:
            _log.info("%d files of content that nothing uses are removed; %d are kept.", gone, len(present) - gone)
        return gone

    def _remove(self, present: set[str], named: set[str], notes: _Notes, now: datetime) -> int:
        """Remove what is over, and note what is unused; return how many files went."""
        began, gone = now.timestamp(), 0
        notes.since = {name: min(began, notes.since.get(name, began)) for name in sorted(present - named)}
        if notes.since and not present & named:
            _log.warning("Content is not removed: the database names none of it, as if it were another one's.")
            notes.since = {}
        before = (now - _UNUSED).timestamp()
        for name in [name for name, since in notes.since.items() if since <= before]:
            if self._core.content.remove(name, before=before):
                del notes.since[name]
                gone += 1
        return gone
