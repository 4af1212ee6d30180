"""What keeps one fork from another in their common sandbox: each puts itself into a Landlock domain of its own.

Forks are the same system user. Out of its domain a process signals nobody, looks into nobody's memory, environment,
files or ``/proc``, and reaches nobody's abstract sockets; what a fork starts is in the domain with it.
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["enclose"]

# linux/landlock.h; the numbers of the calls are the same on every machine.
_CREATE, _ADD_RULE, _RESTRICT, _ASK_VERSION, _PATH_BENEATH = 444, 445, 446, 1, 1
_MAKE_BLOCK_DEVICE, _REFER = 1 << 11, 1 << 13
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
#: The first version that can confine signals; and the first with which files can be moved between folders.
_SCOPES, _MOVES = 6, 2
_system = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def enclose(version: int = 0) -> int:
    """Put this process into a domain of its own, for good; return the version of Landlock, 0 where there is none.

    Before version 6 (Linux 6.12) signals are not confined. ``version``: use no later one.
    """
    there = _system.syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)
    version = min(there, version or there)
    if version < _MOVES:
        return 0
    # A domain has to forbid something; of files it is what nobody here may do anyway.
    old = version < _SCOPES
    rules = _Ruleset(_MAKE_BLOCK_DEVICE | _REFER, 0, 0) if old else _Ruleset(0, 0, _ABSTRACT_SOCKETS | _SIGNALS)
    handle = _system.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(8 if old else 24), 0)
    if handle < 0:
        return 0
    try:
        if old:
            _allow_moves(handle)
        return 0 if _system.syscall(_RESTRICT, handle, 0) else version
    finally:
        os.close(handle)


def _allow_moves(handle: int) -> None:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        _system.syscall(_ADD_RULE, handle, _PATH_BENEATH, ctypes.byref(_Beneath(_REFER, root)), 0)
    finally:
        os.close(root)
