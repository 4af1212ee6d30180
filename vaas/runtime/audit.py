"""What a notebook reads, connects to and starts, noted from inside its kernel while it is checked.

The notes help an author to publish what is needed; they are no guard, for the code that is watched can
get around them, and what a C library opens by itself is not seen.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

__all__ = ["Event", "install", "mark_cell", "read"]

#: The file grows no further, and nothing is noted twice.
MAX_BYTES = 1_000_000
_MAX_SEEN = 5_000
_MAX_NAME = 1_000
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr",
           "/var/lib", "/var/tmp")  # fmt: skip
#: What is opened or listed like a path and is none; setuptools puts the last into sys.path.
_NO_PATHS = ("<", ":memory:", "file:", "__editable__.")


@dataclass(frozen=True)
class Event:
    """One note: ``kind`` is "read", "list", "connect" or "start"; ``name`` a path, a host or a command.

    ``cell`` is the index of the cell that ran, 0 before the first; ``exists`` tells of paths whether there
    was something.
    """

    kind: str
    name: str
    cell: int = 0
    exists: bool = True


def install(file: str, *, folder: str) -> None:
    """Note from now on, in ``file``, what this process and its forks do; a hook cannot be removed.

    Files under ``folder`` count even where it lies in a place whose files do not.
    """
    sys.addaudithook(_Hook(file, folder))


def mark_cell(file: Path, cell: int) -> None:
    """Note that what follows is done by this cell; for the process that runs the notebook."""
    with file.open("a", encoding="utf-8") as notes:
        notes.write(json.dumps({"cell": cell}) + "\n")


def read(file: Path) -> list[Event]:
    """Return the notes, in order; lines that are none (the notebook may write here too) are left out."""
    events, cell = [], 0
    try:
        with file.open("rb") as notes:
            text = notes.read(2 * MAX_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return []
    for line in text.splitlines():
        try:
            note = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(note, dict) and isinstance(note.get("cell"), int):
            cell = note["cell"]
        elif isinstance(note, dict) and isinstance(note.get("kind"), str) and isinstance(note.get("name"), str):
            events.append(Event(note["kind"], note["name"], cell, note.get("exists") is not False))
    return events


class _Hook:
    """The audit hook: called for every event of the interpreter, so the first line decides nearly always."""

    def __init__(self, file: str, folder: str) -> None:
        self._fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._identity = _identity(self._fd)
        self._folder = _with_slash(os.path.realpath(folder))
        known = {*_SYSTEM, *sys.path, sys.prefix, sys.base_prefix, sys.exec_prefix, os.environ.get("HOME", "")}
        known.add(str(Path(__file__).parents[1]))  # installed from a folder of its own, it is on no path
        both = (os.path.abspath, os.path.realpath)
        self._ignored = tuple({_with_slash(resolve(path)) for path in known if path for resolve in both} - {"/"})
        self._seen: set[tuple[str, str]] = set()
        self._ports: set[Any] = set()
        self._watched: Mapping[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._on_open,
            "os.listdir": lambda args: self._on_folder(args[0]),
            "os.scandir": lambda args: self._on_folder(args[0]),
            "sqlite3.connect": lambda args: self._on_path("read", args[0]),
            "socket.getaddrinfo": self._on_lookup,
            "socket.gethostbyname": lambda args: self._on_host(args[0]),
            "socket.connect": self._on_connect,
            "socket.sendto": self._on_connect,
            "subprocess.Popen": lambda args: self._on_start(args[1] or args[0]),
            "os.system": lambda args: self._on_start(args[0]),
            "os.exec": lambda args: self._on_start(args[1] or args[0]),
            "os.posix_spawn": lambda args: self._on_start(args[1] or args[0]),
        }

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """Note the event when it is one of those watched. Never raises: that would stop what is watched."""
        handle = self._watched.get(event)
        if handle is None:
            return
        # There is nobody to tell: stderr and logging are the notebook's own here.
        with suppress(Exception):
            handle(args)

    def _on_open(self, args: tuple[Any, ...]) -> None:
        path, mode, flags = args
        writes = any(c in mode for c in "wax") if isinstance(mode, str) else flags & os.O_ACCMODE == os.O_WRONLY
        if not writes:
            self._on_path("read", path)

    def _on_folder(self, path: Any) -> None:
        if not self._folder.startswith(_with_slash(os.path.abspath(os.fsdecode(path or ".")))):
            self._on_path("list", path)

    def _on_path(self, kind: str, path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        name = os.fsdecode(path)
        if not name or name.startswith(_NO_PATHS) or (kind, name) in self._seen:
            return
        full = os.path.abspath(name)
        if self._is_ours(full):
            return
        self._note(kind, full, key=name, exists=os.path.exists(full))

    def _is_ours(self, full: str) -> bool:
        """Tell whether the path belongs to the system, the interpreter or the kernel's private folders."""
        real = os.path.realpath(full)
        if (real + "/").startswith(self._folder):
            return "/__pycache__/" in real or "/.ipynb_checkpoints/" in real
        return any(_with_slash(path).startswith(self._ignored) for path in (full, real))

    def _on_lookup(self, args: tuple[Any, ...]) -> None:
        host, port = args[0], args[1]
        if host:
            self._ports.add(port)
            self._on_host(host)

    def _on_connect(self, args: tuple[Any, ...]) -> None:
        address = args[1]
        # UNIX sockets have a path for an address; what was looked up by name is noted by its name.
        if isinstance(address, tuple) and not (_is_address(address[0]) and address[1] in self._ports):
            self._on_host(address[0])

    def _on_host(self, host: Any) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
        name = name.lower().rstrip(".").partition("%")[0]
        if name and not _is_loopback(name):
            self._note("connect", name)

    def _on_start(self, command: Any) -> None:
        words = [command] if isinstance(command, str | bytes | os.PathLike) else list(command)
        self._note("start", " ".join(os.fsdecode(word) for word in words))

    def _note(self, kind: str, name: str, *, key: str = "", exists: bool = True) -> None:
        if (kind, key or name) in self._seen or len(self._seen) >= _MAX_SEEN:
            return
        self._seen.add((kind, key or name))
        line = json.dumps({"kind": kind, "name": name[:_MAX_NAME], "exists": exists}) + "\n"
        # Code that closes descriptors by their numbers must not find our lines in a file of its own.
        if _identity(self._fd) == self._identity and os.fstat(self._fd).st_size < MAX_BYTES:
            os.write(self._fd, line.encode())


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _with_slash(path: str) -> str:
    return path.rstrip("/") + "/"


def _is_address(host: Any) -> bool:
    try:
        ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    if name in {"localhost", socket.gethostname().lower()} or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)
