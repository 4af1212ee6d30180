"""Arrow's threads: found by having each say who it is, never by its looks.

Arrow makes its pools anew in the child of a fork (since version 12), so idle threads of theirs are none to wait for.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from typing import Any

__all__ = ["idle_threads"]

_SAFE_SINCE = 12
#: A pool whose only thread does not answer for so long (seconds) works on something: it is not idle.
_PATIENCE = 5.0
_BAD_ROW = b"a,b\n1\n1,2\n"


def idle_threads() -> set[int]:
    """Return the numbers of the threads that Arrow keeps; nothing if it is too old, busy or not there."""
    arrow = sys.modules.get("pyarrow")
    if arrow is None or arrow.cpp_version_info.major < _SAFE_SINCE:
        return set()
    # Not in the main thread, in which Arrow would begin to listen for signals.
    found: set[int] = set()
    asking = threading.Thread(target=_ask, args=(arrow, found), name="Arrow", daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return set() if asking.is_alive() else found


def _ask(arrow: Any, found: set[int]) -> None:
    """Have each pool, of one thread now, read something: one calls for the bytes, the other for what a bad row is.

    The threads that a smaller pool has too many of end; what the only one is asked comes after all other work.
    """

    class Bytes(io.BytesIO):
        def read(self, *size: Any) -> bytes:
            found.add(threading.get_native_id())
            return super().read(*size)

    def bad_row(_: Any) -> str:
        found.add(threading.get_native_id())
        return "skip"

    with contextlib.suppress(Exception):
        from pyarrow import csv

        cpu, io_threads = arrow.cpu_count(), arrow.io_thread_count()
        arrow.set_cpu_count(1)
        arrow.set_io_thread_count(1)
        try:
            csv.read_csv(Bytes(_BAD_ROW), parse_options=csv.ParseOptions(invalid_row_handler=bad_row))
        finally:
            arrow.set_cpu_count(cpu)
            arrow.set_io_thread_count(io_threads)
    # This thread reads the beginning by itself, and is no thread of Arrow's.
    found.discard(threading.get_native_id())
