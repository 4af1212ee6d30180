"""The walls around a job: what its processes see of the machine, as a command for bubblewrap.

They see a read-only system, the environments that they need, and the job's own folder as ``/job``; no home, no other
job, nothing of the portal's, no process but their own. They are nobody: where we are root, another for each job.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import vaas
from vaas import jobs
from vaas.lab.sandbox import Sandboxed, accounts, without_rights
from vaas.machine import seccomp
from vaas.machine.bubblewrap import filter_file, system, ways

__all__ = ["INSIDE", "walled"]

#: Where a job's folder is for what runs in it.
INSIDE = Path("/job")
#: By which names are found on the machine's network.
_ETC = ("host.conf", "hosts", "nsswitch.conf", "resolv.conf")
_SHARED_MEMORY = 64 << 20


@contextmanager
def walled(
    command: Sequence[str], *, bubblewrap: str, folder: Path, read: Iterable[Path], network: bool, uid: int
) -> Iterator[Sandboxed]:
    """Return the command that runs ``command`` within the walls.

    Parameters
    ----------
    folder:
        What is written, seen as ``/job``, and its temporary folder as ``/tmp``.
    read:
        What is seen besides the system, by its own path.
    network:
        Whether the machine's network is seen; else there is none.
    uid:
        Whom the command is to become (0: it is ourselves, and stays so).
    """
    seen = list(dict.fromkeys([*_own_folders(), *read]))
    unshared = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    with ExitStack() as files:
        filter_fd = files.enter_context(filter_file(seccomp.program()))
        named, fds = accounts(files, uid, INSIDE)
        words = [
            *(bubblewrap, *unshared, *(() if network else ("--unshare-net",)), *without_rights()),
            *("--hostname", "job", "--die-with-parent", "--new-session"),
            *system(),
            *named,
            *(word for name in _ETC for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--perms", "1777", "--size", str(_SHARED_MEMORY), "--tmpfs", "/dev/shm"),
            *("--bind", str(folder / jobs.TEMPORARY), "/tmp", *ways(seen)),
            *(word for path in seen for word in ("--ro-bind-try", str(path), str(path))),
            *("--bind", str(folder), str(INSIDE)),
            *("--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"),
            *(("--seccomp", str(filter_fd)) if filter_fd >= 0 else ()),
            *("--", *command),
        ]
        yield Sandboxed(words, tuple(fd for fd in (filter_fd, *fds) if fd >= 0))


def _own_folders() -> list[Path]:
    """Return the folders from which the runner runs and imports, and no more: they may lie beside secrets."""
    found = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), Path(vaas.__file__).parent]
    return [path for path in dict.fromkeys(found) if not path.is_relative_to("/usr")]
