"""Baskets: what a person collects of what they find, and shares as a collection with others.

Who looks into one sees of each thing what they may see of its record at that moment, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count

from vaas.catalogs.base import Record
from vaas.db.base import Records
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable, VaasError
from vaas.keeping import Basket, Thing
from vaas.model import Visitor
from vaas.portal.core import Core
from vaas.portal.finding import Finding
from vaas.portal.keeping import one_line, person_of
from vaas.portal.sharing import Sharing
from vaas.portal.things import Held, as_found, as_kept, as_title, thing_of
from vaas.prose import shorten

__all__ = ["Baskets", "Look"]

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Look:
    """A basket as one visitor sees it.

    Parameters
    ----------
    count:
        How many things are in it, with those that the visitor may not see.
    baskets:
        All baskets that the visitor may look into, with how many things are in each; their own first.
    """

    basket: Basket
    things: tuple[Held, ...]
    count: int
    baskets: tuple[tuple[Basket, int], ...]

    @property
    def hidden(self) -> int:
        """How many things there are more, of which the visitor may know nothing else."""
        return self.count - len(self.things)


class Baskets:
    """The baskets of each person; "" stands for their current one, which has no name and is always there."""

    def __init__(self, core: Core, finding: Finding, sharing: Sharing) -> None:
        self._core, self._finding, self._sharing = core, finding, sharing

    async def look(self, visitor: Visitor, basket_id: str = "") -> Look:
        """Return what the visitor sees of the basket. Raises NotFound for another's that is not shared with them."""
        person = person_of(visitor)
        with self._core.database.begin() as records:
            basket = self._readable(records, visitor, basket_id)
            things = records.things.of(basket.id)
            baskets = records.baskets.readable(person.name, visitor.subjects)
            counts = records.things.counts([each.id for each in baskets])
        held = await self._held(visitor, things)
        if basket.owner != person.name:
            held = tuple(each for each in held if each.state == "there")
            basket = replace(basket, shared_with=())
        listed = (each if each.owner == person.name else replace(each, shared_with=()) for each in baskets)
        return Look(basket, held, len(things), tuple((each, counts.get(each.id, 0)) for each in listed))

    async def thing(self, visitor: Visitor, basket_id: str, thing_id: str) -> Held:
        """Return one thing as the visitor may see it now. Raises NotFound, also for what is gone or not for them."""
        person_of(visitor)
        with self._core.database.begin() as records:
            basket = self._readable(records, visitor, basket_id)
            things = [each for each in records.things.of(basket.id) if each.id == thing_id]
        held = next(iter(await self._held(visitor, things)), None)
        if held is not None and held.state == "unknown":
            raise Unavailable("Nobody can tell at the moment what this is. Try again in a minute.")
        if held is None or held.state != "there":
            raise NotFound("It is not in the basket any more, or you may not see it.")
        return held

    async def add(self, visitor: Visitor, catalog: str, record_id: str, *, basket_id: str = "") -> Look:
        """Put a record into the basket, as it is now; no-op when it lies in there. Raises NotFound, Conflict."""
        person_of(visitor)
        with self._core.database.begin() as records:
            self._own(records, visitor, basket_id)
        record = replace(await self._finding.record(catalog, record_id, visitor=visitor), catalog=catalog)
        with self._core.database.begin() as records:
            basket = self._kept(records, self._own(records, visitor, basket_id))
            thing = thing_of(record, basket_id=basket.id, added=self._core.now())
            there = {each.id for each in records.things.of(basket.id)}
            if len(there) >= self._core.limits.basket_things and thing.id not in there:
                raise Conflict(f"A basket holds {len(there)} things at most. Take some out, or begin another one.")
            # In this order, as who deletes it does: neither waits for the other.
            records.baskets.save(replace(basket, changed=self._core.now()))
            records.things.add(thing)
        return await self.look(visitor, basket.id)

    async def found(self, visitor: Visitor, catalog: str, record_id: str) -> Held:
        """Return a record as it would lie in a basket, without putting it into one. Raises NotFound, Invalid."""
        person_of(visitor)
        record = replace(await self._finding.record(catalog, record_id, visitor=visitor), catalog=catalog)
        return Held(thing_of(record, basket_id="", added=self._core.now()))

    async def alone(self, visitor: Visitor, catalog: str, record_id: str) -> Look:
        """Return a basket of the person's with this record alone, called as it is; made where there is none."""
        title = _name(shorten((await self.found(visitor, catalog, record_id)).thing.title, _LONGEST_NAME - 6))
        with self._core.database.begin() as records:
            mine = {each.name: each.id for each in records.baskets.readable(visitor.name, ())}
            there = {id: [(each.catalog, each.record) for each in records.things.of(id)] for id in mine.values()}
        names = chain([title], (f"{title} ({number})" for number in count(2)))
        # The name of a basket that holds something else, too, is taken.
        name = next(each for each in names if each not in mine or there[mine[each]] == [(catalog, record_id)])
        if name in mine:
            return await self.look(visitor, mine[name])
        made = await self.new(visitor, name)
        return await self.add(visitor, catalog, record_id, basket_id=made.basket.id)

    async def remove(self, visitor: Visitor, thing_id: str, *, basket_id: str = "") -> Look:
        """Take one thing out; no-op when it is not in there."""
        with self._core.database.begin() as records:
            basket = self._own(records, visitor, basket_id)
            if basket.id:
                records.baskets.save(replace(basket, changed=self._core.now()))
                records.things.remove(basket.id, thing_id)
        return await self.look(visitor, basket.id)

    async def rename(self, visitor: Visitor, name: str, *, basket_id: str = "") -> Look:
        """Give the basket another name; the current one gets its first, and an empty one takes its place."""
        with self._core.database.begin() as records:
            basket = self._own(records, visitor, basket_id)
            if not basket.id:
                self._check_number(records, visitor)
            named = replace(basket, id=basket.id or self._core.new_id(), name=_name(name), changed=self._core.now())
            records.baskets.save(named)
        return await self.look(visitor, named.id)

    async def new(self, visitor: Visitor, name: str) -> Look:
        """Begin an empty basket. Raises Conflict when there is one of this name, or too many."""
        person, now = person_of(visitor), self._core.now()
        with self._core.database.begin() as records:
            self._check_number(records, visitor)
            basket = Basket(self._core.new_id(), person.name, _name(name), now, now)
            records.baskets.save(basket)
        return await self.look(visitor, basket.id)

    async def delete(self, visitor: Visitor, basket_id: str = "") -> Look:
        """Throw the basket away with what is in it, for all who see it; return the current one."""
        with self._core.database.begin() as records:
            records.baskets.remove(self._own(records, visitor, basket_id).id)
        return await self.look(visitor)

    async def share(self, visitor: Visitor, basket_id: str, subjects: Iterable[str]) -> Look:
        """Let these subjects look into it and nobody else: people, groups, everyone who can sign in. Raises Invalid."""
        with self._core.database.begin() as records:
            before = self._own(records, visitor, basket_id).shared_with
        wanted = await self._sharing.circle(subjects, before=before, what="A collection")
        with self._core.database.begin() as records:
            basket = self._own(records, visitor, basket_id)
            if wanted and not basket.name:
                raise Invalid("Give the basket a name before you share it.", field="name")
            if basket.id:
                records.baskets.save(replace(basket, shared_with=wanted, changed=self._core.now()))
        return await self.look(visitor, basket.id)

    def _readable(self, records: Records, visitor: Visitor, basket_id: str) -> Basket:
        person, now = person_of(visitor), self._core.now()
        if not basket_id:
            return records.baskets.current(person.name) or Basket("", person.name, "", now, now)
        basket = records.baskets.get(basket_id)
        if basket is None or not (basket.owner == person.name or visitor.subjects & set(basket.shared_with)):
            raise NotFound("There is no such basket, or it is not shared with you.")
        return basket

    def _own(self, records: Records, visitor: Visitor, basket_id: str) -> Basket:
        basket = self._readable(records, visitor, basket_id)
        if basket.owner != visitor.name:
            raise Forbidden(f"This is a collection of {basket.owner}. You may look at it, but not change it.")
        return basket

    def _kept(self, records: Records, basket: Basket) -> Basket:
        """Return the basket as the database has it; a current one is made when first something is put into it."""
        if basket.id:
            return basket
        made = replace(basket, id=self._core.new_id())
        records.baskets.save(made)
        return made

    def _check_number(self, records: Records, visitor: Visitor) -> None:
        mine = [each for each in records.baskets.readable(visitor.name, ()) if each.name]
        if len(mine) >= self._core.limits.baskets_each:
            raise Conflict(f"You have {len(mine)} baskets, as many as one may have. Delete one of them first.")

    async def _held(self, visitor: Visitor, things: list[Thing]) -> tuple[Held, ...]:
        found = {name: await self._now(visitor, name, things) for name in {each.catalog for each in things}}
        return tuple(_held(each, found[each.catalog]) for each in things)

    async def _now(self, visitor: Visitor, catalog: str, things: list[Thing]) -> Mapping[str, Record] | str:
        """Return what the catalog says now of its things, or in one word why it says nothing."""
        ids = [each.record for each in things if each.catalog == catalog]
        try:
            found = await self._finding.now(catalog, ids, visitor=visitor)
        except VaasError:
            return "unknown"
        return "kept" if found is None else found


def _held(thing: Thing, found: Mapping[str, Record] | str) -> Held:
    if isinstance(found, str):
        return as_kept(thing) if found == "kept" else as_title(thing, found)
    record = found.get(thing.record)
    return as_title(thing, "gone") if record is None else as_found(thing, replace(record, catalog=thing.catalog))


def _name(name: str) -> str:
    return one_line(name, most=_LONGEST_NAME, what="the basket", field="name")
