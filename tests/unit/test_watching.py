"""What happens in folders is told: where it lies, and nothing of what lies elsewhere."""

from __future__ import annotations

import asyncio
import errno
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from asyncinotify import Inotify

from vaas.http import Http
from vaas.stores.mounted import MountedStores
from vaas.stores.watching import _Watched, touched_below


class Ear:
    """Hears what is told."""

    def __init__(self) -> None:
        self.heard: set[tuple[str, str]] = set()

    async def until(self, *wanted: tuple[str, str]) -> None:
        async with asyncio.timeout(30):
            while not self.heard >= set(wanted):
                await asyncio.sleep(0.02)


async def listen(ear: Ear, roots: dict[str, Path], done: asyncio.Event, ready: asyncio.Event) -> None:
    async with touched_below(roots) as told:
        ready.set()
        listening = asyncio.ensure_future(_hear(ear, told))  # type: ignore[arg-type]
        await done.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _hear(ear: Ear, told) -> None:  # type: ignore[no-untyped-def]
    async for touched in told:
        ear.heard |= touched


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    for name in ("one", "two", "elsewhere"):
        (tmp_path / name / "in").mkdir(parents=True)
    return {"": tmp_path / "one", "second": tmp_path / "two"}


async def heard(roots: dict[str, Path], steps) -> set[tuple[str, str]]:  # type: ignore[no-untyped-def]
    ear, done, ready = Ear(), asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(listen(ear, roots, done, ready))
    await ready.wait()
    try:
        await steps(ear)
    finally:
        done.set()
        await task
    return ear.heard


async def test_what_happens_is_told_by_root_and_path(roots: dict[str, Path]) -> None:
    async def steps(ear: Ear) -> None:
        (roots[""] / "in" / "a.csv").write_text("x")
        (roots["second"] / "b.csv").write_text("x")
        await ear.until(("", "in/a.csv"), ("second", "b.csv"))
        (roots[""] / "in" / "a.csv").rename(roots[""] / "c.csv")
        (roots["second"] / "b.csv").unlink()
        ear.heard.clear()
        await ear.until(("", "in/a.csv"), ("", "c.csv"), ("second", "b.csv"))

    await heard(roots, steps)


async def test_nothing_is_told_of_what_is_hidden_linked_or_gone_elsewhere(
    roots: dict[str, Path], tmp_path: Path
) -> None:
    (roots[""] / ".hidden").mkdir()
    (roots[""] / "link").symlink_to(tmp_path / "elsewhere")

    async def steps(ear: Ear) -> None:
        (roots[""] / "in").rename(tmp_path / "elsewhere" / "moved")
        (roots[""] / "new").mkdir()
        (roots[""] / "new" / "link").symlink_to(tmp_path / "elsewhere")
        await ear.until(("", "in"), ("", "new"))
        ear.heard.clear()
        (tmp_path / "elsewhere" / "x.csv").write_text("x")
        (tmp_path / "elsewhere" / "moved" / "x.csv").write_text("x")
        (roots[""] / ".hidden" / "x.csv").write_text("x")
        (roots[""] / ".x.csv").write_text("x")
        (roots[""] / "last").write_text("x")
        await ear.until(("", "last"))

    assert await heard(roots, steps) == {("", "last")}


async def test_of_all_homes_each_is_told(tmp_path: Path) -> None:
    homes = tmp_path / "homes"
    for name in ("ada", "a%2Fb", "not.ours"):
        (homes / name).mkdir(parents=True)
    stores = MountedStores(homes=homes, shared=(), database=None, http=Http())  # type: ignore[arg-type]

    def told(root: str, path: str) -> list[tuple[str, str]]:
        return [(each.place, each.path) for each in stores._touched(root, path)]

    all_homes = told("", "")
    assert ("home-ada", "") in all_homes and len(all_homes) == 2 and len({place for place, _ in all_homes}) == 2
    assert told("", "ada/x.csv") == [("home-ada", "x.csv")] and told("", "ada") == [("home-ada", "")]
    assert told("shared-x.1", "a/b.csv") == [("shared-x.1", "a/b.csv")]
    for root, path in (
        ("", "not.ours/x"),
        ("", "ada/.x/y"),
        ("shared-x.1", ".x"),
        ("", "ada/a\nb"),
        ("", "ada/\udcff"),
    ):
        assert told(root, path) == [], path


