"""Lending files of a folder to who reads them by a path: what was opened safely, under a name nobody else can change.

A path into somebody's folder could lead elsewhere by the time that it is used; these lead to what was opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from vaas.errors import TooLarge
from vaas.stores.base import Counted, uncounted

__all__ = ["Loan", "copy_folder", "copy_whole", "link_or_copy", "remove_leftovers"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PREFIX = "lent-"
#: So many files of a folder with all that is below it are copied, from no deeper.
_MOST_COPIED, _DEEPEST = 5_000, 6
#: So many names are looked at for that, so many of them in one folder, and so many folders.
_MOST_SEEN, _MOST_IN_ONE, _MOST_FOLDERS = 20_000, 5_000, 2_000
#: And so many files and folders are copied where all are wanted, in so many folders within each other.
_MOST_WHOLE, _DEEPEST_WHOLE = 100_000, 30
_TOO_MANY = f"Only {_MOST_WHOLE:,} files, and folders {_DEEPEST_WHOLE} deep, can be brought. Choose a part of it."
#: Files that say what the others are: they come first.
_TELLING = frozenset({"zarr.json", ".zmetadata", ".zgroup", ".zattrs", ".zarray", "datapackage.json"})
#: Where there are no locks, what a process that was killed left behind is older than that, in seconds.
_OLD = 6 * 3600.0


class Loan:
    """A folder of ours for what is lent, in ``aside``; locked while this process lives, so that others know.

    Both methods run in a thread, one after the other.
    """

    def __init__(self, aside: Path | None) -> None:
        self._aside = aside
        self._folder: Path | None = None
        self._lock = -1

    def begin(self) -> Path:
        """Make the folder, for our eyes only."""
        if self._aside is not None:
            self._aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._aside))
            # Who cleans up may come between.
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                self._lock = os.open(folder, _FOLDER)
                if _locked(self._lock) is None or os.path.samestat(os.fstat(self._lock), folder.stat()):
                    self._folder = folder
                    return folder
            self.end()

    def end(self) -> None:
        """Remove it; what was lent stays where it is. No-op when there is none."""
        if self._folder is not None:
            _remove(self._folder)
        if self._lock >= 0:
            os.close(self._lock)
        self._folder, self._lock = None, -1


def remove_leftovers(aside: Path) -> None:
    """Remove the folders of loans whose processes are dead; no-op when there are none."""
    for folder in aside.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, _FOLDER)
            try:
                if _locked(lock) or time.time() - os.fstat(lock).st_mtime > _OLD:
                    _remove(folder)
            finally:
                os.close(lock)


def _locked(folder: int) -> bool | None:
    """Lock the open folder; None: there are no locks on this disk. Raises BlockingIOError where somebody has."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return None
    return True


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def link_or_copy(file: BinaryIO, to: Path, *, limit: int, name: str) -> Path:
    """Give the open file another name, or copy it where the system does not let us.

    Raises
    ------
    TooLarge
        It would have to be copied, and has more than ``limit`` bytes.
    """
    try:
        # By descriptor: by its own name, something else could have taken its place. Without a folder to start from,
        # Python has the system link the link itself.
        descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(str(file.fileno()), to, src_dir_fd=descriptors, follow_symlinks=True)
        finally:
            os.close(descriptors)
        return to
    except OSError:
        pass  # another disk, no /proc, or somebody else's file
    if os.fstat(file.fileno()).st_size > limit:
        raise TooLarge(f"“{name}” is larger than {limit // 1_000_000} MB.")
    _copy(file.fileno(), to, limit)
    return to


def copy_folder(folder: int, to: Path, *, limit: int) -> Path:
    """Copy files of the open folder, the telling and then the small ones first, until ``limit`` bytes are reached."""
    to.mkdir()
    left = limit
    for found in sorted(_below(folder), key=lambda each: (not each.telling, each.size))[:_MOST_COPIED]:
        if found.size <= left:
            left -= _copy_one(folder, found.path, to, left)
    return to


