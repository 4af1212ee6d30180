"""What the site offers, told to whoever asks: strangers hear what there is, people also what is in it and for whom."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vaas import __version__
from vaas.launching import Environment, Facility, Size
from vaas.model import User, Visitor
from vaas.portal.core import Core, Limits
from vaas.portal.offering import closed

__all__ = ["Alone", "Facilities", "Neighbour", "Neighbours", "Site"]

#: What of a facility is told as it is written.
_WRITTEN: Mapping[str, Any] = {"description": "", "hardware": {}, "technology": [], "storage": []}


@dataclass(frozen=True)
class Site:
    """Who runs this portal; all of it may be empty."""

    name: str = ""
    description: str = ""
    contact: str = ""
    url: str = ""


@dataclass(frozen=True)
class Neighbour:
    """Another portal as it answered last.

    Parameters
    ----------
    state:
        "answers"; "silent", and ``why`` says in a sentence what came instead; "unknown", while it was not asked.
    said:
        What it offers, rebuilt within bounds; what it said last, where it is silent now.
    """

    title: str
    url: str
    state: str = "unknown"
    why: str = ""
    asked: datetime | None = None
    said: Mapping[str, Any] = field(default_factory=dict)


class Neighbours(ABC):
    """The portals of other sites."""

    @abstractmethod
    def known(self) -> tuple[Neighbour, ...]:
        """Return what is known of each of them, in the site's order, at once."""

    @abstractmethod
    async def follow(self) -> None:
        """Ask them now and again, until cancelled."""


class Alone(Neighbours):
    """There are none."""

    def known(self) -> tuple[Neighbour, ...]:
        """Return none."""
        return ()

    async def follow(self) -> None:
        """Have nothing to do."""


class Facilities:
    """What the site offers, as those may know it who ask.

    Parameters
    ----------
    missing, write:
        What the people who run the portal are told: what of it cannot be used, a sentence each, and what to write into
        the site's file.
    """

    def __init__(
        self,
        core: Core,
        site: Site | None = None,
        neighbours: Neighbours | None = None,
        *,
        missing: Sequence[str] = (),
        write: str = "",
    ) -> None:
        self._core, self.site, self.neighbours = core, site or Site(), neighbours or Alone()
        self._missing, self._write = tuple(missing), write

    def advice(self, *, admin: bool) -> dict[str, Any]:
        """Return "missing" and "write" for administrators, nothing of it for anybody else."""
        return {"missing": self._missing if admin else (), "write": self._write if admin else ""}

    def told(self, visitor: Visitor, *, everywhere: bool = False) -> dict[str, Any]:
        """Return what this site offers as values for JSON; ``everywhere`` adds what other portals said of theirs.

        Nobody is told a path, a host or a group's environment variable: what is not named here is not told.
        """
        offering = self._core.offered
        told: dict[str, Any] = {
            "schema": f"{self._core.public_url}api/facilities/schema.json",
            "site": {
                "name": self.site.name,
                "description": self.site.description,
                "contact": self.site.contact,
                "url": self.site.url,
                "portal": self._core.public_url,
                "software": f"VaaS {__version__}",
            },
            "facilities": [self._facility(each, visitor.user) for each in offering.facilities],
            "environments": [_environment(each, visitor.user) for each in offering.environments],
            "sizes": [_size(each) for each in offering.sizes],
            "limits": _limits(self._core.limits),
        }
        return told | ({"portals": [_neighbour(each) for each in self.neighbours.known()]} if everywhere else {})

    def _facility(self, facility: Facility, user: User | None) -> dict[str, Any]:
        told = {
            "id": facility.id,
            "title": facility.title,
            "kind": facility.kind,
            **{name: facility.about.get(name, empty) for name, empty in _WRITTEN.items()},
            "accepts": [*(["interactive"] * facility.interactive), *(["batch"] * facility.batch)],
            "stores": list(facility.stores),
            "environments": list(facility.environments),
            "sizes": list(facility.sizes),
            "status": self._status(facility),
            "restricted": bool(facility.groups),
        }
        if user is None:
            return told
        why, member = closed(facility, user), not facility.groups or not user.groups.isdisjoint(facility.groups)
        return told | {"groups": list(facility.groups), "you": {"may": not why, "why": why, "member": member}}

    def _status(self, facility: Facility) -> dict[str, str]:
        note = str(facility.about.get("note", ""))
        if facility.about.get("status") == "down":
            return {"state": "down", "text": note or "It is closed at the moment."}
        found = [each for name in facility.environments if (each := self._core.offering.environment(name))]
        broken = [f"“{each.title}”" for each in found if each.state == "broken"]
        if broken and len(broken) == len(found):
            return {"state": "down", "text": "None of its environments can be used at the moment."}
        if facility.silent:
            return {"state": "limited", "text": facility.silent}
        if broken:
            return {"state": "limited", "text": f"Not to be used at the moment: {', '.join(broken)}."}
        return {"state": "up", "text": note}


def _environment(environment: Environment, user: User | None) -> dict[str, Any]:
    told = {
        "id": environment.id,
        "title": environment.title,
        "kind": environment.kind,
        "language": {"name": environment.language, "version": environment.version},
        "state": environment.state,
    }
    return told if user is None else told | {"why": environment.why, "packages": dict(environment.packages)}


def _size(size: Size) -> dict[str, Any]:
    hours = size.seconds / 3600
    told = {"id": size.id, "title": size.title, "cores": size.cores, "memory": size.memory, "gpus": size.gpus}
    return told | {"hours": int(hours) if hours == int(hours) else round(hours, 4)}


def _limits(limits: Limits) -> dict[str, Any]:
    """Return what one person may have at once."""
    return {
        "launches": {"running": limits.running_each, "kept": limits.launches_each},
        "runs": {"running": limits.runs_each, "waiting": limits.runs_queued},
        "schedules": limits.schedules_each,
    }


def _neighbour(neighbour: Neighbour) -> dict[str, Any]:
    told = {"title": neighbour.title, "url": neighbour.url, "state": neighbour.state, "why": neighbour.why}
    return told | {"asked": neighbour.asked.isoformat() if neighbour.asked else None, **neighbour.said}
