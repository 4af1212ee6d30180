"""Walking through a place: which files and folders can be found there, without looking into any, within limits."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from vaas import housekeeping
from vaas.errors import NotFound, Unavailable, VaasError
from vaas.insides.names import PROGRAMS, promised
from vaas.model import Entry
from vaas.stores.base import Place

__all__ = ["Bounds", "Skipped", "Thing", "Walk", "is_left_out", "walk", "whole_of"]

#: Raised when more is read out of files than before, so that all are looked into again; and when only what is said of
#: programs' files has changed.
_FORM, _FORM_OF_PROGRAMS = "2", "3"
#: A folder with one of these in it is a thing of its own; names in small letters. So many of them are heard.
_SPEAKING = frozenset({"readme", "readme.md", "readme.markdown", "readme.rst", "readme.txt", "citation.cff"})
_SPEAKING |= {"datapackage.json", "ro-crate-metadata.json"}
_MOST_SPEAKING = 8
#: Of so many files in one folder it is read whether a launch has written them.
_MOST_OVERVIEWS = 20
#: Folders that are one data set each, and those that hold what other people wrote.
_WHOLE = (".zarr",)
_INSTALLED = frozenset({"node_modules", "site-packages", "__pycache__"})
#: A path and what is put before it are kept as a key, in bytes.
_LONGEST_PATH = 1_000


@dataclass(frozen=True)
class Bounds:
    """How much is looked for and looked at. Times are in seconds, sizes in bytes.

    Parameters
    ----------
    files:
        Of one place; more are not found.
    depth:
        Folders in folders.
    copied:
        A file that has to be copied in order to be looked into is no larger.
    fetched:
        So much is fetched out of one place on another machine in one sweep; the rest comes with the next.
    patience:
        For one place in one sweep.
    silence:
        For one answer of a place.
    look:
        For one file.
    places:
        So many are swept at once.
    every, every_here:
        Between two sweeps; and between two of what is on this machine, as long as changes there are heard.
    lease:
        After how long without a word another process goes on with the sweeps.
    remembered:
        So many changes are, of files that are gone too: an index that is further behind is made anew.
    """

    files: int = 20_000
    depth: int = 12
    copied: int = 100_000_000
    fetched: int = 1_000_000_000
    patience: float = 900.0
    silence: float = 60.0
    look: float = 120.0
    places: int = 4
    every: float = 300.0
    every_here: float = 900.0
    lease: float = 60.0
    remembered: int = 200_000


@dataclass(frozen=True)
class Skipped:
    """What could not be found or looked into, and why, in words; an empty path is the whole place."""

    place: str
    path: str
    why: str


@dataclass(frozen=True)
class Thing:
    """Something that can be found: an entry of the place, what of its state was seen, and what speaks for a folder."""

    entry: Entry
    mark: str
    speaking: tuple[str, ...] = ()


@dataclass
class Walk:
    """What a walk through a place has seen.

    Parameters
    ----------
    things:
        What can be found, by path.
    kept:
        Folders that were not listed: what is known of them stays as it is.
    ours:
        What the portal has written itself, which is nothing to be found.
    etags:
        Of the folders that were seen whole, where they change with anything below them.
    """

    things: dict[str, Thing] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    etags: dict[str, str] = field(default_factory=dict)

    def gone(self, known: Iterable[str], *, below: str = "") -> list[str]:
        """Return what was known at or below that path, and is not there any more."""
        kept = set(self.kept)
        return [path for path in known if path not in self.things and _within(path, below) and not _any(path, kept)]

    def unsettle(self, paths: Iterable[str]) -> None:
        """Forget the etags of all folders above these paths, so that the next walk comes there again."""
        for path in paths:
            for folder in _above(path):
                self.etags.pop(folder, None)


def _speaks(entry: Entry) -> bool:
    return not entry.folder and entry.name.lower() in _SPEAKING


def is_left_out(path: str, *, depth: int) -> bool:
    """Tell whether a walk does not come to this path: too deep, installed, or a part of one thing."""
    folders = path.split("/")[:-1]
    return len(folders) > depth or any(name in _INSTALLED or _is_whole(name) for name in folders)


def whole_of(path: str) -> str:
    """Return the path of the folder that is one thing and that this path lies in; "" when there is none."""
    parts = path.split("/")
    return next(("/".join(parts[:count]) for count, name in enumerate(parts, start=1) if _is_whole(name)), "")


async def walk(place: Place, top: str, *, bounds: Bounds, before: Mapping[str, str], deep: bool = True) -> Walk:
    """Walk through a folder of the place.

    ``before``: the etags of the last walk; folders that have them still are not walked. ``deep``: into the folders in
    it, too. Nothing is there that is not there any more.

    Raises
    ------
    VaasError
        The folder itself cannot be listed.
    """
    return await _Walking(place, top, bounds=bounds, before=before, deep=deep).walk()


class _Walking:
    def __init__(self, place: Place, top: str, *, bounds: Bounds, before: Mapping[str, str], deep: bool) -> None:
        self._place, self._top, self._bounds, self._before, self._deep = place, top, bounds, before, deep
        self._seen, self._over = Walk(), False
        self._queue: deque[str] = deque()

    async def walk(self) -> Walk:
        try:
            entry = await self._ask_top()
        except NotFound as error:
            if not self._top:
                # A place that is there has a top: another one answers for it, or only a part of it.
                raise Unavailable(f"“{self._place.store.title}” is not there at the moment.") from error
            return self._seen
        if not entry.folder:
            folder = entry.path.rpartition("/")[0]
            await self._note_ours([entry, Entry(f"{folder}/{housekeeping.ABOUT}".lstrip("/"), False)])
            await self._take(entry)
        elif _is_whole(entry.name):
            await self._folder(entry.path)
        elif not is_left_out(f"{entry.path}/x".lstrip("/"), depth=self._bounds.depth):
            self._enter(entry)
        while self._queue:
            folder = self._queue.popleft()
            if len(self._seen.things) >= self._bounds.files:
                self._full(folder)
                break
            await self._folder(folder)
        return self._seen

    async def _ask_top(self) -> Entry:
        async with _silence(self._place, self._bounds):
            return await self._place.store.stat(self._top)

    def _full(self, folder: str) -> None:
        unseen = [folder, *self._queue]
        self._seen.kept += unseen
        self._seen.unsettle(f"{each}/x" for each in unseen)
        self._too_many()

    def _too_many(self) -> None:
        if not self._over:
            self._over = True
            self._skip("", "There are too many files here: what comes after the first ones is not found.")

    def _enter(self, entry: Entry) -> None:
        """Walk there, unless nothing has changed in it since the last time."""
        if entry.etag and self._before.get(entry.path) == entry.etag:
            self._seen.kept.append(entry.path)
            self._seen.etags |= {path: etag for path, etag in self._before.items() if _within(path, entry.path)}
            return
        if entry.etag:
            self._seen.etags[entry.path] = entry.etag
        self._queue.append(entry.path)

    async def _folder(self, folder: str) -> None:
        try:
            async with _silence(self._place, self._bounds):
                entries = await self._place.store.list(folder)
        except NotFound:
            return
        except VaasError as error:
            if folder == self._top:
                raise
            self._seen.kept.append(folder)
            self._seen.unsettle([f"{folder}/x"])
            self._skip(folder, error.message)
            return
        name = folder.rpartition("/")[2]
        if _is_whole(name):
            self._add(Entry(folder, True), mark=_digest(entries))
            return
        speaking = tuple(entry for entry in entries if _speaks(entry))[:_MOST_SPEAKING]
        if speaking:
            self._add(Entry(folder, True), mark=_digest(speaking), speaking=tuple(each.name for each in speaking))
        await self._note_ours(entries)
        for entry in entries:
            await self._take(entry)

    async def _note_ours(self, entries: Iterable[Entry]) -> None:
        """Note which of these the portal has written there."""
        files = {entry.name: entry for entry in entries if housekeeping.is_named(entry.name) and not entry.folder}
        if about := files.get(housekeeping.ABOUT):
            written = housekeeping.of_run(await self._begin(about, housekeeping.MOST_ABOUT))
            sizes = {name: size for name, size in written.items() if name in files}
            self._seen.ours |= {files[name].path for name, size in sizes.items() if size in (None, files[name].size)}
        for name in sorted(filter(housekeeping.OVERVIEWS.fullmatch, files))[:_MOST_OVERVIEWS]:
            if housekeeping.is_overview(await self._begin(files[name], len(housekeeping.SIGN))):
                self._seen.ours.add(files[name].path)

    async def _begin(self, entry: Entry, size: int) -> bytes:
        """Return the beginning of a file; nothing where it cannot be read."""
        try:
            async with _silence(self._place, self._bounds):
                return (await self._place.store.piece(entry.path, 0, size)).data
        except VaasError:
            return b""

    async def _take(self, entry: Entry) -> None:
        if not entry.folder:
            # What speaks for its folder says nothing else of itself: it would be found twice.
            if not _speaks(entry) and entry.path not in self._seen.ours:
                self._add(entry)
        elif _is_whole(entry.name):
            await self._folder(entry.path)
        elif not self._deep:
            self._seen.kept.append(entry.path)
        elif entry.name in _INSTALLED:
            self._skip(entry.path, "What is installed here is not looked through.")
        elif entry.path.count("/") + 1 > self._bounds.depth:
            self._skip(entry.path, f"It lies deeper than {self._bounds.depth} folders.")
        elif await self._is_itself(entry.path):
            self._enter(entry)

    async def _is_itself(self, folder: str) -> bool:
        """Tell whether it is no link: what a link within the place leads to is found where it is."""
        try:
            return await asyncio.to_thread(self._place.store.real, folder) == folder
        except VaasError:
            return False

    def _add(self, entry: Entry, *, mark: str = "", speaking: tuple[str, ...] = ()) -> None:
        if len(entry.path.encode()) > _LONGEST_PATH:
            self._skip(entry.path, "Its path is too long.")
        elif entry.path in self._seen.things or len(self._seen.things) < self._bounds.files:
            form = _FORM_OF_PROGRAMS if promised(entry.name) in PROGRAMS else _FORM
            self._seen.things[entry.path] = Thing(entry, f"{form} {mark or entry.etag}", speaking)
        else:
            self._too_many()

    def _skip(self, path: str, why: str) -> None:
        self._seen.skipped.append(Skipped(self._place.id, path, why))


@asynccontextmanager
async def _silence(place: Place, bounds: Bounds) -> AsyncIterator[None]:
    """Give one answer so long, and say in our words that it did not come."""
    try:
        async with asyncio.timeout(bounds.silence):
            yield
    except TimeoutError as error:
        raise Unavailable(f"“{place.store.title}” does not answer.") from error


def _digest(entries: Iterable[Entry]) -> str:
    told = "\n".join(f"{each.name} {each.etag} {each.size} {each.modified}" for each in entries)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _is_whole(name: str) -> bool:
    return name.lower().endswith(_WHOLE)


def _within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _above(path: str) -> Iterable[str]:
    """Return the folders that the path lies in, the place itself last."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _any(path: str, folders: set[str]) -> bool:
    return bool(folders) and (path in folders or any(folder in folders for folder in _above(path)))
