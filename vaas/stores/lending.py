"""Lending files of a folder to who reads them by a path: what was opened safely, under a name nobody else can change.

A path into somebody's folder could lead elsewhere by the time that it is used; these lead to what was opened.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vaas.errors import TooLarge

__all__ = ["copy_folder", "link_or_copy", "make_folder", "remove", "remove_leftovers"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PREFIX = "lent-"
#: What is in one folder with all that is below it, and how deep it goes.
_MOST_ENTRIES, _DEEPEST = 5_000, 6
#: Files that say what the others are: they come first.
_TELLING = frozenset({"zarr.json", ".zmetadata", ".zgroup", ".zattrs", ".zarray", "datapackage.json"})
#: What a process that was killed left behind is older than that, in seconds.
_OLD = 6 * 3600.0


def make_folder(aside: Path | None) -> Path:
    """Make a folder for one loan, for our eyes only."""
    if aside is not None:
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=aside))


def remove(folder: Path) -> None:
    """Remove the folder of a loan; what was lent stays where it is."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(aside: Path) -> None:
    """Remove the folders of loans that nobody has given back; no-op when there are none."""
    for folder in aside.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _OLD:
                remove(folder)


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
    for found in sorted(_below(folder, "", 0), key=lambda each: (not each.telling, each.size))[:_MOST_ENTRIES]:
        if found.size > left:
            break
        left -= _copy_one(folder, found.path, to, left)
    return to


@dataclass(frozen=True)
class _Below:
    path: str
    size: int

    @property
    def telling(self) -> bool:
        name = self.path.rpartition("/")[2]
        return name in _TELLING or name.startswith(("README", "ro-crate"))


def _below(folder: int, path: str, depth: int) -> Iterator[_Below]:
    """Yield the files below the open folder; what is no file and no folder, and links, are left out."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            if count > _MOST_ENTRIES:
                return
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    yield _Below(f"{path}{entry.name}", entry.stat(follow_symlinks=False).st_size)
                elif entry.is_dir(follow_symlinks=False) and depth < _DEEPEST:
                    inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                    try:
                        yield from _below(inner, f"{path}{entry.name}/", depth + 1)
                    finally:
                        os.close(inner)


def _copy_one(folder: int, path: str, to: Path, limit: int) -> int:
    *above, name = path.split("/")
    here = os.dup(folder)
    try:
        for part in above:
            below = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
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
    finally:
        os.close(here)


def _copy(file: int, to: Path, limit: int) -> int:
    size = 0
    with to.open("xb") as copy:
        while size < limit and (chunk := os.read(file, min(1_000_000, limit - size))):
            size += copy.write(chunk)
    return size
