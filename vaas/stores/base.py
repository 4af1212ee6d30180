"""The store port: a place that holds files, seen as one tree of relative paths."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vaas.errors import Conflict, Forbidden, Invalid, TooLarge
from vaas.model import Entry, StoreAccount, User

__all__ = ["Counted", "Piece", "Place", "Store", "StoreSource", "Touched", "check_path", "uncounted"]


#: Where each piece has to be read from the file's start, it begins at most so many bytes after it.
_MOST_SKIPPED = 8_000_000
#: Hears how many bytes more are there; perhaps in a thread.
Counted = Callable[[int], None]


def uncounted(size: int) -> None:
    """Count nothing."""


def check_path(path: str) -> str:
    """Return ``path`` in its one form: relative, "/" between parts, "" for the root.

    Raises
    ------
    Invalid
        A part is "." or "..", or it holds a backslash, a NUL or another control character.
    """
    parts = [part for part in path.split("/") if part]
    if any(part in {".", ".."} for part in parts) or any(c == "\\" or ord(c) < 32 for c in path):
        raise Invalid("This path cannot be used.")
    return "/".join(parts)


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file, with the size and the etag of the whole: another etag means another file.

    ``skipped`` is how many bytes had to be read before them, for nothing.
    """

    data: bytes = field(repr=False)
    size: int
    etag: str
    skipped: int = 0


class Store(ABC):
    """A place that holds files.

    Paths are relative to the store's root, with "/" between parts; every method checks them and raises
    Invalid for one that leaves the tree, NotFound for one that does not exist (or is hidden: names that
    begin with a dot are never listed), Forbidden where the store refuses, and Unavailable, naming the
    store, when the store does not answer. ``id`` is stable and safe in an address; ``title`` is for people.
    """

    id: str
    title: str
    #: Whether its files are on this machine, so that looking at one costs nobody's patience.
    here: bool = False

    @abstractmethod
    async def list(self, path: str) -> tuple[Entry, ...]:
        """Return what is in the folder, folders first, by name without regard to case."""

    @abstractmethod
    async def stat(self, path: str) -> Entry:
        """Return the entry at ``path``; for a file its etag is set and changes with its content."""

    @abstractmethod
    def chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes in order; Invalid for a folder."""

    @abstractmethod
    async def write(self, path: str, data: bytes, *, if_match: str | None) -> Entry:
        """Write the whole file or nothing, and return its new entry.

        ``if_match`` is the etag it must still have (Conflict otherwise); None means that it must not
        exist yet (Conflict otherwise). The parent folder must exist. StorageFull when there is no room.
        """

    async def make_folder(self, path: str) -> None:
        """Make the folder; its parent must exist. Conflict when there is something at ``path`` already."""
        raise Forbidden(f"No folders can be made in “{self.title}”.")

    async def bring(self, path: str, folder: Path) -> None:
        """Bring a folder of this machine in as ``path``, whole or not at all; its parent must exist.

        Links, and what is neither file nor folder, are left out. Conflict when there is something at ``path`` already,
        StorageFull when there is no room.
        """
        raise Forbidden(f"No folders can be brought into “{self.title}”.")

    async def take(self, path: str, to: Path, *, limit: int, told: Counted = uncounted) -> int:
        """Copy the folder at ``path`` to one of this machine, which is new; return how many bytes are in it.

        ``told`` hears of each file.

        Links are left out, and what is hidden unless it tells what the rest is, as in Zarr. TooLarge for more than
        ``limit`` bytes; OSError when there is no room for it.
        """
        raise Forbidden(f"No folders can be taken from “{self.title}”.")

    async def read(self, path: str, *, limit: int) -> bytes:
        """Return the file's bytes; TooLarge when there are more than ``limit``."""
        found = bytearray()
        async with aclosing(self.chunks(path)) as chunks:  # so that a connection is not left open
            async for chunk in chunks:
                found += chunk
                if len(found) > limit:
                    raise TooLarge(f"“{path}” is larger than {limit // 1_000_000} MB.")
        return bytes(found)

    async def piece(self, path: str, offset: int, size: int, entry: Entry | None = None) -> Piece:
        """Return up to ``size`` bytes from ``offset`` on, fewer at the file's end; Invalid for a folder.

        A store that can begin anywhere does so; here all that comes before is read, too, and so Invalid is raised
        for what begins late in a file. ``entry`` is what :meth:`stat` has just said, so that it is not asked again.
        Conflict when the file is changed meanwhile.
        """
        entry = entry or await self.stat(path)
        if size <= 0 or offset >= entry.size > 0:
            return Piece(b"", entry.size, entry.etag)
        data, skipped = await self._from_the_start(path, offset, size)
        return await self._whole(path, entry, data, skipped)

    async def _whole(self, path: str, entry: Entry, data: bytes, skipped: int = 0) -> Piece:
        """Return the piece, if it is of the file that ``entry`` tells of, and that file still is there."""
        if data and not entry.size:
            raise Invalid(f"“{self.title}” does not say how large “{path}” is, so it cannot be read from here.")
        if (await self.stat(path)).etag != entry.etag:
            raise Conflict(f"“{path}” was changed while it was read. Try again.")
        return Piece(data, entry.size, entry.etag, skipped)

    async def _from_the_start(self, path: str, offset: int, size: int) -> tuple[bytes, int]:
        if offset > _MOST_SKIPPED:
            most = _MOST_SKIPPED // 1_000_000
            raise Invalid(
                f"“{self.title}” reads files only from their start: “{path}” is too large for that ({most} MB)."
            )
        found, skipped = bytearray(), 0
        async with aclosing(self.chunks(path)) as chunks:
            async for chunk in chunks:
                ahead = min(len(chunk), offset - skipped)
                skipped += ahead
                found += chunk[ahead:]
                if len(found) >= size:
                    break
        return bytes(found[:size]), skipped

    def real(self, path: str) -> str:
        """Return the path at which it really is, where the store has links within itself; else the same."""
        return path

    def borrowed(self, path: str, *, limit: int) -> AbstractAsyncContextManager[Path]:
        """Lend the file as one of this machine, which nobody can exchange meanwhile; gone when the block ends.

        Raises TooLarge where it has to be copied and is larger than ``limit`` bytes, and Invalid for a folder,
        unless the store can lend that too.
        """
        return self._copied(path, limit)

    @asynccontextmanager
    async def _copied(self, path: str, limit: int) -> AsyncIterator[Path]:
        with tempfile.TemporaryDirectory(prefix="vaas-", ignore_cleanup_errors=True) as folder:
            copy, size = Path(folder) / "file", 0
            with copy.open("wb") as file:
                async with aclosing(self.chunks(path)) as chunks:
                    async for chunk in chunks:
                        size += len(chunk)
                        if size > limit:
                            raise TooLarge(f"“{path}” is larger than {limit // 1_000_000} MB.")
                        file.write(chunk)
            yield copy


