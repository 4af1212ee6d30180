"""The process that is locked in: it has the libraries ready, and for each file it is handed it makes a fork.

``python -m vaas.insides.worker SOCKET LIMITS``. The fork alone opens the file, answers once and ends, so nothing of one
file is there when the next one is read, and whoever takes a fork over has that one file. By itself this process reads
nothing that a stranger wrote, not even a name.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from vaas.errors import VaasError
from vaas.insides import closing
from vaas.insides.formats import warm_up
from vaas.insides.handed import Handed, Part
from vaas.insides.limits import MOST_PARTS, Limits
from vaas.insides.reading import look, preview

__all__ = ["main"]

#: A request is one line, not longer than this.
MOST_REQUEST = 100_000
#: Beyond the memory that a file may take: the addresses of files that are mapped.
_ADDRESSES = 2_000_000_000
_VERBS = {"look": look, "preview": preview}


def main(arguments: Sequence[str]) -> int:
    """Take files until nobody hands any more."""
    control = socket.socket(fileno=int(arguments[0]))
    limits = Limits(**json.loads(arguments[1]))
    warm_up()
    filtered = closing.program() if sys.platform.startswith("linux") else b""
    ctypes.CDLL(None)
    gc.collect()
    gc.freeze()
    control.sendall(b'{"ready": true}\n')
    with open(os.devnull, "r+b") as nothing:
        for fd in (0, 1, 2):
            os.dup2(nothing.fileno(), fd)
    while True:
        _, fds, _, _ = socket.recv_fds(control, 1, MOST_PARTS + 2)
        if not fds:
            return 0
        code, late = _wait(_fork(control, fds, limits, filtered), limits)
        control.sendall(json.dumps({"code": code, "late": late}).encode() + b"\n")


def _fork(control: socket.socket, fds: list[int], limits: Limits, filtered: bytes) -> int:
    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return pid
    # Nothing may come back from here into the loop that hands out files.
    try:
        control.close()
        answering = socket.socket(fileno=fds[0])
        _confine(limits, filtered)
        _answer(answering, fds[1:], limits)
        os._exit(0)
    except BaseException:
        os._exit(1)


def _confine(limits: Limits, filtered: bytes) -> None:
    """Take on what holds for one file. Whatever cannot be taken on ends the fork."""
    os.setsid()
    mapped = int(_own_status().partition("VmSize:")[2].split()[0] or 0) * 1024 if filtered else 0
    held = int(_own_status().partition("VmData:")[2].split()[0] or 0) * 1024 if filtered else 0
    _limit(resource.RLIMIT_CPU, limits.cpu, more=2)
    _limit(resource.RLIMIT_DATA, held + limits.memory)
    _limit(resource.RLIMIT_AS, mapped + limits.memory + _ADDRESSES)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform.startswith("linux"):
        closing.close_off(filtered)


def _own_status() -> str:
    with open("/proc/self/status") as file:
        return file.read()


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
        said = {"unreadable": error.message}
    except MemoryError:
        said = {"unreadable": "Reading it takes more memory than a file may."}
    except RecursionError:
        said = {"unreadable": "It is nested too deep to be read."}
    data = json.dumps(said, allow_nan=False, default=str).encode()
    if len(data) > limits.answer:
        data = b'{"unreadable": "It tells more of itself than is taken."}'
    answering.sendall(data)
    answering.shutdown(socket.SHUT_WR)


def _handed(asked: dict[str, Any], fds: list[int]) -> Handed:
    parts = [Part(str(name), os.fdopen(fd, "rb")) for name, fd in zip(asked["parts"], fds, strict=True)]
    return Handed(name=asked["name"], parts=tuple(parts), folder=asked["folder"])


def _wait(pid: int, limits: Limits) -> tuple[int, bool]:
    """Wait until the fork has ended; end it when its time is over. Return its code and whether it was late."""
    watched = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
    late = False
    try:
        if watched >= 0 and not select.select([watched], [], [], limits.seconds)[0]:
            late = True
    finally:
        if watched >= 0:
            os.close(watched)
    if late:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), late


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
