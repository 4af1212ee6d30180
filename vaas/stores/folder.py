"""A folder on disk as a store: someone's home, or one that several share."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import io
import os
import secrets
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from vaas.errors import Conflict, Forbidden, Invalid, NotFound, StorageFull, Unavailable, VaasError
from vaas.model import Entry
from vaas.stores import bringing, lending
from vaas.stores.base import Counted, Piece, Store, check_path, uncounted
from vaas.stores.resolving import resolved

__all__ = ["FolderStore"]

_Done = TypeVar("_Done")
_CHUNK = 262_144
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK, opening a FIFO that was put there meanwhile would wait for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_SECONDS = 5.0
#: So many links in one folder are followed when it is listed.
_MOST_LINKS = 1_000
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})

_NOT_ALLOWED = (Forbidden, "“{title}” does not allow this with “{path}”.")
_FULL = (StorageFull, "“{title}” is full. Delete something there, and try again.")
_UNUSABLE = (Invalid, "“{path}” cannot be used.")
_MISSING = (NotFound, "There is no “{path}”.")
_ERRORS: Mapping[int, tuple[type[VaasError], str]] = {
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.EROFS: _NOT_ALLOWED,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ENOENT: _MISSING,
    errno.ENOTDIR: _MISSING,
    errno.ELOOP: _UNUSABLE,
    errno.ENAMETOOLONG: _UNUSABLE,
    errno.EILSEQ: _UNUSABLE,
}


class FolderStore(Store):
    """Serve the files below ``root``.

    Nothing outside of ``root`` is reached: symbolic links are resolved first, and the resolved path is then
    walked folder by folder without following any link, so that one put there meanwhile is refused. Files
    appear whole or not at all, and who writes with an etag is alone in the file's folder while it is compared.
    """

    here = True

    def __init__(self, id: str, title: str, root: Path, *, writable: bool = True, aside: Path | None = None) -> None:
        self.id = id
        self.title = title
        self._root = root
        self._writable = writable
        #: Where what is lent lies meanwhile; on the same disk as ``root``, nothing has to be copied for it.
        self._aside = aside

    async def list(self, path: str) -> tuple[Entry, ...]:
        """Return what is in the folder, folders first, by name without regard to case."""
        return await asyncio.to_thread(self._list, _visible(path))

    async def stat(self, path: str) -> Entry:
        """Return the entry at ``path``."""
        return await asyncio.to_thread(self._stat, _visible(path))

    async def chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes in order: of one file, also when another takes its place meanwhile."""
        # Buffered, because then close waits for a read that a cancelled task left running in its thread.
        with await asyncio.to_thread(self._open, _visible(path)) as file:
            while True:
                with self._errors(path):
                    chunk = await asyncio.to_thread(file.read, _CHUNK)
                if not chunk:
                    return
                yield chunk

    async def piece(self, path: str, offset: int, size: int, entry: Entry | None = None) -> Piece:
        """Return up to ``size`` bytes from ``offset`` on, of the one file that is opened for it."""
        return await asyncio.to_thread(self._piece, _visible(path), offset, size)

    async def write(self, path: str, data: bytes, *, if_match: str | None) -> Entry:
        """Write the whole file or nothing, and return its new entry."""
        return await asyncio.to_thread(self._write, self._new(path), data, if_match)

    async def make_folder(self, path: str) -> None:
        """Make the folder; its parent must exist."""
        await asyncio.to_thread(self._make_folder, self._new(path))

    async def bring(self, path: str, folder: Path) -> None:
        """Bring a folder of this machine in; until it is whole, it is hidden."""
        await _to_the_end(lambda: self._bring(self._new(path), folder))

    async def take(self, path: str, to: Path, *, limit: int, told: Counted = uncounted) -> int:
        """Copy the folder to a new one of this machine."""
        return await _to_the_end(lambda: self._take(_visible(path), to, limit, told))

    def real(self, path: str) -> str:
        """Return the path at which it really is."""
        with self._errors(path):
            return "/".join(self._resolve(_visible(path)))

    def borrowed(self, path: str, *, limit: int) -> AbstractAsyncContextManager[Path]:
        """Lend the file under a name of our own, or a copy; of a folder, copies of what is in it up to ``limit``."""
        return self._lent(path, limit)

    @asynccontextmanager
    async def _lent(self, path: str, limit: int) -> AsyncIterator[Path]:
        path, loan = _visible(path), lending.Loan(self._aside)
        try:
            yield await _to_the_end(lambda: self._lend(path, loan.begin(), limit))
        finally:
            await _to_the_end(loan.end)

    def _new(self, path: str) -> str:
        """Return the checked path of something that is to be written."""
        if not self._writable:
            raise Forbidden(f"“{self.title}” is read-only.")
        path = _checked(path)
        if not path or any(part.startswith(".") for part in path.split("/")):
            raise Invalid("A name cannot be empty or begin with a dot.")
        return path

    # Everything below runs in a thread.

    def _list(self, path: str) -> tuple[Entry, ...]:
        if not self._stat(path).folder:
            raise Invalid(f"“{path}” is a file, not a folder.")
        with self._errors(path), self._folder(self._resolve(path)) as folder:
            links = iter(range(_MOST_LINKS))
            found = [self._child(folder, path, name, links) for name in os.listdir(folder) if _can_be_named(name)]
        return tuple(sorted((e for e in found if e), key=lambda e: (not e.folder, e.name.casefold(), e.name)))

    def _child(self, folder: int, path: str, name: str, links: Iterator[int]) -> Entry | None:
        child = f"{path}/{name}" if path else name
        try:
            known = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(known.st_mode):
                return self._stat(child) if next(links, None) is not None else None
        except (OSError, VaasError):
            return None  # gone meanwhile, or a link too many, or one that leads nowhere we may go
        return _entry(child, known)

    def _stat(self, path: str) -> Entry:
        with self._errors(path), self._parent(self._resolve(path)) as (folder, name):
            entry = _entry(path, os.stat(name, dir_fd=folder, follow_symlinks=False))
        if entry is None:
            raise Invalid(f"“{path}” is neither a file nor a folder.")
        return entry

    def _open(self, path: str) -> io.BufferedReader[io.FileIO]:
        with self._errors(path), self._parent(self._resolve(path)) as (folder, name):
            # Devices are refused before they are opened: opening one can already do something.
            if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                file = io.BufferedReader(io.FileIO(os.open(name, _READ, dir_fd=folder)), _CHUNK)
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return file
                file.close()
        raise Invalid(f"“{path}” is not a file.")

    def _piece(self, path: str, offset: int, size: int) -> Piece:
        with self._errors(path), self._open(path) as file:
            file.seek(offset)
            data = file.read(size)
            known = os.fstat(file.fileno())  # afterwards: what was written into it meanwhile gives it another etag
            return Piece(data, known.st_size, _etag(known))

    def _lend(self, path: str, into: Path, limit: int) -> Path:
        if self._stat(path).folder:
            with self._errors(path), self._folder(self._resolve(path)) as folder:
                return lending.copy_folder(folder, into / "folder", limit=limit)
        with self._errors(path), self._open(path) as file:
            return lending.link_or_copy(file, into / "file", limit=limit, name=path)

    def _write(self, path: str, data: bytes, if_match: str | None) -> Entry:
        with self._errors(path), self._parent(self._resolve(path)) as (folder, name), self._alone(folder):
            try:
                before = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                before = None
            _check_before(path, before, if_match)
            temporary = f".vaas-{secrets.token_hex(8)}.tmp"
            try:
                after = _fill(folder, temporary, data, before)
                _put(folder, temporary, name, create=before is None)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
        return Entry(path, False, after.st_size, _moment(after), _etag(after))

    def _make_folder(self, path: str) -> None:
        with self._errors(path), self._parent(self._resolve(path)) as (folder, name):
            try:
                os.mkdir(name, dir_fd=folder)
            except FileExistsError as exc:
                raise Conflict(f"There is a “{path}” already.") from exc
            if os.geteuid() == 0:
                owner = os.fstat(folder)
                # By descriptor: by name, something else could have taken its place.
                made = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    os.fchown(made, owner.st_uid, owner.st_gid)
                finally:
                    os.close(made)

    def _bring(self, path: str, source: Path) -> None:
        with (
            self._errors(path),
            self._parent(self._resolve(path)) as (folder, name),
            bringing.brought(source, folder) as hidden,
        ):
            try:
                os.mkdir(name, 0o700, dir_fd=folder)
            except FileExistsError as exc:
                raise Conflict(f"There is a “{path}” already.") from exc
            # An empty folder is replaced in one step.
            os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _take(self, path: str, to: Path, limit: int, told: Counted) -> int:
        try:
            with self._folder(self._resolve(path)) as folder:
                return lending.copy_whole(folder, to, limit=limit, told=told)
        except OSError as exc:
            if _ERRORS.get(exc.errno or 0) is _FULL:
                raise  # where it is copied to, not here
            raise self._explain(exc, path) from exc

    def _resolve(self, path: str) -> tuple[str, ...]:
        """Return the parts of the real path below the root."""
        root = os.path.realpath(self._root)
        real = resolved(root, path)
        if os.path.commonpath([root, real]) != root:
            raise Invalid(f"“{path}” leads out of “{self.title}”.")
        parts = tuple(part for part in os.path.relpath(real, root).split(os.sep) if part != ".")
        if any(part.startswith(".") for part in parts):
            raise _missing(path)
        return parts

    @contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """Yield a descriptor of the folder, reached without following a link below the root."""
        try:
            here = os.open(os.path.realpath(self._root), _FOLDER)
        except FileNotFoundError as exc:
            raise Unavailable(f"The folder of “{self.title}” is not there at the moment.") from exc
        try:
            for part in parts:
                below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    @contextmanager
    def _parent(self, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        with self._folder(parts[:-1]) as folder:
            yield folder, parts[-1] if parts else "."

    @contextmanager
    def _alone(self, folder: int) -> Iterator[None]:
        """Keep other writers out, of this process and of others, where the file system can."""
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() > until:
                    raise Conflict("Somebody else is writing in this folder. Try again.") from exc
                time.sleep(0.02)
            except OSError:
                break
        yield  # the lock goes when the folder's descriptor is closed

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Turn errors of the system into ours."""
        try:
            yield
        except OSError as exc:
            raise self._explain(exc, path) from exc

    def _explain(self, exc: OSError, path: str) -> VaasError:
        kind, text = _ERRORS.get(exc.errno or 0, (Unavailable, "“{title}” cannot be read or written at the moment."))
        log = f"store {self.id}: {path!r}: {exc.strerror}"
        return kind(text.format(title=self.title, path=path), log_message=log)


async def _to_the_end(work: Callable[[], _Done]) -> _Done:
    """Run it in a thread; who is cancelled waits for its end, so that nothing is put behind their back."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _checked(path: str) -> str:
    try:
        os.fsencode(path)
    except UnicodeEncodeError as exc:
        raise Invalid("This path cannot be used.") from exc
    return check_path(path)


def _visible(path: str) -> str:
    """Return the checked path; NotFound for a hidden one."""
    path = _checked(path)
    if any(part.startswith(".") for part in path.split("/")):
        raise _missing(path)
    return path


def _missing(path: str) -> NotFound:
    return NotFound(f"There is no “{path}”.")


def _can_be_named(name: str) -> bool:
    """Tell whether a listed name can be asked for: not hidden, no odd characters, and UTF-8."""
    try:
        name.encode()
        return not name.startswith(".") and check_path(name) == name
    except (UnicodeEncodeError, Invalid):
        return False


def _entry(path: str, known: os.stat_result) -> Entry | None:
    """Return the entry for a file or a folder, None for anything else."""
    if stat.S_ISDIR(known.st_mode):
        return Entry(path, True, 0, _moment(known), "")
    if stat.S_ISREG(known.st_mode):
        return Entry(path, False, known.st_size, _moment(known), _etag(known))
    return None


def _etag(known: os.stat_result) -> str:
    return f"{known.st_mtime_ns:x}-{known.st_size:x}-{known.st_ino:x}"


def _moment(known: os.stat_result) -> datetime:
    return datetime.fromtimestamp(known.st_mtime, UTC)


def _check_before(path: str, before: os.stat_result | None, if_match: str | None) -> None:
    if before is None and if_match is not None:
        raise Conflict(f"“{path}” was deleted or renamed meanwhile.")
    if before is not None and if_match is None:
        raise Conflict(f"There is a “{path}” already.")
    if before is not None and (not stat.S_ISREG(before.st_mode) or _etag(before) != if_match):
        raise Conflict(f"“{path}” was changed meanwhile. Open it again to see what is new.")


def _fill(folder: int, name: str, data: bytes, before: os.stat_result | None) -> os.stat_result:
    """Write a new file that has the mode of the one before it, and an owner who fits the folder."""
    descriptor = os.open(name, _NEW, 0o666, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:
            owner = before or os.fstat(folder)
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        if before is not None:
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        file.write(data)
        file.flush()
        os.fsync(descriptor)
        return os.fstat(descriptor)


def _put(folder: int, temporary: str, name: str, *, create: bool) -> None:
    """Give the new file its name in one step; a link, unlike a rename, never replaces."""
    if create:
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            return
        except FileExistsError as exc:
            raise Conflict(f"There is a “{name}” already.") from exc
        except OSError as exc:
            if exc.errno not in _NO_HARD_LINKS:
                raise
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