async def test_roots_that_are_links_are_watched(roots: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(roots[""])

    async def steps(ear: Ear) -> None:
        (roots[""] / "in" / "x.csv").write_text("x")
        await ear.until(("linked", "in/x.csv"))

    await heard({"linked": tmp_path / "link"}, steps)


async def test_a_folder_under_another_name_is_told_under_that(roots: dict[str, Path]) -> None:
    async def steps(ear: Ear) -> None:
        (roots[""] / "in" / "deep").mkdir()
        await ear.until(("", "in/deep"))
        (roots[""] / "in").rename(roots[""] / "out")
        await ear.until(("", "in"), ("", "out"))
        ear.heard.clear()
        (roots[""] / "out" / "deep" / "x.csv").write_text("x")
        await ear.until(("", "out/deep/x.csv"))
        shutil.rmtree(roots[""] / "out")
        (roots[""] / "out" / "deep").mkdir(parents=True)
        await ear.until(("", "out"))
        ear.heard.clear()
        (roots[""] / "out" / "deep" / "y.csv").write_text("x")
        await ear.until(("", "out/deep/y.csv"))

    assert await heard(roots, steps) == {("", "out/deep/y.csv")}


async def test_very_much_at_once_is_the_whole(roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaas.stores.watching._MOST", 5)

    async def steps(ear: Ear) -> None:
        for number in range(20):
            (roots["second"] / "in" / f"{number}").write_text("x")
        await ear.until(("second", "in"))
        for number in range(20):
            (roots["second"] / f"{number}").mkdir()
        await ear.until(("second", ""))

    await heard(roots, steps)


async def test_where_there_is_no_room_for_more_it_says_so_and_tells_the_rest(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add = Inotify.add_watch

    def full(self, path, mask):  # type: ignore[no-untyped-def]
        if path.name == "in":
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, path, mask)

    monkeypatch.setattr(Inotify, "add_watch", full)
    monkeypatch.setattr("vaas.stores.watching._UNSURE", 0.1)

    async def steps(ear: Ear) -> None:
        (roots[""] / "x.csv").write_text("x")
        await ear.until(("", "x.csv"), ("", ""), ("second", ""))

    await heard(roots, steps)
    assert caplog.text.count("fs.inotify.max_user_watches") == 1


async def test_what_much_work_has_to_be_done_for_is_done_beside_the_loop(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, remove = list[tuple[str, int]](), Inotify.rm_watch

    def counted(self, watch) -> None:  # type: ignore[no-untyped-def]
        left.append((watch.path.name, threading.get_ident()))
        remove(self, watch)

    monkeypatch.setattr(Inotify, "rm_watch", counted)
    (roots[""] / "in" / "deep" / "deeper").mkdir(parents=True)
    (roots[""] / "inside").mkdir()

    async def steps(ear: Ear) -> None:
        (roots[""] / "in").rename(roots[""] / "out")
        await ear.until(("", "out"))

    await heard(roots, steps)
    assert {name for name, _ in left} == {"in", "deep", "deeper"}
    assert threading.get_ident() not in {thread for _, thread in left}


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_changes_the_folders_that_are_there_are_watched(roots: dict[str, Path], seed: int) -> None:
    random, names = Random(seed), [f"{first}{second}" for first in "abc" for second in "123"]

    def folders() -> list[Path]:
        return [path for root in roots.values() for path in root.rglob("*") if path.is_dir()]

    with Inotify() as inotify:
        watched = _Watched(inotify, roots)
        pump = asyncio.create_task(watched.hear())
        await watched.is_there.wait()
        for _ in range(300):
            one, name = random.choice([*roots.values(), *folders()]), random.choice(names)
            with suppress(OSError):
                if random.random() < 0.5:
                    (one / name).mkdir()
                elif one not in roots.values():
                    shutil.rmtree(one) if random.random() < 0.3 else one.rename(random.choice(folders()) / name)
            if random.random() < 0.2:
                await asyncio.sleep(0)

        def there() -> set[tuple[str, str]]:
            below = {(name, str(path.relative_to(root))) for name, root in roots.items() for path in root.rglob("*")}
            return below | {(name, "") for name in roots}

        async with asyncio.timeout(30):
            while set(watched._watches) != there() or set(watched._places.values()) != there():
                await asyncio.sleep(0.02)
        # What is left of the tree of names is what is watched.
        inner = {(name, f"{above}/{each}".lstrip("/")) for (name, above), all in watched._inner.items() for each in all}
        assert inner == {place for place in there() if place[1]} and all(watched._inner.values())
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def test_very_much_at_once_is_told_coarsely_until_it_is_told(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaas.stores.watching._MOST", 3)
    with Inotify() as inotify:
        watched = _Watched(inotify, roots)
        for number in range(4):
            watched._put("", f"in/{number}")
        watched._put("", "other/x")
        assert watched._touched == {("", "in"), ("", "other")}
        for number in range(4):
            watched._put("second", f"{number}/x")
        watched._put("", "other/x")
        assert watched._touched == {("", ""), ("second", "")}


async def test_who_makes_noise_again_and_again_waits_longer_until_all_is_looked_through(
    roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaas.stores.watching._LONGEST_PAUSE", 0.01)
    with Inotify() as inotify:
        watched = _Watched(inotify, roots)
        pauses = list[float]()
        for number in range(3):
            (roots[""] / f"{number}").mkdir()
            watched._touched.clear()
            await watched._look_anew()
            pauses.append(watched._pause)
            assert watched._touched == {("", ""), ("second", "")} and ("", f"{number}") in watched._watches
        watched._overflowed = float("-inf")
        await watched._look_anew()
        assert [*pauses, watched._pause] == [0.0, 0.01, 0.01, 0.0]
