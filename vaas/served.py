"""What a version runs with that brings no packages of its own: one of the site's environments, as a file among its own.

It says which, and what was in it when the version was checked: so it is seen when there is something else in it, and
where a lock is kept along, it can be made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vaas.errors import Invalid
from vaas.launching import Environment
from vaas.locks import Lock, read_lock
from vaas.model import File, Snapshot
from vaas.packages import normal

__all__ = ["APPS", "MOST_BYTES", "SERVED", "Served", "plain", "read_served", "served_file", "served_now"]

#: What the file is called, at the top of a snapshot.
SERVED = "vaas.environment"
#: The id of the environment that all apps share.
APPS = "apps"
#: A file may come from a stranger: bytes, and characters of each word.
MOST_BYTES = 8_000_000
_LONGEST, _MOST_PACKAGES = 200, 5_000
#: What comes with every environment, or from the portal: no notebook is another one for it.
_ASIDE = frozenset({"vaas", "pip", "setuptools", "wheel", "uv"})


@dataclass(frozen=True)
class Served:
    """The site's environment that a version was checked in.

    Parameters
    ----------
    version:
        Of its language, "" where that was not known.
    packages:
        What was in it, distribution → version; empty where that was not known.
    lock:
        How it is made again: of exactly these packages. None where it cannot be.
    """

    id: str
    title: str = ""
    language: str = "python"
    version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    lock: Lock | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The file's text."""
        told: dict[str, object] = {name: getattr(self, name) for name in ("id", "title", "language", "version")}
        told |= {"lock": self.lock.text} if self.lock else {"packages": dict(self.packages)}
        return json.dumps(told, indent=1, sort_keys=True) + "\n"

    def changed(self, now: Environment) -> dict[str, str]:
        """Return what of it is another now, package → its version now, "" if it is gone; the language by its name.

        What came in addition changes nothing. Nothing is returned where one of both is not known.
        """
        if not self.packages or not now.packages:
            return {}
        there = plain(now.packages)
        found = {name: there.get(name, "") for name, version in self.packages.items() if there.get(name) != version}
        return found | ({self.language: now.version} if _minor(now.version) != _minor(self.version) else {})


def read_served(text: str) -> Served:
    """Return what the file's text says; a stranger may have written it.

    Raises
    ------
    Invalid
        It is none.
    """
    try:
        said = json.loads(text) if len(text) <= MOST_BYTES else {}
        words = {name: str(said[name])[:_LONGEST] for name in ("id", "title", "language", "version")}
        lock = read_lock(str(said["lock"])) if said.get("lock") else None
        packages = lock.packages if lock else {str(name): str(each) for name, each in dict(said["packages"]).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(f"“{SERVED}” is none of ours.", log_message=repr(error)) from error
    if len(packages) > _MOST_PACKAGES:
        raise Invalid(f"“{SERVED}” is none of ours.")
    return Served(**words, packages=packages, lock=lock)


def served_file(snapshot: Snapshot) -> File | None:
    """Return the file with the environment that the snapshot is served with, or None."""
    return next((file for file in snapshot.files if file.path == SERVED), None)


def served_now(environment: Environment, lock: Lock | None = None) -> Served:
    """Return the environment as it is now, to be kept with a version."""
    told = Served(environment.id, environment.title, environment.language, environment.version)
    return replace(told, packages=plain(lock.packages if lock else environment.packages), lock=lock)


def plain(packages: Mapping[str, str]) -> dict[str, str]:
    """Return the packages by the one form of their names, without what comes with every environment."""
    found = {normal(name): version for name, version in packages.items()}
    return {name: version for name, version in found.items() if name not in _ASIDE}


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
