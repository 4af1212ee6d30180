"""Locks: the exact packages of an environment that travels with a notebook, as a text that is also its name.

A lock is a file beside the notebook's others, so a part of the version. The SHA-256 of its text names the environment
that is made of it, wherever that is: what is pinned, by which hashes, and for which Python is all in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vaas.errors import Invalid
from vaas.model import File, Snapshot

__all__ = ["LOCK", "Lock", "Pin", "digest_of", "lock_file", "python_in", "read_lock", "seen_by"]

#: What the file is called, at the top of a snapshot.
LOCK = "vaas.lock"
_TITLE = "# The environment of a notebook, locked by VaaS: what it was published with is what it runs with."
_PYTHON = re.compile(r"# python: (3\.[0-9]{1,3})")
_WANTED = re.compile(r"# wanted: ([0-9a-f]{64})")
_PIN = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?)==([0-9A-Za-z][0-9A-Za-z.!+_-]{0,60}) \\")
_HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})( \\)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: More than any environment has; a lock may come from a stranger.
_MOST_BYTES, _MOST_PINS, _MOST_HASHES = 4_000_000, 2_000, 1_000


@dataclass(frozen=True)
class Pin:
    """One package: its version, and the SHA-256 of each file that it may be installed from."""

    name: str
    version: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """What an environment consists of.

    Parameters
    ----------
    python:
        The Python that it is for, such as "3.11".
    wanted:
        The digest of what was asked for: with another one, it is locked anew.
    """

    python: str
    wanted: str
    pins: tuple[Pin, ...] = field(repr=False)

    @property
    def text(self) -> str:
        """The lock as it is kept, which is what an installer reads."""
        lines = [_TITLE, f"# python: {self.python}", f"# wanted: {self.wanted}"]
        for pin in sorted(self.pins, key=lambda pin: pin.name):
            hashes = [f"    --hash=sha256:{each}" for each in sorted(set(pin.hashes))]
            lines.append(" \\\n".join([f"{pin.name}=={pin.version}", *hashes]))
        return "\n".join([*lines, ""])

    @property
    def digest(self) -> str:
        """What names the environment that is made of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def packages(self) -> Mapping[str, str]:
        """What is in it: package → version."""
        return {pin.name: pin.version for pin in self.pins}


def read_lock(text: str) -> Lock:
    """Return the lock that ``text`` is.

    It may come from a stranger, and an installer reads it: nothing is taken that we would not have written.

    Raises
    ------
    Invalid
        It is none.
    """
    lines = text.splitlines() if len(text) <= _MOST_BYTES else []
    head = [line for line in lines if line.startswith("#")]
    python = next((found[1] for line in head if (found := _PYTHON.fullmatch(line))), "")
    wanted = next((found[1] for line in head if (found := _WANTED.fullmatch(line))), "")
    lock = Lock(python, wanted, tuple(_pins([line for line in lines if line and not line.startswith("#")])))
    if not lock.pins or lock.text != text:
        raise Invalid(f"“{LOCK}” is no lock of ours.")
    return lock


def _pins(lines: list[str]) -> list[Pin]:
    """Return what is pinned, as far as the lines can be read; what is left out makes another text of it."""
    found: list[tuple[str, str, list[str]]] = []
    for line in lines:
        if pin := _PIN.fullmatch(line):
            found.append((pin[1], pin[2], []))
        elif (hashed := _HASH.fullmatch(line)) and found and len(found[-1][2]) < _MOST_HASHES:
            found[-1][2].append(hashed[1])
        else:
            return []
    if len({name for name, _, _ in found}) != len(found) or len(found) > _MOST_PINS:
        return []
    return [Pin(name, version, tuple(hashes)) for name, version, hashes in found if hashes]


def lock_file(snapshot: Snapshot) -> File | None:
    """Return the file with the snapshot's lock, or None."""
    return next((file for file in snapshot.files if file.path == LOCK), None)


def digest_of(snapshot: Snapshot) -> str:
    """Return what names the environment that the snapshot runs in; "" for the one that all apps share."""
    found = lock_file(snapshot)
    return found.sha256 if found else ""


def python_in(folder: Path, digest: str) -> Path | None:
    """Return the Python of the environment of that name, if it is whole and in this folder."""
    if not _DIGEST.fullmatch(digest) or not (folder / f"{digest}.json").is_file():
        return None
    found = folder / digest / "bin" / "python"
    return found if found.exists() else None


def seen_by(python: Path) -> list[Path] | None:
    """Return the folders that the Python of a made environment needs, by our own note; None: it is of no such one.

    Nothing within the environment is asked: what a package puts there would say what a sandbox shows of the machine.
    """
    made = python.parent.parent
    if not _DIGEST.fullmatch(made.name) or python_in(made.parent, made.name) is None:
        return None
    try:
        return [made, *map(Path, json.loads((made.parent / f"{made.name}.json").read_bytes())["sees"])]
    except (OSError, ValueError, KeyError, TypeError):
        return [made]
