"""Looking at one thing that was found: what it says of itself, or only what it is called and why."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vaas.catalogs.base import TYPES, Record, said_of
from vaas.db.base import Find
from vaas.errors import NotFound, TooLarge, Unavailable
from vaas.insides.base import Inside, Looker, Unreadable
from vaas.insides.names import PROGRAMS, promised, tells
from vaas.portal.walks import Bounds, Thing
from vaas.prose import clean_text, shorten
from vaas.stores.base import Place

__all__ = ["Looking"]

#: So much of what a thing says of itself is kept, in characters and in members.
_TEXT, _TITLE, _SUMMARY, _WORD, _WORDS = 100_000, 200, 600, 200, 2_000
_DETAILS = 20_000
#: What only we say of a thing: where it lies, what opens it, and what it is the same as.
_OURS = frozenset({"store", "path", "etag", "checksum", "note", "slug", "download", "launch", "doi"})
#: The files that speak for a folder are no larger, together.
_SPOKEN = 2_000_000
#: Of a folder that is one thing, what is small: its description, and the axes.
_FOLDER = 20_000_000
#: Larger files get no checksum.
_SUMMED = 100_000_000


@dataclass(frozen=True)
class _Seen:
    """What was seen of one thing: itself, its checksum, or why not, and whether that may pass by itself."""

    inside: Inside = Inside()
    checksum: str = ""
    note: str = ""
    passes: bool = False


class Looking:
    """Looks at things; without a ``looker`` only at their names."""

    def __init__(self, looker: Looker | None, *, bounds: Bounds, now: Callable[[], datetime]) -> None:
        self._looker, self._bounds, self._now = looker, bounds, now

    def looks_into(self, thing: Thing) -> bool:
        """Tell whether it may say more than its name does, and there is somebody who can read it."""
        return self._looker is not None and (thing.entry.folder or tells(thing.entry.name))

    def mark(self, thing: Thing) -> str:
        """Return its mark; another one while nobody can look into it, so that it is looked at when somebody can."""
        return thing.mark if self._looker is not None or not thing.mark else f"name {thing.mark}"

    async def look(self, place: Place, thing: Thing) -> Find | None:
        """Return what there is to say of it; None: it is not there any more.

        Raises
        ------
        VaasError
            Its place does not let us see it at the moment.
        """
        try:
            return self._find(place, thing, await self._see(place, thing))
        except NotFound:
            return None

    def by_name(self, place: Place, thing: Thing, *, note: str = "") -> Find:
        """Return what is known without looking into it."""
        return self._find(place, thing, _Seen(note=note))

    async def _see(self, place: Place, thing: Thing) -> _Seen:
        if self._looker is None or not self.looks_into(thing):
            return _Seen()
        try:
            async with asyncio.timeout(self._bounds.look):
                if thing.speaking:
                    return await self._hear(self._looker, place, thing)
                return await self._open(self._looker, place, thing)
        except TimeoutError:
            return _Seen(note=f"It could not be looked into within {self._bounds.look:.0f} s.")
        except TooLarge as error:
            return _Seen(note=error.message)

    async def _open(self, looker: Looker, place: Place, thing: Thing) -> _Seen:
        entry = thing.entry
        if entry.folder and not place.store.here:
            return _Seen(note="Folders on another machine are not looked into.")
        limit = min(self._bounds.copied, _FOLDER) if entry.folder else self._bounds.copied
        async with place.store.borrowed(entry.path, limit=limit) as path:
            checksum = "" if entry.folder else await asyncio.to_thread(_sum, path)
            return replace(await _ask(looker, path, name=entry.name), checksum=checksum)

    async def _hear(self, looker: Looker, place: Place, thing: Thing) -> _Seen:
        """Look at a folder by what speaks for it: copies of these files in a folder of our own."""
        with tempfile.TemporaryDirectory(prefix="vaas-", ignore_cleanup_errors=True) as made:
            folder = Path(made) / "folder"
            folder.mkdir()
            left = _SPOKEN
            for name in thing.speaking:
                data = await place.store.read(f"{thing.entry.path}/{name}".lstrip("/"), limit=left)
                left -= len(data)
                await asyncio.to_thread((folder / name).write_bytes, data)
            return await _ask(looker, folder, name=thing.entry.name or place.store.title)

    def _find(self, place: Place, thing: Thing, seen: _Seen) -> Find:
        entry, inside = thing.entry, seen.inside
        record = _record(place, thing, seen)
        said = _writable(said_of(record)) or _writable(said_of(_record(place, thing, _Seen(note=seen.note)))) or {}
        return Find(
            place=place.id,
            path=entry.path,
            # Another one than it will have, so that it is looked at again.
            mark=f"name {thing.mark}" if seen.passes else self.mark(thing),
            kind=_type(thing, inside),
            record=said,
            readers=place.readers,
            seen=self._now(),
            size=entry.size,
            modified=entry.modified,
            note=seen.note,
        )


async def _ask(looker: Looker, path: Path, *, name: str) -> _Seen:
    try:
        return _Seen(await looker.look(path, name=name))
    except (Unreadable, Unavailable) as error:
        return _Seen(note=error.message, passes=isinstance(error, Unavailable))


def _record(place: Place, thing: Thing, seen: _Seen) -> Record:
    entry, inside = thing.entry, seen.inside
    name = entry.name or place.store.title
    own = {"store": place.store.id, "path": entry.path, "etag": entry.etag}
    own |= {key: value for key, value in (("checksum", seen.checksum), ("note", seen.note)) if value}
    return Record(
        id=f"file:{place.id}/{entry.path}",
        type=_type(thing, inside),
        title=shorten(clean_text(_line(inside.title)), _TITLE) or name,
        summary=shorten(_line(inside.summary), _SUMMARY),
        text=_whole(inside.text[:_TEXT]),
        owner=place.owner,
        authors=_words(inside.authors),
        tags=_words(inside.tags),
        names=tuple(dict.fromkeys((name, entry.path))) if entry.path else (name,),
        columns=_words(inside.columns),
        packages=_words(inside.packages),
        kernel=_line(inside.kernel[:_WORD]),
        format=_line(inside.format[:_WORD]) or ("" if entry.folder else promised(entry.name)),
        catalog="here",
        licence=_line(inside.licence[:_WORD]),
        size=None if entry.folder else entry.size,
        changed=entry.modified,
        begins=inside.begins,
        ends=inside.ends,
        box=inside.box if inside.box and all(map(math.isfinite, inside.box)) else None,
        details={**_bounded({key: inside.details[key] for key in inside.details if key not in _OURS}), **own},
    )


def _type(thing: Thing, inside: Inside) -> str:
    if thing.entry.folder:
        return "folder" if thing.speaking else "data"
    if promised(thing.entry.name) == "notebook":
        return "notebook"
    if promised(thing.entry.name) in PROGRAMS:
        return "code"
    return inside.type if inside.type in TYPES and inside.type not in {"app", "person", "share"} else "data"


def _bounded(details: Mapping[str, Any]) -> Mapping[str, Any]:
    said = _writable(details)
    return said if said is not None and len(json.dumps(said)) <= _DETAILS else {}


def _writable(said: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return it as it comes back from JSON; None where no database would take it."""
    with suppress(ValueError, TypeError, RecursionError):
        written: dict[str, Any] = json.loads(_whole(json.dumps(said, allow_nan=False)))
        return written
    return None


def _words(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (_line(value[:_WORD]) for value in tuple(values)[:_WORDS]))))


def _line(text: str) -> str:
    return " ".join(_whole(text).split())


def _whole(text: str) -> str:
    """Return the text without halves of characters and NULs, which no index and no database keeps."""
    return text.encode(errors="replace").decode().replace("\0", " ")


def _sum(path: Path) -> str:
    """Return the checksum of a file that is not too large for one."""
    if path.stat().st_size > _SUMMED:
        return ""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
