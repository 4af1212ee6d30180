"""The launcher: starts a launch in its sandbox, watches what it uses, and ends with it."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaas.errors import Forbidden, VaasError
from vaas.lab.becoming import SHARED_AT, UID
from vaas.lab.clock import seconds_left
from vaas.lab.sandbox import SHARED, find_bubblewrap, home_in, sandboxed, uid_of
from vaas.lab.watch import Watch, family
from vaas.machine.processes import children_of
from vaas.orders import ENDS, ORDER, Order, read_order

if TYPE_CHECKING:
    from vaas.lab.portal import PortalClient

__all__ = ["Launcher", "inside_environ", "main"]

#: Seconds between looks at what is used, and between reports of it.
_LOOK, _REPORT = 1.0, 10.0
#: A portal that has refused so often in a row does not know this launch any more.
_REFUSALS = 3
#: So long (seconds) JupyterLab may take to end its kernels; the Hub waits five.
_FAREWELL = 4.0
#: So long the portal may take to hear why it ended, once it has.
_LAST_WORD = 0.8
#: What ends so soon after its largest process was ended for its memory did so for that; a signal that comes so shortly
#: before the time is up is of a batch system that counts it, too.
_MEMORY, _NEARLY = 8.0, 60.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS", "POLARS_MAX_THREADS")


def inside_environ(
    order: Order, environ: Mapping[str, str], *, home: Path, uid: int, shared: str = ""
) -> dict[str, str]:
    """Return the variables of what runs inside: what the Hub gave, with home, cores and the environment's programs.

    ``shared`` is where shared folders are seen there.
    """
    threads = str(max(1, math.floor(order.size.cores)))
    programs = [str(Path(order.environment.where).parent)] if order.environment.kind == "python" else []
    return {
        **environ,
        **dict.fromkeys(_THREADS, threads),
        "HOME": str(home),
        "PATH": os.pathsep.join([*programs, environ.get("PATH", os.defpath)]),
        "SHELL": "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh",
        UID: str(uid),
        SHARED_AT: shared,
    }


class Launcher:
    """One launch from its start to its end."""

    def __init__(self, order: Order, environ: Mapping[str, str]) -> None:
        self._order, self._environ = order, dict(environ)
        self._stopping = threading.Event()
        self._sandbox, self._refused = False, 0
        left = seconds_left(order.size, environ, now=time.time())
        self._until = time.monotonic() + left
        self._environ |= {ENDS: str(round(time.time() + left))} if left < math.inf else {}
        self._emptied = -math.inf
        #: Why it ends: one of vaas.launching.LAUNCH_ENDS, or "told" by the portal, which knows.
        self._why = ""

    def run(self) -> int:
        """Start it, stay until it ends, and return how it did."""
        _adopt_orphans()
        process = self._start()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        threading.Thread(target=self._watch, args=(process.pid,), daemon=True).start()
        while process.poll() is None and not self._stopping.wait(0.1):
            pass
        farewell = threading.Thread(target=self._say, args=({"ended": self._reason(process.poll())},), daemon=True)
        farewell.start()
        if process.poll() is None:
            self._end(process)
        for pid in family(os.getpid())[1:]:  # without a sandbox, what was left to itself
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        farewell.join(_LAST_WORD)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _signalled(self, *_: object) -> None:
        self._why = self._why or ("time" if self._until - time.monotonic() < _NEARLY else "outside")
        self._stopping.set()

    def _reason(self, code: int | None) -> str:
        """Return why it ends; the code is that of what has ended by itself."""
        if self._why or code is None:
            return self._why
        if time.monotonic() - self._emptied < _MEMORY:
            return "memory"
        return "crashed" if code else "closed"

    def _start(self) -> subprocess.Popen[bytes]:
        order, command = self._order, [sys.executable, "-P", "-s", "-m", "vaas.lab.inside"]
        program = find_bubblewrap(self._environ) if order.kind == "local" else ""
        own = Path(self._environ.get("HOME", "/"))
        if order.home:
            Path(order.home).mkdir(mode=0o700, parents=True, exist_ok=True)
            own = Path(order.home)
        if not program or not order.home:
            environ = inside_environ(order, self._environ, home=own, uid=0, shared=order.shared_root)
            return subprocess.Popen(command, env=environ, cwd=own)
        self._sandbox, uid = True, uid_of(own)
        environ = inside_environ(order, self._environ, home=home_in(order), uid=uid, shared=str(SHARED))
        with sandboxed(program, command, order, uid=uid, environ=self._environ) as made:
            return subprocess.Popen(made.command, env=environ, cwd="/", pass_fds=made.files)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End it in good order, and what does not end so by force."""
        with contextlib.suppress(OSError):
            os.kill(self._inner(process.pid), signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_FAREWELL)
        for pid in family(process.pid) if process.poll() is None else ():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def _inner(self, pid: int) -> int:
        """Return the first process inside: bubblewrap has one outside and one that is the first of its own."""
        for _ in range(2 if self._sandbox else 0):
            pid = next(iter(children_of(pid)), pid)
        return pid

    @cached_property
    def _portal(self) -> PortalClient:
        from vaas.lab.portal import PortalClient  # beside the start, which does not need it

        return PortalClient(self._environ["VAAS_PORTAL_URL"], token=self._environ["JUPYTERHUB_API_TOKEN"])

    def _watch(self, pid: int) -> None:
        watch, reported = Watch(pid, self._order.size), 0.0
        while not self._stopping.wait(_LOOK):
            if ended := watch.look():
                self._emptied = time.monotonic()
                print(ended, file=sys.stderr, flush=True)
                self._say({"notice": ended})
            if time.monotonic() > self._until:
                self._why = "time"
                self._say({"state": "stopped", "ended": "time"})
                self._stopping.set()
            if time.monotonic() - reported >= _REPORT:
                reported = time.monotonic()
                self._say({"use": watch.use()})

    def _say(self, said: Mapping[str, Any]) -> None:
        """Tell the portal; one that does not know this launch any more ends it."""
        try:
            stops, self._refused = self._portal.post(said), 0
        except Forbidden:
            self._refused += 1
            stops = self._refused >= _REFUSALS
        except VaasError as error:
            print(f"The portal hears nothing: {error.log_message}", file=sys.stderr, flush=True)
            stops = False
        if stops:
            self._why = self._why or "told"
            self._stopping.set()


def _adopt_orphans() -> None:
    """Become the parent of what is left to itself below, so that it can be found and ended."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def main() -> int:
    """Do what the order in the environment says; words about what is wrong are the last line of the log."""
    os.umask(0o077)
    try:
        return Launcher(read_order(os.environ.get(ORDER, "")), os.environ).run()
    except VaasError as error:
        print(error.message, file=sys.stderr, flush=True)
    except OSError as error:
        print(f"JupyterLab cannot be started: {error.strerror}.", file=sys.stderr, flush=True)
    return 1
