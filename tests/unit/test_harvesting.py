"""What is in the stores is found: by whom it may be, as it is there, and whatever is wrong with some of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import shutil
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World
from vaas.catalogs.own import Index, OwnCatalog
from vaas.db.base import Find
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase
from vaas.errors import Forbidden, NotFound, Unavailable
from vaas.http import Http
from vaas.insides.base import Inside, Looker, Unreadable
from vaas.lab.cell import overview
from vaas.lab.manifest import Manifest
from vaas.model import Entry, StoreAccount, User, Visitor
from vaas.portal import Harvesting, Indexing, looking, walks
from vaas.query import parse
from vaas.stores.base import Place, Store, Touched
from vaas.stores.folder import FolderStore
from vaas.stores.mounted import MountedStores, SharedFolder

AS_ADA, AS_BOB, AS_EVE, AS_ROOT = Visitor(ADA), Visitor(BOB), Visitor(EVE), Visitor(ROOT)


class FirstLine(Looker):
    """Takes the first line for the title and the second for columns; "BROKEN" and "BUG" go wrong."""

    def __init__(self) -> None:
        self.looked: list[str] = []

    async def look(self, path: Path, *, name: str) -> Inside:
        self.looked.append(name)
        if path.is_dir():
            readme = next((each for each in sorted(path.iterdir()) if each.is_file()), None)
            return Inside("folder", title=readme.read_text().split("\n")[0] if readme else "")
        lines = path.read_text(errors="replace").split("\n")
        if lines[0] == "BROKEN":
            raise Unreadable("It is no table.")
        if lines[0] == "BUG":
            raise ZeroDivisionError
        return Inside("data", "csv", lines[0], columns=tuple(lines[1].split(",")) if len(lines) > 1 else ())

    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        raise Unreadable("There is nothing to see.")

    async def close(self) -> None:
        return None


class Cloud(Store):
    """A store elsewhere whose folders have etags that change with all below them; may be dead, or refuse."""

    def __init__(self, id: str, files: dict[str, bytes]) -> None:
        self.id, self.title, self.files = id, "Cloud", dict(files)
        self.dead, self.hangs, self.topless, self.closed = False, False, False, set[str]()
        self.listed: list[str] = []

    async def list(self, path: str) -> tuple[Entry, ...]:
        await self._answer(path)
        self.listed.append(path)
        return tuple([await self.stat(each) for each in sorted(self._children(path))])

    async def stat(self, path: str) -> Entry:
        await self._answer("")
        if self.topless:
            raise NotFound(f"There is no “{path}”.")
        if path in self.files:
            return Entry(path, False, len(self.files[path]), None, f"{hash(self.files[path]):x}")
        below = {name: data for name, data in self.files.items() if not path or name.startswith(f"{path}/")}
        return Entry(path, True, 0, None, f"{hash(tuple(sorted(below.items()))):x}")

    async def chunks(self, path: str) -> AsyncGenerator[bytes, None]:
        await self._answer(path)
        yield self.files[path]

    async def write(self, path: str, data: bytes, *, if_match: str | None) -> Entry:
        raise Forbidden("No.")

    async def _answer(self, path: str) -> None:
        if self.dead:
            raise Unavailable("“Cloud” does not answer.")
        if self.hangs:
            await asyncio.Event().wait()
        if path in self.closed:
            raise Forbidden(f"“Cloud” does not allow this with “{path}”.")

    def _children(self, path: str) -> set[str]:
        start = f"{path}/" if path else ""
        return {start + name[len(start) :].split("/")[0] for name in self.files if name.startswith(start)}


@dataclass
class Sites(MountedStores):
    """The real stores, with some more that tests make."""

    more: list[Place] = field(default_factory=list)

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.more = []

    def places(self, user: User | None = None, *, elsewhere: bool = True) -> list[Place]:
        more = [each for each in self.more if (user is None or each.owner == user.name) and elsewhere]
        return super().places(user, elsewhere=elsewhere) + more

    def owned(self, people: Collection[str]) -> frozenset[str]:
        return super().owned(people) | {each.id for each in self.more if each.owner in people}


@dataclass
class Site:
    world: World
    sites: Sites
    looker: FirstLine
    harvesting: Harvesting
    index: Index
    indexing: Indexing
    root: Path

    def put(self, path: str, text: str = "") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    async def sweep(self) -> Any:
        self.looker.looked.clear()
        report = await self.harvesting.sweep()
        self.indexing.catch_up()
        return report

    async def found(self, text: str = "", visitor: Visitor = AS_ADA) -> list[str]:
        page = await OwnCatalog(self.index).search(parse(text), visitor=visitor, limit=100)
        assert page.total == len(page.records)
        return sorted(f"{each.details['store']}:{each.details['path']}" for each in page.records)

    async def one(self, text: str, visitor: Visitor = AS_ADA) -> Any:
        (record,) = (await OwnCatalog(self.index).search(parse(text), visitor=visitor, limit=9)).records
        return record

    def bounded(self, **changed: Any) -> None:
        self.harvesting = Harvesting(self.world.core, self.looker, bounds=replace(self.harvesting.bounds, **changed))


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Site]:
    for name in ("homes", "shared/physics", "shared/everyone", "shared/gone"):
        (tmp_path / name).mkdir(parents=True)
    shared = tuple(
        SharedFolder(f"shared-{name}", name, tmp_path / "shared" / name, "" if name == "everyone" else name)
        for name in ("everyone", "gone", "physics")
    )
    sites = Sites(
        homes=tmp_path / "homes",
        shared=shared,
        database=world.core.database,
        http=Http(),
        aside=tmp_path / "aside",
        now=world.clock,
    )
    world.core.stores = sites
    looker, index = FirstLine(), Index(tmp_path / "index", memory=30_000_000, now=world.core.now)
    indexing, harvesting = Indexing(world.core, index), Harvesting(world.core, looker)
    yield Site(world, sites, looker, harvesting, index, indexing, tmp_path)
    index.close()


async def test_a_file_is_found_by_what_is_inside_by_its_owner_alone(site: Site) -> None:
    file = site.put("homes/ada/waves/tides.csv", "Tides of Venice\nheight,station")
    report = await site.sweep()
    assert (report.found, report.looked, report.gone, report.skipped) == (1, 1, 0, ())
    for text in ("venice", "column:station", "name:tides", "type:data", "owner:ada", "format:csv", "id:tides.csv"):
        assert await site.found(text) == ["home:waves/tides.csv"], text
        for stranger in (AS_BOB, AS_ROOT, NOBODY):
            assert await site.found(text, stranger) == [], (text, stranger)
    record = await site.one("venice")
    assert (record.id, record.title, record.size) == (
        "file:home-ada/waves/tides.csv",
        "Tides of Venice",
        file.stat().st_size,
    )
    assert record.changed is not None and abs(record.changed.timestamp() - file.stat().st_mtime) < 1
    assert record.details["checksum"].startswith("sha256:") and record.details["etag"] and "note" not in record.details


async def test_shared_folders_are_found_by_those_who_see_them(site: Site) -> None:
    for name in ("physics", "everyone", "gone"):
        site.put(f"shared/{name}/{name}.csv", f"Data of {name}")
    await site.sweep()
    assert await site.found("data") == ["shared-everyone:everyone.csv", "shared-physics:physics.csv"]
    assert await site.found("data", AS_EVE) == ["shared-everyone:everyone.csv"]
    assert await site.found("data", NOBODY) == []
    # A group that the Hub does not know has nobody who could see it.
    assert len(site.index) == 2


async def test_only_what_changed_is_looked_into(site: Site) -> None:
    one, two = site.put("homes/ada/one.csv", "One"), site.put("homes/ada/two.csv", "Two")
    await site.sweep()
    assert sorted(site.looker.looked) == ["one.csv", "two.csv"]
    with site.world.core.database.begin() as records:
        last = records.changes.last()
    assert (await site.sweep()).looked == 0 and site.looker.looked == []
    with site.world.core.database.begin() as records:
        assert records.changes.last() == last
    one.write_text("Another")
    two.rename(site.root / "homes/ada/three.csv")
    report = await site.sweep()
    assert (report.looked, report.gone) == (2, 1) and sorted(site.looker.looked) == ["one.csv", "three.csv"]
    assert await site.found() == ["home:one.csv", "home:three.csv"] and await site.found("another") == ["home:one.csv"]


async def test_programs_are_no_data_and_those_that_were_found_as_data_are_not_for_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put("homes/ada/tides.py", "x = 1")
    site.put("homes/ada/tides.csv", "Tides")
    with monkeypatch.context() as before:
        for module in (walks, looking):
            before.setattr(module, "PROGRAMS", frozenset())
        await site.sweep()
    assert await site.found("type:data tides") == ["home:tides.csv", "home:tides.py"]
    report = await site.sweep()
    # Only their names are told of, so nothing has to be opened for it.
    assert (report.looked, site.looker.looked) == (1, [])
    assert await site.found("type:data tides") == ["home:tides.csv"]
    for text in ("type:code tides", "type:programs tides", "format:py"):
        assert await site.found(text) == ["home:tides.py"]
    assert (await site.one("type:code")).format == "py"


async def test_what_cannot_be_read_is_found_by_its_name_with_the_reason(site: Site) -> None:
    site.put("homes/ada/broken.csv", "BROKEN")
    site.put("homes/ada/bug.csv", "BUG")
    site.put("homes/ada/archive.zip", "no text")
    site.put("homes/ada/fine.csv", "Fine")
    report = await site.sweep()
    assert await site.found() == [f"home:{each}" for each in ("archive.zip", "broken.csv", "bug.csv", "fine.csv")]
    assert (await site.one("name:broken")).details["note"] == "It is no table."
    assert (await site.one("name:bug")).details["note"] == "It could not be looked into."
    assert "note" not in (await site.one("name:archive")).details and "archive.zip" not in site.looker.looked
    assert {each.path: each.why for each in report.skipped} == {
        "broken.csv": "It is no table.",
        "bug.csv": "It could not be looked into.",
    }
    assert (await site.sweep()).looked == 0 and set(site.harvesting.noted()) == set(report.skipped)


async def test_folders_that_speak_for_themselves_and_zarr_are_one_thing_each(site: Site) -> None:
    site.put("homes/ada/survey/README.md", "A survey of birds")
    site.put("homes/ada/survey/birds.csv", "Birds")
    site.put("homes/ada/plain/x.csv", "X")
    site.put("homes/ada/cube.zarr/.zgroup", "{}")
    site.put("homes/ada/cube.zarr/t/0.0", "chunk")
    await site.sweep()
    assert await site.found("type:folder") == ["home:survey"]
    assert (await site.one("type:folder")).title == "A survey of birds"
    assert await site.found("name:cube") == ["home:cube.zarr"] and await site.found("name:0.0") == []
    assert (await site.one("name:cube")).type == "data"
    site.put("homes/ada/survey/README.md", "A survey of whales")
    await site.sweep()
    assert (await site.one("type:folder")).title == "A survey of whales"
    (site.root / "homes/ada/survey/README.md").unlink()
    await site.sweep()
    assert await site.found("type:folder") == [] and "home:survey/birds.csv" in await site.found()


async def test_nothing_outside_and_nothing_hidden_is_found(site: Site) -> None:
    secret = site.put("elsewhere/secret.csv", "Secret")
    site.put("homes/bob/his.csv", "His")
    home = site.put("homes/ada/own.csv", "Own").parent
    (home / "link.csv").symlink_to(secret)
    (home / "folder").symlink_to(secret.parent)
    (home / "bob").symlink_to(site.root / "homes/bob")
    (home / "loop").symlink_to(home)
    site.put("homes/ada/.hidden/x.csv", "Hidden")
    site.put("homes/ada/node_modules/x/README.md", "Installed")
    site.put("homes/ada/line\nbreak.csv", "Odd")
    os.mkfifo(home / "fifo.csv")
    report = await site.sweep()
    assert await site.found() == ["home:own.csv"]
    assert [each.path for each in report.skipped] == ["node_modules"]


async def test_a_folder_that_becomes_a_link_is_found_where_it_leads(site: Site) -> None:
    site.put("homes/ada/a/x.csv", "X")
    await site.sweep()
    (site.root / "homes/ada/a").rename(site.root / "homes/ada/b")
    (site.root / "homes/ada/a").symlink_to("b")
    await site.sweep()
    assert await site.found() == ["home:b/x.csv"]
    site.put("homes/ada/a/y.csv", "Y")
    site.harvesting.written(ADA, "home", "a/y.csv")
    await site.world.settle()
    site.indexing.catch_up()
    assert await site.found() == ["home:b/x.csv", "home:b/y.csv"]


async def test_what_was_found_by_name_is_looked_into_when_somebody_can(site: Site) -> None:
    site.put("homes/ada/x.csv", "Inside")
    blind = Harvesting(site.world.core)
    assert (await blind.sweep()).looked == 1 and (await blind.sweep()).looked == 0
    await site.sweep()
    assert await site.found("inside") == ["home:x.csv"] and (await site.sweep()).looked == 0


async def test_what_is_lent_is_given_back(site: Site) -> None:
    site.put("homes/ada/own.csv", "Own")
    site.put("homes/ada/cube.zarr/.zgroup", "{}")
    await site.sweep()
    assert list((site.root / "aside").iterdir()) == [] and (site.root / "homes/ada/own.csv").stat().st_nlink == 1


async def test_limits_are_said(site: Site) -> None:
    site.bounded(files=3, depth=2)
    for number in range(5):
        site.put(f"homes/ada/{number}.csv", str(number))
    site.put("homes/bob/a/b/c/deep.csv", "Deep")
    site.put("homes/bob/a/b/flat.csv", "Flat")
    report = await site.sweep()
    assert len(await site.found()) == 3 and await site.found(visitor=AS_BOB) == ["home:a/b/flat.csv"]
    said = {each.place: each.why for each in report.skipped}
    assert "too many files" in said["home-ada"] and "deeper than 2 folders" in said["home-bob"]


async def test_a_dead_store_is_named_and_stops_nobody(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    dead, mute = Cloud("dav-1", {"a.csv": b"Mute"}), Cloud("dav-2", {"b.csv": b"Hangs"})
    site.sites.more = [Place(each.id, each, frozenset({"user:ada"}), "ada") for each in (dead, mute)]
    site.put("homes/ada/own.csv", "Own")
    site.bounded(silence=0.2)
    with caplog.at_level(logging.INFO, "vaas"):
        await site.sweep()
        assert "0 gone." in caplog.messages[-1] and "skipped" not in caplog.text
    assert await site.found() == ["dav-1:a.csv", "dav-2:b.csv", "home:own.csv"]
    dead.dead, mute.hangs = True, True
    site.put("homes/ada/new.csv", "New")
    with caplog.at_level(logging.INFO, "vaas"):
        report = await site.sweep()
        assert "0 gone, 2 skipped." in caplog.messages[-1]
    assert {each.place: each.why for each in report.skipped} == dict.fromkeys(
        ("dav-1", "dav-2"), "“Cloud” does not answer."
    )
    assert caplog.text.count("dav-1 (ada), all of it: “Cloud” does not answer.") == 1
    await site.sweep()
    assert caplog.text.count("dav-1 (ada), all of it: “Cloud” does not answer.") == 1
    # What was found stays found: it is there, but nobody answers.
    assert await site.found() == ["dav-1:a.csv", "dav-2:b.csv", "home:new.csv", "home:own.csv"]
    dead.dead, dead.files = False, {"c.csv": b"Again"}
    mute.hangs = False
    await site.sweep()
    assert await site.found() == ["dav-1:c.csv", "dav-2:b.csv", "home:new.csv", "home:own.csv"]


async def test_a_store_takes_no_more_than_its_patience(site: Site) -> None:
    slow = Cloud("dav-1", {f"{n}.csv": b"x" for n in range(3)})
    slow.hangs = True
    site.sites.more = [Place("dav-1", slow, frozenset({"user:ada"}), "ada")]
    site.bounded(patience=0.2)
    report = await site.sweep()
    assert "took longer" in report.skipped[0].why


async def test_unchanged_folders_elsewhere_are_not_listed_again(site: Site) -> None:
    cloud = Cloud("dav-1", {"a/x.csv": b"X", "a/b/y.csv": b"Y", "c/z.csv": b"Z", "c/README": b"Here"})
    site.sites.more = [Place("dav-1", cloud, frozenset({"user:ada"}), "ada")]
    await site.sweep()
    everything = await site.found()
    assert len(everything) == 4
    for _ in range(2):
        cloud.listed.clear()
        await site.sweep()
        assert cloud.listed == [] and await site.found() == everything
    cloud.files["a/b/y.csv"] = b"Why"
    await site.sweep()
    assert cloud.listed == ["", "a", "a/b"] and site.looker.looked == ["y.csv"]
    assert await site.found("why") == ["dav-1:a/b/y.csv"] and await site.found() == everything
    del cloud.files["a/b/y.csv"]
    await site.sweep()
    assert "dav-1:a/b/y.csv" not in await site.found()


async def test_what_could_not_be_had_is_tried_again_where_nothing_else_changed(site: Site) -> None:
    cloud = Cloud("dav-1", {"a/x.csv": b"Xylophones", "b/y.csv": b"Y"})
    cloud.closed = {"a/x.csv", "b"}
    site.sites.more = [Place("dav-1", cloud, frozenset({"user:ada"}), "ada")]
    report = await site.sweep()
    assert sorted(each.path for each in report.skipped) == ["a/x.csv", "b"]
    assert await site.found() == ["dav-1:a/x.csv"] and await site.found("xylophones") == []
    cloud.closed = set()
    await site.sweep()
    assert site.looker.looked == ["x.csv", "y.csv"] and await site.found() == ["dav-1:a/x.csv", "dav-1:b/y.csv"]
    assert "note" not in (await site.one("xylophones")).details
    # What was known of it stays until there is something better.
    cloud.files["a/x.csv"], cloud.closed = b"Marimbas", {"a/x.csv"}
    await site.sweep()
    assert await site.found("xylophones") == ["dav-1:a/x.csv"]
    cloud.closed = set()
    await site.sweep()
    assert await site.found("xylophones") == [] and await site.found("marimbas") == ["dav-1:a/x.csv"]


async def test_no_more_is_fetched_than_one_sweep_may(site: Site) -> None:
    cloud = Cloud("dav-1", {f"{number}.csv": b"Whales".ljust(100, b".") for number in range(5)})
    site.sites.more = [Place("dav-1", cloud, frozenset({"user:ada"}), "ada")]
    site.bounded(fetched=250, copied=100)
    for looked in (2, 4, 5):
        await site.sweep()
        assert len(await site.found()) == 5 and len(await site.found("title:whales")) == looked
    cloud.files["large.csv"] = b"x" * 101
    site.bounded(fetched=1000)
    await site.sweep()
    assert "larger than" in (await site.one("name:large")).details["note"]


async def test_what_nobody_has_any_more_vanishes(site: Site) -> None:
    for name in ("ada", "bob"):
        site.put(f"homes/{name}/x.csv", "Waves")
    site.put("shared/physics/y.csv", "Waves")
    with site.world.core.database.begin() as records:
        records.accounts.add(
            StoreAccount("dav-1", "ada", "C", "https://c.example.org/", "a", site.world.core.now()), "x"
        )
    cloud = Cloud("dav-1", {"z.csv": b"Waves"})
    site.sites.more = [Place("dav-1", cloud, frozenset({"user:ada"}), "ada")]
    await site.sweep()
    assert await site.found("waves") == ["dav-1:z.csv", "home:x.csv", "shared-physics:y.csv"]
    # Without any sweep, as soon as the index follows.
    site.sites.more = []
    site.sites.disconnect(ADA, "dav-1")
    site.indexing.catch_up()
    assert await site.found("waves") == ["home:x.csv", "shared-physics:y.csv"]
    del site.world.people.known["bob"]
    site.world.people.known["ada"] = User("ada")
    report = await site.sweep()
    assert report.gone == 2 and await site.found("waves", Visitor(BOB)) == [] and len(site.index) == 1
    # Who does not answer does not say that there is nobody.
    site.world.people.known.clear()
    site.world.people.people = site.world.people.groups = _no_answer  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await site.sweep()
    assert await site.found("waves") == ["home:x.csv"]


async def test_what_cannot_be_read_for_a_moment_keeps_what_was_found(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name, home in (("ada", site.root / "homes/ada"), ("bob", elsewhere), ("eve", site.root / "homes/eve")):
        site.put(str(home / "x.csv"), "Waves")
        site.world.people.known[name] = User(name)
    (site.root / "homes/bob").symlink_to(elsewhere)
    _connect(site, "dav-1", sealed_with=b"a" * 32)
    with site.world.core.database.begin() as records:
        records.finds.save([_found("dav-1", "y.csv"), _found("dav-2", "z.csv")])
    await site.sweep()
    # A disk that is not mounted, homes that are made when they are used, and a key that is another one now.
    elsewhere.rename(tmp_path / "away")
    (site.root / "homes/ada").rename(tmp_path / "ada")
    (site.root / "homes/eve").rename(tmp_path / "eve")
    (site.root / "homes/eve").symlink_to("eve")
    caplog.clear()
    for _ in range(2):
        report = await site.sweep()
        closed = {each.place for each in report.skipped if each.path == "" and "at the moment" in each.why}
        assert closed == {"dav-1", "home-ada", "home-bob", "home-eve"}
        for name in ("ada", "bob", "eve"):
            assert "home:x.csv" in await site.found("waves", Visitor(User(name)))
    assert await site.found("name:y.csv") == ["dav-1:y.csv"] and await site.found("name:z.csv") == []
    assert sum("home-ada" in each.message for each in caplog.records) == 1
    # They are there again, and one person is not.
    (tmp_path / "away").rename(elsewhere)
    (tmp_path / "ada").rename(site.root / "homes/ada")
    del site.world.people.known["eve"]
    report = await site.sweep()
    assert report.gone == 1 and await site.found("waves", Visitor(User("eve"))) == []
    assert await site.found("waves") == await site.found("waves", AS_BOB) == ["home:x.csv"]


async def test_a_hub_that_knows_nobody_at_all_has_lost_its_list(site: Site) -> None:
    site.put("homes/ada/x.csv", "Waves")
    await site.sweep()
    known = dict(site.world.people.known)
    site.world.people.known.clear()
    assert (await site.sweep()).gone == 0 and await site.found("waves") == ["home:x.csv"]
    site.world.people.known |= {name: user for name, user in known.items() if name != "ada"}
    assert (await site.sweep()).gone == 1 and await site.found("waves") == []


async def test_what_is_touched_here_opens_no_account_and_what_is_elsewhere_is_looked_at(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    # Who opens this one is told in the log that it cannot be.
    _connect(site, "dav-0", sealed_with=b"a" * 32)
    cloud = Cloud("dav-1", {"y.csv": b"Whales"})
    site.sites.more = [Place("dav-1", cloud, frozenset({"user:ada"}), "ada")]
    site.put("homes/ada/x.csv", "Waves")
    assert (await site.harvesting.touched([Touched("home-ada", "x.csv")])).looked == 1
    assert "dav-0" not in caplog.text
    touched = [Touched("dav-1", "y.csv"), Touched("home-ada", "x.csv"), Touched("none", "z")]
    assert (await site.harvesting.touched(touched)).looked == 1 and "dav-0" in caplog.text


async def test_a_place_that_answers_without_its_top_keeps_what_was_found(site: Site) -> None:
    cloud = Cloud("dav-1", {"x.csv": b"Waves"})
    site.sites.more = [Place("dav-1", cloud, frozenset({"user:ada"}), "ada")]
    await site.sweep()
    cloud.topless = True
    report = await site.sweep()
    assert report.gone == 0 and "not there at the moment" in report.skipped[0].why
    assert await site.found("waves") == ["dav-1:x.csv"]


def _connect(site: Site, account: str, *, sealed_with: bytes) -> None:
    """Connect an account as a portal with another key does."""
    other = SqlDatabase(f"sqlite:///{site.root / 'portal.sqlite'}", seal=Seal(sealed_with))
    with other.begin() as records:
        made = StoreAccount(account, "ada", "C", "https://c.example.org/", "a", site.world.core.now())
        records.accounts.add(made, "x")
    other.close()


def _found(place: str, path: str) -> Find:
    record = {"id": f"file:{place}/{path}", "type": "data", "title": path, "names": [path]}
    record["details"] = {"store": place, "path": path}
    return Find(place, path, "1", "data", record, frozenset({"user:ada"}), datetime(2026, 1, 1, tzinfo=UTC))


async def _no_answer() -> list[str]:
    raise Unavailable("The Hub does not answer.")


async def test_names_of_people_make_places_that_differ(site: Site) -> None:
    names = ["ada", "Ada B", "a.b", "..", "a/b", "é" * 40, "home-ada", "a%2fb"]
    for name in names:
        site.world.people.known[name] = User(name)
        site.sites.of(User(name))
        (site.sites._home(name) / "x.csv").write_text(f"Of {name}")
    await site.sweep()
    places = site.sites.places()
    assert len({place.id for place in places}) == len(places) == len(names) + 3
    assert all(
        len(place.id) <= 80 and not set(place.id) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.") for place in places
    )
    for name in names:
        assert await site.found(visitor=Visitor(User(name))) == ["home:x.csv"]


async def test_what_is_touched_is_looked_at_at_once(site: Site) -> None:
    async def touch(*paths: str) -> list[str]:
        await site.harvesting.touched([Touched("home-ada", path) for path in paths])
        site.indexing.catch_up()
        return [each.removeprefix("home:") for each in await site.found()]

    site.put("homes/ada/a/one.csv", "One")
    assert await touch("a") == ["a/one.csv"]
    site.put("homes/ada/a/b/two.csv", "Two")
    site.put("homes/ada/c/three.csv", "Not told of")
    assert await touch("a/b/two.csv") == ["a/b/two.csv", "a/one.csv"]
    site.put("homes/ada/a/README.md", "Speaks")
    assert await touch("a/README.md") == ["a", "a/b/two.csv", "a/one.csv"]
    shutil.rmtree(site.root / "homes/ada/a/b")
    assert await touch("a/b/two.csv", "a/b") == ["a", "a/one.csv"]
    (site.root / "homes/ada/a").rename(site.root / "homes/ada/d")
    assert await touch("a", "d") == ["d", "d/one.csv"]
    site.put("homes/ada/cube.zarr/t/0.0", "chunk")
    assert await touch("cube.zarr/t/0.0") == ["cube.zarr", "d", "d/one.csv"]
    site.put("homes/ada/node_modules/x.csv", "Installed")
    assert await touch("node_modules", "node_modules/x.csv") == ["cube.zarr", "d", "d/one.csv"]
    assert await touch("") == ["c/three.csv", "cube.zarr", "d", "d/one.csv"]
    await site.harvesting.touched([])


async def test_what_is_written_through_the_portal_is_found(site: Site) -> None:
    site.put("homes/ada/new.csv", "Fresh")
    site.put("homes/bob/new.csv", "Not his to tell")
    site.harvesting.written(ADA, "home", "new.csv")
    site.harvesting.written(ADA, "none", "new.csv")
    await site.world.settle()
    site.indexing.catch_up()
    assert await site.found() == ["home:new.csv"] and await site.found(visitor=AS_BOB) == []


def put_results(site: Site, folder: str) -> None:
    """Put the results of a run there as the portal does."""
    wrote = {"log.txt": "begun", "result.html": "<p>tides</p>", "tides.ipynb": "{}", "files/made.csv": "a,b"}
    for path, text in wrote.items():
        site.put(f"{folder}/{path}", text)
    files = [{"path": path, "sha256": "0" * 64, "size": len(text)} for path, text in wrote.items()]
    about = {"run": "r1", "notebook": {}, "environment": {}, "facility": "here", "created": "", "files": files}
    site.put(f"{folder}/run.json", json.dumps(about))


async def test_of_a_runs_results_the_portals_own_files_are_not_found(site: Site) -> None:
    results = "homes/ada/Results/Tides"
    put_results(site, results)
    site.put("homes/ada/log.txt", "mine")
    site.put("homes/ada/run.json", '{"run": "r1", "files": []}')
    site.put("homes/ada/result.html", "mine")
    await site.sweep()
    own = ["home:log.txt", "home:result.html", "home:run.json"]
    left = ["home:Results/Tides/files/made.csv", "home:Results/Tides/tides.ipynb"]
    assert await site.found() == left + own
    # Told of one by one, as when they are written.
    touched = [f"Results/Tides/{name}" for name in ("log.txt", "result.html", "run.json")]
    await site.harvesting.touched([Touched("home-ada", path) for path in touched])
    site.indexing.catch_up()
    assert await site.found() == left + own
    # What she made of it is hers.
    site.put(f"{results}/log.txt", "begun, and what I think of it")
    await site.harvesting.touched([Touched("home-ada", "Results/Tides/log.txt")])
    site.indexing.catch_up()
    assert await site.found() == sorted(["home:Results/Tides/log.txt", *left, *own])


async def test_the_portals_own_files_that_were_found_are_not_for_long(site: Site) -> None:
    put_results(site, "homes/ada/Results/Tides")
    about = (site.root / "homes/ada/Results/Tides/run.json").read_text()
    site.put("homes/ada/Results/Tides/run.json", "half")
    await site.sweep()
    assert len(await site.found()) == 5
    site.put("homes/ada/Results/Tides/run.json", about)
    await site.sweep()
    assert len(await site.found()) == 2


@pytest.mark.parametrize("about", ["", "[]", "[" * 100_000, '{"run": 1}', '{"files": 3}'])
async def test_what_only_has_the_name_of_the_portals_files_is_found(site: Site, about: str) -> None:
    for name, text in {"run.json": about, "log.txt": "x", "result.html": "x", "Data.md": "# My data"}.items():
        site.put(f"homes/ada/model/{name}", text)
    await site.sweep()
    assert len(await site.found()) == 4


async def test_what_a_launch_says_of_its_data_is_not_found(site: Site) -> None:
    manifest = Manifest("l1", "Tides", "Tides", "tides.ipynb")
    site.put("homes/ada/Tides/Data.md", overview(manifest, {}, notebook="Tides/tides.ipynb"))
    site.put("homes/ada/Tides/tides.ipynb", "{}")
    await site.sweep()
    assert await site.found() == ["home:Tides/tides.ipynb"]


async def test_values_that_no_database_takes_keep_nothing_from_being_found(site: Site) -> None:
    class Strange(FirstLine):
        async def look(self, path: Path, *, name: str) -> Inside:
            nan = float("nan")
            return Inside(
                "app",
                "x" * 999,
                "half \ud800 a\0character " * 99,
                box=(nan, 0, 0, 0),
                details={"x": nan},
            )

    site.harvesting = Harvesting(site.world.core, Strange())
    site.put("homes/ada/odd.csv", "Odd")
    await site.sweep()
    record = await site.one("half")
    assert (record.type, record.box) == ("data", None) and len(record.title) < 250
    with site.world.core.database.begin() as records:
        (find,) = records.finds.some(["home-ada/odd.csv"])
    json.dumps(find.record, allow_nan=False)


async def test_a_file_that_changes_while_it_is_looked_at_is_what_it_is_now(site: Site) -> None:
    class Interrupted(FirstLine):
        async def look(self, path: Path, *, name: str) -> Inside:
            seen = await super().look(path, name=name)
            if seen.title == "Old":
                site.put("homes/ada/x.csv", "New and longer")
                await site.harvesting.touched([Touched("home-ada", "x.csv")])
            return seen

    site.looker = Interrupted()
    site.bounded()
    site.put("homes/ada/x.csv", "Old")
    await site.sweep()
    assert site.looker.looked == ["x.csv", "x.csv"] and await site.found("longer") == ["home:x.csv"]
    assert await site.found("title:old") == [] and (await site.sweep()).looked == 0


async def test_what_comes_back_while_it_is_swept_stays(site: Site) -> None:
    class Blinking(FolderStore):
        blinks = False

        async def list(self, path: str) -> tuple[Entry, ...]:
            return tuple(each for each in await super().list(path) if not self.blinks)

    site.put("blinking/x.csv", "X")
    store = Blinking("shared-x", "X", site.root / "blinking")
    site.sites.more = [Place("shared-x.1", store, frozenset({"user:ada"}), "ada")]
    await site.sweep()
    store.blinks = True
    assert (await site.sweep()).gone == 0 and await site.found() == ["shared-x:x.csv"]


async def test_what_is_touched_counts_for_the_limit(site: Site) -> None:
    site.bounded(files=3)
    for number in range(3):
        site.put(f"homes/ada/a/{number}.csv", str(number))
    await site.sweep()
    site.put("homes/ada/b/new.csv", "New")
    await site.harvesting.touched([Touched("home-ada", "b/new.csv")])
    site.indexing.catch_up()
    assert len(await site.found()) == 3 and "home:b/new.csv" not in await site.found()
    # What is there first by its name takes nobody's place, and one that goes makes room.
    site.put("homes/ada/a/!new.csv", "New")
    for path in ("a/!new.csv", "a", ""):
        await site.harvesting.touched([Touched("home-ada", path)])
        site.indexing.catch_up()
        assert await site.found() == [f"home:a/{number}.csv" for number in range(3)], path
    (site.root / "homes/ada/a/1.csv").unlink()
    await site.harvesting.touched([Touched("home-ada", "a/1.csv")])
    site.indexing.catch_up()
    assert await site.found() == ["home:a/!new.csv", "home:a/0.csv", "home:a/2.csv"]


async def test_an_index_that_is_far_behind_is_made_anew(site: Site) -> None:
    file = site.put("homes/ada/early.csv", "Early")
    site.put("homes/ada/stays.csv", "Stays")
    await site.sweep()
    file.unlink()
    site.put("homes/ada/late.csv", "Late")
    await site.harvesting.sweep()
    with site.world.core.database.begin() as records:
        known = records.changes.count()
        assert not records.changes.forget(keep=0, most=100) and records.changes.count() == known - 1
    assert await site.found() == ["home:early.csv", "home:stays.csv"]
    site.indexing.catch_up()
    assert await site.found() == ["home:late.csv", "home:stays.csv"]
    # It is up to date now, and is not made again.
    assert site.indexing.catch_up() == 0


async def test_changes_are_forgotten_when_there_are_many_more_than_are_kept(site: Site) -> None:
    async def come_and_go(*names: str) -> list[str]:
        files = [site.put(f"homes/ada/{name}") for name in names]
        await site.sweep()
        for file in files:
            file.unlink()
        for _ in range(2):
            await site.sweep()
        with site.world.core.database.begin() as records:
            return [each.key.removeprefix("home-ada/") for each in records.changes.since(0, limit=9)]

    site.bounded(remembered=4)
    # Two changes each: six are not so many more than four, ten are, and then the first six are forgotten.
    assert await come_and_go("a", "b", "c") == ["a", "b", "c"]
    assert await come_and_go("d") == ["a", "b", "c", "d"]
    assert await come_and_go("e") == ["d", "e"]


def _oracle(home: Path) -> dict[str, str]:
    """Return what can be found in a folder, by path with the title that it has."""
    found = {}
    for file in home.rglob("*"):
        path = file.relative_to(home)
        if file.is_file() and not any(part.startswith(".") for part in path.parts):
            found[str(path)] = file.read_text().split("\n")[0] if path.suffix == ".csv" else path.name
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_change_that_is_told_the_index_has_what_the_home_has(site: Site, seed: int) -> None:
    chance, home = random.Random(seed), site.root / "homes" / "ada"
    home.mkdir()
    for step in range(60):
        touched = _change(home, chance, step)
        await site.harvesting.touched([Touched("home-ada", str(path.relative_to(home))) for path in touched])
        if step % 5 == 4:
            site.indexing.catch_up()
            page = await OwnCatalog(site.index).search(parse(""), visitor=AS_ADA, limit=500)
            assert {each.details["path"]: each.title for each in page.records} == _oracle(home), (seed, step)


def _change(home: Path, chance: random.Random, step: int) -> list[Path]:
    """Change something, and return what the system tells of it."""
    files = [each for each in home.rglob("*") if each.is_file()]
    folders = [each for each in home.rglob("*") if each.is_dir()]
    action = chance.choice(["make", "make", "change", "move", "delete", "rmdir", "mvdir", "tree"])
    if action == "tree":
        top = chance.choice([home, *folders]) / f"tree-{step}"
        for number in range(chance.randrange(1, 12)):
            file = top / f"{number % 3}" / f"{number}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"Tree {step} {number}")
        return [top]
    if action == "make" or not files:
        file = chance.choice([home, *folders]) / f"{step}.{chance.choice(['csv', 'zip'])}"
        file.write_text(f"Title {step}")
        return [file]
    chosen = chance.choice(files)
    if action == "change":
        chosen.write_text(f"Changed {step}")
    elif action == "delete":
        chosen.unlink()
    elif action == "move" or not folders:
        return [chosen, chosen.rename(chance.choice([home, *folders]) / f"moved-{step}.csv")]
    elif action == "rmdir":
        chosen = chance.choice(folders)
        shutil.rmtree(chosen)
    else:
        chosen = chance.choice(folders)
        with suppress(OSError):
            return [chosen, chosen.rename(chance.choice([home, *folders]) / f"folder-{step}")]
        return []
    return [chosen]


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_changes_the_index_has_what_the_stores_have(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    homes = {name: site.root / "homes" / name for name in ("ada", "bob")}
    clouds: dict[str, Cloud] = {}
    for home in homes.values():
        home.mkdir()
    for step in range(60):
        if chance.random() < 0.25:
            _change_a_cloud(site, clouds, chance, step)
        else:
            _change(homes[chance.choice(["ada", "bob"])], chance, step)
        if step % 6 == 5:
            await site.sweep()
            for name, home in homes.items():
                expected = {f"home:{path}": title for path, title in _oracle(home).items()}
                for place in site.sites.more:
                    if place.owner == name:
                        told = clouds[place.id].files
                        expected |= {f"{place.id}:{path}": data.decode() for path, data in told.items()}
                page = await OwnCatalog(site.index).search(parse(""), visitor=Visitor(User(name)), limit=500)
                found = {f"{each.details['store']}:{each.details['path']}": each.title for each in page.records}
                assert found == expected and page.total == len(expected), (seed, step)
    assert site.index.followed[1] > 50


def _change_a_cloud(site: Site, clouds: dict[str, Cloud], chance: random.Random, step: int) -> None:
    """Connect, disconnect or change an account."""
    connected = {place.id for place in site.sites.more}
    what = chance.choice(["connect", "disconnect", "put", "put", "drop"])
    if what == "connect" or not connected:
        owner = chance.choice(["ada", "bob"])
        cloud = clouds[f"dav-{step}"] = Cloud(f"dav-{step}", {"a/b/one.csv": b"One", "two.csv": b"Two"})
        site.sites.more.append(Place(cloud.id, cloud, frozenset({f"user:{owner}"}), owner))
        return
    chosen = chance.choice(sorted(connected))
    files = clouds[chosen].files
    if what == "disconnect":
        site.sites.more = [place for place in site.sites.more if place.id != chosen]
    elif what == "put":
        files[f"{chance.choice(['a', 'a/b', 'c'])}/{step}.csv"] = f"Cloud {step}".encode()
    elif files:
        del files[chance.choice(sorted(files))]
