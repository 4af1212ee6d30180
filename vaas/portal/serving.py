"""Which of the site's environments an app is served with: what can be chosen, and what a version keeps of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vaas.content import snapshot_of
from vaas.errors import Unavailable, VaasError
from vaas.launching import Environment
from vaas.locks import Lock
from vaas.model import File, Snapshot, User
from vaas.portal.core import Core
from vaas.portal.offering import CONTAINERS, Needs, lacking, stands_against
from vaas.served import APPS, MOST_BYTES, SERVED, Served, read_served, served_file, served_now

__all__ = ["Fit", "Serving", "without_served"]

#: What our kernel stands on: with these as apps have them, an environment's kernel is ours, and can be copied.
_KERNEL = ("ipykernel", "jupyter_client", "tornado", "traitlets")
#: Of Python 3, what it is written for: older ones know no ``-P``, either.
_OLDEST = 11
#: The kinds that run where app servers do.
_KINDS = ("python", "kernelspec")
_IMAGE = "It is the image of a container, and apps run in the site’s own. It is there for launches."
_GONE = "Its environment “{}” is not offered here any more. A new version can be published with another one."
_AWAY = "Its environment “{}” cannot be used at the moment. {}"


@dataclass(frozen=True)
class Fit:
    """An environment that an app could be served with.

    Parameters
    ----------
    missing:
        The packages that it lacks; None: nobody knows what is in it.
    why_not:
        Why it cannot be chosen, in a sentence; "" where it can.
    """

    environment: Environment
    missing: tuple[str, ...] | None = ()
    why_not: str = ""


class Serving:
    """The site's environments, as apps are served with them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: What was read of what we wrote, by the hash of the file.
        self._read: dict[str, Served] = {}

    def of(self, snapshot: Snapshot) -> Served | None:
        """Return what the snapshot is served with, by its file; None if it has none that can be read."""
        file = served_file(snapshot)
        if file is None:
            return None
        if file.sha256 not in self._read:
            found = self.brought(snapshot)
            if found is None:
                return None
            self._read[file.sha256] = found
        return self._read[file.sha256]

    def brought(self, snapshot: Snapshot) -> Served | None:
        """Return the same of files that somebody brings along: what a stranger may have written is not held on to."""
        file = served_file(snapshot)
        if file is None or file.size > MOST_BYTES:
            return None
        try:
            return read_served(self._core.content.read(file.sha256).decode())
        except (VaasError, ValueError):
            return None

    def fits(self, needs: Needs, user: User) -> list[Fit]:
        """Return what can be chosen for who needs that, what all apps share first, and then by what lacks least."""
        common = self._core.common
        site = [Fit(each, lacking(each, needs), self._why_not(each, needs, user)) for each in self._site()]
        site.sort(key=lambda fit: (bool(fit.why_not), fit.missing is None, len(fit.missing or ())))
        # Kernels of other languages may be installed beside it: its check will tell.
        return [Fit(common, lacking(common, needs)), *site]

    def now(self, served: Served) -> Environment | None:
        """Return what is offered now under its id; None: nothing is."""
        if served.id == APPS:
            return self._core.common
        return next((each for each in self._site() if each.id == served.id and each.kind in _KINDS), None)

    def settled(self, snapshot: Snapshot, *, before: Snapshot | None = None) -> Snapshot:
        """Return the snapshot with what is in its environment now; what all apps share, where none was chosen.

        Where ``before`` has the same, it is kept as it is, so that nothing changes unasked. Raises Unavailable where it
        cannot be used.
        """
        chosen = self.of(snapshot)
        found = self._usable(chosen or Served(APPS))
        if chosen is None and not found.packages:
            return snapshot
        fresh = served_now(found, self._core.common_lock if found.id == APPS else None)
        known = self.of(before) if before else None
        same = known and known.id == fresh.id and known.packages == fresh.packages and known.version == fresh.version
        return self.written(snapshot, known if known and same and (known.lock or not fresh.lock) else fresh)

    def written(self, snapshot: Snapshot, served: Served) -> Snapshot:
        """Return the snapshot with this file."""
        digest, size = self._core.content.add(served.text.encode())
        return snapshot_of(snapshot.notebook, (*without_served(snapshot).files, File(SERVED, digest, size)))

    def lost(self, snapshot: Snapshot) -> Lock | None:
        """Return the lock of what apps shared when it was published, if they share something else by now."""
        served = self.of(snapshot)
        if served is None or served.id != APPS or not served.changed(self._core.common):
            return None
        return served.lock

    def site(self, snapshot: Snapshot) -> dict[str, Any] | None:
        """Return what an app server is told of the site's environment; None where it is that of all apps.

        Raises Unavailable where it cannot be used.
        """
        served = self.of(snapshot)
        if served is None or served.id == APPS:
            return None
        found = self._usable(served)
        told = {name: getattr(found, name) for name in ("title", "kind", "where", "language", "version")}
        return told | {"ours": self._is_ours(found)}

    def _usable(self, served: Served) -> Environment:
        found = self.now(served)
        if found is None:
            raise Unavailable(_GONE.format(served.title or served.id))
        if found.state == "broken":
            raise Unavailable(_AWAY.format(found.title, found.why).strip())
        return found

    def _is_ours(self, environment: Environment) -> bool:
        """Tell whether our kernel runs in it: a Python that is new enough, and has what it stands on."""
        there, common = environment.packages, self._core.common.packages
        minor = re.match(r"3\.(\d{1,3})\b", environment.version)
        return (
            environment.kind == "python"
            and minor is not None
            and int(minor[1]) >= _OLDEST
            and all(there.get(name) is not None and there.get(name) == common.get(name) for name in _KERNEL)
        )

    def _site(self) -> Iterator[Environment]:
        """Yield the site's environments, but for that of all apps."""
        common = self._core.common
        for each in self._core.offering.environments:
            if each.id != APPS and (each.kind, each.where) != (common.kind, common.where):
                yield each

    def _why_not(self, environment: Environment, needs: Needs, user: User) -> str:
        if environment.kind not in _KINDS:
            return _IMAGE
        places = [each for each in self._core.offering.facilities if environment.id in each.environments]
        return stands_against(environment, [each for each in places if each.kind not in CONTAINERS], needs, user)


def without_served(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without what says what it is served with."""
    if served_file(snapshot) is None:
        return snapshot
    return snapshot_of(snapshot.notebook, (file for file in snapshot.files if file.path != SERVED))
