"""Waiting for events."""

from __future__ import annotations

import asyncio

import pytest

from vaas.events import happens


async def test_it_tells_whether_the_event_is_set() -> None:
    event = asyncio.Event()
    assert not await happens(event, seconds=0.01)
    asyncio.get_running_loop().call_soon(event.set)
    assert await happens(event, seconds=10)


@pytest.mark.parametrize("pauses", [0, 1, 2, 3])
async def test_who_is_cancelled_is_so_even_if_the_event_happens_in_the_same_moment(pauses: int) -> None:
    event = asyncio.Event()
    waiting = asyncio.ensure_future(happens(event, seconds=10))
    for _ in range(3):
        await asyncio.sleep(0)
    event.set()
    for _ in range(pauses):
        await asyncio.sleep(0)
    # Either it was told of the event before, or it is cancelled; never neither.
    done = waiting.done()
    assert waiting.cancel() is not done
    await asyncio.wait({waiting})
    assert waiting.cancelled() is not done
