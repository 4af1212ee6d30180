"""The sandbox of kernels: what a kernel's process may see and use, made with bubblewrap where the system has it.

In it are a read-only system, the Python of apps, what the version lists, and a temporary folder of bounded size; no
other app, home, database or process, no device, no network (what may be reached goes through :mod:`vaas.runtime.gate`).
``python -m vaas.runtime.sandbox`` says in one line of JSON whether kernels here get one.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import vaas
from vaas.errors import Unavailable
from vaas.machine import seccomp
from vaas.machine.bubblewrap import FIRST_UID, UIDS, filter_file, system, ways
from vaas.runtime.warden import PLACES

__all__ = [
    "AUTO",
    "HOME",
    "OFF",
    "REQUIRED",
    "Bounds",
    "Isolation",
    "SHARED_MEMORY",
    "Sandbox",
    "View",
    "Ward",
    "find_isolation",
    "order",
]

#: What VAAS_SANDBOX may say: use it where it works, refuse to run kernels without it, do without.
AUTO, REQUIRED, OFF = "auto", "required", "off"
#: A kernel's home in the sandbox; it lies in the temporary folder.
HOME = Path("/tmp/home")
#: The port on the sandbox's own network behind which the gate is.
GATE_PORT = 3128

_INSIDE = Path(__file__).with_name("inside.py")
#: Its temporary folder is counted for itself; shared memory is a second, small one.
SHARED_MEMORY = 64 << 20
#: The name, home and shell of the one user in the sandbox.
_USER = "app"


@dataclass(frozen=True)
class Bounds:
    """How much one kernel may use: bytes of memory, of its temporary folder and of one file; processes and threads;
    open files of one process; seconds of CPU time of one process."""

    memory: int = 2_000_000_000
    disk: int = 500_000_000
    file: int = 500_000_000
    processes: int = 256
    open_files: int = 1024
    cpu: int = 3600

    @property
    def limits(self) -> dict[str, int]:
        """The same as the system's resource limits; 0 processes: no limit."""
        processes = {"RLIMIT_NPROC": self.processes} if self.processes else {}
        return {
            **processes,
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": self.cpu,
            "RLIMIT_DATA": self.memory,
            "RLIMIT_FSIZE": self.file,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_NOFILE": self.open_files,
        }


@dataclass(frozen=True)
class Isolation:
    """Whether kernels get a sandbox, and if not why, in words for an operator."""

    sandbox: bool
    why: str = ""


