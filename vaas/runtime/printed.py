"""What a kernel's processes print past Jupyter (C libraries, shells, crashes): to the log, and not without end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Iterator

from vaas.runtime.logged import Logged

__all__ = ["Printed"]

#: So much of one kernel is written to the log, in bytes; the rest is read and dropped.
_MOST = 50_000
_PIECE = 65_536
_LAST_LINES = 20
_MOST_IN_A_LINE = 500


class Printed:
    """The reading end of a kernel's standard output and standard error; ``name`` is put before each line."""

    def __init__(self, name: str) -> None:
        self._logged = Logged(name, most=_MOST)
        self._rest = b""
        self._reading = -1
        #: The end of what was printed, for who has to explain why a kernel did not start.
        self.last: deque[str] = deque(maxlen=_LAST_LINES)

    @contextlib.contextmanager
    def pipe(self) -> Iterator[int]:
        """Give the writing end, for the kernel that is started inside the block."""
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        try:
            yield writing
        finally:
            os.close(writing)

    def close(self) -> None:
        """Read no more; no-op when it is closed."""
        if self._reading < 0:
            return
        self._read()
        if self._reading >= 0:
            self._end()

    def _read(self) -> None:
        try:
            data = os.read(self._reading, _PIECE)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self._end()

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        self._reading = -1
        self._take(b"\n" if self._rest else b"")

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:_MOST_IN_A_LINE]
        for line in lines[-_LAST_LINES:] if self._logged.is_full() else lines:
            text = "".join(c for c in line[:_MOST_IN_A_LINE].decode(errors="replace") if c.isprintable()).rstrip()
            if text:
                self.last.append(text)
                self._logged.say(text)
