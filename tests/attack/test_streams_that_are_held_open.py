"""Somebody holds streams of events open, as many as they can, each of which costs the portal something all the time."""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from hub_service.handlers import apps
from tests.notebooks import notebook
from tests.portal_parts import BOB, World
from tests.run_desk import AS_BOB, ASKED, CELLS, ada, going
from tests.unit.test_handlers import client, site
from vaas.prose import clean_text

__all__ = ["ada", "site"]

pytestmark = pytest.mark.attack


async def over(answer: httpx.Response) -> bool:
    """Tell whether the stream ends within some seconds."""
    try:
        async with asyncio.timeout(4):
            async for _ in answer.aiter_lines():
                pass
    except TimeoutError:
        return False
    return True


async def test_of_many_streams_the_oldest_end(
    ada: httpx.AsyncClient, world: World, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "_MOST_STREAMS", 3)
    run = await going(world)
    world.put(BOB, "lab/waves.ipynb", notebook(*CELLS))
    theirs = await world.portal.running.start(AS_BOB, ASKED)
    async with AsyncExitStack() as opened:

        async def stream(browser: httpx.AsyncClient, path: str) -> httpx.Response:
            return await opened.enter_async_context(browser.stream("GET", path))

        bob = await opened.enter_async_context(client(site, "bob"))
        found = [await stream(bob, f"runs/{theirs.id}/events")]
        found += [await stream(ada, f"runs/{run.id}/events") for _ in range(5)]
        assert {answer.status_code for answer in found} == {200}
        ended = await asyncio.gather(*map(over, found))
    assert ended == [False, True, True, False, False, False]


def test_cleaning_takes_no_longer_for_odd_texts() -> None:
    def seconds(look: Callable[[str], object], text: str) -> float:
        def once() -> float:
            began = time.process_time()
            look(text)
            return time.process_time() - began

        return min(once() for _ in range(20))

    def each_by_itself(text: str) -> list[str]:
        return [unicodedata.category(letter) for letter in text]

    # Where all goes, the text is built anew: that takes most of the time.
    for text, part in (("abc défg hij\n" * 15_000, 0.9), ("—" * 200_000, 0.9), ("\u200b" * 200_000, 1.4)):
        assert seconds(clean_text, text) < part * seconds(each_by_itself, text)
