"""The sandbox of a launch: the system and its Pythons to be read, the person's home to be written, and no more.

It shares the machine's network, since JupyterLab needs the Hub; of other people, of the portal's data and of its
processes there is nothing in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import vaas
from vaas import jobs
from vaas.errors import Unavailable
from vaas.machine import seccomp
from vaas.machine.bubblewrap import FIRST_UID, UIDS, filter_file, system, ways
from vaas.orders import Order
from vaas.pythons import folders_of

__all__ = [
    *("SHARED", "Sandboxed", "accounts", "find_bubblewrap", "home_in", "program_of", "python_folders", "sandboxed"),
    *("uid_of", "without_rights"),
]

#: Where shared folders are seen in it; elsewhere, where the order says. The home has a link to them.
SHARED = Path("/shared")
#: By which names are found on the machine's network, which is this one's.
_ETC = ("hosts", "nsswitch.conf", "resolv.conf")
_NO_SANDBOX = (
    "JupyterLab is not started here: people would not be kept apart from each other. It takes Linux with bubblewrap "
    "(Debian, Ubuntu: apt install bubblewrap), or VAAS_SANDBOX=off where everybody trusts everybody."
)


@dataclass(frozen=True)
class Sandboxed:
    """The command that starts something in the sandbox, and the open files that it needs."""

    command: list[str]
    files: tuple[int, ...]


def find_bubblewrap(environ: Mapping[str, str]) -> str:
    """Return the program; "" where the operator wants no sandbox. Raises Unavailable when there is none."""
    if environ.get("VAAS_SANDBOX") == "off":
        return ""
    program = shutil.which("bwrap", path=environ.get("PATH", os.defpath))
    if not sys.platform.startswith("linux") or program is None:
        raise Unavailable(_NO_SANDBOX)
    return program


def home_in(order: Order) -> Path:
    """Return where the home is in the sandbox."""
    return Path("/home") / Path(order.home).name


def uid_of(home: Path) -> int:
    """Return the system user who works in that home, or folder of a job; 0: nobody but ourselves can.

    Where we are root, somebody without rights gets the home the first time: its owner, from then on.
    """
    if os.geteuid() != 0:
        return 0
    owner = home.stat().st_uid
    if owner == 0:
        owner = FIRST_UID + int.from_bytes(hashlib.sha256(home.name.encode()).digest()[:8]) % UIDS
        jobs.give(home, owner, owner)
    return owner


@contextmanager
def sandboxed(
    program: str, command: Sequence[str], order: Order, *, uid: int, environ: Mapping[str, str]
) -> Iterator[Sandboxed]:
    """Return ``command`` as it is started in the sandbox, for that system user (0: ourselves)."""
    more = [Path(path) for path in environ.get("VAAS_SANDBOX_PATHS", "").split(",") if path.strip()]
    home, read = home_in(order), [*python_folders(order), *more]
    # What lies there is memory.
    tmpfs = ("--perms", "1777", "--size", str(max(order.size.memory // 2, 1 << 20)), "--tmpfs")
    with ExitStack() as files:
        filter_fd = files.enter_context(filter_file(seccomp.program()))
        named, fds = accounts(files, uid, home)
        words = [
            program,
            *("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"),
            *without_rights(),
            *("--die-with-parent", "--new-session", "--hostname", "lab"),
            *system(),
            *named,
            *(word for name in _ETC for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")),
            *("--proc", "/proc", "--dev", "/dev", *tmpfs, "/dev/shm", *tmpfs, "/tmp"),
            *ways([*read, home, *(SHARED / name for name in order.shared)]),
            *(word for path in read for word in ("--ro-bind-try", str(path), str(path))),
            *("--bind", order.home, str(home)),
            *(w for name, path in order.shared.items() for w in ("--ro-bind-try", path, str(SHARED / name))),
            *("--remount-ro", "/dev", "--remount-ro", "/"),
            *(("--seccomp", str(filter_fd)) if filter_fd >= 0 else ()),
            *("--", *command),
        ]
        yield Sandboxed(words, tuple(fd for fd in (filter_fd, *fds) if fd >= 0))


def python_folders(order: Order) -> list[Path]:
    """Return the folders of the launch environment's Python, of the chosen one's, and of this package."""
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(vaas.__file__).parent, *_environment(order)]
    return [path for path in dict.fromkeys(found) if not path.is_relative_to("/usr") and path != Path("/")]


def _environment(order: Order) -> list[Path]:
    where = Path(order.environment.where)
    if order.environment.kind == "kernelspec":
        return [where, *folders_of(program_of(where))]
    return folders_of(where) if order.environment.kind == "python" else []


def program_of(folder: Path) -> Path:
    """Return what a kernelspec starts; an empty path where it cannot be told."""
    try:
        return Path(json.loads((folder / "kernel.json").read_bytes())["argv"][0])
    except (OSError, ValueError, LookupError, TypeError):
        return Path()


def without_rights() -> tuple[str, ...]:
    """Return bubblewrap's words by which what is started has no right of anybody's.

    Who is root makes no user namespace: what is started becomes a system user of its own instead.
    """
    if os.geteuid() == 0:
        kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
        return ("--cap-drop", "ALL", *(word for right in kept for word in ("--cap-add", right)))
    return ("--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL")


def accounts(files: ExitStack, uid: int, home: Path) -> tuple[list[str], list[int]]:
    """Return the words for the files of a system with one user, for programs that ask who they are; and their files."""
    inside, name = uid or 1000, "".join(c if c.isascii() and c.isalnum() else "_" for c in home.name)[:31]
    texts = {
        "passwd": f"{name}:x:{inside}:{inside}::{home}:/bin/bash\n".encode(),
        "group": f"{name}:x:{inside}:\n".encode(),
    }
    fds = {f"/etc/{name}": files.enter_context(filter_file(text)) for name, text in texts.items()}
    words = [word for path, fd in fds.items() for word in ("--perms", "0644", "--ro-bind-data", str(fd), path)]
    return words, list(fds.values())
