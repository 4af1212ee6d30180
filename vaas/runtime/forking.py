"""A kernel that can be frozen once it has run its notebook, and forked: the kernel's half of a template.

Its server talks to it through a socket pair (:mod:`vaas.runtime.channel`), in small JSON messages:

- ``asked``: say what the notebook has asked for of its visitor; ``sources``: what it has read;
- ``freeze``: close all sockets, end all threads of the kernel's, say what would not survive a fork, and wait for forks
  without an event loop;
- ``fork`` (when frozen): become another kernel as well, with sockets, key and seeds of its own, and with the folder
  ``root`` as its root (none: it stays where it is, to be frozen itself). Two files come along: what it prints goes to
  the first, and the second is its own channel;
- ``begin`` (in a fork): a visit begins.

Nothing forks inside a running event loop: :meth:`Side.serve` has the control after the loop has ended.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
from typing import Any

from tornado.ioloop import IOLoop

from vaas.facts import Facts
from vaas.runtime import asking, hindrances, rebirth, seeds, sources, warden
from vaas.runtime.channel import CHANNEL, MOST

__all__ = ["Side"]

#: How long (seconds) what a notebook has started may take to end.
_FAREWELL = 0.1
#: Of functions that fail when a visit begins, so many are told of, and so much (characters) of what each says.
_MOST_FAILED, _LONGEST_TRACE = 5, 5000


def _loop() -> Any:
    """Return the loop of this process's own kernel."""
    return IOLoop.current().asyncio_loop  # type: ignore[attr-defined]


def _end() -> None:
    """End a fork: what is registered for the end runs, but Python does not take its objects apart one by one.

    That would write to every page of memory that the forks share, only to give it all back.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):
            stream.flush()  # type: ignore[union-attr]
    os._exit(0)


def _log() -> Any:
    """Open what this process printed to at first, which its server puts into the owner's log."""
    first = getattr(sys.stderr, "_original_stdstream_copy", None)
    return os.fdopen(os.dup(2 if first is None else first), "w", errors="replace")


