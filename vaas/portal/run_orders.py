"""What is ordered: from what a person asks for and chooses to a run that is whole, allowed, and fits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from vaas.errors import Invalid
from vaas.launching import Run
from vaas.model import User, Visitor
from vaas.notebook import parse
from vaas.portal.choices import Choice
from vaas.portal.core import Core
from vaas.portal.environments import Environments
from vaas.portal.offering import Needs, choices, needs_of, needs_of_snapshot, working_on
from vaas.portal.offering import chosen as fitting
from vaas.portal.run_forms import Field, filled, filled_slots, row_of, wrong_rows
from vaas.portal.run_results import Post
from vaas.portal.run_sources import Source, Sources
from vaas.portal.run_things import Things
from vaas.prose import clean_text
from vaas.series import FIRST_ROW, TABLE, Mistake, refusal

__all__ = ["Orders"]

_MOST_TITLE = 200
#: What says where it is run, and with what.
_WHERE = ("facility", "environment", "size")
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
        values, found = await self._given(visitor, fields, values, things)
        title = " ".join(clean_text(chosen.get("title") or source.title).split())[:_MOST_TITLE] or source.notebook
        places = {name: chosen.get(name, "") for name in _WHERE}
        best = fitting(self.choices(user, source, fields, found), **places)
        kept = {**source.kept, **({"things": found} if found else {}), **self._email(chosen.get("email", ""))}
        now = self._core.now()
        run_id = self._core.new_id()
        at = (best.environment.id, best.size.id, best.facility.id)
        return Run(run_id, user.name, title, source.snapshot, values, *at, created=now, asked=kept)

    async def series(
        self, visitor: Visitor, asked: Mapping[str, Any], table: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any]
    ) -> list[Run]:
        """Return a run for each row of the table. Raises Invalid for all rows that cannot be at once."""
        most = self._core.limits.series_runs
        if not 0 < len(table) <= most:
            raise Invalid(f"A table has between 1 and {most} rows.", field=TABLE)
        source, fields = await self.asked(visitor, asked)
        values, things = chosen.get("values") or {}, chosen.get("things") or {}
        mistakes, runs, series = wrong_rows(fields, table), list[Run](), self._core.new_id()
        for number, row in enumerate([] if mistakes else table):
            try:
                made = await self.made(visitor, source, fields, *row_of(fields, row, values, things), chosen)
            except Invalid as error:
                if error.field not in row:
                    raise  # it is wrong for all
                mistakes.append(Mistake(number + FIRST_ROW, error.field, error.message))
                continue
            created = made.created + timedelta(microseconds=number)
            runs.append(replace(made, title=f"{made.title} ({number + 1})", series=series, created=created))
        if mistakes:
            raise refusal(mistakes)
        return runs

    async def again(
        self,
        visitor: Visitor,
        run: Run,
        source: Source,
        fields: Sequence[Field],
        values: Mapping[str, Any],
        things: Mapping[str, str],
        chosen: Mapping[str, str],
    ) -> Run:
        """Return the same run once more, with these in place of what it had; "" leaves a slot to the notebook.

        Where it is run is as it was, but for what is chosen; what goes with another place is what is suggested there.
        """
        said, found = await self._given(visitor, fields, values, things)
        before = {name: thing for name, thing in run.asked.get("things", {}).items() if name not in {*things, *said}}
        asked = {**run.asked, "things": {**before, **found}}
        given = {**{name: value for name, value in run.parameters.items() if name not in things}, **said}
        same = chosen.get("facility", "") in {"", run.facility}
        where = {name: chosen.get(name) or (getattr(run, name) if same else "") for name in _WHERE}
        best = fitting(self.choices(self._sources.person(visitor), source, fields, asked["things"]), **where)
        at = (best.environment.id, best.size.id, best.facility.id)
        new_id, now = self._core.new_id(), self._core.now()
        return Run(new_id, run.owner, run.title, run.snapshot, given, *at, created=now, asked=asked)

    async def _given(
        self, visitor: Visitor, fields: Sequence[Field], values: Mapping[str, Any], things: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Return the values that are given, and what is kept of each thing that fills a slot instead of one."""
        slots = filled_slots(fields, things)
        said = filled(fields, {name: value for name, value in values.items() if name not in slots})
        return said, await self._things.find(visitor, slots)

    def choices(
        self,
        user: User,
        source: Source,
        fields: Sequence[Field],
        things: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        beside: Collection[str] = (),
    ) -> tuple[Choice, ...]:
        """Return every way to run it, the best first; those that cannot be chosen say why.

        ``things`` are what fills slots, ``beside`` the paths of what lies beside a notebook that was not fetched yet.
        """
        offered = Environments(self._core).offering(source.kept, source.snapshot or source.beside)
        takes = tuple(replace(each, batch=each.batch and each.kind in self._kinds) for each in offered.facilities)
        filled_by = [(str(each.get("store", "")), each.get("size")) for each in (things or {}).values()]
        own = str(source.kept.get("store", ""))
        left = [(own, None) for each in fields if own and each.slot and each.name not in (things or {})]
        needs = working_on(self._needs(source, beside), [*filled_by, *left])
        return choices(replace(offered, facilities=takes), needs, user, batch=True)

    def _needs(self, source: Source, beside: Collection[str]) -> Needs:
        """Return what its code needs."""
        if source.snapshot is not None:
            return needs_of_snapshot(self._core.content, source.snapshot, report=source.report)
        # What lies there is its own; what that imports in its turn is known when it is fetched.
        return needs_of(parse(source.data, name=source.notebook), own=dict.fromkeys(beside, ""))

    def _email(self, address: str) -> dict[str, str]:
        address = address.strip()
        if not address:
            return {}
        if self._post is None:
            raise Invalid("This portal sends no e-mail. Leave the address out.", field="email")
        if not _ADDRESS.fullmatch(address) or len(address) > 254 or not self._post.takes(address):
            raise Invalid("This portal sends no e-mail to this address.", field="email")
        return {"email": address}
