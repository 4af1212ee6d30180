"""Locks as uv writes them: what is pinned in one, and the lock of what apps share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from vaas.launching import Environment
from vaas.locks import Lock, Pin
from vaas.packages import normal
from vaas.served import plain

__all__ = ["lock_of", "pinned"]

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
#: Nobody asks for it by a file.
_WANTED = hashlib.sha256(b"what all apps share").hexdigest()


def pinned(text: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, version and hashes of what is pinned in a lock of uv's."""
    name, version, hashes = "", "", list[str]()
    for line in text.splitlines():
        if found := _PIN.match(line):
            if name:
                yield name, version, tuple(hashes)
            name, version, hashes = normal(found["name"]), found["version"], []
        elif hashed := _HASH.search(line):
            hashes.append(hashed[1])
    if name:
        yield name, version, tuple(hashes)


def lock_of(environment: Environment, known: str) -> Lock | None:
    """Return how the environment is made again: what is in it, with the checksums that ``known``, a lock of uv's, has.

    None where something is in it that the lock does not name in this version: somebody has added it.
    """
    # One for all platforms and Pythons names some packages in several versions.
    pins = {(name, version): Pin(name, version, hashes) for name, version, hashes in pinned(known) if hashes}
    found = [pins.get(each) for each in plain(environment.packages).items()]
    fitting = tuple(filter(None, found))
    python = ".".join(environment.version.split(".")[:2])
    return Lock(python, _WANTED, fitting) if fitting and len(fitting) == len(found) else None
