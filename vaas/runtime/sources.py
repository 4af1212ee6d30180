"""What a notebook that runs ahead of its visits has read, and how often its author wants it run again.

It is imported by kernels, and by their server, which looks whether the files have changed since.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Sources", "changed", "found", "refresh", "watch"]

#: So many files are remembered.
_MOST = 500
#: And so many bytes in all: it is said in one message.
_LONGEST, _MOST_SAID, _AROUND = 4096, 100_000, 60
#: Nobody's data changes more often than a notebook can be run, in seconds.
_LEAST = 10.0
#: What is there to run, and not to be shown.
_NOT_DATA = ("/usr/", "/lib", "/bin/", "/proc/", "/sys/", "/dev/", "/etc/")


@dataclass
class _Here:
    """This process."""

    watching: bool = False
    every: float | None = None
    #: Path → how the file was when it was opened first: what changes while the notebook runs is noticed, too.
    read: dict[str, list[int] | None] = field(default_factory=dict)
    #: Paths of what the notebook writes, moves or removes itself: none of it is data that it is given.
    written: set[str] = field(default_factory=set)
    #: When it was begun to remember, in ns.
    began: int = 0


_here = _Here()


def watch() -> None:
    """Remember from now on which files are opened to be read, by Python or by who is told of here."""
    own = {f"{os.path.realpath(path)}/" for path in (sys.prefix, sys.base_prefix)}
    # Settings and caches; in plain Voilà the home is a person's own, with their data.
    hidden = f"{os.path.realpath(os.path.expanduser('~'))}/."
    skipped = (*own, hidden, *_NOT_DATA)

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event in {"os.rename", "os.remove"}:
            _here.written.update(os.path.abspath(path) for path in args[:2] if isinstance(path, str))
            return
        if event != "open" or not isinstance(args[0], str):
            return
        path = os.path.abspath(args[0])
        if path.startswith(skipped) or path.endswith((".py", ".pyc")):
            return
        if isinstance(args[2], int) and args[2] & os.O_ACCMODE != os.O_RDONLY:
            _here.written.add(path)
        _note(path)

    if not _here.watching:
        _here.watching, _here.began = True, time.time_ns()
        sys.addaudithook(hear)


def refresh(every: float | None = None, *, when: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Have the notebook run again for new visits: ``every`` so many seconds, and ``when`` one of the files changes."""
    if every is not None:
        if not every >= _LEAST:
            raise ValueError(f"{_LEAST:.0f} seconds is the shortest time between two runs; every={every!r} is less.")
        _here.every = every
    for path in when:
        _note(os.path.abspath(os.fspath(path)))


def _note(path: str) -> None:
    if path not in _here.read and len(_here.read) < _MOST and len(path) < _LONGEST:
        _here.read[path] = _stamp(path)


def found() -> dict[str, Any]:
    """Return what this process has found.

    ``every`` (seconds or None); ``read``: path → how the file was, if it is there still; ``began``: when, in ns.
    """
    read: dict[str, list[int]] = {}
    left = _MOST_SAID
    for path, first in sorted(_here.read.items()):
        now = _stamp(path)
        left -= len(json.dumps(path)) + _AROUND
        if now is not None and path not in _here.written and left > 0:
            read[path] = first or now
    return {"every": _here.every, "read": read, "began": _here.began}


@dataclass(frozen=True)
class Sources:
    """What a template said of its sources. ``read``: path → (time of change in ns, size in bytes)."""

    every: float | None = None
    read: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Mapping[str, Any], *, roots: Iterable[Path] | None) -> Sources:
        """Return what can be believed. The process is foreign: what it names counts below ``roots`` only, if given.

        Without a sandbox (no ``roots``), what has changed since the process began may be its own work.
        """
        every, read, began = said.get("every"), said.get("read", {}), int(said.get("began") or 0)
        kept = {
            str(path): (int(stamp[0]), int(stamp[1]))
            for path, stamp in list(read.items())[:_MOST]
            if "\0" not in path
            and (
                int(stamp[0]) <= began
                if roots is None
                else any(Path(os.path.normpath(path)).is_relative_to(root) for root in roots)
            )
        }
        return cls(max(_LEAST, float(every)) if every is not None else None, kept)


def changed(sources: Sources) -> bool:
    """Tell whether one of the files is not as it was. It may take long where a network drive hangs."""
    return any(_stamp(path) != list(stamp) for path, stamp in sources.read.items())


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a path that there cannot be
        return None
    return [status.st_mtime_ns, status.st_size]
