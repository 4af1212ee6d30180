"""What lies in a job's folder, read as another's: the job may have put anything there, links and pipes included."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

__all__ = ["last_bytes", "told_state"]

_MOST_STATUS = 1 << 20


def last_bytes(path: Path, *, most: int) -> str:
    """Return the end of a file as text, "" where there is none; what is no plain file is none."""
    try:
        # Without waiting: to open a pipe waits for who writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return ""
        return os.pread(descriptor, most, max(0, found.st_size - most)).decode(errors="replace")
    finally:
        os.close(descriptor)


def told_state(folder: Path) -> str:
    """Return the state that what runs in the folder wrote down last, "" where it wrote none."""
    try:
        told = json.loads(last_bytes(folder / "status.json", most=_MOST_STATUS))
    except (ValueError, RecursionError):
        return ""
    state = told.get("state") if isinstance(told, dict) else ""
    return state if isinstance(state, str) else ""