@dataclass(frozen=True)
class View:
    """What of the machine a kernel sees besides the system: folders and files by their own paths.

    ``read`` are seen as they are; ``written`` are single files that may be written; ``placed`` are seen at another
    path (path inside → path outside).
    """

    read: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    placed: Mapping[Path, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Ward:
    """What a template's first process needs: the files by which the server talks to the warden and to the kernel,
    whether places can be made, and the filter that the kernel takes on by itself."""

    warden: int = -1
    channel: int = -1
    places: bool = False
    filter: bytes = b""

    @property
    def told(self) -> dict[str, Any]:
        """What it is told of it."""
        files = {"warden": self.warden, "channel": self.channel}
        return {**files, "places": self.places, "filter": base64.b64encode(self.filter).decode()}

    @property
    def files(self) -> tuple[int, ...]:
        """The open files that it is started with."""
        return tuple(fd for fd in (self.warden, self.channel) if fd >= 0)


class Sandbox:
    """Makes the command that starts something in a sandbox.

    Parameters
    ----------
    bubblewrap:
        The program.
    paths:
        Folders that every kernel may read besides the system and the Python of apps, such as ``/cvmfs``.
    """

    def __init__(self, bubblewrap: str, *, paths: Sequence[Path] = ()) -> None:
        self._bubblewrap = bubblewrap
        self.paths = tuple(paths)
        self._root = os.geteuid() == 0
        self.filter = seccomp.program()

    def new_uid(self) -> int:
        """Return the system user for one more kernel: 0 for our own, where we may not take another."""
        return FIRST_UID + secrets.randbelow(UIDS) if self._root else 0

    def fitting(self, bounds: Bounds) -> Bounds:
        """Return the bounds that hold for one kernel alone: before Linux 5.14 a user's processes count together."""
        release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
        return bounds if self._root or release >= (5, 14) else replace(bounds, processes=0)

    def command(self, view: View, *, bounds: Bounds, filter_fd: int, warden: bool = False) -> list[str]:
        """Return the command; ``filter_fd`` is an open file with :attr:`filter`, -1 where there is none.

        With a ``warden``, the first process keeps the rights that it takes to make places for forks.

        It expects an :func:`order` on its standard input.
        """
        return [
            self._bubblewrap,
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
            *self._user(warden=warden),
            *("--die-with-parent", "--new-session", "--hostname", "app"),
            *self._system(),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--size", str(min(SHARED_MEMORY, bounds.disk)), "--tmpfs", "/dev/shm"),
            *("--perms", "1777", "--size", str(bounds.disk), "--tmpfs", "/tmp"),
            *self._view(view),
            *(("--perms", "0755", "--size", "1048576", "--tmpfs", PLACES) if warden else ()),
            *("--remount-ro", "/dev", "--remount-ro", "/"),
            *(("--seccomp", str(filter_fd)) if filter_fd >= 0 else ()),
            *("--", sys.executable, "-I", "-S", str(_INSIDE)),
        ]

    def _user(self, *, warden: bool) -> tuple[str, ...]:
        """Who is root makes no user namespace: the kernel becomes a system user of its own instead."""
        kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", *(("CAP_SYS_ADMIN", "CAP_SYS_CHROOT") if warden else ()))
        rights = ("--cap-drop", "ALL", *(word for right in kept for word in ("--cap-add", right)))
        if self._root:
            return rights
        if warden:
            # As root of it: another user would make bubblewrap put a second namespace into the first.
            # Who makes the kernel's own namespace in it, in which root is somebody, needs one right more.
            return ("--unshare-user", "--uid", "0", "--gid", "0", *rights, "--cap-add", "CAP_SETFCAP")
        return ("--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000")

    def _system(self) -> list[str]:
        words = system()
        for name in ("passwd", "group", "hosts"):
            words += ["--symlink", f"{HOME.parent}/.{name}", f"/etc/{name}"]
        return words

    def _view(self, view: View) -> list[str]:
        read = (*_python_folders(), *self.paths, *view.read)
        words = ways([*read, *view.placed, *view.written])
        for path in read:
            words += ["--ro-bind-try", str(path), str(path)]
        for inside, outside in view.placed.items():
            words += ["--ro-bind", str(outside), str(inside)]
        for path in view.written:
            words += ["--bind", str(path), str(path)]
        return words


def order(
    command: Sequence[str],
    *,
    cwd: str,
    bounds: Bounds,
    uid: int = 0,
    folders: Sequence[Path] = (),
    files: Mapping[str, str] | None = None,
    copies: Mapping[str, str] | None = None,
    gate: int = -1,
    ward: Ward | None = None,
) -> bytes:
    """Return what the first process in the sandbox reads: what it is to become, and what to prepare before.

    Parameters
    ----------
    command:
        What it becomes, in the folder ``cwd``.
    uid:
        The system user to become; 0: stay who one is.
    folders, files, copies:
        What to make: folders, files with their text, files with the path they are copied from.
    gate:
        A socket by which it hands out the one that listens at GATE_PORT; -1: there is no network at all.
    ward:
        Stay behind as the warden of forks.
    """
    told: dict[str, Any] = {
        "command": list(command),
        "cwd": cwd,
        "limits": bounds.limits,
        "uid": uid,
        "folders": [str(folder) for folder in folders],
        "files": dict(files or {}),
        "copies": dict(copies or {}),
        "gate": gate,
        "port": GATE_PORT,
        **(ward or Ward()).told,
    }
    return json.dumps(told).encode()


def bare_command() -> list[str]:
    """Return the command that obeys an :func:`order` without a sandbox."""
    return [sys.executable, "-I", "-S", str(_INSIDE)]


def accounts(uid: int) -> dict[str, str]:
    """Return the files of a system with one user, for programs that ask who they are."""
    inside = uid or 1000
    return {
        f"{HOME.parent}/.passwd": f"{_USER}:x:{inside}:{inside}:{_USER}:{HOME}:/bin/sh\n",
        f"{HOME.parent}/.group": f"{_USER}:x:{inside}:\n",
        f"{HOME.parent}/.hosts": "127.0.0.1 localhost app\n::1 localhost\n",
    }


def find_isolation(environ: Mapping[str, str]) -> tuple[Sandbox | None, Isolation]:
    """Return the sandbox that works here, or None and why there is none.

    Raises
    ------
    Unavailable
        There is none, and VAAS_SANDBOX says that there must be.
    """
    wish = environ.get("VAAS_SANDBOX") or AUTO
    if wish == OFF:
        return None, Isolation(False, "VAAS_SANDBOX is “off”.")
    paths = [Path(path) for path in environ.get("VAAS_SANDBOX_PATHS", "").split(",") if path.strip()]
    program = shutil.which("bwrap", path=environ.get("PATH", os.defpath))
    if not sys.platform.startswith("linux"):
        sandbox, why = None, "Only Linux has the means for it."
    elif program is None:
        sandbox, why = None, "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)."
    else:
        sandbox = Sandbox(program, paths=paths)
        why = _try(sandbox)
    if why and wish == REQUIRED:
        raise Unavailable("Apps cannot be run here: kernels would not be isolated.", log_message=why)
    return (None, Isolation(False, why)) if why or sandbox is None else (sandbox, Isolation(True))


def _try(sandbox: Sandbox) -> str:
    """Start the Python of apps in a sandbox; return what is wrong, "" when nothing is."""
    bounds, uid = Bounds(), sandbox.new_uid()
    said = order([sys.executable, "-I", "-c", "import ssl"], cwd="/tmp", bounds=bounds, uid=uid, files=accounts(uid))
    try:
        with filter_file(sandbox.filter) as fd:
            command = sandbox.command(View(), bounds=bounds, filter_fd=fd)
            fds = (fd,) if fd >= 0 else ()
            tried = subprocess.run(command, input=said, capture_output=True, timeout=30, pass_fds=fds, env={}, cwd="/")
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap does not work here: {error}"
    last = tried.stderr.decode(errors="replace").strip().rsplit("\n", 1)[-1]
    return "" if tried.returncode == 0 else f"bubblewrap does not work here: {last or f'exit code {tried.returncode}'}"


def _python_folders() -> list[Path]:
    """Return the folders from which this Python runs and imports, and no more: they may lie beside secrets."""
    package = Path(vaas.__file__).parent
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), package]
    return [path for path in dict.fromkeys(found) if not path.is_relative_to("/usr")]


def main() -> int:
    """Print whether kernels get a sandbox here."""
    try:
        _, isolation = find_isolation({**os.environ, "VAAS_SANDBOX": os.environ.get("VAAS_SANDBOX") or AUTO})
    except Unavailable as error:
        isolation = Isolation(False, error.log_message)
    print(json.dumps({"isolated": isolation.sandbox, "why": isolation.why}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
