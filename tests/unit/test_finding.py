"""One question to all catalogs: merged, ranked, and held up by none of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from vaas.catalogs.base import Catalog, Page, Record
from vaas.errors import Invalid, NotFound, Unavailable
from vaas.model import User, Visitor
from vaas.portal.finding import Finding
from vaas.query import Search

NOBODY = Visitor()


class Shelf(Catalog):
    """A catalog in memory whose answer is a function of the question."""

    def __init__(self, name: str, answer: Callable[[Search, str], Any]) -> None:
        self.id, self.title = name, name.title()
        self._answer = answer
        self.asked: list[tuple[str, int, str]] = []

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        self.asked.append((str(search), limit, cursor))
        answer = self._answer(search, cursor)
        found: Page = await answer if asyncio.iscoroutine(answer) else answer
        return found

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        return Record(record_id, "data", self.title)


def shelf(name: str, *titles: str, cursor: str = "", **page: Any) -> Shelf:
    records = tuple(Record(title, "data", title, catalog=name) for title in titles)
    return Shelf(name, lambda _search, _cursor: Page(records, len(records), cursor=cursor, **page))


def fails(error: Exception) -> Callable[[Search, str], Any]:
    def answer(_search: Search, _cursor: str) -> Page:
        raise error

    return answer


async def test_hits_of_all_catalogs_are_merged_the_best_of_each_first() -> None:
    own, other = shelf("own", "a", "b", facets={"type": {"data": 2}}), shelf("other", "c", "d", "e")
    page = await Finding([own, other]).search("sea", visitor=NOBODY, limit=7)
    assert [record.id for record in page.records] == ["a", "c", "b", "d", "e"]
    assert (page.total, page.facets) == (5, {"type": {"data": 2}, "catalog": {"own": 2, "other": 3}})
    assert own.asked == other.asked == [("sea", 7, "")]


class Knowing(Catalog):
    """One that knows its users: each finds what has their name."""

    id, title = "knowing", "Knowing"

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        return Page((await self.record(f"of {visitor.name}", visitor=visitor),), 1)

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        if record_id != f"of {visitor.name}":
            raise NotFound("There is nothing like that.")
        return Record(record_id, "data", record_id)


async def test_a_catalog_that_knows_its_users_is_asked_as_who_asks() -> None:
    finding, ada = Finding([shelf("own", "a"), Knowing()]), Visitor(User("ada"))
    for visitor in (ada, Visitor(User("bob")), ada):
        mine = f"of {visitor.name}"
        assert {record.id for record in (await finding.search("x", visitor=visitor)).records} == {"a", mine}
        assert (await finding.record("knowing", mine, visitor=visitor)).id == mine
        assert list(await finding.now("knowing", ["of ada", "of bob"], visitor=visitor) or ()) == [mine]
    with pytest.raises(NotFound):
        await finding.record("knowing", "of bob", visitor=ada)


async def test_a_work_that_several_have_is_shown_once() -> None:
    copies = []
    for name in ("own", "other"):
        work = Record("x", "data", "X", catalog=name, details={"doi": "10.1/x"})
        copies.append(Shelf(name, lambda _search, _cursor, work=work: Page((work,), 1)))
    page = await Finding(copies).search("x", visitor=NOBODY)
    assert [record.catalog for record in page.records] == ["own"]


async def test_who_is_silent_is_named_and_holds_up_nobody() -> None:
    async def never() -> Page:
        await asyncio.sleep(60)
        return Page()

    catalogs = [
        shelf("own", "a"),
        Shelf("slow", lambda _s, _c: never()),
        Shelf("broken", fails(Unavailable("Broken is closed on Fridays."))),
        Shelf("odd", fails(KeyError("hits"))),
    ]
    began = time.monotonic()
    page = await Finding(catalogs, patience=0.3).search("a", visitor=NOBODY)
    assert time.monotonic() - began < 3
    assert [record.id for record in page.records] == ["a"]
    assert page.silent == {
        "Slow": "Slow does not answer at the moment.",
        "Broken": "Broken is closed on Fridays.",
        "Odd": "Odd sent an answer that cannot be read.",
    }


async def test_one_can_ask_some_catalogs_alone() -> None:
    own, other = shelf("own", "a"), shelf("other", "b")
    page = await Finding([own, other]).search("x in:other", visitor=NOBODY)
    assert ([record.id for record in page.records], own.asked) == (["b"], [])
    assert other.asked == [("x", 20, "")], "it need not know what it is called here"
    assert len((await Finding([own, other]).search("x in:own OR in:other", visitor=NOBODY)).records) == 2
    assert (await Finding([own, other]).search("x in:nowhere", visitor=NOBODY)).records == ()


async def test_one_can_leave_catalogs_out() -> None:
    shelves = [shelf("own", "a"), shelf("other", "b"), shelf("third", "c")]

    async def found(text: str) -> dict[str, list[str]]:
        for each in shelves:
            each.asked.clear()
        page = await Finding(shelves).search(text, visitor=NOBODY)
        assert {record.catalog for record in page.records} == {each.id for each in shelves if each.asked}
        return {each.id: [asked for asked, _, _ in each.asked] for each in shelves if each.asked}

    assert await found("x -in:own") == {"other": ["x"], "third": ["x"]}
    assert await found("-in:OTHER x -y") == {"own": ["x -y"], "third": ["x -y"]}
    assert await found("x -in:own -in:other") == {"third": ["x"]}
    assert await found("x in:own -in:own") == {}
    assert await found("x in:own OR in:other -catalog:other") == {"own": ["x"]}
    assert await found("x -in:nowhere") == dict.fromkeys(("own", "other", "third"), ["x"])
    # Where the one holds, the other need not.
    assert await found("x y OR in:own") == {"own": ["x"], "other": ["x y"], "third": ["x y"]}
    assert await found("-in:own OR y") == {"own": ["y"], "other": [""], "third": [""]}


async def test_what_has_changed_is_counted_where_it_is_asked_for() -> None:
    finding = Finding([shelf("own", "a"), shelf("other", "b", "c")])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    counts = [await finding.changed(f"x {text}", since=since, visitor=NOBODY) for text in ("", "-in:other", "in:own")]
    assert counts == [1, 1, 1]
    for text in ("x -in:own", "x in:other"):
        assert await finding.changed(text, since=since, visitor=NOBODY) == 0


async def test_each_catalog_is_paged_in_its_own_way_until_it_has_no_more() -> None:
    own, other = shelf("own", "a", cursor="20"), shelf("other", "b")
    finding = Finding([own, other])
    first = await finding.search("x", visitor=NOBODY)
    await finding.search("x", visitor=NOBODY, cursor=first.cursor)
    assert ([cursor for *_, cursor in own.asked], [cursor for *_, cursor in other.asked]) == (["", "20"], [""])
    assert (await Finding([other]).search("x", visitor=NOBODY)).cursor == ""


@pytest.mark.parametrize("cursor", ["x", "e30", "WzFd", "bnVsbA==", "ÿ"])
async def test_a_cursor_that_is_none_of_ours_is_refused_or_leads_nowhere(cursor: str) -> None:
    own = shelf("own", "a")
    try:
        page = await Finding([own]).search("x", visitor=NOBODY, cursor=cursor)
    except Invalid as error:
        assert error.field == "cursor"
    else:
        assert page.records == ()


async def test_one_record_is_had_from_its_catalog() -> None:
    finding = Finding([shelf("own")])
    assert (await finding.record("own", "x", visitor=NOBODY)).id == "x"
    with pytest.raises(NotFound):
        await finding.record("none", "x", visitor=NOBODY)


async def test_one_record_is_not_waited_for_without_end() -> None:
    with pytest.raises(Unavailable, match="Own does not answer"):
        await Finding([Asked("own", lambda _s, _c: Page())], patience=0.05).record("own", "hang", visitor=NOBODY)


class Asked(Shelf):
    """A catalog whose records each are an answer of their own."""

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        if record_id == "hang":
            await asyncio.sleep(60)
        if record_id == "odd":
            raise KeyError(record_id)
        if record_id == "closed":
            raise Unavailable("Closed on Fridays.")
        if record_id == "hidden":
            raise NotFound("There is nothing like that here.")
        return Record(record_id, "data", record_id)


async def test_what_records_say_now_is_told_as_far_as_one_may_see_them() -> None:
    finding = Finding([Asked("own", lambda _search, _cursor: Page())], patience=0.3)
    found = await finding.now("own", ["a", "hidden", "b"], visitor=NOBODY)
    assert found is not None and list(found) == ["a", "b"]
    assert await finding.now("none", ["a"], visitor=NOBODY) == {}
    for record, words in (("hang", "does not answer"), ("odd", "does not answer"), ("closed", "Fridays")):
        with pytest.raises(Unavailable, match=words):
            await finding.now("own", ["a", record], visitor=NOBODY)


async def test_where_everybody_sees_the_same_nobody_is_asked() -> None:
    own = Asked("own", lambda _search, _cursor: Page())
    own.same_for_all = True
    assert await Finding([own]).now("own", ["odd"], visitor=NOBODY) is None


class Suggesting(Shelf):
    """One that suggests, or fails in doing so."""

    def __init__(self, name: str, suggest: Callable[[str], Any]) -> None:
        super().__init__(name, lambda _search, _cursor: Page())
        self._suggest = suggest

    async def suggest(self, beginning: str, *, visitor: Visitor, limit: int) -> list[str]:
        answer = self._suggest(beginning)
        found: list[str] = await answer if asyncio.iscoroutine(answer) else answer
        return found


async def test_suggestions_come_from_all_that_have_some_each_once() -> None:
    own, other = Suggesting("own", lambda b: [f"{b}de", f"{b}me"]), Suggesting("other", lambda b: [f"{b}me", f"{b}re"])
    found = await Finding([own, shelf("none"), other]).suggest("ti", visitor=NOBODY)
    assert found == ["tide", "time", "tire"]
    assert await Finding([own, other]).suggest("ti", visitor=NOBODY, limit=2) == ["tide", "time"]


async def test_who_does_not_suggest_at_once_keeps_nobody_waiting() -> None:
    def breaks(_beginning: str) -> list[str]:
        raise RuntimeError("odd")

    def behind(_beginning: str) -> list[str]:
        raise Unavailable("Not now.")

    catalogs = [
        Suggesting("hangs", lambda _: asyncio.sleep(60)),
        Suggesting("breaks", breaks),
        Suggesting("behind", behind),
        Suggesting("own", lambda b: [b]),
    ]
    began = time.monotonic()
    assert await Finding(catalogs).suggest("tide", visitor=NOBODY) == ["tide"]
    assert time.monotonic() - began < 30
