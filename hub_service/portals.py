"""Portals of other sites: asked now and again what they offer, so that nobody who looks waits for them.

What they answer is a stranger's word: rebuilt within bounds, and none of it an address that people are sent to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hub_service.facilities_file import PortalElsewhere
from hub_service.facilities_schema import ENVIRONMENT_STATES, KINDS, STATES
from vaas.catalogs import foreign
from vaas.errors import Unavailable, VaasError
from vaas.http import Http
from vaas.portal.facilities import Neighbour, Neighbours

__all__ = ["OtherPortals", "rebuilt"]

_log = logging.getLogger("vaas")
_PATIENCE, _AGAIN, _ANSWER = 8.0, 300.0, 2_000_000
_MOST, _LONG = 50, 600
_COUNTS, _WORDS = ("nodes", "cores", "memory", "gpus"), ("architecture", "processor", "accelerator", "network")


class OtherPortals(Neighbours):
    """Asks all of them at once under one patience.

    Parameters
    ----------
    again:
        After how many seconds they are asked again.
    """

    def __init__(
        self,
        portals: Sequence[PortalElsewhere],
        http: Http,
        *,
        patience: float = _PATIENCE,
        again: float = _AGAIN,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._http, self._patience, self._again, self._now = http, patience, again, now
        self._known = [Neighbour(each.title, each.url) for each in portals]

    def known(self) -> tuple[Neighbour, ...]:
        """Return what each of them said last."""
        return tuple(self._known)

    async def follow(self) -> None:
        """Ask them now and again, until cancelled."""
        while self._known:
            await self.ask()
            await asyncio.sleep(self._again)

    async def ask(self) -> None:
        """Ask each of them once."""
        self._known = list(await asyncio.gather(*map(self._ask, self._known)))

    async def _ask(self, before: Neighbour) -> Neighbour:
        try:
            async with asyncio.timeout(self._patience):
                said = await self._answer(before)
        except TimeoutError:
            why = f"{before.title} does not answer in time."
        except VaasError as error:
            # What went wrong may name machines of ours.
            _log.warning("Portal %s: %s", before.url, error.log_message)
            why = f"{before.title} cannot be reached, or does not answer as a portal does."
        except Exception:
            _log.exception("Portal %s", before.url)
            why = f"{before.title} sent an answer that cannot be read."
        else:
            return replace(before, state="answers", why="", asked=self._now(), said=said)
        return replace(before, state="silent", why=why)

    async def _answer(self, portal: Neighbour) -> Mapping[str, Any]:
        address = f"{portal.url}api/facilities"
        answer = await self._http.request("GET", address, max_bytes=_ANSWER)
        if answer.status != 200:
            raise Unavailable(f"HTTP {answer.status}")
        said = answer.json()
        if not isinstance(said, Mapping) or not isinstance(said.get("facilities"), list):
            raise Unavailable("It names no list of facilities.")
        return rebuilt(said)


def rebuilt(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what another portal says it offers, of the right kinds and bounded: site, facilities, environments, sizes.

    What only people there are told is left out, and so are addresses: theirs are for their own pages.
    """
    site = {name: foreign.text(foreign.get(said, "site", name)) for name in ("name", "contact", "software")}
    site["description"] = foreign.text(foreign.get(said, "site", "description"), 2000)
    return {
        "site": site,
        "facilities": [_facility(each) for each in _objects(said, "facilities")],
        "environments": [_environment(each) for each in _objects(said, "environments")],
        "sizes": [_size(each) for each in _objects(said, "sizes")],
    }


def _facility(said: Mapping[str, Any]) -> dict[str, Any]:
    state = foreign.get(said, "status", "state")
    return {
        **_named(said),
        "kind": _one_of(said.get("kind"), KINDS),
        "description": foreign.text(said.get("description"), 2000),
        "hardware": _hardware(said.get("hardware")),
        "technology": _texts(said, "technology"),
        "storage": [_storage(each) for each in _objects(said, "storage")],
        "accepts": [each for each in _texts(said, "accepts") if each in {"interactive", "batch"}],
        "stores": [each for each in _texts(said, "stores") if each in {"home", "shared"}],
        "environments": _texts(said, "environments"),
        "sizes": _texts(said, "sizes"),
        "status": {"state": _one_of(state, STATES), "text": foreign.text(foreign.get(said, "status", "text"), _LONG)},
        "restricted": said.get("restricted") is True,
    }


def _environment(said: Mapping[str, Any]) -> dict[str, Any]:
    language = {name: foreign.text(foreign.get(said, "language", name), 40) for name in ("name", "version")}
    kind, state = foreign.text(said.get("kind"), 40), _one_of(said.get("state"), ENVIRONMENT_STATES)
    return {**_named(said), "kind": kind, "language": language, "state": state}


def _size(said: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {name: _number(said.get(name)) for name in ("cores", "memory", "gpus", "hours")}
    return {**_named(said), **numbers}


def _hardware(said: object) -> dict[str, Any]:
    counts = {name: foreign.number(foreign.get(said, name)) for name in _COUNTS}
    words = {name: foreign.text(foreign.get(said, name)) for name in _WORDS}
    return {name: value for name, value in (counts | words).items() if value}


def _storage(said: Mapping[str, Any]) -> dict[str, Any]:
    size = foreign.number(said.get("size"))
    words = {name: foreign.text(said.get(name), _LONG) for name in ("title", "about")}
    found = {name: value for name, value in words.items() if value or name == "title"}
    return found | ({"size": size} if size else {}) | {"protocols": _texts(said, "protocols")}


def _objects(said: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [each for each in foreign.each(said.get(name), _MOST) if isinstance(each, Mapping)]


def _named(said: Mapping[str, Any]) -> dict[str, str]:
    return {"id": foreign.text(said.get("id"), 100), "title": foreign.text(said.get("title")) or "Without a name"}


def _texts(said: Mapping[str, Any], name: str) -> list[str]:
    return list(foreign.texts(said.get(name)))[:_MOST]


def _one_of(value: object, known: Sequence[str]) -> str:
    """Return the word if it is known, else the last of those that are."""
    return value if isinstance(value, str) and value in known else known[-1]


def _number(value: object) -> float | int:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18
    return value if usable else 0  # type: ignore[return-value]
