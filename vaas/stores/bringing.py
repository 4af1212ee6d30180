"""Bringing a folder of this machine into a store: hidden at first, so that half of it is never seen."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["brought", "contained", "opened"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


@contextmanager
def brought(source: Path, folder: int) -> Iterator[str]:
    """Copy all files below ``source`` into the open folder; yield the hidden name, gone when the block ends."""
    hidden = f".vaas-{secrets.token_hex(8)}.tmp"
    os.mkdir(hidden, 0o700, dir_fd=folder)
    try:
        to = os.open(hidden, _FOLDER, dir_fd=folder)
        try:
            _own(to, folder)
            _copy(source, to)
            os.fsync(to)
        finally:
            os.close(to)
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True, dir_fd=folder)


def contained(source: Path) -> list[tuple[str, bool]]:
    """Return what is below ``source`` by its path, and whether it is a folder; folders before what is in them."""
    found = []
    for at, folders, names, here in os.fwalk(source):
        below = os.path.relpath(at, source)
        for name in (*folders, *names):
            mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                found.append((os.path.normpath(os.path.join(below, name)), stat.S_ISDIR(mode)))
    return found


def opened(source: Path, path: str) -> BinaryIO:
    """Open the file of that path below ``source``, without following any link on the way."""
    *folders, name = path.split("/")
    at = os.open(source, _FOLDER)
    try:
        for folder in folders:
            above, at = at, os.open(folder, _FOLDER, dir_fd=at)
            os.close(above)
        return os.fdopen(os.open(name, _READ, dir_fd=at), "rb")
    finally:
        os.close(at)


def _copy(source: Path, to: int) -> None:
    made = {".": os.dup(to)}
    try:
        for at, folders, names, here in os.fwalk(source):
            below = os.path.relpath(at, source)
            for name in folders:
                if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    os.mkdir(name, 0o700, dir_fd=made[below])
                    made[os.path.normpath(os.path.join(below, name))] = child = os.open(
                        name, _FOLDER, dir_fd=made[below]
                    )
                    _own(child, to)
            for name in names:
                if stat.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    _copy_file(here, name, made[below], to)
            os.close(made.pop(below))
    finally:
        for descriptor in made.values():
            os.close(descriptor)


def _copy_file(here: int, name: str, folder: int, top: int) -> None:
    with (
        os.fdopen(os.open(name, _READ, dir_fd=here), "rb") as source,
        os.fdopen(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as copy,
    ):
        _own(copy.fileno(), top)
        shutil.copyfileobj(source, copy, _CHUNK)
        copy.flush()
        os.fsync(copy.fileno())


def _own(made: int, like: int) -> None:
    """Give what root made to whom the folder belongs."""
    if os.geteuid() == 0:
        owner = os.fstat(like)
        os.fchown(made, owner.st_uid, owner.st_gid)
