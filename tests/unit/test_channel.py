"""The channel between a server and a kernel: who asked first gets the first answer, and every wait has an end."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from vaas.errors import Unavailable
from vaas.runtime.channel import Channel, pair


class Ends:
    """A channel, and the socket at its other end."""

    def __init__(self) -> None:
        ours, self.other = pair()
        self.heard: list[dict[str, Any]] = []
        self.channel = Channel(ours, heard=self._hear)

    def _hear(self, message: dict[str, Any]) -> bool:
        self.heard.append(message)
        return "due" in message

    def say(self, *messages: object) -> None:
        for message in messages:
            self.other.send(message if isinstance(message, bytes) else json.dumps(message).encode())


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    made.channel.close()
    made.other.close()


async def test_answers_come_in_the_order_of_the_questions(ends: Ends) -> None:
    asked = [asyncio.ensure_future(ends.channel.ask({"n": n}, "answer", seconds=5)) for n in range(3)]
    other = asyncio.ensure_future(ends.channel.ask({}, "another", seconds=5))
    await asyncio.sleep(0)
    ends.say({"another": 9}, *({"answer": n} for n in range(3)))
    assert [(await each)["answer"] for each in asked] == [0, 1, 2]
    assert (await other)["another"] == 9
    assert [json.loads(ends.other.recv(99))["n"] for _ in range(3)] == [0, 1, 2]


async def test_an_answer_that_is_late_is_not_taken_for_that_to_the_next_question(ends: Ends) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await ends.channel.ask({}, "answer", seconds=0.05)
    next_one = asyncio.ensure_future(ends.channel.ask({}, "answer", seconds=5))
    await asyncio.sleep(0)
    ends.say({"answer": "late"}, {"answer": "next"})
    assert (await next_one)["answer"] == "next"


async def test_a_question_that_could_not_be_sent_takes_nobodys_answer(ends: Ends) -> None:
    with pytest.raises(Unavailable):
        # The other end does not read.
        for _ in range(10_000):
            ends.channel.send({"fill": "x" * 1000})
    with pytest.raises(Unavailable):
        await ends.channel.ask({}, "answer", seconds=5)
    ends.other.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            ends.other.recv(9999)
    asked = asyncio.ensure_future(ends.channel.ask({}, "answer", seconds=5))
    await asyncio.sleep(0)
    ends.say({"answer": "mine"})
    assert (await asked)["answer"] == "mine"


async def test_who_waits_when_the_other_end_is_gone_is_told(ends: Ends) -> None:
    asked = asyncio.ensure_future(ends.channel.ask({}, "answer", seconds=60))
    await asyncio.sleep(0)
    ends.other.close()
    with pytest.raises(Unavailable, match="has ended"):
        await asyncio.wait_for(asked, 5)
    assert ends.channel.closed
    for asking in (ends.channel.ask({}, "answer", seconds=60), ends.channel.wait(ends.channel.expect("x"), seconds=60)):
        with pytest.raises(Unavailable):
            await asyncio.wait_for(asking, 5)


async def test_the_system_says_who_sent_a_message(ends: Ends) -> None:
    asked = asyncio.ensure_future(ends.channel.ask({}, "answer", seconds=5))
    await asyncio.sleep(0)
    ends.say({"answer": 1, "sender": 1})
    assert (await asked)["sender"] == os.getpid()


async def test_nonsense_is_passed_over_and_files_are_closed(ends: Ends) -> None:
    asked = asyncio.ensure_future(ends.channel.ask({}, "answer", seconds=5))
    await asyncio.sleep(0)
    reading, writing = os.pipe()
    socket.send_fds(ends.other, [b"{}"], [writing])
    os.close(writing)
    ends.say(b"\xff", b"[]", b"[" * 5000, {"other": 1}, {"answer": 2})
    assert (await asked)["answer"] == 2
    assert os.read(reading, 1) == b"", "a file that nobody wanted stays open"
    os.close(reading)
    assert [each for each in ends.heard if "other" in each]


async def test_who_says_without_end_what_nobody_asked_is_not_listened_to_any_more(ends: Ends) -> None:
    # Who has said so much that nothing more fits waits until it is read: by us.
    ends.other.setblocking(False)
    loop = asyncio.get_running_loop()
    for number in range(1500):
        said = {"due": number} if number < 200 else {"noise": number}
        try:
            await loop.sock_sendall(ends.other, json.dumps(said).encode())
        except OSError:
            break
    for _ in range(100):
        await asyncio.sleep(0.01)
        if ends.channel.closed:
            break
    assert ends.channel.closed
    assert 1000 < len(ends.heard) <= 1300
