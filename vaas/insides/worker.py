"""The process that is locked in: it has the libraries ready, and for each file it is handed it makes a fork.

``python -m vaas.insides.worker SOCKET LIMITS``. The fork alone opens the file, answers once and ends, so nothing of one
file is there when the next one is read, and whoever takes a fork over has that one file. By itself this process reads
nothing that a stranger wrote, not even a name.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaas.errors import VaasError
from vaas.insides import closing, fencing
from vaas.insides.formats import warm_up
from vaas.insides.handed import Handed, Part
from vaas.insides.limits import MOST_PARTS, Limits
from vaas.insides.reading import look, preview

__all__ = ["main"]

#: A request is one line, not longer than this.
MOST_REQUEST = 100_000
#: Beyond the memory that a file may take: the addresses of files that are mapped.
_ADDRESSES = 2_000_000_000
#: So often it is looked whether a fork has ended, where the system does not say so.
_LOOK = 0.005
_VERBS = {"look": look, "preview": preview}


def main(arguments: Sequence[str]) -> int:
    """Take files until nobody hands any more."""
    control = socket.socket(fileno=int(arguments[0]))
    limits = Limits(**json.loads(arguments[1]))
    warm_up()
    with open(os.devnull, "r+b") as nothing:
        # Nothing that a reader prints is read by anybody.
        for fd in (0, 1):
            os.dup2(nothing.fileno(), fd)
        confined = _Confined(limits)
        gc.collect()
        gc.freeze()
        control.sendall(b'{"ready": true}\n')
        os.dup2(nothing.fileno(), 2)
    while True:
        _, fds, _, _ = socket.recv_fds(control, 1, MOST_PARTS + 2)
        if not fds:
            return 0
        code, late = _wait(_fork(control, fds, confined), limits)
        control.sendall(json.dumps({"code": code, "late": late}).encode() + b"\n")


class _Confined:
    """What holds for a fork. The fence is put up here, once: this process opens no file any more."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._linux = sys.platform.startswith("linux")
        status = Path("/proc/self/status").read_text() if self._linux else ""
        self._held, self._mapped = (_kilobytes(status, name) * 1024 for name in ("VmData", "VmSize"))
        if self._linux:
            fencing.fence(fencing.needed())
            self._closing = closing.Closing()

    def begin(self) -> None:
        """Take on what holds for one file; whatever cannot be taken on ends the fork."""
        os.setsid()
        _limit(resource.RLIMIT_CPU, self.limits.cpu, more=2)
        if self._linux:
            _limit(resource.RLIMIT_DATA, self._held + self.limits.memory)
            _limit(resource.RLIMIT_AS, self._mapped + self.limits.memory + _ADDRESSES)
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_CORE, 0)
        if self._linux:
            self._closing.take_on()


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _fork(control: socket.socket, fds: list[int], confined: _Confined) -> int:
    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return pid
    # Nothing may come back from here into the loop that hands out files.
    try:
        control.close()
        answering = socket.socket(fileno=fds[0])
        confined.begin()
        _answer(answering, fds[1:], confined.limits)
        os._exit(0)
    except BaseException:
        os._exit(1)


def _limit(kind: int, value: int, *, more: int = 0) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value + more if most == resource.RLIM_INFINITY else min(value + more, most)))


def _answer(answering: socket.socket, fds: list[int], limits: Limits) -> None:
    with answering.makefile("rb") as lines:
        asked = json.loads(lines.readline(MOST_REQUEST))
    try:
        said: dict[str, Any] = {"told": _VERBS[asked["verb"]](_handed(asked, fds))}
    except VaasError as error:
        said = {"unreadable": error.message, "why": error.log_message}
    except MemoryError:
        said = {"unreadable": "Reading it takes more memory than a file may."}
    except RecursionError:
        said = {"unreadable": "It is nested too deep to be read."}
    data = json.dumps(said, default=str).encode()
    if len(data) > limits.answer:
        data = b'{"unreadable": "It tells more of itself than is taken."}'
    answering.sendall(data)
    answering.shutdown(socket.SHUT_WR)


def _handed(asked: dict[str, Any], fds: list[int]) -> Handed:
    parts = [Part(str(name), os.fdopen(fd, "rb")) for name, fd in zip(asked["parts"], fds, strict=True)]
    return Handed(name=asked["name"], parts=tuple(parts), folder=asked["folder"])


def _wait(pid: int, limits: Limits) -> tuple[int, bool]:
    """Wait until the fork has ended; end it when its time is over. Return its code and whether it was late."""
    late = not _has_ended(pid, limits.seconds)
    if late:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), late


def _has_ended(pid: int, seconds: float) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return _is_seen_to_end(pid, seconds)  # Linux before 5.3, and others
    try:
        return bool(select.select([watched], [], [], seconds)[0])
    finally:
        os.close(watched)


def _is_seen_to_end(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(_LOOK)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
