"""The folder of a job: what portal, executor and runner put into it, and how it is read without trusting it.

Whatever runs in the folder can put anything there, links and pipes too: it is read by these functions alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "DATA",
    "EXECUTED",
    "FILES",
    "JOB",
    "LOG",
    "OUT",
    "RESULT",
    "STATUS",
    "TEMPORARY",
    "inputs_of",
    "give",
    "mark_of",
    "read_json",
    "read_tail",
    "remove",
    "write_json",
]

#: What is to be done, how far it is, what it wrote.
JOB, STATUS, LOG = "job.json", "status.json", "log"
#: The notebook's files, among which it runs; data that were brought for it; its temporary folder.
FILES, DATA, TEMPORARY = "notebook", "data", "tmp"
#: What comes of it: the folder, and in it the executed notebook and a page of the result.
OUT, EXECUTED, RESULT = "out", "executed.ipynb", "result.html"
#: Beside the notebook: where it finds the data that were brought for it, wherever it runs.
_INPUTS = "inputs"
#: Links are not followed, and a pipe that lies there instead does not make us wait.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STATUS_BYTES = 100_000


def inputs_of(notebook: str, paths: Iterable[str]) -> str:
    """Return the folder in which a notebook finds what is brought for it, from the top of its files on.

    It lies beside the notebook, so that one path leads there from where it runs: in a job, in an app, and in a launch.
    None of its own files, whose ``paths`` these are, is in it.
    """
    at = notebook[: notebook.rfind("/") + 1]
    taken = {path[len(at) :].partition("/")[0] for path in paths if path.startswith(at)}
    number = 1
    while (name := _INPUTS if number == 1 else f"{_INPUTS}-{number}") in taken:
        number += 1
    return at + name


def write_json(path: Path, said: Mapping[str, Any]) -> None:
    """Put the file there whole, or leave the one that is there."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps(said, ensure_ascii=False))
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def read_json(path: Path, *, most: int = _STATUS_BYTES) -> dict[str, Any]:
    """Return what the file says; nothing, if it is none of ours, is larger than ``most`` bytes or is not there."""
    try:
        said = json.loads(_bytes(path, most + 1)[: most + 1])
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def read_tail(path: Path, *, most: int, owner: int | None = None) -> str:
    """Return the end of a text file, whole lines where there are some; "" when it is not there, or not the owner's."""
    try:
        data = _bytes(path, most, end=True, owner=owner)
    except OSError:
        return ""
    text = data.decode(errors="replace")
    return text if len(data) < most else text[text.find("\n") + 1 :]


def remove(folder: Path) -> None:
    """Remove the folder with all that is in it, however deep that is; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        top = os.open(folder, _FOLDER)
        try:
            while _flattened(top):
                pass
        finally:
            os.close(top)
        os.rmdir(folder)


def _flattened(top: int) -> bool:
    """Remove the files in an open folder, and bring up what is in the folders in it; False: there is nothing to do."""
    done = False
    for name in os.listdir(top):
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                _brought_up(top, name)
                os.rmdir(name, dir_fd=top)
            else:
                os.unlink(name, dir_fd=top)
            done = True
    return done


def _brought_up(top: int, name: str) -> None:
    here = os.open(name, _FOLDER, dir_fd=top)
    try:
        for inner in os.listdir(here):
            os.rename(inner, secrets.token_hex(16), src_dir_fd=here, dst_dir_fd=top)
    finally:
        os.close(here)


def give(folder: Path, uid: int, gid: int) -> None:
    """Make somebody the owner of a folder with all that is in it; no-op when it is theirs.

    The folder comes last: until then nobody else gets into it, and from then on they may have put anything there. No
    link is followed on the way, since of two who give the same folder one may be slower.
    """
    if os.stat(folder, follow_symlinks=False).st_uid == uid:
        return
    for _, folders, files, here in os.fwalk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                os.chown(name, uid, gid, dir_fd=here, follow_symlinks=False)
    os.chown(folder, uid, gid, follow_symlinks=False)


def mark_of(pid: int) -> str:
    """Return what tells the process from any other that has or had its number, "" when there is none."""
    try:
        # The command in brackets may hold anything, brackets too.
        told = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    # A zombie does nothing any more.
    return "" if told[0] in {b"Z", b"X"} else f"{boot}:{told[19].decode()}"


def _bytes(path: Path, most: int, *, end: bool = False, owner: int | None = None) -> bytes:
    descriptor = os.open(path, _READ)
    with os.fdopen(descriptor, "rb") as file:
        known = os.fstat(descriptor)
        if not stat.S_ISREG(known.st_mode):
            raise OSError(f"{path.name} is no file")
        if owner not in {None, known.st_uid}:
            raise OSError(f"{path.name} is somebody else's")
        if end:
            file.seek(max(0, known.st_size - most))
        return file.read(most)
