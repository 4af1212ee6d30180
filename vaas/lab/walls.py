"""The walls around a job: what its processes see of the machine, as a command for bubblewrap.

They see a read-only system, the environments that they need, and the job's own folder as ``/job``; no home, no other
job, nothing of the portal's, no process but their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import vaas
from vaas.locks import seen_by

__all__ = ["INSIDE", "folders_of", "walled"]

#: Where a job's folder is for what runs in it.
INSIDE = Path("/job")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: Of /etc only what programs need to run and nothing secret.
_ETC = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "fonts", "gai.conf", "host.conf", "hosts"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "locale.alias", "magic", "mime.types", "nsswitch.conf"),
    *("passwd", "group", "pki", "protocols", "resolv.conf", "services", "ssl"),
)
_SHARED_MEMORY = 64 << 20


def walled(
    command: Sequence[str], *, bubblewrap: str, folder: Path, temporary: Path, read: Iterable[Path], network: bool
) -> list[str]:
    """Return the command that runs ``command`` within the walls.

    Parameters
    ----------
    folder, temporary:
        What is written, seen as ``/job`` and as ``/tmp``.
    read:
        What is seen besides the system, by its own path.
    network:
        Whether the machine's network is seen; else there is none.
    """
    seen = dict.fromkeys([*_own_folders(), *read])
    return [
        bubblewrap,
        *("--unshare-user", "--disable-userns", "--uid", str(os.geteuid()), "--gid", str(os.getegid())),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "job"),
        *(() if network else ("--unshare-net",)),
        *("--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        *_system(),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--perms", "1777", "--size", str(_SHARED_MEMORY), "--tmpfs", "/dev/shm"),
        *("--bind", str(temporary), "/tmp"),
        *(word for path in seen for word in ("--ro-bind-try", str(path), str(path))),
        *("--bind", str(folder), str(INSIDE), "--chdir", str(INSIDE)),
        # Root's number alone, without any right, may write the system's settings there.
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"),
        *("--", *command),
    ]


def folders_of(argv: Sequence[str]) -> list[Path]:
    """Return the folders from which a Python, or another program, of an environment runs; none for the system's."""
    program = Path(argv[0]) if argv else Path()
    if not program.is_absolute():
        return []
    if (made := seen_by(program)) is not None:  # what is in an environment that a notebook brought is foreign
        return [path for path in made if not path.is_relative_to("/usr")]
    top, real = program.parent.parent, program.resolve()
    found = [top, real.parent.parent]
    try:
        lines = (top / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        lines = []
    homes = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "home"]
    found += [Path(home).parent for home in homes]
    # The system is seen anyway; and nobody's whole home or disk because a program lies at its top.
    return [path for path in dict.fromkeys(found) if not path.is_relative_to("/usr") and len(path.parts) > 2]


def _own_folders() -> list[Path]:
    """Return the folders from which the runner runs and imports, and no more: they may lie beside secrets."""
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), Path(vaas.__file__).parent]
    return [path for path in dict.fromkeys(found) if not path.is_relative_to("/usr")]


def _system() -> list[str]:
    words: list[str] = []
    for path in _SYSTEM:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    for name in _ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return words
