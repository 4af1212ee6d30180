"""What every sandbox is made of: the system to be read, the ways to what else is seen, and a filter of system calls."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["FIRST_UID", "UIDS", "filter_file", "system", "ways"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: Of /etc only what programs need to run and nothing secret.
_ETC = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "fonts", "gai.conf", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "localtime", "locale.alias", "magic", "mime.types", "pki", "protocols", "services", "ssl"),
)
#: Without these Debian's R does not start; the site's own files beside them may hold what is secret.
_R = ("Makeconf", "Renviron", "ldpaths", "repositories")
#: Where system users with nothing to their names are taken from when we are root; far above any real account.
FIRST_UID, UIDS = 2_013_265_920, 100_000_000


def system() -> list[str]:
    """Return bubblewrap's words for a read-only system without accounts."""
    # By itself, bubblewrap makes it as our own umask says: for root alone.
    words = ["--perms", "0755", "--dir", "/etc"]
    for path in _SYSTEM:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    for name in _ETC:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    found = [path for path in (Path("/etc/R", name) for name in _R) if path.exists()]
    return words + ways(found) + [word for path in found for word in ("--ro-bind", str(path), str(path))]


def ways(paths: Sequence[Path]) -> list[str]:
    """Return the words that make the folders that lead to the paths: by itself, bubblewrap makes them for their owner
    alone."""
    leading = {parent for path in paths for parent in path.parents} - {Path("/"), Path("/tmp"), Path("/usr")}
    return [word for path in sorted(leading) for word in ("--perms", "0755", "--dir", str(path))]


@contextlib.contextmanager
def filter_file(data: bytes) -> Iterator[int]:
    """Open an unnamed file with the filter in it; -1 for an empty one."""
    if not data:
        yield -1
        return
    fd = os.memfd_create("filter")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
