"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["happens"]


async def happens(event: asyncio.Event, *, seconds: float) -> bool:
    """Wait until the event is set, or so many seconds have passed; tell whether it is set.

    Who is cancelled meanwhile is cancelled: ``asyncio.wait_for`` forgets it, until Python 3.12, if the event is set in
    the same moment, and a loop that was to end goes on.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
