"""What changes in one place is looked at however much there is to look at in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

from vaas.portal.heeding import heed
from vaas.stores.base import Touched


class Ear:
    """Tells what it is told, and notes what is looked at; ada's place takes until it is let go."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[frozenset[Touched] | None] = asyncio.Queue()
        self.looked: list[list[str]] = []
        self.free = asyncio.Event()

    async def hears(self) -> AsyncIterator[frozenset[Touched]]:
        while (each := await self.told.get()) is not None:
            yield each

    def tell(self, *touched: str) -> None:
        self.told.put_nowait(frozenset(Touched(*each.split(":")) for each in touched))

    async def look(self, touched: Collection[Touched]) -> None:
        self.looked.append(sorted(f"{each.place}:{each.path}" for each in touched))
        if any(each.path == "broken" for each in touched):
            raise OSError("broken")
        if any(each.place == "ada" for each in touched):
            await self.free.wait()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.looked) < count:
                await asyncio.sleep(0.01)


async def test_much_in_one_place_keeps_no_other_waiting() -> None:
    ear = Ear()
    heeding = asyncio.create_task(heed(ear.hears(), ear.look))
    ear.tell("ada:1")
    await ear.has(1)
    ear.tell("ada:2", "bob:1")
    ear.tell("ada:3")
    await ear.has(2)
    assert ear.looked == [["ada:1"], ["bob:1"]]
    ear.free.set()
    await ear.has(3)
    # What came meanwhile is looked at once.
    assert ear.looked[2] == ["ada:2", "ada:3"]
    ear.told.put_nowait(None)
    await heeding


async def test_what_goes_wrong_in_a_place_is_its_own() -> None:
    ear = Ear()
    heeding = asyncio.create_task(heed(ear.hears(), ear.look))
    ear.tell("bob:broken")
    await ear.has(1)
    ear.tell("bob:2")
    await ear.has(2)
    assert ear.looked == [["bob:broken"], ["bob:2"]]
    heeding.cancel()
    assert isinstance((await asyncio.gather(heeding, return_exceptions=True))[0], asyncio.CancelledError)
