"""Reading what lies in a basket, piece by piece, as who looks into it: by the rights that they have now."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vaas.errors import Invalid, TooLarge, Unavailable
from vaas.keeping import Thing
from vaas.model import Entry, Visitor
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core
from vaas.portal.turns import Turns
from vaas.portal.whereabouts import thing_at
from vaas.stores.base import Piece, Store

__all__ = ["MOST", "Reading"]

#: Bytes of one piece.
MOST = 2_000_000
#: What each question costs at least, in bytes.
_LEAST = 64_000
#: So many are read at once, and so many of them for one person.
_AT_ONCE, _EACH = 4, 2
#: So many seconds one piece may take from elsewhere: a place that sends it byte by byte holds nobody up.
_SECONDS = 60.0
#: A person may read as much as so many visits, in a day.
_VISITS = 5
#: Of so many visits and people it is kept how much they have read.
_MOST_VISITS = 10_000
_FOLDER = "“{title}” is a folder. Put the files in it that are needed into the basket."
_SEVERAL = "“{title}” has several files, and only single ones are read so. Its page is {uri}"


class Reading:
    """Reads files of baskets, and keeps how much each visit and each person has read."""

    def __init__(self, core: Core, baskets: Baskets) -> None:
        self._core, self._baskets = core, baskets
        #: Visit, or person and day → bytes, those that read last at the end.
        self._read: OrderedDict[str, int] = OrderedDict()
        #: What is read in a thread keeps its place to its end, even if who asked has gone.
        self._turns = Turns(range(_AT_ONCE), each=_EACH)

    async def piece(
        self, visitor: Visitor, basket_id: str, thing_id: str, *, offset: int, size: int, visit: str = ""
    ) -> Piece:
        """Return up to ``size`` bytes of a thing from ``offset`` on.

        The bytes are counted, as those of ``visit`` unless it is "", and as the person's of this day.

        Raises
        ------
        NotFound
            It is not in the basket any more, or not for this visitor.
        Invalid
            It is nothing that can be read here.
        TooLarge
            The visit or the person has read as much as one may, or would with all of this file.
        Unavailable
            Its store does not answer, or too slowly.
        """
        thing = (await self._baskets.thing(visitor, basket_id, thing_id)).thing
        store, path = await thing_at(self._core, visitor, thing)

        async def read(_: int) -> Piece:
            async with _in_time(store, thing):
                entry = await self._file(store, path, thing)
                # One that has no size may be one whose store does not say it.
                wanted = max(0, min(size, MOST, entry.size - offset)) if entry.size else min(size, MOST)
                self.count(visitor, visit, wanted, ahead=0 if offset else entry.size)
                piece = await store.piece(path, offset, wanted, entry)
            if piece.skipped:
                self.count(visitor, visit, piece.skipped)
            return piece

        async with self._turns.of(visitor.name) as turn:
            return await turn.work(read)

    async def _file(self, store: Store, path: str, thing: Thing) -> Entry:
        entry = await store.stat(path)
        if entry.folder:
            said = _SEVERAL if thing.access.get("how") == "http" else _FOLDER
            raise Invalid(said.format(title=thing.title, uri=thing.uri))
        return entry

    def count(self, visitor: Visitor, visit: str, size: int = 0, *, ahead: int = 0) -> None:
        """Count a question that is answered with ``size`` bytes, the first of ``ahead``; TooLarge if it is too much."""
        most = self._core.limits.basket_read
        if visit:
            self._add(visit, size, ahead, most, "This visit has")
        if visitor.user is not None:
            day = f"{self._core.now():%Y-%m-%d}"
            self._add(f"{day} {visitor.user.name}", size, ahead, _VISITS * most, "Today you have")

    def _add(self, reader: str, size: int, ahead: int, most: int, who: str) -> None:
        before = self._read.pop(reader, 0)
        read = self._read[reader] = before + max(size, _LEAST)
        while len(self._read) > _MOST_VISITS:
            self._read.popitem(last=False)
        if read <= most < before + ahead:
            self._read[reader] = before + _LEAST  # nothing is read of what is refused at its start
        if max(read, before + ahead) > most:
            raise TooLarge(f"{who} read {before // 1_000_000} MB of baskets, and {most // 1_000_000} MB is the most.")


@asynccontextmanager
async def _in_time(store: Store, thing: Thing) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(None if store.here else _SECONDS):
            yield
    except TimeoutError as error:
        raise Unavailable(f"“{thing.title}” comes too slowly. Try again later.") from error
