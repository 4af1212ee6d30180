"""The server's end of a socket pair to a kernel or its warden: small JSON messages both ways, and who sent them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

from vaas.errors import Unavailable

__all__ = ["CHANNEL", "MOST", "Channel", "pair"]

#: The variable that names the file of the kernel's end.
CHANNEL = "VAAS_CHANNEL"
#: The longest message, in bytes: it has an address's query in it, and an environment.
MOST = 1 << 18
#: What is foreign on the other end may say so much that is not due; then it is not listened to any more.
_MOST_UNASKED = 1000


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends that keep messages apart; the first learns from the system who sends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.setblocking(False)
    return ours, theirs


class Channel:
    """One end.

    Parameters
    ----------
    end:
        Ours, from :func:`pair`.
    heard:
        Called with each message that answers no :meth:`ask`; tells whether it was due.
    foreign:
        Whether somebody else's code is at the other end, which must not keep us busy.
    """

    def __init__(
        self, end: socket.socket, *, heard: Callable[[dict[str, Any]], bool] | None = None, foreign: bool = True
    ) -> None:
        self._end = end
        self._heard = heard
        #: Who waits for which answer; the first who asked gets the first.
        self._waiting: dict[str, deque[asyncio.Future[dict[str, Any]]]] = defaultdict(deque)
        self._foreign, self._unasked = foreign, 0
        self.closed = False
        asyncio.get_running_loop().add_reader(end, self._read)

    def send(self, message: dict[str, Any], *, fds: Sequence[int] = ()) -> None:
        """Say something, and hand open files over. Raises Unavailable when nobody listens any more."""
        try:
            socket.send_fds(self._end, [json.dumps(message).encode()], list(fds))
        except OSError as error:
            raise Unavailable("The app's kernel has ended.", log_message=f"Its channel is closed: {error}") from error

    async def ask(self, message: dict[str, Any], answer: str, *, seconds: float, fds: Sequence[int] = ()) -> Any:
        """Say something and return the first message that has ``answer`` in it.

        Raises
        ------
        Unavailable
            There is none in time, or never will be.
        """
        waiting = self.expect(answer)
        try:
            self.send(message, fds=fds)
        except Unavailable:
            # The next answer is for who asks next.
            waiting.cancel()
            with contextlib.suppress(ValueError):
                self._waiting[answer].remove(waiting)
            raise
        return await self.wait(waiting, seconds=seconds)

    def expect(self, answer: str) -> asyncio.Future[dict[str, Any]]:
        """Return what will have the next message with ``answer`` in it."""
        waiting = asyncio.get_running_loop().create_future()
        if self.closed:
            waiting.set_exception(self._gone())
        else:
            self._waiting[answer].append(waiting)
        return waiting

    async def wait(self, waiting: asyncio.Future[dict[str, Any]], *, seconds: float) -> dict[str, Any]:
        """Return what was expected, or raise Unavailable."""
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            text = f"A kernel did not answer within {seconds:.0f} s."
            raise Unavailable("The app's kernel does not answer.", log_message=text) from None

    def close(self) -> None:
        """Let go; no-op when that is done."""
        if self.closed:
            return
        self.closed = True
        asyncio.get_event_loop().remove_reader(self._end)
        self._end.close()
        for waiting in [each for line in self._waiting.values() for each in line]:
            if not waiting.done():
                waiting.set_exception(self._gone())
                waiting.exception()
        self._waiting.clear()

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._end.recvmsg(MOST, socket.CMSG_SPACE(struct.calcsize("3i")))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.close()
            return
        sender, due = _sender(ancillary), False
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(data)
            if isinstance(message, dict):
                due = self._take({**message, "sender": sender})
        self._unasked += not due
        if self._foreign and self._unasked > _MOST_UNASKED:
            self.close()

    def _take(self, message: dict[str, Any]) -> bool:
        for answer, line in self._waiting.items():
            if answer in message and line:
                waiting = line.popleft()
                if not waiting.done():
                    waiting.set_result(message)
                return True
        return self._heard is not None and self._heard(message)

    @staticmethod
    def _gone() -> Unavailable:
        return Unavailable("The app's kernel has ended.", log_message="Its channel was closed.")


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the process that sent it, as the system says; files that came along are closed."""
    sender = 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender = struct.unpack("3i", data[:12])[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            for (fd,) in struct.iter_unpack("i", data[: len(data) // 4 * 4]):
                os.close(fd)
    return sender
