"""A fence of Landlock around a process that has a foreign file open: it opens the system's and Python's files alone.

It holds where there is no sandbox, too. Files that are open already are not asked about, so what was handed over can be
read. Before Linux 5.13 there is no Landlock; then the sandbox, if there is one, is what hides other files.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import vaas

__all__ = ["fence", "needed"]

# linux/landlock.h; the numbers of the calls are the same on every machine.
_CREATE, _ADD_RULE, _RESTRICT, _ASK_VERSION, _PATH_BENEATH = 444, 445, 446, 1, 1
_NO_NEW_RIGHTS = 38
#: All rights over files that the first version knows, and those of who only reads.
_ALL, _READ_FILE, _READ_FOLDER = (1 << 13) - 1, 1 << 2, 1 << 3
#: Of the sixth version: abstract sockets and processes outside.
_SCOPES, _OUTSIDE = 6, 1 | 2
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def needed() -> tuple[str, ...]:
    """Return the folders that a Python needs which imports our readers late."""
    ours = str(Path(vaas.__file__).parent)
    return tuple(dict.fromkeys((*_SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, ours)))


def fence(folders: Sequence[str]) -> bool:
    """Let this process open nothing but what is in the folders, for reading, for good; False where that is not known.

    Raises
    ------
    OSError
        It is known here, and did not work.
    """
    system = ctypes.CDLL(None, use_errno=True)
    version = system.syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    scoped = version >= _SCOPES
    rules = _Ruleset(_ALL, 0, _OUTSIDE if scoped else 0)
    handle = system.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(24 if scoped else 8), 0)
    if handle < 0:
        raise OSError(ctypes.get_errno(), "No set of rules for files could be made.")
    try:
        for folder in folders:
            _allow(system, handle, folder)
        if system.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0) or system.syscall(_RESTRICT, handle, 0):
            raise OSError(ctypes.get_errno(), "The rules for files could not be taken on.")
    finally:
        os.close(handle)
    return True


def _allow(system: ctypes.CDLL, handle: int, path: str) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # this system has none
    try:
        rights = _READ_FILE | (_READ_FOLDER if os.path.isdir(path) else 0)
        system.syscall(_ADD_RULE, handle, _PATH_BENEATH, ctypes.byref(_Beneath(rights, fd)), 0)
    finally:
        os.close(fd)
