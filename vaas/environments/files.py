"""The folders of environments: how large they are, whether what strangers put into them may stay, and which can go."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path

from vaas.environments.base import Made
from vaas.errors import Invalid
from vaas.pythons import teaching

__all__ = ["CACHE", "WORKSHOP", "clear", "look_over", "note", "noted", "size_of", "teach", "touched"]

#: Where environments are made, and in it where what was fetched is kept. One folder, since the installer sees it as one
#: disk: it links what it has fetched before, which takes no time and no room.
WORKSHOP, CACHE = ".making", ".making/cache"
_DAY = 86_400
#: In the environment's own packages.
_NOTE = '"""Where this Python finds the package of the portal; written by the portal."""\n'


def teach(environment: Path, package: Path) -> None:
    """Let the environment's Python find the package ``vaas``; a no-op where it does."""
    for place in environment.glob("lib/python3.*/site-packages"):
        texts = {
            "_vaas_portal.py": _NOTE + teaching(package.parent),
            "_vaas_portal.pth": "import _vaas_portal\n",
        }
        for name, text in texts.items():
            target = place / name
            if not target.is_file() or target.read_text() != text:
                fresh = target.with_name(f"{name}.{os.getpid()}")
                fresh.write_text(text)
                fresh.chmod(0o644)
                fresh.replace(target)


def look_over(environment: Path) -> int:
    """Return how many bytes the new environment has, and let everybody read it.

    Raises
    ------
    Invalid
        Something in it leads elsewhere: it is served to browsers, and nobody may read by it what lies elsewhere.
    """
    size = 0
    for path, status in _walk(environment):
        if stat.S_ISLNK(status.st_mode):
            if path.parent != environment / "bin" and not _within(path, environment):
                raise Invalid(f"A package brings a link that leads elsewhere (“{path.name}”), so it is not installed.")
        elif stat.S_ISREG(status.st_mode):
            size += status.st_size
            if not status.st_mode & 0o004:
                path.chmod(stat.S_IMODE(status.st_mode) | 0o444)
        elif stat.S_ISDIR(status.st_mode):
            if status.st_mode & 0o005 != 0o005:
                path.chmod(stat.S_IMODE(status.st_mode) | 0o555)
        else:
            raise Invalid(f"A package brings what is no file (“{path.name}”), so it is not installed.")
    return size


def size_of(*folders: Path, since: float = 0.0) -> int:
    """Return how many bytes are in the folders, or came into them since; what is there by two names counts once."""
    seen: set[tuple[int, int]] = set()
    size = 0
    for folder in folders:
        for _, status in _walk(folder):
            if stat.S_ISREG(status.st_mode) and status.st_ctime >= since:
                key = (status.st_dev, status.st_ino)
                size += status.st_size if key not in seen else 0
                seen.add(key)
    return size


def note(folder: Path, made: Made, *, sees: Collection[Path] = ()) -> None:
    """Say that the environment is whole, and which folders its Python needs besides."""
    target = folder / f"{made.digest}.json"
    fresh = folder / f".{made.digest}.{os.getpid()}"
    fresh.write_text(json.dumps(asdict(made) | {"sees": list(map(str, sees))}))
    fresh.replace(target)


def noted(folder: Path, digest: str) -> Made | None:
    """Return what was said of the environment, None if it is not whole."""
    try:
        said = json.loads((folder / f"{digest}.json").read_text())
        return Made(digest, str(said["python"]), int(said["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def touched(folder: Path, digest: str) -> None:
    """Note that the environment is used."""
    with contextlib.suppress(OSError):
        os.utime(folder / f"{digest}.json")


def clear(folder: Path, *, keep: Collection[str], older: float, most: int) -> int:
    """Remove what was used last before ``older``, and then the oldest until there are at most ``most`` bytes.

    What was fetched goes with them when there is too much: it is fetched again. Nothing of ``keep`` goes.
    """
    unused = sorted((path.stat().st_mtime, path.stem) for path in folder.glob("*.json") if path.stem not in keep)
    gone = 0
    for last, digest in unused:
        if last >= older and size_of(folder) <= most:
            break
        (folder / f"{digest}.json").unlink(missing_ok=True)
        shutil.rmtree(folder / digest, ignore_errors=True)
        gone += 1
    for left in (folder / WORKSHOP).glob("*"):
        # Of a portal that ended meanwhile; nothing takes a day to be made.
        if left != folder / CACHE and left.stat().st_mtime < time.time() - _DAY:
            shutil.rmtree(left, ignore_errors=True)
    if size_of(folder) > most:
        shutil.rmtree(folder / CACHE, ignore_errors=True)
    return gone


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    pending = [folder]
    while pending:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    yield Path(entry.path), status


def _within(link: Path, folder: Path) -> bool:
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(folder))
