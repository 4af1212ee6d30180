"""Snapshots by content hash: files are kept once under their SHA-256, a snapshot is a list of them.

The hash of a snapshot is the SHA-256 of its canonical JSON: the notebook's path and, by path, each file's
SHA-256 and size. Nothing in the folder is ever changed; a file appears under its name only when it is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from vaas.errors import Invalid, NotFound, StorageFull, TooLarge, Unavailable, VaasError
from vaas.model import File, Snapshot

__all__ = ["Content", "explain", "pack", "snapshot_of"]

_CHUNK = 1 << 20
_LOCK = ".lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
#: What the names of files and folders begin with that are not whole yet.
_BEGUN = ".pending-"


def snapshot_of(notebook: str, files: Iterable[File]) -> Snapshot:
    """Return the snapshot that holds ``files`` and runs ``notebook``.

    Raises
    ------
    Invalid
        The notebook is not among the files, a path stands twice, or leaves the folder.
    """
    ordered = tuple(sorted(files, key=lambda file: file.path))
    paths = [file.path for file in ordered]
    folders = {path[:i] for path in paths for i, c in enumerate(path) if c == "/"}
    if len(set(paths)) != len(paths) or folders & set(paths) or not all(map(_is_inside, paths)):
        raise Invalid("Two of the files have the same name, or a name that cannot be used.")
    if notebook not in paths:
        raise Invalid("The notebook is not among the files.")
    listing = {"notebook": notebook, "files": [[f.path, f.sha256, f.size] for f in ordered]}
    digest = hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()
    return Snapshot(digest, notebook, ordered)


def _is_inside(path: str) -> bool:
    # Lone surrogates have no bytes, and no file system takes more than 255 of them for a name.
    clean = not any(c == "\\" or ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in path)
    named = (part not in {"", ".", ".."} and len(part.encode()) <= 255 for part in path.split("/"))
    return clean and len(path) <= 500 and all(named)


class Content:
    """Keep and give back files by their SHA-256, under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def add(self, data: bytes) -> tuple[str, int]:
        """Keep ``data``; return its SHA-256 and size. Raises StorageFull."""
        digest = hashlib.sha256(data).hexdigest()
        target = self._place(digest)
        if not self._added_again(target):
            with _Pending(self.root, target) as handle:
                handle.write(data)
                handle.keep()
        return digest, len(data)

    async def add_stream(self, chunks: AsyncIterator[bytes], *, limit: int) -> tuple[str, int]:
        """Keep what ``chunks`` yields; return its SHA-256 and size. Raises StorageFull and TooLarge."""
        sha, size = hashlib.sha256(), 0
        with _Pending(self.root) as handle:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"A file is larger than {limit // 1_000_000} MB, the limit of this portal.")
                sha.update(chunk)
                handle.write(chunk)
            handle.target = self._place(sha.hexdigest())
            # Until a large file is on the disk, everybody else goes on. Who is cancelled waits for it.
            keeping = asyncio.create_task(asyncio.to_thread(handle.keep))
            try:
                await asyncio.shield(keeping)
            except asyncio.CancelledError:
                await asyncio.wait({keeping})
                raise
        return sha.hexdigest(), size

    @contextlib.contextmanager
    def together(self) -> Iterator[Content]:
        """Yield a place for several files, which are kept here when it is left well, and else none of them.

        Raises StorageFull.
        """
        with self._begun() as folder:
            begun = Content(Path(folder))
            yield begun
            for file in begun.root.glob("??/*"):
                _move(file, self._place(file.name))

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[Path]:
        """Yield an empty folder, which goes when it is left, with however many files: others go on meanwhile.

        Raises StorageFull.
        """
        made = self._begun()
        try:
            yield Path(made.name)
        finally:
            await asyncio.to_thread(made.cleanup)

    def _begun(self) -> tempfile.TemporaryDirectory[str]:
        """Make a folder for what is not whole yet. Raises StorageFull."""
        try:
            return tempfile.TemporaryDirectory(dir=self.root, prefix=_BEGUN)
        except OSError as error:
            raise explain(error) from error

    def remove_leftovers(self, *, seconds: float) -> int:
        """Remove what a process began that has ended meanwhile: untouched for so long; return how many those were."""
        gone, before = 0, time.time() - seconds
        for begun in self.root.glob(f"{_BEGUN}*"):
            with contextlib.suppress(OSError):
                if max(each.lstat().st_mtime for each in (begun, *begun.rglob("*"))) < before:
                    shutil.rmtree(begun) if begun.is_dir() else begun.unlink()
                    gone += 1
        return gone

    def path(self, sha256: str) -> Path:
        """Return where the file is. Raises NotFound."""
        found = self._place(sha256)
        if not found.is_file():
            raise NotFound("A file of this app is missing on the server.", log_message=f"no content {sha256}")
        return found

    def read(self, sha256: str) -> bytes:
        """Return the file's bytes. Raises NotFound."""
        return self.path(sha256).read_bytes()

    def present(self) -> set[str]:
        """Return the SHA-256 of all files. Raises OSError when not all folders can be read."""
        folders = [folder for folder in os.scandir(self.root) if len(folder.name) == 2 and folder.is_dir()]
        return {file.name for folder in folders for file in os.scandir(folder.path)}

    def remove(self, sha256: str, *, before: float) -> bool:
        """Remove the file if it was last added before that time (s since the epoch); return whether it was.

        Who adds the same at this moment has it: either it is seen here that it was added, or it is added anew.

        Raises
        ------
        OSError
            The folder cannot be locked or written.
        """
        place = self._place(sha256)
        with _turn(self.root, fcntl.LOCK_EX):
            try:
                status = place.stat()
            except FileNotFoundError:
                return False
            # Also one that was copied here from elsewhere with the time of then.
            if max(status.st_mtime, status.st_ctime) >= before:
                return False
            place.unlink()
        return True

    def _added_again(self, target: Path) -> bool:
        """Note that the file is added, if it is there: it may be used from now on."""
        try:
            with _turn(self.root, fcntl.LOCK_SH):
                if not target.exists():
                    return False
                os.utime(target)
        except OSError as error:
            raise explain(error) from error
        return True

    def _place(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise NotFound("There is no such file.")
        return self.root / sha256[:2] / sha256


@contextlib.contextmanager
def _turn(root: Path, kind: int) -> Iterator[None]:
    """Hold the folder's lock: who adds shares it, who removes has it alone. Raises OSError."""
    # One file handle for each turn: the lock is the handle's, so that threads wait for each other, too.
    lock = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, kind)
        yield
    finally:
        os.close(lock)


