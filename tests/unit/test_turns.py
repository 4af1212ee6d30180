"""Turns: one thing of each person's at a time, so that nobody waits for one other person alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from vaas.errors import Unavailable
from vaas.portal.turns import Turns


class Works:
    """Work that goes on until it is told to end, at two places."""

    def __init__(self, *, most: int = 4) -> None:
        self.turns = Turns(("one", "two"), most=most)
        self.begun: list[str] = []
        self.places: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    def ask(self, whose: str, name: str) -> asyncio.Task[str]:
        """Ask for a piece of work in somebody's name."""
        self._ends[name] = asyncio.Event()
        return asyncio.create_task(self._ask(whose, self._work(name)))

    async def _ask(self, whose: str, work: Callable[[str], Coroutine[None, None, str]]) -> str:
        async with self.turns.of(whose) as turn:
            return await turn.work(work)

    def _work(self, name: str) -> Callable[[str], Coroutine[None, None, str]]:
        async def do(place: str) -> str:
            self.begun.append(name)
            self.places.append(place)
            await self._ends[name].wait()
            if name == "broken":
                raise ValueError(name)
            return name

        return do

    async def end(self, name: str, task: asyncio.Task[str]) -> str:
        """End it, and return what came of it."""
        self._ends[name].set()
        return await asyncio.wait_for(task, 30)

    async def settled(self) -> list[str]:
        """Return what has begun when nothing more can begin."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self.begun


async def test_of_one_person_one_thing_is_done_at_a_time_and_others_overtake_the_rest() -> None:
    works = Works()
    first, second, third = [works.ask("ada", name) for name in ("a1", "a2", "a3")]
    assert await works.settled() == ["a1"]
    bobs = works.ask("bob", "b1")
    assert await works.settled() == ["a1", "b1"]
    assert await works.end("b1", bobs) == "b1"
    assert await works.end("a1", first) == "a1"
    assert await works.settled() == ["a1", "b1", "a2"]
    assert [await works.end("a2", second), await works.end("a3", third)] == ["a2", "a3"]
    assert not works.turns._people, "who has nothing to be done is forgotten"


async def test_all_that_are_waiting_get_the_next_place_in_their_order() -> None:
    works = Works()
    tasks = {name: works.ask(name, name) for name in ("ada", "bob", "eve", "dan")}
    assert await works.settled() == ["ada", "bob"]
    await works.end("bob", tasks["bob"])
    assert await works.settled() == ["ada", "bob", "eve"]
    await works.end("ada", tasks["ada"])
    assert await works.settled() == ["ada", "bob", "eve", "dan"]
    for name in ("eve", "dan"):
        await works.end(name, tasks[name])


async def test_a_second_place_is_used_only_when_the_first_is_not_free() -> None:
    works = Works()
    for name in ("a1", "a2", "a3"):
        await works.end(name, works.ask("ada", name))
    assert len(set(works.places)) == 1


async def test_who_goes_away_leaves_the_line() -> None:
    works = Works()
    tasks = {name: works.ask(name[0], name) for name in ("a1", "a2", "b1", "c1", "d1")}
    await works.settled()
    for name in ("a2", "c1"):
        tasks[name].cancel()
    await works.settled()
    await works.end("a1", tasks["a1"])
    assert await works.settled() == ["a1", "b1", "d1"]
    await works.end("b1", tasks["b1"])
    await works.end("d1", tasks["d1"])
    assert await works.settled() == ["a1", "b1", "d1"] and not works.turns._people


async def test_going_away_and_asking_again_is_no_way_past_others() -> None:
    works = Works()
    gone = works.ask("ada", "a1")
    await works.settled()
    gone.cancel()
    again, bobs = works.ask("ada", "a2"), works.ask("bob", "b1")
    assert await works.settled() == ["a1", "b1"], "what has begun counts until it ends"
    works._ends["a1"].set()
    assert await works.settled() == ["a1", "b1", "a2"]
    await works.end("a2", again)
    await works.end("b1", bobs)


async def test_what_fails_makes_place() -> None:
    works = Works()
    broken = works.ask("ada", "broken")
    with pytest.raises(ValueError, match="broken"):
        await works.end("broken", broken)
    assert await works.end("a2", works.ask("ada", "a2")) == "a2"


async def test_a_person_may_have_so_much_waiting() -> None:
    works = Works(most=2)
    first, second = works.ask("ada", "a1"), works.ask("ada", "a2")
    await works.settled()
    with pytest.raises(Unavailable, match="many things at once"):
        await asyncio.wait_for(works.ask("ada", "a3"), 30)
    assert await works.end("b1", works.ask("bob", "b1")) == "b1"
    await works.end("a1", first)
    await works.end("a2", second)
