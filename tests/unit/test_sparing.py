"""Sparing catalogs elsewhere: equal questions once, for strangers little at a time, nothing of one person shared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.portal_parts import ADA, BOB
from vaas.catalogs.base import Catalog, Page, Record
from vaas.catalogs.sparing import _GOOD, _MOST_KEPT, _STRANGERS, Sparing
from vaas.errors import NotFound, Unavailable
from vaas.model import Visitor
from vaas.portal.finding import Finding
from vaas.query import parse

NOBODY = Visitor()


class Far(Catalog):
    """A catalog that notes what it is asked and as whom, and answers when it may."""

    id, title, same_for_all = "far", "Far away", True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.people: set[str] = set()
        self.may = asyncio.Event()
        self.may.set()
        self.fails: Exception | None = None

    async def search(self, search: Any, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        return Page((await self._answer(f"{search} {limit} {cursor}".strip(), visitor),), 1)

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        return await self._answer(record_id, visitor)

    async def _answer(self, asked: str, visitor: Visitor) -> Record:
        self.asked.append(asked)
        self.people.add(visitor.name)
        await self.may.wait()
        if self.fails:
            raise self.fails
        return Record(asked, "data", asked, catalog="far")


class Here:
    """A catalog far away, spared, with a clock that tests move on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.far = Far()
        self.spared = Sparing(self.far, clock=lambda: self.seconds)

    async def search(self, text: str, visitor: Visitor = NOBODY, *, limit: int = 5, cursor: str = "") -> Page:
        """Ask it."""
        return await self.spared.search(parse(text), visitor=visitor, limit=limit, cursor=cursor)

    async def begun(self, count: int) -> None:
        """Wait until so many questions are under way."""
        async with asyncio.timeout(30):
            while len(self.far.asked) < count:
                await asyncio.sleep(0)


async def test_an_answer_is_good_for_a_while() -> None:
    here = Here()
    first = await here.search("sea")
    assert await here.search("sea", Visitor(ADA)) is first
    assert here.far.asked == ["sea 5"]
    here.seconds = _GOOD
    await here.search("sea")
    assert here.far.asked == ["sea 5"] * 2


async def test_another_question_has_another_answer() -> None:
    here = Here()
    for asked in (here.search("sea"), here.search("sea", limit=6), here.search("sea", cursor="2"), here.search("sea*")):
        await asked
    assert len(set(here.far.asked)) == 4
    await here.spared.record("sea", visitor=NOBODY)
    await here.spared.record("sea", visitor=NOBODY)
    assert here.far.asked[4:] == ["sea"]


async def test_equal_questions_that_are_under_way_are_one() -> None:
    here = Here()
    here.far.may.clear()
    tasks = [asyncio.create_task(here.search("sea", visitor)) for visitor in (NOBODY, Visitor(ADA), Visitor(BOB))]
    await here.begun(1)
    tasks[0].cancel()
    here.far.may.set()
    one, two = await asyncio.gather(*tasks[1:])
    assert one is two and here.far.asked == ["sea 5"]


async def test_strangers_may_have_little_under_way_and_are_told_so() -> None:
    here = Here()
    here.far.may.clear()
    finding = Finding([here.spared], patience=60)
    under_way = [asyncio.create_task(here.search(f"sea{n}")) for n in range(_STRANGERS)]
    await here.begun(_STRANGERS)
    page = await finding.search("more", visitor=NOBODY)
    assert page.silent == {"Far away": "Far away is asked by many at the moment. Sign in, or try again in a moment."}
    with pytest.raises(Unavailable, match="Sign in"):
        await here.spared.record("x", visitor=NOBODY)
    adas = asyncio.create_task(finding.search("more", visitor=Visitor(ADA)))
    joins = asyncio.create_task(here.search("sea0"))
    await here.begun(_STRANGERS + 1)
    # Who gives up before the answer is there has asked all the same.
    under_way[1].cancel()
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await here.search("again")
    here.far.may.set()
    assert [r.id for r in (await adas).records] == ["more 20"]
    assert (await joins).records == (await under_way[0]).records
    assert (await here.search("again")).total == 1


async def test_what_went_wrong_is_asked_again() -> None:
    here = Here()
    here.far.fails = Unavailable("Closed on Fridays.")
    for _ in range(_STRANGERS + 1):
        with pytest.raises(Unavailable, match="Fridays"):
            await here.search("sea")
    here.far.fails = NotFound("None such.")
    with pytest.raises(NotFound):
        await here.spared.record("x", visitor=NOBODY)
    here.far.fails = None
    assert (await here.search("sea")).total == 1


async def test_of_answers_the_oldest_make_place() -> None:
    here = Here()
    for n in range(_MOST_KEPT + 1):
        await here.search(f"sea{n}")
    await here.search("sea1")
    assert len(here.far.asked) == _MOST_KEPT + 1
    await here.search("sea0")
    assert len(here.far.asked) == _MOST_KEPT + 2


async def test_nothing_that_is_for_one_person_is_shared() -> None:
    here = Here()
    await here.search("sea", Visitor(ADA))
    await here.spared.record("x", visitor=Visitor(ADA))
    assert here.far.people == {""}, "it is asked for nobody in particular"
    here.far.same_for_all = False
    with pytest.raises(ValueError, match="not the same"):
        Sparing(here.far)
