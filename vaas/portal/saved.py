"""Saved searches: questions that a person asks again, each with how many records are new to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from vaas.errors import Conflict, Invalid, NotFound, Unavailable
from vaas.keeping import SavedSearch
from vaas.model import Visitor
from vaas.portal.core import Core
from vaas.portal.finding import Finding
from vaas.portal.keeping import one_line, person_of
from vaas.prose import shorten

__all__ = ["News", "Saved"]

_LONGEST_NAME, _LONGEST_Q = 100, 1000


@dataclass(frozen=True)
class News:
    """A saved search and how many records are new; None: the index cannot tell at the moment."""

    search: SavedSearch
    new: int | None


class Saved:
    """The searches of each person.

    Parameters
    ----------
    upto:
        Says until when the index has all that had changed. Only so far can anybody have seen what there is.
    """

    def __init__(self, core: Core, finding: Finding, *, upto: Callable[[], datetime]) -> None:
        self._core, self._finding, self._upto = core, finding, upto

    async def look(self, visitor: Visitor) -> list[News]:
        """Return the person's searches by name, and of each how many records changed since they saw it last.

        Counted is what this portal has, what fits without a typing error, and what they may see now.
        """
        person = person_of(visitor)
        with self._core.database.begin() as records:
            searches = records.searches.of(person.name)
        found = list[News]()
        for search in searches:
            blind = bool(found) and found[-1].new is None
            found.append(News(search, None if blind else await self._new(visitor, search)))
        return found

    async def save(self, visitor: Visitor, q: str, name: str = "") -> list[News]:
        """Keep the search; no-op when it is there under this name. Raises Invalid, Conflict."""
        person, q = person_of(visitor), " ".join(q.split())
        if not q:
            raise Invalid("Type something to search for before you save it.", field="q")
        if len(q) > _LONGEST_Q:
            raise Invalid(f"A search that is saved has {_LONGEST_Q} characters at most.", field="q")
        name = one_line(name or shorten(q, _LONGEST_NAME - 2), most=_LONGEST_NAME, what="the search", field="name")
        with self._core.database.begin() as records:
            mine = records.searches.of(person.name)
            if (name, q) not in {(each.name, each.q) for each in mine}:
                if len(mine) >= self._core.limits.searches_each:
                    raise Conflict(f"You have {len(mine)} saved searches, as many as one may have. Forget one first.")
                made = SavedSearch(self._core.new_id(), person.name, name, q, self._core.now(), self._seen())
                records.searches.save(made)
        return await self.look(visitor)

    async def forget(self, visitor: Visitor, search_id: str) -> list[News]:
        """Throw the search away; no-op when the person has no such one."""
        with self._core.database.begin() as records:
            records.searches.remove(person_of(visitor).name, search_id)
        return await self.look(visitor)

    async def mark(self, visitor: Visitor, search_id: str) -> list[News]:
        """Note that the person has seen what there is. Raises NotFound."""
        person = person_of(visitor)
        with self._core.database.begin() as records:
            search = next((each for each in records.searches.of(person.name) if each.id == search_id), None)
            if search is None:
                raise NotFound("There is no such saved search.")
            records.searches.save(replace(search, seen=max(search.seen, self._seen())))
        return await self.look(visitor)

    def _seen(self) -> datetime:
        """Return the mark: a whole second, as the index counts, so that nothing which comes later is before it."""
        return min(self._upto(), self._core.now()).replace(microsecond=0)

    async def _new(self, visitor: Visitor, search: SavedSearch) -> int | None:
        try:
            return await self._finding.changed(search.q, since=search.seen, visitor=visitor)
        except Unavailable:
            return None
