"""Questions beside the loop: who gets which answer, in which order, and how many are asked at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from vaas.widgets.beside import Beside


class Slow:
    """Answers each question when it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.taken: list[str] = []
        self._told: dict[str, threading.Event] = {}
        self._most = threading.Semaphore(0)

    def put(self, beside: Beside, text: str) -> None:
        """Ask for the text."""
        self._told[text] = threading.Event()
        beside.ask(lambda: self._ask(text), self._take)

    def _ask(self, text: str) -> str:
        self.begun.append(text)
        self._most.release()
        assert self._told[text].wait(20)
        return text

    def _take(self, answer: Future[Any]) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.taken.append(answer.result())

    def tell(self, text: str) -> None:
        """Let it be answered."""
        self._told[text].set()

    async def begins(self) -> None:
        """Wait until one more is asked."""
        assert await asyncio.to_thread(self._most.acquire, timeout=20)


async def until_taken(slow: Slow, *texts: str) -> None:
    """Wait until these answers, and no others, were taken."""
    async with asyncio.timeout(20):
        while len(slow.taken) < len(texts):
            await asyncio.sleep(0.005)
    assert slow.taken == list(texts)


async def test_the_loop_goes_on_while_a_question_is_asked() -> None:
    slow, beside = Slow(), Beside()
    before = threading.active_count()
    slow.put(beside, "a")
    await slow.begins()
    assert slow.taken == [] and threading.active_count() > before
    slow.tell("a")
    await until_taken(slow, "a")


async def test_an_answer_that_comes_after_a_newer_one_is_thrown_away() -> None:
    slow, beside = Slow(), Beside()
    slow.put(beside, "old")
    await slow.begins()
    slow.put(beside, "new")
    await slow.begins()
    slow.tell("new")
    await until_taken(slow, "new")
    slow.tell("old")
    slow.put(beside, "last")
    slow.tell("last")
    await until_taken(slow, "new", "last")


async def test_an_answer_that_comes_before_a_newer_one_is_thrown_away_too() -> None:
    slow, beside = Slow(), Beside()
    slow.put(beside, "old")
    await slow.begins()
    slow.put(beside, "new")
    slow.tell("old")
    await slow.begins()
    slow.tell("new")
    await until_taken(slow, "new")


async def test_what_is_given_up_is_taken_by_nobody() -> None:
    slow, beside = Slow(), Beside()
    slow.put(beside, "a")
    await slow.begins()
    beside.give_up()
    slow.tell("a")
    slow.put(beside, "b")
    slow.tell("b")
    await until_taken(slow, "b")


async def test_few_are_asked_at_once_and_of_those_that_wait_only_the_newest() -> None:
    slow, beside = Slow(), Beside(at_once=2)
    for text in "abcde":
        slow.put(beside, text)
    await slow.begins()
    await slow.begins()
    assert sorted(slow.begun) == ["a", "b"]
    slow.tell("a")
    await slow.begins()
    assert slow.begun[2:] == ["e"]
    for text in "be":
        slow.tell(text)
    await until_taken(slow, "e")
    assert len(slow.begun) == 3


async def test_what_waits_can_be_given_up() -> None:
    slow, beside = Slow(), Beside(at_once=1)
    slow.put(beside, "a")
    await slow.begins()
    slow.put(beside, "b")
    beside.give_up()
    slow.tell("a")
    await asyncio.sleep(0.1)
    assert (slow.begun, slow.taken) == (["a"], [])


async def test_what_goes_wrong_is_told_and_the_next_is_asked() -> None:
    told: list[BaseException | None] = []
    done, beside = asyncio.Event(), Beside(at_once=1)

    def take(answer: Future[Any]) -> None:
        told.append(answer.exception())
        done.set()

    beside.ask(lambda: 1 // 0, take)
    await asyncio.wait_for(done.wait(), 20)
    assert isinstance(told[0], ZeroDivisionError)
    slow = Slow()
    slow.put(beside, "next")
    slow.tell("next")
    await until_taken(slow, "next")


def test_where_no_loop_runs_it_is_asked_in_place() -> None:
    told: list[int] = []
    Beside().ask(lambda: 7, lambda answer: told.append(answer.result()))
    assert told == [7]


async def test_what_takes_no_time_is_asked_in_place_and_instead_of_what_was_asked_before() -> None:
    slow, beside = Slow(), Beside()
    slow.put(beside, "old")
    await slow.begins()
    beside.ask(lambda: "here", slow._take, here=True)
    assert slow.taken == ["here"]
    slow.tell("old")
    await asyncio.sleep(0.1)
    assert slow.taken == ["here"]
