"""What is ordered: from what a person asks for and chooses to a run that is whole, allowed, and fits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vaas.errors import Invalid, Unavailable
from vaas.launching import Facility, Offering, Run
from vaas.model import User, Visitor
from vaas.portal.core import Core
from vaas.portal.environments import Environments
from vaas.portal.offering import choices, closed, needs_of_snapshot, suggested
from vaas.portal.run_forms import Field, filled, filled_slots
from vaas.portal.run_queue import choose
from vaas.portal.run_results import Post
from vaas.portal.run_sources import Source, Sources
from vaas.portal.run_things import Things
from vaas.prose import clean_text

__all__ = ["Orders"]

_MOST_TITLE = 200
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


class Orders:
    """Makes runs of what is asked for.

    Parameters
    ----------
    kinds:
        Of the facilities that take runs.
    """

    def __init__(self, core: Core, kinds: Collection[str], sources: Sources, things: Things, post: Post | None) -> None:
        self._core, self._kinds, self._sources, self._things, self._post = core, kinds, sources, things, post

    async def asked(self, visitor: Visitor, asked: Mapping[str, Any]) -> tuple[Source, tuple[Field, ...]]:
        """Return the notebook that is asked for, with all that it needs, and its parameters."""
        source = await self._sources.find(visitor, asked)
        fields = await self._sources.fields(visitor, source)
        return replace(source, snapshot=await self._sources.whole(visitor, source)), fields

    async def made(
        self,
        visitor: Visitor,
        source: Source,
        fields: Sequence[Field],
        values: Mapping[str, Any],
        things: Mapping[str, str],
        chosen: Mapping[str, str],
    ) -> Run:
        """Return the run that is asked for, whole and allowed."""
        assert source.snapshot is not None
        user = self._sources.person(visitor)
        slots = filled_slots(fields, things)
        values = filled(fields, {name: value for name, value in values.items() if name not in slots})
        found = await self._things.find(visitor, slots)
        title = " ".join(clean_text(chosen.get("title") or source.title).split())[:_MOST_TITLE] or source.notebook
        facility, environment, size = self._suggested(user, source, chosen)
        kept = {**source.kept, **({"things": found} if found else {}), **self._email(chosen.get("email", ""))}
        now = self._core.now()
        run_id = self._core.new_id()
        run = Run(run_id, user.name, title, source.snapshot, values, environment, size, facility, now, asked=kept)
        choose(self._core, user, run)
        return run

    def _suggested(self, user: User, source: Source, chosen: Mapping[str, str]) -> tuple[str, str, str]:
        """Return what was chosen, and what fits best where nothing was."""
        assert source.snapshot is not None
        offering = self.offering(source)
        offered = self.facilities(user, offering)
        usable = {each.id for each in offered}
        if not usable:
            raise Unavailable("There is no place here that takes your runs. Ask the people who run this portal.")
        said = {name: chosen.get(name, "") for name in ("facility", "environment", "size")}
        needs = needs_of_snapshot(self._core.content, source.snapshot)
        fitting = suggested(
            each
            for each in choices(offering, needs, user, batch=True)
            if each.facility.id in usable
            and all(not said[name] or getattr(each, name).id == said[name] for name in said)
        )
        if fitting is not None:
            return fitting.facility.id, fitting.environment.id, fitting.size.id
        # What was chosen does not go together, or fits nothing: it is said at its field.
        facility = next((each for each in offered if each.id == said["facility"]), offered[0])
        environment = said["environment"] or next(iter(facility.environments), "")
        return said["facility"] or facility.id, environment, said["size"] or next(iter(facility.sizes), "")

    def offering(self, source: Source) -> Offering:
        """Return what is offered for this notebook."""
        return Environments(self._core).offering(source.kept, source.snapshot)

    def facilities(self, user: User, offering: Offering) -> list[Facility]:
        """Return where of this the person's runs can be."""
        return [each for each in offering.facilities if each.kind in self._kinds and not closed(each, user, batch=True)]

    def _email(self, address: str) -> dict[str, str]:
        address = address.strip()
        if not address:
            return {}
        if self._post is None:
            raise Invalid("This portal sends no e-mail. Leave the address out.", field="email")
        if not _ADDRESS.fullmatch(address) or len(address) > 254 or not self._post.takes(address):
            raise Invalid("This portal sends no e-mail to this address.", field="email")
        return {"email": address}