class Side:
    """The kernel's end of the channel; ``app`` is the kernel's application."""

    def __init__(self, app: Any, channel: socket.socket) -> None:
        self._app = app
        self._channel = channel
        self._freezing = self._forked = False
        #: Where the notebook may have left files that each fork needs.
        self._folders: list[str] = []
        #: The random generators that were there when it was frozen.
        self._generators: list[Any] = []
        IOLoop.current()
        #: What was open when the kernel started: none of it is the notebook's.
        self._before = hindrances.open_files()

    @classmethod
    def from_environment(cls, app: Any) -> Side | None:
        """Return the end that the environment names, or None; the notebook does not find it there."""
        number = os.environ.pop(CHANNEL, "")
        if not number:
            return None
        os.set_inheritable(int(number), False)
        return cls(app, socket.socket(fileno=int(number)))

    def serve(self) -> None:
        """Run the kernel; when it is frozen, fork as often as told. In each fork, run that kernel."""
        while True:
            self._listen()
            self._app.start()
            if not self._freezing:
                break
            self._freezing = False
            self._serve_frozen()
            self._forked = True
        if self._forked:
            _end()

    def _listen(self) -> None:
        self._channel.setblocking(False)
        _loop().add_reader(self._channel, self._hear)

    def _hear(self) -> None:
        """Answer while the kernel runs."""
        try:
            told = self._channel.recv(MOST)
        except BlockingIOError:
            return
        if not told:
            # The server lets go of this kernel, or has gone: who else would end it?
            _loop().remove_reader(self._channel)
            _loop().create_task(self._leave())
            return
        _loop().create_task(self._answer(json.loads(told)))

    async def _leave(self) -> None:
        """End what the notebook has started, and the kernel."""
        kernel = self._app.kernel
        # ipykernel does so too, but waits for zombies as well, and longer than anybody waits for it.
        for number in (signal.SIGTERM, signal.SIGKILL) if hindrances.children() else ():
            kernel._signal_children(number)
            await asyncio.sleep(_FAREWELL)
        kernel.io_loop.stop()

    async def _answer(self, told: dict[str, Any]) -> None:
        """Between two messages of Jupyter's, never inside one: cells that wait let other tasks run."""
        async with self._app.kernel._main_asyncio_lock:
            if told["do"] == "asked":
                self._say({"asked": sorted(asking.asked())})
            elif told["do"] == "sources":
                self._say({"sources": sources.found()})
            elif told["do"] == "begin":
                # Nobody listens to the kernel yet: what functions of the author's complain of is for the log.
                with _log() as log, contextlib.redirect_stderr(log):
                    beginning = asking.begin(Facts.from_json(told["facts"]))
                self._flush()
                failed = [[name, trace[-_LONGEST_TRACE:]] for name, trace in beginning.failed[:_MOST_FAILED]]
                self._say({"begun": True, "failed": failed, "seconds": beginning.seconds})
            elif told["do"] == "freeze":
                self._freezing, self._folders = True, told["folders"]
                loop = _loop()
                loop.remove_reader(self._channel)
                loop.call_soon(self._app.kernel.io_loop.stop)

    def _say(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps(answer).encode())

    @staticmethod
    def _flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()

    def _serve_frozen(self) -> None:
        """Wait for forks, without sockets, threads and loops of the kernel's; comes back in each fork."""
        self._flush()
        rebirth.dismantle(self._app)
        gc.collect()
        self._channel.setblocking(True)
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        own = {self._channel.fileno(), woken, wake}
        found = hindrances.find(self._before, own=own)
        # Its files would be shared by all forks; each has a loop of its own.
        _loop().close()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        gc.collect()
        # Those of a stem are frozen already: the garbage collector names them no more.
        self._generators += seeds.generators()
        gc.freeze()
        kept = hindrances.kept_files(*self._folders)
        said = {"hindrances": found, "hooked": asking.hooked(), "kept": kept, "sources": sources.found()}
        self._say({"frozen": True, **said})
        while True:
            ready, _, _ = select.select([self._channel.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            if self._channel.fileno() in ready and self._hear_frozen():
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wake)
                return

    def _hear_frozen(self) -> bool:
        """Fork if told so; return True in the fork."""
        told, fds, _, _ = socket.recv_fds(self._channel, MOST, 2)
        if not told:
            os._exit(0)
        return self._fork(json.loads(told), fds)

    def _fork(self, order: dict[str, Any], fds: list[int]) -> bool:
        """Return True in the fork."""
        try:
            child = os.fork()
        except OSError:
            child = -1  # there are too many processes for now; that the fork's channel closes says so
        if child:
            for fd in fds:
                os.close(fd)
            return False
        try:
            self._begin_life(order, fds)
        except BaseException as error:
            with contextlib.suppress(OSError, ValueError):
                os.write(2, f"A fork could not begin: {error!r}\n".encode())
            os._exit(70)
        return True

    def _begin_life(self, order: dict[str, Any], fds: list[int]) -> None:
        os.setsid()
        printed, channel = fds
        self._channel.close()
        self._channel = socket.socket(fileno=channel)
        os.set_inheritable(channel, False)
        opened = hindrances.open_files()
        hindrances.reopen_files(opened)
        folders = hindrances.open_folders(opened)
        if order["root"] is not None:
            rebirth.move_to(order["root"])
        # Those that are open would lead out of the new root.
        hindrances.reopen_folders(folders)
        os.environ.update(order["env"])
        tempfile.tempdir = None
        seeds.renew(self._generators)
        rebirth.rebuild(self._app, order["connection"], printed=printed)
        os.close(printed)
        if order["root"] is None:
            # It will be frozen itself: what is open now is none of the notebook's.
            self._before = hindrances.open_files()
        # The kernel's own word for who sends this is the system's: the server sees by it which process we are.
        self._say({"alive": os.getpid()})

    def _reap(self) -> None:
        """Say which forks have ended, and how."""
        for pid, code in warden.ended():
            self._say({"ended": pid, "code": code})
