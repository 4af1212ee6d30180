"""Opening a file or folder for the one who reads it: no link is followed, nothing that is no plain file is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vaas.errors import Unreadable
from vaas.insides.limits import MOST_PARTS

__all__ = ["Opened", "opened"]

#: Without O_NONBLOCK, opening a FIFO that was put there meanwhile would wait for ever.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Files that tell of the folder that they are in.
_TELLING = ("datapackage.json", "ro-crate-metadata.json", "citation.cff", "codemeta.json")
#: Where a coordinate's values are that are written in one piece, in formats 2 and 3; and its most bytes.
_VALUES, _MOST_VALUES = ("0", "c/0"), 8_000_000
_ZARR = frozenset({"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"})
#: So many names of one folder are looked at; of a Zarr store so many folders of one level, and so many levels.
_MOST_NAMES, _MOST_FOLDERS, _DEEPEST = 2_000, 200, 3


@dataclass(frozen=True)
class Opened:
    """What was opened: the parts' names and open files, and by what one sees whether it changed meanwhile."""

    names: tuple[str, ...]
    files: tuple[int, ...]
    folder: bool

    @property
    def state(self) -> tuple[tuple[int, int], ...]:
        """Size and time of change of each part, as they are now."""
        found = [os.fstat(fd) for fd in self.files]
        return tuple((each.st_size, each.st_mtime_ns) for each in found)


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open what is at the path, for as long as the context lasts; the folder that it lies in is the caller's to choose.

    Raises
    ------
    Unreadable
        There is nothing, a link, or something that is neither a file nor a folder.
    """
    with ExitStack() as files:
        try:
            above, name = _above(path, files), path.name or "."
            found = os.lstat(name, dir_fd=above)
            if stat.S_ISDIR(found.st_mode):
                yield _open_folder(name, above, files)
            elif stat.S_ISREG(found.st_mode):
                yield Opened(("",), (_open_plain(name, above, files),), folder=False)
            else:
                raise Unreadable(_KINDS.get(stat.S_IFMT(found.st_mode), "It is no plain file."))
        except OSError as error:
            raise Unreadable(f"It cannot be opened: {error.strerror}.") from error


_KINDS = {
    stat.S_IFLNK: "It is a link; what it leads to is read where it lies.",
    stat.S_IFIFO: "It is a pipe between programs, not a file.",
    stat.S_IFSOCK: "It is a socket, not a file.",
    stat.S_IFCHR: "It is a device, not a file.",
    stat.S_IFBLK: "It is a device, not a file.",
}


def _above(path: Path, files: ExitStack) -> int:
    """Open the folder that it lies in."""
    if ".." in path.parts:
        raise Unreadable("It cannot be opened: its path leads back.")
    above = os.open(os.path.realpath(path.parent), _FOLDER)
    files.callback(os.close, above)
    return above


def _open_plain(name: str, folder: int, files: ExitStack) -> int:
    fd = os.open(name, _READ, dir_fd=folder)
    files.callback(os.close, fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise Unreadable("It is no plain file.")
    return fd


def _open_folder(name: str, above: int, files: ExitStack) -> Opened:
    root = os.open(name, _FOLDER, dir_fd=above)
    files.callback(os.close, root)
    names = _names(root)
    zarr = any(name in _ZARR for name in names)
    wanted = [name for name in names if name in _ZARR or _tells(name)]
    found = {name: fd for name in wanted if (fd := _try(name, root, files)) >= 0}
    if zarr:
        _add_below(root, found, files)
    if not found:
        raise Unreadable("The folder has no README and nothing else that tells of it.")
    return Opened(tuple(found), tuple(found.values()), folder=True)


def _tells(name: str) -> bool:
    return name.lower().startswith("readme") or name.lower() in _TELLING


def _names(folder: int) -> list[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
            found.append(entry.name)
    return sorted(found)


def _try(name: str, folder: int, files: ExitStack) -> int:
    """Open one of many: -1 for what is no plain file."""
    try:
        if stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode):
            return _open_plain(name, folder, files)
    except (OSError, Unreadable):
        pass  # gone, or something else by now: the others tell enough
    return -1


def _add_below(root: int, found: dict[str, int], files: ExitStack) -> None:
    """Add the descriptions of the arrays and groups below, level by level; chunks are not opened."""
    waiting = [("", root)]
    for _ in range(_DEEPEST):
        below = [each for prefix, folder in waiting for each in _described(prefix, folder, found, files)]
        waiting = below[:_MOST_FOLDERS]


def _described(prefix: str, folder: int, found: dict[str, int], files: ExitStack) -> Iterator[tuple[str, int]]:
    """Add what describes the folders in this one; yield those folders."""
    for name in _names(folder)[:_MOST_FOLDERS]:
        if len(found) >= MOST_PARTS or name.startswith("."):
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            continue  # a file, such as a chunk
        before = len(found)
        for each in sorted(_ZARR):
            if len(found) < MOST_PARTS and (fd := _try(each, below, files)) >= 0:
                found[f"{prefix}{name}/{each}"] = fd
        if len(found) > before:
            found |= _values(f"{prefix}{name}/", below, files)
            files.callback(os.close, below)
            yield f"{prefix}{name}/", below
        else:
            os.close(below)


def _values(prefix: str, folder: int, files: ExitStack) -> dict[str, int]:
    """Open the values of an array that has one axis and one piece; of all others they stay closed."""
    for name in _VALUES:
        inner, _, last = name.rpartition("/")
        with ExitStack() as passing:
            try:
                here = os.open(inner, _FOLDER, dir_fd=folder) if inner else folder
            except OSError:
                continue
            if inner:
                passing.callback(os.close, here)
            fd = _try(last, here, files)
        if fd >= 0 and os.fstat(fd).st_size <= _MOST_VALUES:
            return {f"{prefix}{name}": fd}
    return {}
