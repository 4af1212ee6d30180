"""All that a process has started: orphans too, which come to who adopts them."""

from __future__ import annotations

import contextlib
import sys

import psutil

__all__ = ["adopt_orphans", "end_children"]

_SUBREAPER = 36


def adopt_orphans() -> None:
    """Be the one to whom orphans come, so that whatever is started below is found when it is over; Linux alone can."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def end_children(*, seconds: float = 3.0) -> None:
    """End all that was started from here; no-op when there is nothing."""
    for _ in range(5):
        below = psutil.Process().children(recursive=True)
        if not below:
            return
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(below, timeout=seconds)
