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
from vaas.machine.bubblewrap import system

__all__ = ["INSIDE", "walled"]

#: Where a job's folder is for what runs in it.
INSIDE = Path("/job")
#: By which names are found on the machine's network, and who asks.
_ETC = ("group", "host.conf", "hosts", "nsswitch.conf", "passwd", "resolv.conf")
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
        *system(),
        *(word for name in _ETC for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--perms", "1777", "--size", str(_SHARED_MEMORY), "--tmpfs", "/dev/shm"),
        *("--bind", str(temporary), "/tmp"),
        *(word for path in seen for word in ("--ro-bind-try", str(path), str(path))),
        *("--bind", str(folder), str(INSIDE), "--chdir", str(INSIDE)),
        # Root's number alone, without any right, may write the system's settings there.
        *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"),
        *("--", *command),
    ]


def _own_folders() -> list[Path]:
    """Return the folders from which the runner runs and imports, and no more: they may lie beside secrets."""
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), Path(vaas.__file__).parent]
    return [path for path in dict.fromkeys(found) if not path.is_relative_to("/usr")]
