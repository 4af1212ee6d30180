"""A catalog elsewhere that is asked as seldom as may be: what many ask once, and for strangers little at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from vaas.catalogs.base import Catalog, Page, Record
from vaas.errors import Unavailable
from vaas.model import Visitor
from vaas.query import Search
from vaas.stores.base import Store

__all__ = ["Sparing"]

_Answer = TypeVar("_Answer")
#: For how many seconds an answer is good, how many are kept, and after how many seconds none is waited for.
_GOOD, _MOST_KEPT, _LONGEST = 60.0, 64, 60.0
#: Questions of all who are not signed in that may be under way at once.
_STRANGERS = 3
_NOBODY = Visitor()


class Sparing(Catalog):
    """Asks a catalog in which everybody sees the same, and for nobody in particular.

    So no answer that is shared can be one for a single person, whatever the catalog knows of them.

    Parameters
    ----------
    clock:
        Seconds, from whenever.
    """

    same_for_all = True

    def __init__(self, catalog: Catalog, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not catalog.same_for_all:
            raise ValueError(f"What {catalog.id} answers is not the same for everybody.")
        self.id, self.title = catalog.id, catalog.title
        self._catalog, self._clock = catalog, clock
        #: The oldest first, each with the moment until which it is good.
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}
        self._strangers = 0

    async def search(self, search: Search, *, visitor: Visitor, limit: int, cursor: str = "") -> Page:
        """Return what fits, as it was a minute ago at most. Raises Unavailable also when strangers ask for too much."""

        async def ask() -> Page:
            return await self._catalog.search(search, visitor=_NOBODY, limit=limit, cursor=cursor)

        return await self._once(("search", search, limit, cursor), ask, stranger=visitor.user is None)

    async def record(self, record_id: str, *, visitor: Visitor) -> Record:
        """Return one record. Raises NotFound, and as :meth:`search`."""

        async def ask() -> Record:
            return await self._catalog.record(record_id, visitor=_NOBODY)

        return await self._once(("record", record_id), ask, stranger=visitor.user is None)

    async def files(self, record_id: str, *, visitor: Visitor) -> Store:
        """Return what holds the files of a record. Raises NotFound, and as :meth:`search`."""

        async def ask() -> Store:
            return await self._catalog.files(record_id, visitor=_NOBODY)

        return await self._once(("files", record_id), ask, stranger=visitor.user is None)

    async def suggest(self, beginning: str, *, visitor: Visitor, limit: int) -> list[str]:
        """Return what begins so. Asked for with each letter: what can do that needs no sparing."""
        return await self._catalog.suggest(beginning, visitor=_NOBODY, limit=limit)

    async def _once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, _Answer]], *, stranger: bool) -> _Answer:
        until, answer = self._kept.get(key, (float("-inf"), None))
        if self._clock() < until:
            kept: _Answer = answer
            return kept
        asking = self._asking.get(key)
        if asking is None:
            if stranger and self._strangers >= _STRANGERS:
                text = f"{self.title} is asked by many at the moment. Sign in, or try again in a moment."
                raise Unavailable(text, log_message=f"{self.id}: strangers ask for too much at once")
            asking = self._begin(key, ask(), stranger=stranger)
        # Who gives up leaves the answer to the others, and to who asks next.
        found: _Answer = await asyncio.shield(asking)
        return found

    def _begin(self, key: Hashable, answer: Coroutine[Any, Any, _Answer], *, stranger: bool) -> asyncio.Task[_Answer]:
        asking = self._asking[key] = asyncio.create_task(_in_time(answer))
        self._strangers += stranger

        def end(done: asyncio.Task[_Answer]) -> None:
            del self._asking[key]
            self._strangers -= stranger
            # What went wrong is asked again.
            if not done.cancelled() and done.exception() is None:
                self._keep(key, done.result())

        asking.add_done_callback(end)
        return asking

    def _keep(self, key: Hashable, answer: object) -> None:
        self._kept.pop(key, None)
        self._kept[key] = self._clock() + _GOOD, answer
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]


async def _in_time(answer: Coroutine[Any, Any, _Answer]) -> _Answer:
    async with asyncio.timeout(_LONGEST):
        return await answer
