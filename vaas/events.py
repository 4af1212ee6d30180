"""Waiting, but not for ever: for an event, and for work as long as somebody wants it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["happens", "while_wanted"]

_Done = TypeVar("_Done")


async def happens(event: asyncio.Event, *, seconds: float) -> bool:
    """Wait until the event is set, or so many seconds have passed; tell whether it is set.

    Who is cancelled meanwhile is cancelled: ``asyncio.wait_for`` forgets it, until Python 3.12, if the event is set in
    the same moment, and a loop that was to end goes on.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def while_wanted(
    work: Coroutine[Any, Any, _Done], wanted: Callable[[], bool], *, glance: float = 0.25
) -> _Done | None:
    """Return what the work comes to; None when it is not wanted any more: then it is ended.

    ``glance``: so many seconds between two looks whether it is. What the work raises is raised.
    """
    task = asyncio.ensure_future(work)
    try:
        while wanted():
            if task.done():
                return await task
            await asyncio.wait({task}, timeout=glance)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return None
