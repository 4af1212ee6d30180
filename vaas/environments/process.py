"""An installer as a process: in a sandbox where there is one, with limits, and gone when its time is over.

It reads archives that strangers made, but runs none of what is in them: it gets wheels alone, and nobody starts the
environment's Python but kernels, in their own sandbox. In ours it sees the system, its own folders, and the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vaas.errors import TooLarge, Unavailable

__all__ = ["Confined", "find_bubblewrap"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: What it takes to find a host and to trust it.
_ETC = ("ca-certificates", "host.conf", "hosts", "ld.so.cache", "nsswitch.conf", "pki", "resolv.conf", "ssl")
_LOOK = 0.25
_MOST_SAID = 100_000
#: Of the installer itself.
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_CPU": 1800, "RLIMIT_NOFILE": 4096, "RLIMIT_DATA": 8_000_000_000}


@dataclass(frozen=True)
class Confined:
    """Runs commands that see ``read`` and may write ``written``, besides the system; all, without bubblewrap.

    Parameters
    ----------
    bubblewrap:
        The program; "": there is no sandbox.
    seconds, bytes:
        How long a command may take, and how large one file of what it writes may be.
    """

    bubblewrap: str
    read: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    seconds: float = 600.0
    bytes: int = 0
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def run(self, command: Sequence[str], *, cwd: Path, grown: Callable[[], int]) -> tuple[int, str]:
        """Return the exit code and what it said of what went wrong; ``grown`` tells how many bytes it has written.

        Raises
        ------
        Unavailable
            It takes too long, or cannot be started.
        TooLarge
            It writes more than it may.
        """
        words = [*self._sandbox(cwd), *command]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=cwd,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                # What it writes is read by kernels, which are other system users where the portal is root.
                umask=0o022,
            )
        except OSError as error:
            problem = f"{words[0]}: {error}"
            raise Unavailable("No environment can be made here at the moment.", log_message=problem) from error
        _limit(process.pid, {**_LIMITS, "RLIMIT_FSIZE": self.bytes or resource.RLIM_INFINITY})
        reading = asyncio.ensure_future(_said(process))
        try:
            await self._wait(reading, grown)
            return await process.wait(), reading.result()
        finally:
            reading.cancel()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _wait(self, ended: asyncio.Future[str], grown: Callable[[], int]) -> None:
        deadline = time.monotonic() + self.seconds
        while not ended.done():
            await asyncio.wait({ended}, timeout=_LOOK)
            if time.monotonic() > deadline:
                raise Unavailable(f"Making the environment took longer than {self.seconds:.0f} s. Ask for less.")
            if self.bytes and not ended.done() and await asyncio.to_thread(grown) > self.bytes:
                raise TooLarge(f"The environment would be larger than {self.bytes // 1_000_000} MB. Ask for less.")

    def _sandbox(self, cwd: Path) -> list[str]:
        if not self.bubblewrap:
            return []
        words = [self.bubblewrap, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        words += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if os.geteuid() != 0:
            words += ["--unshare-user"]
        for path in _SYSTEM:
            words += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind-try", path, path]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for each in (*(Path("/etc") / name for name in _ETC), *self.read):
            words += ["--ro-bind-try", str(each), str(each)]
        for each in self.written:
            words += ["--bind", str(each), str(each)]
        return [*words, "--chdir", str(cwd), "--"]


async def _said(process: asyncio.subprocess.Process) -> str:
    """Return what it says until it closes its mouth; what is too much is read and forgotten."""
    assert process.stderr is not None
    kept = b""
    while some := await process.stderr.read(1 << 16):
        kept = (kept + some)[-_MOST_SAID:]
    return kept.decode(errors="replace")


def _limit(pid: int, limits: Mapping[str, int]) -> None:
    """Set limits of a process that has begun; where the system has no means for it, its time and its bytes count."""
    if not sys.platform.startswith("linux"):
        return
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, getattr(resource, name), (value, value))


def find_bubblewrap(environ: Mapping[str, str]) -> str:
    """Return the bubblewrap that works here, "" where there is none or VAAS_SANDBOX says “off”.

    Raises
    ------
    Unavailable
        There is none, and VAAS_SANDBOX says that there must be.
    """
    wish = environ.get("VAAS_SANDBOX") or "auto"
    found = shutil.which("bwrap", path=environ.get("PATH", os.defpath)) if wish != "off" else None
    works = found is not None and _works(found)
    if not works and wish == "required":
        raise Unavailable("No environment can be made here: nothing would keep the installer apart.")
    return found if works and found else ""


def _works(bubblewrap: str) -> bool:
    command = [*Confined(bubblewrap)._sandbox(Path("/")), "true"]
    try:
        return subprocess.run(command, env={}, capture_output=True, timeout=20, cwd="/").returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
