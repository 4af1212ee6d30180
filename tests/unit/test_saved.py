"""Saved searches: what is new since somebody looked, of what they may see; exactly, and nothing of others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World
from tests.searchable import Searchable, searchable
from vaas.errors import Conflict, Invalid, NotFound, SignInNeeded
from vaas.model import SIGNED_IN, Visitor
from vaas.portal.saved import News

AS_ADA, AS_BOB, AS_ROOT = Visitor(ADA), Visitor(BOB), Visitor(ROOT)


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    with searchable(world, tmp_path) as made:
        yield made


def later(found: Searchable, **by: float) -> None:
    """Let time pass, and the index follow."""
    found.world.clock.forward(**(by or {"seconds": 1}))
    found.indexing.catch_up()


def new(news: list[News]) -> dict[str, int | None]:
    return {each.search.name: each.new for each in news}


async def test_new_is_what_changed_since_one_looked(found: Searchable) -> None:
    saved = found.portal.saved
    found.put("sea old", SIGNED_IN)
    later(found)
    (first,) = await saved.save(AS_ADA, " sea  level ", "Levels")
    assert (first.search.q, first.new) == ("sea level", 0)
    assert new(await saved.save(AS_ADA, "sea")) == {"Levels": 0, "sea": 0}
    later(found)
    found.put("sea level", SIGNED_IN)
    found.put("sea", "user:ada")
    found.put("hidden sea level", "user:bob")
    found.put("mountains", SIGNED_IN)
    assert new(await saved.look(AS_ADA)) == {"Levels": 1, "sea": 2}
    later(found)
    assert new(await saved.mark(AS_ADA, first.search.id)) == {"Levels": 0, "sea": 2}
    later(found, days=3)
    assert new(await saved.look(AS_ADA)) == {"Levels": 0, "sea": 2}


async def test_what_changes_at_the_very_moment_of_looking_is_never_lost(found: Searchable) -> None:
    saved = found.portal.saved
    later(found, milliseconds=300)
    await saved.save(AS_ADA, "sea")
    for milliseconds in (100, 650, 1, 999):
        later(found, milliseconds=milliseconds)
        (search,) = await saved.look(AS_ADA)
        await saved.mark(AS_ADA, search.search.id)
        found.put("sea", SIGNED_IN)
        (after,) = await saved.look(AS_ADA)
        assert after.new == 1


async def test_what_the_index_had_not_got_yet_is_new_afterwards(found: Searchable, world: World) -> None:
    saved = found.portal.saved
    later(found)
    (search,) = await saved.save(AS_ADA, "tides")
    world.clock.forward(seconds=2)
    await world.published(ADA, title="Tides")  # nobody can have seen it before the index follows
    world.clock.forward(seconds=2)
    assert new(await saved.mark(AS_ADA, search.search.id)) == {"tides": 0}
    later(found)
    assert new(await saved.look(AS_ADA)) == {"tides": 1}
    assert new(await saved.mark(AS_ADA, search.search.id)) == {"tides": 0}


async def test_what_fits_but_for_a_letter_is_not_new(found: Searchable) -> None:
    await found.portal.saved.save(AS_ADA, "temperature")
    later(found)
    found.put("temperatura", SIGNED_IN)
    assert (await found.portal.finding.search("temperature in:here", visitor=AS_ADA)).corrected
    assert new(await found.portal.saved.look(AS_ADA)) == {"temperature": 0}


async def test_the_dates_and_catalogs_of_the_search_count_as_well(found: Searchable) -> None:
    saved, today = found.portal.saved, found.world.clock().date()
    for name, q in (
        ("tomorrow", f"sea after:{today + timedelta(1)}"),
        ("today", f"sea after:{today}"),
        ("before", f"sea before:{today}"),
        ("here", "sea in:here"),
        ("elsewhere", "sea in:elsewhere"),
    ):
        await saved.save(AS_ADA, q, name)
    later(found)
    found.put("sea", SIGNED_IN)
    assert new(await saved.look(AS_ADA)) == {"before": 0, "elsewhere": 0, "here": 1, "today": 1, "tomorrow": 0}
    assert found.elsewhere.asked == 0, "only what is here is counted"


async def test_while_the_index_is_behind_nobody_knows(found: Searchable) -> None:
    await found.portal.saved.save(AS_ADA, "sea")
    found.fresh = False
    assert new(await found.portal.saved.look(AS_ADA)) == {"sea": None}


async def test_saving_the_same_again_changes_nothing_and_a_name_is_taken_once(found: Searchable) -> None:
    saved = found.portal.saved
    first = await saved.save(AS_ADA, "sea", "Sea")
    later(found)
    assert await saved.save(AS_ADA, "sea", "Sea") == first
    with pytest.raises(Conflict) as refused:
        await saved.save(AS_ADA, "other", "Sea")
    assert refused.value.field == "name"
    assert await saved.forget(AS_ADA, first[0].search.id) == await saved.forget(AS_ADA, first[0].search.id) == []


async def test_anothers_searches_are_as_good_as_none(found: Searchable) -> None:
    saved = found.portal.saved
    (mine,) = await saved.save(AS_ADA, "sea", "Sea")
    for visitor in (AS_BOB, AS_ROOT):
        assert await saved.look(visitor) == await saved.forget(visitor, mine.search.id) == []
        with pytest.raises(NotFound):
            await saved.mark(visitor, mine.search.id)
    assert [each.search for each in await saved.look(AS_ADA)] == [mine.search]
    for attempt in (saved.look(NOBODY), saved.save(NOBODY, "sea"), saved.forget(NOBODY, mine.search.id)):
        with pytest.raises(SignInNeeded):
            await attempt


@pytest.mark.parametrize(("q", "name"), [("", "x"), (" ", ""), ("x" * 1001, ""), ("sea", "x" * 101), ("sea", "\0 ")])
async def test_what_cannot_be_kept_is_said(found: Searchable, q: str, name: str) -> None:
    with pytest.raises(Invalid):
        await found.portal.saved.save(AS_ADA, q, name)
    assert await found.portal.saved.look(AS_ADA) == []


async def test_there_is_a_limit_and_odd_questions_are_no_error(found: Searchable, world: World) -> None:
    odd = ("\0", '"', "after:yesterday", "-" * 900, "a:b OR", "x" * 1000, "\ud800", "in:here")
    for q in odd:
        await found.portal.saved.save(AS_ADA, q, f"name {odd.index(q)}")
    assert all(each.new == 0 for each in await found.portal.saved.look(AS_ADA))
    (long,) = await found.portal.saved.save(AS_BOB, "é" * 1000)
    assert long.search.q == "é" * 1000 and len(long.search.name) <= 100
    world.limit(searches_each=len(odd))
    with pytest.raises(Conflict, match=f"{len(odd)} saved"):
        await found.portal.saved.save(AS_ADA, "one more")


async def test_the_number_is_what_counting_by_hand_gives(found: Searchable) -> None:
    """Random files, changes and marks, beside a count that is too simple to be wrong."""
    dice, saved, people = random.Random(20261127), found.portal.saved, [Visitor(each) for each in (ADA, BOB, EVE)]
    kept: dict[str, tuple[str, frozenset[str], object]] = {}
    for visitor in people:
        await saved.save(visitor, "sea")
    for _ in range(60):
        later(found, seconds=dice.choice([0.1, 0.4, 1, 1.3, 60, 86_400]))
        name, readers = f"{dice.randint(1, 12)}", frozenset(dice.sample(["user:ada", "group:physics", "user:eve"], 2))
        title = dice.choice(["sea", "sea level", "mountains"])
        found.put(name, *readers, title=title)
        kept[name] = title, readers, found.world.clock()
        later(found, seconds=dice.random())
        visitor = dice.choice(people)
        (news,) = await saved.look(visitor)
        seen = news.search.seen
        expected = [n for n, (t, r, c) in kept.items() if "sea" in t and r & visitor.subjects and c >= seen]  # type: ignore[operator]
        assert news.new == len(expected)
        if dice.random() < 0.4:
            await saved.mark(visitor, news.search.id)
