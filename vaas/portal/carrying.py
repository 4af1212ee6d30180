"""Carrying: a thing of a basket that is fetched whole, a folder or a record of another site, as one parcel."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass

from vaas.content import explain
from vaas.errors import TooLarge, Unavailable, VaasError
from vaas.model import Entry, Visitor
from vaas.parcels import END, part
from vaas.portal.baskets import Baskets
from vaas.portal.core import Core
from vaas.portal.reading import Reading
from vaas.portal.run_things import files_below
from vaas.portal.whereabouts import thing_at
from vaas.stores.base import Store

__all__ = ["Carrying"]

#: So many bytes are counted at once, and carried in one part.
_COUNTED, _CHUNK = 2_000_000, 1 << 18
#: So many parcels are on their way at once, and so many to one person; seconds between two signs of life of one.
_AT_ONCE, _EACH, _BEAT = 40, 5, 5.0


@dataclass(frozen=True)
class _File:
    """A file of the parcel: where it lies in it, "" for what is one file by itself."""

    path: str
    entry: Entry


class Carrying:
    """Carries things to launches, and counts what it carries as what each person reads."""

    def __init__(self, core: Core, baskets: Baskets, reading: Reading) -> None:
        self._core, self._baskets, self._reading = core, baskets, reading
        self._under_way = Counter[str]()

    async def parcel(self, visitor: Visitor, basket_id: str, thing_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the parts of the thing's parcel; what goes wrong after the first is said in one of them.

        Raises, before the first, as :meth:`vaas.portal.reading.Reading.piece`; Unavailable also for too many at once.
        """
        thing = (await self._baskets.thing(visitor, basket_id, thing_id)).thing
        with self._counted(visitor.name):
            store, path = await thing_at(self._core, visitor, thing)
            entry = await store.stat(path)
            copied = entry.folder and store.here
            files = [] if copied else await self._files(store, entry)
            known = sum(each.entry.size for each in files)
            self._check(known, f"“{thing.title}”")
            self._reading.count(visitor, "", ahead=known)
            yield part({"size": known})
            parts = self._copied(visitor, store, path) if copied else self._read(store, files)
            try:
                async with aclosing(self._within(visitor, parts, thing.title)) as carried:
                    async for each in carried:
                        yield each
                yield part(END)
            except VaasError as error:
                yield part({"error": error.message, "again": isinstance(error, Unavailable)})

    async def _files(self, store: Store, entry: Entry) -> list[_File]:
        """Return what is to be carried. Raises TooLarge for more files than may travel."""
        if not entry.folder:
            return [_File("", entry)]
        found, folders, most = list[_File](), [entry.path], self._core.limits.draft_files
        strip = len(entry.path) + 1 if entry.path else 0
        for folder in folders:  # and those that are found in them: one may lie in itself, without an end
            for each in await store.list(folder):
                if each.folder:
                    folders.append(each.path)
                else:
                    found.append(_File(each.path[strip:], each))
            if len(found) + len(folders) > most:
                raise TooLarge(
                    f"It has more than {most} files and folders. Put the files that are needed into a basket."
                )
        return found

    async def _read(self, store: Store, files: list[_File]) -> AsyncGenerator[tuple[bytes, int], None]:
        for file in files:
            yield part({"file": file.path, "checksum": file.entry.checksum}), 0
            sent = hashlib.sha256()
            async with aclosing(store.chunks(file.entry.path)) as chunks:
                async for chunk in chunks:
                    sent.update(chunk)
                    yield part({}, chunk), len(chunk)
            yield _sum(sent), 0

    async def _copied(self, visitor: Visitor, store: Store, path: str) -> AsyncGenerator[tuple[bytes, int], None]:
        """Copy a folder of this machine first, so that what it says of itself comes along although it is hidden.

        It is counted here: for who goes away meanwhile it is copied all the same.
        """
        sizes, most = list[int](), self._core.limits.basket_read
        async with self._core.content.aside() as aside:
            folder = aside / "folder"
            taking = asyncio.ensure_future(store.take(path, folder, limit=most, told=sizes.append))
            try:
                while not taking.done():
                    await asyncio.wait({taking}, timeout=_BEAT)
                    yield part({}), 0
                size = await taking
            except OSError as error:
                raise explain(error) from error
            finally:
                await _ended(taking)
                with suppress(TooLarge):
                    self._reading.count(visitor, "", sum(sizes))
            self._reading.count(visitor, "")  # and refused, where it was too much
            yield part({"size": size}), 0
            for file in await asyncio.to_thread(files_below, folder):
                yield part({"file": file.relative_to(folder).as_posix(), "checksum": ""}), 0
                sent = hashlib.sha256()
                with file.open("rb") as opened:
                    while chunk := await asyncio.to_thread(opened.read, _CHUNK):
                        sent.update(chunk)
                        yield part({}, chunk), 0
                yield _sum(sent), 0

    async def _within(
        self, visitor: Visitor, parts: AsyncGenerator[tuple[bytes, int], None], title: str
    ) -> AsyncGenerator[bytes, None]:
        """Pass on what comes, as far as it may be read; what it is said to be beforehand may be a lie."""
        total, uncounted = 0, 0
        async with aclosing(parts) as coming:
            async for data, size in coming:
                total, uncounted = total + size, uncounted + size
                self._check(total, f"“{title}”")
                if uncounted >= _COUNTED:
                    self._reading.count(visitor, "", uncounted)
                    uncounted = 0
                yield data
        self._reading.count(visitor, "", uncounted)

    def _check(self, size: int, what: str) -> None:
        if size > (most := self._core.limits.basket_read):
            raise TooLarge(f"{what} has more than {most // 1_000_000} MB, which is the most that is fetched at once.")

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        if self._under_way[name] >= _EACH or self._under_way.total() >= _AT_ONCE:
            raise Unavailable("Much is fetched at the moment. Try again in a minute.")
        self._under_way[name] += 1
        try:
            yield
        finally:
            self._under_way[name] -= 1
            self._under_way += Counter()  # without those who have nothing under way


def _sum(sent: hashlib._Hash) -> bytes:
    return part({"sum": f"sha256:{sent.hexdigest()}"})


async def _ended(taking: asyncio.Future[int]) -> None:
    """Wait until nothing is written any more, so that the folder can go."""
    await asyncio.gather(taking, return_exceptions=True)
