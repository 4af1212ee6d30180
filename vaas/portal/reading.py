"""Reading what lies in a basket, piece by piece, as who looks into it: by the rights that they have now."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from vaas.errors import Invalid, NotFound, TooLarge
from vaas.keeping import Thing
from vaas.model import Entry, Visitor
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core
from vaas.portal.whereabouts import store_of
from vaas.stores.base import Store

__all__ = ["MOST", "Piece", "Reading"]

#: Bytes of one piece.
MOST = 2_000_000
#: Of so many visits it is kept how much they have read.
_MOST_VISITS = 10_000
_ELSEWHERE = "“{title}” lies elsewhere and cannot be read through the portal. Its address is {uri}"
_NO_FILE = "“{title}” is no file: it can be opened at {uri}"


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file, with the size and the etag of the whole: another etag means another file."""

    data: bytes = field(repr=False)
    size: int
    etag: str


class Reading:
    """Reads files of baskets, and keeps how much each visit has read."""

    def __init__(self, core: Core, baskets: Baskets) -> None:
        self._core, self._baskets = core, baskets
        #: Visit → bytes, those that read last at the end.
        self._read: OrderedDict[str, int] = OrderedDict()

    async def piece(
        self, visitor: Visitor, basket_id: str, thing_id: str, *, offset: int, size: int, visit: str = ""
    ) -> Piece:
        """Return up to ``size`` bytes of a thing from ``offset`` on.

        ``visit`` is whose bytes are counted; "": nobody's.

        Raises
        ------
        NotFound
            It is not in the basket any more, or not for this visitor.
        Invalid
            It is nothing that can be read here.
        TooLarge
            The visit has read as much as one may.
        """
        thing = (await self._baskets.thing(visitor, basket_id, thing_id)).thing
        store, path = self._place(visitor, thing)
        entry = await self._file(store, path, thing)
        wanted = max(0, min(size, MOST, entry.size - offset))
        if visit:
            self._count(visit, wanted)
        data = await store.piece(path, offset, wanted) if wanted else b""
        return Piece(data, entry.size, entry.etag)

    def _place(self, visitor: Visitor, thing: Thing) -> tuple[Store, str]:
        """Return where the file lies, in a store of the visitor's own: so it is their rights that count."""
        if thing.access.get("how") == "http":
            raise Invalid(_ELSEWHERE.format(title=thing.title, uri=thing.uri))
        if thing.access.get("how") != "store" or visitor.user is None:
            raise Invalid(_NO_FILE.format(title=thing.title, uri=self._core.public_url + thing.uri))
        path = str(thing.access["via"]["path"])
        store = store_of(self._core.stores, visitor.user, record=thing.record, path=path)
        if store is None:
            raise NotFound(f"“{thing.title}” is not among your files any more.")
        return store, path

    async def _file(self, store: Store, path: str, thing: Thing) -> Entry:
        entry = await store.stat(path)
        if entry.folder:
            raise Invalid(f"“{thing.title}” is a folder. Put the files in it that are needed into the basket.")
        return entry

    def _count(self, visit: str, size: int) -> None:
        most = self._core.limits.basket_read
        read = self._read[visit] = self._read.pop(visit, 0) + size
        while len(self._read) > _MOST_VISITS:
            self._read.popitem(last=False)
        if read > most:
            raise TooLarge(f"This visit has read {most // 1_000_000} MB of baskets, as much as one may.")
