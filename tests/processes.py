"""What runs now: whoever looks at a process must bear that it ends meanwhile."""

from __future__ import annotations

import psutil

__all__ = ["command_of", "runs"]


def runs(process: psutil.Process) -> bool:
    """Tell whether it runs; one that has ended and whom nobody has taken notice of yet does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> list[str]:
    """Return its command line, which is empty when it has ended."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
