"""What runs for a data folder: a lock that its supervisor holds, and a note of the processes and ports."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import psutil

from hub_service.settings import Settings

__all__ = ["Note", "Process", "app_servers", "hold", "is_held", "portals", "stop", "stop_leftovers"]


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one with the same id by when it began."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has this id now; 0 when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return cls(0, 0.0)

    def find(self) -> psutil.Process | None:
        """Return the live process, or None when it has ended."""
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self.pid) if self.pid else None
            if found and abs(found.create_time() - self.began) < 1 and found.status() != psutil.STATUS_ZOMBIE:
                return found
        return None


@dataclass(frozen=True)
class Note:
    """What the supervisor writes down. It is for reading: whether something runs, the lock says."""

    supervisor: Process
    url: str
    ports: dict[str, int]
    hub: Process = field(default_factory=lambda: Process(0, 0.0))
    proxy: Process = field(default_factory=lambda: Process(0, 0.0))
    #: How often the Hub ended by itself.
    deaths: int = 0

    @classmethod
    def read(cls, run: Path) -> Note | None:
        """Return what was noted last, None when there is nothing or it is damaged."""
        try:
            said = json.loads((run / "state.json").read_text())
            processes = {name: Process(**said[name]) for name in ("supervisor", "hub", "proxy")}
            return cls(**{**said, **processes})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, run: Path) -> None:
        """Write the note, whole or not at all."""
        draft = run / f"state.json.{os.getpid()}"
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(run / "state.json")


def hold(run: Path) -> IO[str] | None:
    """Return the open lock, held until it is closed or this process ends; None when another process holds it."""
    lock = (run / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def is_held(run: Path) -> bool:
    """Tell whether a supervisor runs."""
    if not (run / "lock").exists():
        return False
    lock = hold(run)
    if lock is None:
        return True
    lock.close()
    return False


def portals(settings: Settings) -> list[psutil.Process]:
    """Return the portal processes of this data folder."""
    wanted = str(settings.data)
    return [p for p, env in _mine() if env.get("JUPYTERHUB_SERVICE_NAME") == "vaas" and env.get("VAAS_DATA") == wanted]


def app_servers(settings: Settings) -> list[psutil.Process]:
    """Return the app servers of this data folder, with all that they started.

    They are known by their homes, which lie in it: another portal may have had or have the same port.
    """
    homes = f"{settings.run}{os.sep}"
    found = [p for p, env in _mine() if "VAAS_PORTAL_URL" in env and env.get("HOME", "").startswith(homes)]
    with_children = list(found)
    for process in found:
        with contextlib.suppress(psutil.Error):
            with_children += process.children(recursive=True)
    return with_children


def stop_leftovers(settings: Settings) -> int:
    """Stop what a supervisor that was killed left behind, and return how many processes that were.

    The Hub is asked first: it stops its app servers in good order.
    """
    note = Note.read(settings.run)
    left = [found for p in (note.hub, note.proxy) if (found := p.find())] if note else []
    stop(left, patience=20.0)
    others = [*portals(settings), *app_servers(settings)]
    stop(others, patience=5.0)
    return len(left) + len(others)


def stop(processes: list[psutil.Process], *, patience: float) -> None:
    """End the processes: ask, wait up to ``patience`` seconds, then insist."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        _, processes = psutil.wait_procs(processes, timeout=patience)
        if not processes:
            return


def _mine() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield every process of this system user with its environment; others cannot be read."""
    uid = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.uids().real == uid:
                yield process, process.environ()
