"""Heeding what changes in the places: each has its turn by itself, so that much in one keeps nobody else waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from vaas.stores.base import Touched

__all__ = ["heed"]

_log = logging.getLogger("vaas")


async def heed(
    touched: AsyncIterator[Collection[Touched]], look: Callable[[Collection[Touched]], Awaitable[object]]
) -> None:
    """Have looked at what is touched, place by place, until there is no more.

    What is touched in a place while that is looked at waits for the next turn of this place, and is looked at once.
    """
    waiting: dict[str, set[Touched]] = {}
    turns: dict[str, asyncio.Task[None]] = {}

    async def turn(place: str) -> None:
        try:
            while now := waiting.pop(place, None):
                try:
                    await look(now)
                except Exception:
                    _log.exception("What changed in the stores is found by the next sweep.")
        finally:
            del turns[place]

    try:
        async for some in touched:
            for each in some:
                waiting.setdefault(each.place, set()).add(each)
            for place in waiting.keys() - turns.keys():
                turns[place] = asyncio.create_task(turn(place))
    finally:
        left = list(turns.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