class _Pending:
    """A file being written, that appears under its name on ``keep`` or not at all."""

    def __init__(self, root: Path, target: Path | None = None) -> None:
        self.root, self.target = root, target

    def __enter__(self) -> _Pending:
        try:
            self._handle = tempfile.NamedTemporaryFile(dir=self.root, prefix=_BEGUN, delete=False)
        except OSError as error:
            raise explain(error) from error
        return self

    def write(self, data: bytes) -> None:
        try:
            self._handle.write(data)
        except OSError as error:
            raise explain(error) from error

    def keep(self) -> None:
        assert self.target is not None
        try:
            self._handle.flush()
            os.fsync(self._handle.fileno())
            os.chmod(self._handle.name, 0o400)
        except OSError as error:
            raise explain(error) from error
        _move(Path(self._handle.name), self.target)

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):  # what is still buffered does not fit either, and was said already
            self._handle.close()
        Path(self._handle.name).unlink(missing_ok=True)


def _move(file: Path, to: Path) -> None:
    try:
        to.parent.mkdir(exist_ok=True)
        with _turn(to.parent.parent, fcntl.LOCK_SH):
            os.utime(file)
            os.replace(file, to)
    except OSError as error:
        raise explain(error) from error


def explain(error: OSError) -> VaasError:
    """Return in words what the system says of our own disk."""
    if error.errno in _FULL:
        return StorageFull("The portal's disk is full. Nothing was changed; tell the people who run it.")
    return Unavailable(
        "The portal cannot keep files at the moment. Tell the people who run it.", log_message=f"content: {error}"
    )


def pack(content: Content, snapshot: Snapshot) -> Iterator[bytes]:
    """Yield an uncompressed tar of the snapshot's files, with fixed owners, modes and times."""
    for file in snapshot.files:
        member = tarfile.TarInfo(file.path)
        member.size, member.mode = file.size, 0o444
        yield member.tobuf(tarfile.PAX_FORMAT)
        with content.path(file.sha256).open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
        yield b"\0" * (-file.size % tarfile.BLOCKSIZE)
    end = io.BytesIO(b"\0" * 2 * tarfile.BLOCKSIZE)
    yield end.getvalue()
