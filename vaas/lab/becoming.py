"""Becoming the system user of a launch, for good."""

from __future__ import annotations

import ctypes
import os

__all__ = ["become"]


def become(uid: int) -> None:
    """Give every right of root up (capabilities(7)) and become this user; 0: nothing to give up, stay who one is."""
    if uid == 0:
        return
    system = ctypes.CDLL(None, use_errno=True)
    for right in range(64):
        system.prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP; an unknown one is an error and no matter
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
