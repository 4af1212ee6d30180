"""One process at a time sweeps, another goes on when it dies, and changes are found without a sweep."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.loops import going_on
from tests.portal_parts import ADA, World
from vaas.db.base import Lease
from vaas.errors import Unavailable
from vaas.http import Http
from vaas.portal import Harvesting, Sweeping
from vaas.portal.harvesting import Report
from vaas.portal.sweeping import want_sweep
from vaas.portal.walks import Bounds
from vaas.portal.work import REPORT, SWEEP, WANTED
from vaas.stores.mounted import MountedStores, SharedFolder

SECONDS = 30


class Counted(Harvesting):
    """Counts its sweeps."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.sweeps = 0
        #: Of each sweep whether it was of this machine, too.
        self.here: list[bool] = []

    async def sweep(self, *, here: bool = True, **named: Any) -> Report:
        self.sweeps += 1
        self.here.append(here)
        return await super().sweep(here=here, **named)


async def until(true: Callable[[], object] | Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            said = true()
            if await said if isinstance(said, Awaitable) else said:
                return
            await asyncio.sleep(0.02)


def running(*sweeping: Sweeping) -> AbstractAsyncContextManager[list[asyncio.Task[None]]]:
    return going_on(*(each.keep_up() for each in sweeping))


@pytest.fixture
def stores(world: World, tmp_path: Path) -> Iterator[MountedStores]:
    (tmp_path / "shared" / "all").mkdir(parents=True)
    shared = (SharedFolder("shared-all", "All", tmp_path / "shared" / "all"),)
    made = MountedStores(homes=tmp_path / "homes", shared=shared, database=world.core.database, http=Http())
    world.core.stores = made
    yield made


def keys(world: World) -> list[str]:
    with world.core.database.begin() as records:
        return sorted(key for place in records.finds.places() for key in records.finds.marks(place))


async def test_what_changes_in_a_folder_is_found_without_a_sweep(
    world: World, stores: MountedStores, tmp_path: Path
) -> None:
    harvesting = Counted(world.core)
    async with running(Sweeping(world.core, harvesting, often=0.05)):
        await until(lambda: harvesting.sweeps)
        home = tmp_path / "homes" / "ada"
        # A home that is new, too, with a folder that is filled at once.
        (home / "a" / "b").mkdir(parents=True)
        for number in range(20):
            (home / "a" / "b" / f"{number}.csv").write_text("x")
        await until(lambda: len(keys(world)) == 20)
        (home / "a").rename(home / "c")
        (tmp_path / "shared" / "all" / "all.csv").write_text("x")
        await until(lambda: keys(world) == sorted([*(f"c/b/{number}.csv" for number in range(20)), "all.csv"]))
        (home / "c" / "b" / "3.csv").unlink()
        (home / "c" / "b" / "4.csv").write_text("xyz")
        (tmp_path / "shared" / "all" / ".hidden.csv").write_text("x")
        await until(lambda: len(keys(world)) == 20)
        # Below a folder that got another name, and one that came in place of a removed one.
        shutil.rmtree(home / "c" / "b")
        (home / "c" / "b").mkdir()
        (home / "c" / "b" / "later.csv").write_text("x")
        await until(lambda: keys(world) == ["all.csv", "c/b/later.csv"])
    assert harvesting.sweeps == 1


async def test_a_home_that_lies_elsewhere_is_heard_too(world: World, stores: MountedStores, tmp_path: Path) -> None:
    (tmp_path / "homes").mkdir()
    (tmp_path / "disk" / "ada").mkdir(parents=True)
    (tmp_path / "homes" / "ada").symlink_to(tmp_path / "disk" / "ada")
    harvesting = Counted(world.core)
    async with running(Sweeping(world.core, harvesting, often=0.05)):
        await until(lambda: harvesting.sweeps)
        (tmp_path / "disk" / "ada" / "x.csv").write_text("x")
        await until(lambda: keys(world) == ["x.csv"])
    assert harvesting.sweeps == 1


async def test_one_of_two_sweeps_and_the_other_goes_on_when_it_ends(world: World, stores: MountedStores) -> None:
    first, second = (Counted(world.core, bounds=Bounds(every=0.01)) for _ in range(2))
    async with running(Sweeping(world.core, second, often=0.02)):
        await until(lambda: second.sweeps)
        async with running(Sweeping(world.core, first, often=0.02)):
            before = second.sweeps
            await until(lambda: second.sweeps > before + 5)
            assert first.sweeps == 0
        before = second.sweeps
        await until(lambda: second.sweeps > before)
    async with running(Sweeping(world.core, first, often=0.02)):
        await until(lambda: first.sweeps)
    # Who ends in good order gives it back.
    with world.core.database.begin() as records:
        assert records.leases.all(SWEEP) == []


async def test_who_died_is_followed_when_its_time_is_over(world: World, stores: MountedStores) -> None:
    now = world.core.now()
    with world.core.database.begin() as records:
        assert records.leases.take(Lease(SWEEP, "dead", now + timedelta(seconds=60)), now=now)
    harvesting = Counted(world.core, bounds=Bounds(every=0.01))
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await asyncio.sleep(0.2)
        assert harvesting.sweeps == 0 and _lease(world).holder == "dead"
        world.clock.forward(seconds=61)
        await until(lambda: harvesting.sweeps)
        assert _lease(world).holder != "dead"


def _lease(world: World) -> Any:
    with world.core.database.begin() as records:
        return next(each for each in records.leases.all(SWEEP) if each.name == SWEEP)


async def test_who_was_overtaken_stops(world: World, stores: MountedStores) -> None:
    harvesting = Counted(world.core, bounds=Bounds(every=0.01))
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps)
        # It slept for long, as a machine that was suspended does, and another has taken over.
        with world.core.database.begin() as records:
            held = next(each for each in records.leases.all(SWEEP) if each.name == SWEEP)
            records.leases.give_back(SWEEP, held.holder)
            assert records.leases.take(_held_by("another", held), now=world.core.now())
        seen = -1

        async def no_more() -> bool:
            nonlocal seen
            before, seen = seen, harvesting.sweeps
            await asyncio.sleep(0.2)
            return before == seen

        await until(no_more)
        assert _lease(world).holder == "another"