@dataclass(frozen=True)
class Place:
    """One store of one owner, and the subjects that may see what is in it.

    ``id`` is stable, of safe letters, and no other place's: for other readers it is another place. ``owner`` is ""
    for what belongs to nobody in person.
    """

    id: str
    store: Store
    readers: frozenset[str]
    owner: str = ""


@dataclass(frozen=True)
class Touched:
    """That something in a place may not be what it was: a file, or all that is in a folder; "" for the whole."""

    place: str
    path: str


class StoreSource(ABC):
    """Which stores a person has: the configured folders, and the accounts that they connected."""

    @abstractmethod
    def of(self, user: User) -> list[Store]:
        """Return the person's stores, their own folder first."""

    @abstractmethod
    def accounts(self, user: User) -> list[StoreAccount]:
        """Return the WebDAV accounts that the person connected."""

    @abstractmethod
    async def connect(self, user: User, *, title: str, url: str, username: str, password: str) -> StoreAccount:
        """Try the account and keep it; Invalid, Forbidden or Unavailable when it does not work."""

    @abstractmethod
    def disconnect(self, user: User, account_id: str) -> None:
        """Forget the account; no-op when the person has no such one."""

    @abstractmethod
    def places(self, user: User | None = None, *, elsewhere: bool = True) -> list[Place]:
        """Return every store of everyone, or those of one person, with who may see what is in them.

        One that cannot be opened at the moment is left out. ``elsewhere``: those on other machines, too.
        """

    @abstractmethod
    def owned(self, people: Collection[str]) -> frozenset[str]:
        """Return the ids of the places that these people have, of those that cannot be opened at the moment too."""

    def watched(self) -> AbstractAsyncContextManager[AsyncIterator[frozenset[Touched]]]:
        """Say what is touched as it happens, inside of the block, where the system can tell; elsewhere nothing."""
        return _unwatched()


@asynccontextmanager
async def _unwatched() -> AsyncIterator[AsyncIterator[frozenset[Touched]]]:
    async def nothing() -> AsyncIterator[frozenset[Touched]]:
        none: tuple[frozenset[Touched], ...] = ()
        for each in none:
            yield each

    yield nothing()
