"""Where a path really leads, found with little: whoever works in a folder can lay links there that take minutes."""

from __future__ import annotations

import errno
import os

__all__ = ["resolved"]

#: As many links as the system follows, and more names than any path has that somebody made to be used.
_MOST_LINKS, _MOST_NAMES = 40, 100


def resolved(root: str, path: str) -> str:
    """Return the path below ``root`` without links; what is not there is taken by its name. ``root`` has none.

    Raises
    ------
    OSError
        It leads through too many links, or too many names.
    """
    real, left, links, names = root, path.split("/")[::-1], 0, 0
    while left:
        part, names = left.pop(), names + 1
        if names > _MOST_NAMES or links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if part in {"", "."}:
            continue
        if part == "..":
            real = os.path.dirname(real)
            continue
        try:
            target = os.readlink(os.path.join(real, part))
        except OSError:
            real = os.path.join(real, part)  # no link, or not there
            continue
        links += 1
        real = "/" if target.startswith("/") else real
        left += target.split("/")[::-1]
    return real