def _held_by(holder: str, lease: Any) -> Any:
    return type(lease)(lease.name, holder, lease.until)


async def test_a_sweep_that_is_wanted_comes_at_once_and_is_reported(
    world: World, stores: MountedStores, tmp_path: Path
) -> None:
    (tmp_path / "homes" / "ada" / "node_modules").mkdir(parents=True)
    harvesting = Counted(world.core)
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps)
        asked = want_sweep(world.core)

        def report() -> Any:
            with world.core.database.begin() as records:
                return next((each.said for each in records.leases.all(REPORT) if each.holder == asked), None)

        await until(lambda: report() is not None)
        assert harvesting.sweeps >= 2 and report()["skipped"][0]["path"] == "node_modules"
        with world.core.database.begin() as records:
            assert records.leases.all(WANTED) == []
        again = want_sweep(world.core)
        assert again != asked
        asked = again
        await until(lambda: report() is not None)
        assert harvesting.sweeps >= 3


async def test_what_goes_wrong_ends_no_sweeping(world: World, stores: MountedStores) -> None:
    harvesting = Counted(world.core, bounds=Bounds(every=0.01))

    async def no_one() -> list[str]:
        raise Unavailable("The Hub does not answer.")

    people, world.people.people = world.people.people, no_one  # type: ignore[method-assign]
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps > 3)
        world.people.people = people  # type: ignore[method-assign]
        stores.of(ADA)
        (stores._home("ada") / "x.csv").write_text("x")
        await until(lambda: keys(world) == ["x.csv"])


async def test_who_cannot_hear_sweeps(world: World, stores: MountedStores) -> None:
    class Deaf(MountedStores):
        def watched(self) -> Any:
            raise OSError("No inotify here.")

    world.core.stores = Deaf(
        homes=stores._homes, shared=(), database=world.core.database, http=Http(), now=world.core.now
    )
    harvesting = Counted(world.core, bounds=Bounds(every=0.01))
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps > 2)
        assert all(harvesting.here)


async def test_a_sweep_that_was_reported_is_not_done_twice(world: World, stores: MountedStores) -> None:
    harvesting = Counted(world.core)
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps)
        for number in (2, 3, 4):
            want_sweep(world.core)
            await until(lambda: not _wanted(world))
            assert harvesting.sweeps == number
        await asyncio.sleep(0.2)
        assert harvesting.sweeps == 4


def _wanted(world: World) -> Any:
    with world.core.database.begin() as records:
        return records.leases.all(WANTED)


async def test_after_many_quick_changes_everything_is_heard(
    world: World, stores: MountedStores, tmp_path: Path
) -> None:
    chance, home = Random(3), tmp_path / "homes" / "ada"
    home.mkdir(parents=True)
    harvesting = Counted(world.core)

    def there() -> list[str]:
        return sorted(str(each.relative_to(home)) for each in home.rglob("*") if each.is_file())

    async with running(Sweeping(world.core, harvesting, often=0.05)):
        await until(lambda: harvesting.sweeps)
        for step in range(150):
            folders = [home, *(each for each in home.rglob("*") if each.is_dir())]
            where = chance.choice(folders)
            match chance.choice(["make", "make", "nest", "move", "remove"]):
                case "make":
                    (where / f"{step}.csv").write_text("x")
                case "nest":
                    (where / f"{step}" / "a").mkdir(parents=True)
                    (where / f"{step}" / "a" / "x.csv").write_text("x")
                case "move" if where != home:
                    with suppress(OSError):
                        where.rename(chance.choice(folders) / f"moved-{step}")
                case "remove" if where != home:
                    shutil.rmtree(where)
            if step % 30 == 29:
                await until(lambda: keys(world) == there())
    assert harvesting.sweeps == 1 and len(there()) > 5


async def test_first_it_listens_and_then_it_looks(world: World, stores: MountedStores) -> None:
    may = asyncio.Event()

    class Slow(MountedStores):
        @asynccontextmanager
        async def _watched(self) -> AsyncIterator[Any]:
            await may.wait()
            async with super()._watched() as told:
                yield told

    world.core.stores = Slow(homes=stores._homes, shared=(), database=world.core.database, http=Http())
    harvesting = Counted(world.core)
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await asyncio.sleep(0.2)
        assert harvesting.sweeps == 0
        may.set()
        await until(lambda: harvesting.sweeps)


async def test_what_is_heard_is_not_looked_through_each_time(world: World, stores: MountedStores) -> None:
    harvesting = Counted(world.core, bounds=Bounds(every=0.01))
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps > 3)
        assert harvesting.here[0] and not any(harvesting.here[1:])
        want_sweep(world.core)
        await until(lambda: not _wanted(world))
        assert any(harvesting.here[1:])
    harvesting = Counted(world.core, bounds=Bounds(every=0.01, every_here=0.0))
    async with running(Sweeping(world.core, harvesting, often=0.02)):
        await until(lambda: harvesting.sweeps > 3)
        assert all(harvesting.here)
