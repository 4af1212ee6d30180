"""Somebody starts so much at once, or lets a launch say so much, that there is more of it than one person may have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest

from tests.notebooks import notebook
from tests.own_servers import OFFERING, Labs
from tests.portal_parts import ADA, World
from vaas.backends.base import Lent, OwnServer
from vaas.errors import Conflict
from vaas.launching import Launch, launch_server
from vaas.model import ServerName, Snapshot, Visitor
from vaas.portal.launch_forms import Forms

pytestmark = pytest.mark.attack
AS_ADA, LENT = Visitor(ADA), Lent(ADA, "ada's own")
NOTEBOOK = {"store": "home", "path": "tides.ipynb"}


class Slow(Labs):
    """A Hub to which the first start is on its way until somebody else has looked what runs, or nobody comes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.looked = asyncio.Event(), asyncio.Event()

    async def start(self, lent: Lent, name: str, *, title: str, plan: str) -> None:
        if not self.asked.is_set():
            self.asked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await self.looked.wait()
        await super().start(lent, name, title=title, plan=plan)

    async def all(self, lent: Lent) -> Mapping[str, OwnServer]:
        if self.asked.is_set():
            self.looked.set()
        return await super().all(lent)


async def test_who_starts_old_launches_behind_new_ones_has_no_more_than_may_run(world: World) -> None:
    """Of several that are asked for at once the first go before, so that none waits for a newer one."""
    world.core.offering, world.core.own_servers = OFFERING, (labs := Slow())
    world.put(ADA, "tides.ipynb", notebook("x = 1"))
    world.limit(running_each=1)
    launching, made = world.portal.launching, list[Launch]()
    for _ in range(2):
        made.append(await launching.ask(AS_ADA, NOTEBOOK))
        await launching.stop(LENT, made[-1].id)
        world.clock.forward(seconds=1)
    old, new = made
    first = asyncio.create_task(launching.start_again(LENT, new.id))
    await labs.asked.wait()
    second = asyncio.create_task(launching.start_again(LENT, old.id))
    done = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in done] == [Launch, Conflict]
    assert [name for name, _, _ in labs.plans] == [launch_server(new.id)]


async def test_no_more_is_prepared_at_once_than_may_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """To copy what belongs to a result takes minutes, and so much disk as a draft may have."""

    async def never(*_: object, **__: object) -> Snapshot:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    world.core.offering, world.core.own_servers = OFFERING, Labs()
    world.put(ADA, "tides.ipynb", notebook("x = 1"))
    world.limit(running_each=1)
    monkeypatch.setattr(Forms, "lacks", lambda *_: True)
    monkeypatch.setattr(Forms, "complete", never)
    launching = world.portal.launching
    old = await launching.ask(AS_ADA, NOTEBOOK)
    await launching.stop(LENT, old.id)
    world.clock.forward(seconds=1)
    new = await launching.begin(LENT, (await launching.ask(AS_ADA, NOTEBOOK)).id)
    assert new.progress["preparing"]
    try:
        with pytest.raises(Conflict, match="Stop one of them"):
            await launching.start_again(LENT, old.id)
        await launching.stop(LENT, new.id)
        assert (await launching.start_again(LENT, old.id)).progress["preparing"]
    finally:
        for each in (old, new):
            await launching.stop(LENT, each.id)
        await world.settle()


@pytest.mark.parametrize("said", [{"state": "failed", "error": "It is over."}, {"state": "stopped", "ended": "time"}])
async def test_a_launch_that_says_that_it_is_over_counts_until_it_is(world: World, said: dict[str, str]) -> None:
    """What ends it then may be a process of its person's, which they can hold back."""
    world.core.offering, world.core.own_servers = OFFERING, (labs := Labs())
    world.put(ADA, "tides.ipynb", notebook("x = 1"))
    world.limit(running_each=1)
    launching = world.portal.launching
    first = await launching.begin(LENT, (await launching.ask(AS_ADA, NOTEBOOK)).id)
    labs.put("ada", launch_server(first.id), "ready")
    assert world.portal.placing.progressed(ServerName("ada", launch_server(first.id)), said) is False
    second = await launching.ask(AS_ADA, NOTEBOOK)
    with pytest.raises(Conflict, match="Stop one of them"):
        await launching.begin(LENT, second.id)
    labs.put("ada", launch_server(first.id), "stopped")
    assert (await launching.begin(LENT, (await launching.ask(AS_ADA, NOTEBOOK)).id)).state == "starting"


async def test_a_launch_does_not_fill_the_database_with_what_it_says(world: World) -> None:
    world.core.offering, world.core.own_servers = OFFERING, Labs()
    world.put(ADA, "tides.ipynb", notebook("x = 1"))
    launching = world.portal.launching
    launch = await launching.begin(LENT, (await launching.ask(AS_ADA, NOTEBOOK)).id)
    server = ServerName("ada", launch_server(launch.id))
    for begin in range(0, 5_000, 500):
        things = {f"{number:016x}": {"message": "x" * 300} for number in range(begin, begin + 500)}
        world.portal.placing.progressed(server, {"state": "placing", "things": things})
    kept = launching.get(AS_ADA, launch.id).progress["things"]
    assert len(kept) == 500 and f"{0:016x}" in kept