def copy_whole(folder: int, to: Path, *, limit: int, told: Counted = uncounted) -> int:
    """Copy all that is below the open folder, tell of each file, and return how many bytes that are.

    Links are left out, what is neither file nor folder, and what is hidden, unless it tells what the others are.

    Raises
    ------
    TooLarge
        There are more than ``limit`` bytes, very many files, or folders very deep within each other.
    OSError
        Something of it cannot be read, or there is no room for it; what was copied is left behind.
    """
    size, left, folders = 0, _MOST_WHOLE, [""]
    while folders:
        path = folders.pop()
        (to / path).mkdir()
        with _opened(folder, path) as here, os.scandir(here) as entries:
            for name in (entry.name for entry in entries):
                known = os.stat(name, dir_fd=here, follow_symlinks=False)
                if stat.S_ISDIR(known.st_mode) and not name.startswith("."):
                    folders.append(f"{path}{name}/")
                elif stat.S_ISREG(known.st_mode) and (name in _TELLING or not name.startswith(".")):
                    copied = _copy_whole(here, name, to / path / name, limit - size)
                    size += copied
                    told(copied)
                left -= 1
                if left < 0 or path.count("/") > _DEEPEST_WHOLE:
                    raise TooLarge(_TOO_MANY)
    return size


def _copy_whole(folder: int, name: str, to: Path, limit: int) -> int:
    file = os.open(name, _FILE, dir_fd=folder)
    try:
        # One byte more tells that there are more.
        size = _copy(file, to, limit + 1)
    finally:
        os.close(file)
    if size > limit:
        raise TooLarge("This folder has more data than can be brought. Choose less.")
    return size


@dataclass(frozen=True)
class _Below:
    path: str
    size: int

    @property
    def telling(self) -> bool:
        name = self.path.rpartition("/")[2]
        return name in _TELLING or name.startswith(("README", "ro-crate"))


def _below(top: int) -> list[_Below]:
    """Return files below the open folder, what is near to it first, as far as it is looked through.

    What is no file and no folder, and links, are left out. What tells is asked for by its name, so that it is found
    among more files than are looked at.
    """
    found: dict[str, _Below] = {}
    folders, opened, left = deque([("", 0)]), 0, _MOST_SEEN
    while folders and opened < _MOST_FOLDERS:
        path, depth = folders.popleft()
        opened += 1
        with contextlib.suppress(OSError), _opened(top, path) as folder:
            for name in _TELLING:
                _add_file(found, folder, path, name)
            with os.scandir(folder) as entries:
                for entry in islice(entries, min(left, _MOST_IN_ONE)):
                    left -= 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.extend([(f"{path}{entry.name}/", depth + 1)] if depth < _DEEPEST else [])
                    else:
                        _add_file(found, folder, path, entry.name)
    return list(found.values())


def _add_file(found: dict[str, _Below], folder: int, path: str, name: str) -> None:
    with contextlib.suppress(OSError):
        known = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(known.st_mode):
            found[path + name] = _Below(path + name, known.st_size)


@contextlib.contextmanager
def _opened(top: int, path: str) -> Iterator[int]:
    """Yield a descriptor of the folder below the open one, reached without following a link."""
    here = os.dup(top)
    try:
        for part in filter(None, path.split("/")):
            below = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _copy_one(folder: int, path: str, to: Path, limit: int) -> int:
    above, _, name = path.rpartition("/")
    try:
        with _opened(folder, above) as here:
            file = os.open(name, _FILE, dir_fd=here)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    return 0
                (to / path).parent.mkdir(parents=True, exist_ok=True)
                return _copy(file, to / path, limit)
            finally:
                os.close(file)
    except OSError:
        return 0  # gone meanwhile, or not for us


def _copy(file: int, to: Path, limit: int) -> int:
    size = 0
    with to.open("xb") as copy:
        while size < limit and (chunk := os.read(file, min(1_000_000, limit - size))):
            size += copy.write(chunk)
    return size
