"""The worker as its parent sees it: started in the sandbox, handed one file at a time, begun anew when it has ended.

What goes to it is an open file and a line that names it; what comes back are bytes, which are foreign.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from vaas.errors import Unavailable, Unreadable
from vaas.insides.limits import Limits
from vaas.insides.opening import Opened
from vaas.machine.bubblewrap import filter_file
from vaas.runtime.sandbox import HOME, Bounds, Sandbox, View, accounts, bare_command, find_isolation, order

__all__ = ["Worker", "started"]

#: Seconds until a new worker has its libraries ready; and beyond a file's time until it says how that ended.
_START, _GRACE = 60.0, 5.0
#: Threads of libraries would be for nothing: one file at a time is read, by a fork without them.
_ENVIRON = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "HDF5_USE_FILE_LOCKING": "FALSE",
    # No plugin is loaded because a file asks for it.
    "HDF5_PLUGIN_PRELOAD": "::",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
}
_KEPT = ("LANG", "PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
#: A worker writes nothing, and its forks have limits of their own.
_BOUNDS = Bounds(memory=4_000_000_000, disk=1_000_000, file=1_000_000, processes=64, open_files=512, cpu=86_400)
_MOST_REPORT = 1_000


class Worker:
    """Hands files to a worker, and starts it when there is none.

    Parameters
    ----------
    limits:
        What one file may take.
    environ:
        What says whether there is to be a sandbox (VAAS_SANDBOX).
    """

    def __init__(self, limits: Limits, environ: Mapping[str, str]) -> None:
        self._limits, self._environ = limits, environ
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._sandbox, self.isolation = find_isolation(environ)

    def ask(self, verb: str, found: Opened, *, name: str) -> bytes:
        """Return what is said of the file, as foreign JSON.

        Raises
        ------
        Unreadable
            The worker, or its fork for this file, ended over it or took too long; or the file changed meanwhile.
        Unavailable
            No worker starts.
        """
        control = self._ready()
        before = found.state
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                asked = {"verb": verb, "name": name, "parts": found.names, "folder": found.folder}
                try:
                    ours.settimeout(_GRACE)
                    ours.sendall(json.dumps(asked).encode() + b"\n")
                    socket.send_fds(control, [b"f"], [theirs.fileno(), *found.files])
                except OSError as error:
                    self.close()
                    raise Unreadable("Whoever reads the files had ended; try again.") from error
            until = time.monotonic() + self._limits.seconds + _GRACE
            said = _until_closed(ours, until=until, most=self._limits.answer)
        self._hear_end(control, until)
        if found.state != before:
            raise Unreadable("It was changed while it was read. It is read again later.")
        return said

    def close(self) -> None:
        """End the worker; no-op when there is none."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            _end(self._process)
            self._process = None

    def _ready(self) -> socket.socket:
        if self._process is not None and self._process.poll() is None and self._control is not None:
            return self._control
        self.close()
        self._process, self._control = started(self._sandbox, self._limits, self._environ)
        try:
            ready = _line(self._control, until=time.monotonic() + _START)
        except TimeoutError:
            ready = b""
        if not ready:
            self._process.kill()
            _, wrong = self._process.communicate()
            self.close()
            last = wrong.decode(errors="replace").strip().rsplit("\n", 1)[-1][:500]
            raise Unavailable("Files cannot be looked into at the moment.", log_message=f"No worker starts: {last}")
        return self._control

    def _hear_end(self, control: socket.socket, until: float) -> None:
        """Take the worker's word for how its fork ended; it is not the fork that says so."""
        try:
            ended: dict[str, Any] = json.loads(_line(control, until=until) or b"{}")
        except (TimeoutError, OSError, ValueError):
            ended = {}
        if "code" not in ended:
            self.close()
            raise Unreadable("Reading it ended whoever reads the files. It is left out.")
        if ended.get("late"):
            raise Unreadable(f"Reading it takes more than {self._limits.seconds:.0f} seconds. It is left out.")
        if ended["code"] == -signal.SIGXCPU:
            raise Unreadable(f"Reading it takes more than {self._limits.cpu} seconds of computing. It is left out.")
        if ended["code"] != 0:
            raise Unreadable("It is broken in a way that ends the program that reads it. It is left out.")


def started(
    sandbox: Sandbox | None, limits: Limits, environ: Mapping[str, str], *, command: list[str] | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker, in the sandbox if there is one; return its process and the socket that files are handed by.

    ``command`` runs in the worker's place, with the socket's number and the limits as its last words.
    """
    ours, theirs = socket.socketpair()
    words = command or [sys.executable, "-P", "-m", "vaas.insides.worker"]
    words = [*words, str(theirs.fileno()), json.dumps(asdict(limits))]
    env = {name: environ[name] for name in _KEPT if name in environ} | _ENVIRON
    with theirs, contextlib.ExitStack() as files:
        fds = [theirs.fileno()]
        if sandbox is None:
            told, start = order(words, cwd="/", bounds=replace(_BOUNDS, processes=0)), bare_command()
        else:
            uid = sandbox.new_uid()
            filter_fd = files.enter_context(filter_file(sandbox.filter))
            fds += [filter_fd] if filter_fd >= 0 else []
            env |= {"HOME": str(HOME), "TMPDIR": str(HOME)}
            bounds = sandbox.fitting(_BOUNDS)
            told = order(words, cwd="/", bounds=bounds, uid=uid, folders=[HOME], files=accounts(uid))
            start = sandbox.command(View(), bounds=bounds, filter_fd=filter_fd)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        process = subprocess.Popen(start, **pipes, pass_fds=fds, env=env, cwd="/", start_new_session=True)  # type: ignore[call-overload]
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(told)
        process.stdin.close()
    process.stdin = None
    return process, ours


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and, where there is no sandbox that ends with it, all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _until_closed(ours: socket.socket, *, until: float, most: int) -> bytes:
    """Return what is sent until the other end closes; what comes late or is too much is cut off."""
    said = bytearray()
    while len(said) <= most and (left := until - time.monotonic()) > 0:
        if not select.select([ours], [], [], left)[0]:
            break
        try:
            some = ours.recv(1 << 16)
        except OSError:
            break
        if not some:
            break
        said += some
    return bytes(said)


def _line(control: socket.socket, *, until: float) -> bytes:
    """Return one line of the worker's, b"" when it has ended. Raises TimeoutError."""
    said = b""
    while not said.endswith(b"\n") and len(said) < _MOST_REPORT:
        if not select.select([control], [], [], max(until - time.monotonic(), 0))[0]:
            raise TimeoutError
        try:
            some = control.recv(_MOST_REPORT)
        except OSError:
            return b""
        if not some:
            return b""
        said += some
    return said
