"""Environments that travel: what a notebook asks for becomes a lock among its files, and that what it runs in."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, World
from vaas.environments.base import Made, Maker, Told, nobody
from vaas.errors import Invalid, NotFound, TooLarge, Unavailable
from vaas.locks import LOCK, Lock, Pin, digest_of
from vaas.model import Draft, Snapshot, Version, Visitor
from vaas.notebook import parse
from vaas.portal import Publication
from vaas.portal.opening import draft_server
from vaas.requirements import Requirements
from vaas.runtime.missing import missing_modules
from vaas.runtime.outputs import Outcome
from vaas.runtime.python import HERE, KernelPython, find_python

A = "a" * 64
LESSON = {"lesson.ipynb": notebook("import tiny"), "requirements.txt": b"tiny\n"}


class Shelf(Maker):
    """Has each package in its newest ``versions``; environments are names on a shelf."""

    def __init__(self) -> None:
        self.versions = {"tiny": "1.0"}
        self.core = "core==1"
        self.there: set[str] = set()
        self.locks = 0
        self.made: list[str] = []
        self.kept: Collection[str] = ()
        self.wrong: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    def wanted(self, asked: Requirements) -> str:
        return asked.digest(self.core)

    async def lock(self, asked: Requirements, *, before: Lock | None = None, told: Told = nobody) -> Lock:
        self.locks += 1
        told("finding versions")
        await self.go.wait()
        if missing := [each for each in asked.asked if each.name not in self.versions]:
            raise Invalid(f"{asked.where(missing[0].name)}: there is no such package.")
        return Lock("3.11", self.wanted(asked), tuple(Pin(r.name, self.versions[r.name], (A,)) for r in asked.asked))

    async def make(self, lock: Lock, *, told: Told = nobody) -> Made:
        told("putting it together")
        await self.go.wait()
        if self.wrong:
            raise self.wrong
        self.there.add(lock.digest)
        self.made.append(lock.digest)
        return Made(lock.digest, lock.python, 1)

    def find(self, digest: str) -> Made | None:
        return Made(digest, "3.11", 1) if digest in self.there else None

    def sweep(self, *, keep: Collection[str]) -> int:
        self.kept = keep
        gone = {digest for digest in self.there if digest not in keep}
        self.there -= gone
        return len(gone)


@pytest.fixture
def shelf(world: World) -> Shelf:
    found = Shelf()
    world.core.maker = found
    return found


async def drafted(world: World, files: dict[str, bytes] | None = None, *, slug: str = "") -> Draft:
    """Upload the files, and return the draft as it is when nothing goes on any more."""
    draft = world.portal.drafts.begin_upload(ADA, files or LESSON, slug=slug)
    await world.settle()
    return world.portal.drafts.get(ADA, draft.id)


async def published(world: World, files: dict[str, bytes] | None = None, *, slug: str = "") -> Version:
    draft = await drafted(world, files, slug=slug)
    world.report(draft)
    app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(title="Tiny"))
    version = world.portal.gallery.current(app)
    assert version
    return version


def paths(snapshot: Snapshot) -> list[str]:
    return [file.path for file in snapshot.files]


class TestPublishing:
    """A draft that asks for packages of its own."""

    async def test_its_environment_is_made_before_its_check_and_its_lock_is_one_of_its_files(
        self, world: World, shelf: Shelf
    ) -> None:
        shelf.go.clear()
        draft = world.portal.drafts.begin_upload(ADA, LESSON)
        await asyncio.sleep(0.05)
        meanwhile = await world.portal.drafts.progress(ADA, draft.id)
        assert meanwhile.state == "running" and world.machines.starts == []
        assert meanwhile.progress == {"stage": "environment", "text": "Making its environment: finding versions"}
        shelf.go.set()
        await world.settle()
        ready = world.portal.drafts.get(ADA, draft.id)
        assert world.machines.starts == [draft_server(draft)] and ready.state == "waiting" and ready.progress == {}
        assert paths(ready.snapshot) == ["lesson.ipynb", "requirements.txt", LOCK]
        assert shelf.made == [digest_of(ready.snapshot)]
        assert (
            world.portal.servers.manifest(draft_server(draft), public_url="http://x/")["environment"] == shelf.made[0]
        )

    async def test_what_asks_for_nothing_is_as_it_was(self, world: World, shelf: Shelf) -> None:
        for files in ({"lesson.ipynb": LESSON["lesson.ipynb"]}, {**LESSON, "requirements.txt": b"# nothing\n"}):
            draft = await drafted(world, files)
            assert paths(draft.snapshot) == sorted(files) and digest_of(draft.snapshot) == ""
            manifest = world.portal.servers.manifest(draft_server(draft), public_url="http://x/")
            assert manifest["environment"] == ""
        assert shelf.locks == 0

    async def test_what_cannot_be_had_ends_the_check_with_the_line(self, world: World, shelf: Shelf) -> None:
        draft = await drafted(world, {**LESSON, "requirements.txt": b"tiny\nnothere\n"})
        (problem,) = draft.report["problems"]
        assert draft.state == "done" and not draft.report["ok"] and world.machines.starts == []
        assert problem["kind"] == "environment"
        assert problem["text"] == "Line 2 of requirements.txt (“nothere”): there is no such package."
        shelf.versions["nothere"] = "1"
        world.portal.drafts.check_again(ADA, draft.id)
        await world.settle()
        assert digest_of(world.portal.drafts.get(ADA, draft.id).snapshot)

    @pytest.mark.parametrize("wrong", [TooLarge("It is too large."), Unavailable("The index is silent.")])
    async def test_what_goes_wrong_while_it_is_made_is_said(self, world: World, shelf: Shelf, wrong: Exception) -> None:
        shelf.wrong = wrong
        draft = await drafted(world)
        assert draft.report["problems"][0]["text"] == str(wrong) and digest_of(draft.snapshot) == ""

    async def test_a_draft_that_is_discarded_meanwhile_stays_gone(self, world: World, shelf: Shelf) -> None:
        shelf.go.clear()
        draft = world.portal.drafts.begin_upload(ADA, LESSON)
        await asyncio.sleep(0.05)
        world.portal.drafts.discard(ADA, draft.id)
        shelf.go.set()
        await world.settle()
        with pytest.raises(NotFound):
            world.portal.drafts.get(ADA, draft.id)
        assert world.machines.starts == []

    async def test_where_the_site_makes_none_it_runs_with_what_all_have(self, world: World) -> None:
        draft = await drafted(world, {**LESSON, LOCK: b"of another site"})
        assert paths(draft.snapshot) == ["lesson.ipynb", "requirements.txt"]
        assert world.portal.environments.shown(draft).makes is False

    async def test_the_file_beside_a_notebook_in_a_store_travels_along(self, world: World, shelf: Shelf) -> None:
        for name, data in LESSON.items():
            world.put(ADA, f"course/{name}", data)
        draft = await world.portal.drafts.begin(ADA, "home", "course/lesson.ipynb")
        assert paths(draft.snapshot) == ["lesson.ipynb", "requirements.txt"]
        await world.settle()
        assert digest_of(world.portal.drafts.get(ADA, draft.id).snapshot) in shelf.made


class TestLater:
    """What a version was published with is what it runs with."""

    async def test_the_same_asked_again_changes_nothing_and_something_else_does(
        self, world: World, shelf: Shelf
    ) -> None:
        first = await published(world)
        shelf.versions = {"tiny": "2.0", "more": "1"}
        second = await published(world, {**LESSON, "lesson.ipynb": notebook("import tiny; 2")}, slug="tiny")
        assert digest_of(first.snapshot) == digest_of(second.snapshot) and shelf.locks == 1
        third = await published(world, {**LESSON, "requirements.txt": b"tiny\nmore\n"}, slug="tiny")
        assert dict(world.portal.environments.shown(third).packages) == {"tiny": "2.0", "more": "1"}
        assert [version.number for version in world.portal.versions.list(Visitor(ADA), "tiny")[1]] == [3, 2, 1]

    async def test_a_new_kernel_of_the_site_leaves_it_and_is_taken_with_the_next_version(
        self, world: World, shelf: Shelf
    ) -> None:
        first = await published(world)
        shelf.core = "core==2"
        assert await world.portal.environments.ready(first.snapshot) == Made(digest_of(first.snapshot), "3.11", 1)
        second = await published(world, {**LESSON, "lesson.ipynb": notebook("2")}, slug="tiny")
        assert digest_of(second.snapshot) != digest_of(first.snapshot)

    async def test_a_copy_takes_its_lock_along(self, world: World, shelf: Shelf) -> None:
        first = await published(world)
        lock = world.core.content.read(digest_of(first.snapshot))
        shelf.versions["tiny"] = "2.0"
        copy = await drafted(world, {**LESSON, LOCK: lock})
        assert digest_of(copy.snapshot) == digest_of(first.snapshot) and shelf.locks == 1
        # One that does not fit, or cannot be had any more, is made anew.
        other = await drafted(world, {**LESSON, "requirements.txt": b"tiny>1\n", LOCK: lock})
        assert digest_of(other.snapshot) != digest_of(first.snapshot)

    @pytest.mark.attack
    async def test_a_lock_that_a_stranger_made_up_is_not_what_it_runs_in(self, world: World, shelf: Shelf) -> None:
        evil = b"# python: 3.11\nevil @ file:///etc/passwd\n"
        asking = await drafted(world, {**LESSON, LOCK: evil})
        assert digest_of(asking.snapshot) in shelf.made
        assert b"evil" not in world.core.content.read(digest_of(asking.snapshot))
        silent = await drafted(world, {"lesson.ipynb": LESSON["lesson.ipynb"], LOCK: evil})
        assert paths(silent.snapshot) == ["lesson.ipynb"]

    async def test_an_app_whose_environment_is_lost_gets_it_again_before_it_starts(
        self, world: World, shelf: Shelf
    ) -> None:
        version = await published(world)
        server = world.server(world.core.see(Visitor(ADA), "tiny").app, 1)
        shelf.there.clear()
        shelf.go.clear()
        await world.portal.opening.begin(Visitor(ADA), "tiny")
        await asyncio.sleep(0.15)
        said = await world.portal.opening.progress(Visitor(ADA), "tiny")
        assert said.message == "Making the app’s environment again: putting it together."
        assert server not in world.machines.starts
        shelf.go.set()
        await world.settle()
        assert shelf.there == {digest_of(version.snapshot)} and server in world.machines.starts

    async def test_an_app_whose_environment_cannot_be_had_does_not_start_in_another(
        self, world: World, shelf: Shelf, caplog: pytest.LogCaptureFixture
    ) -> None:
        await published(world)
        shelf.there.clear()
        shelf.wrong = Unavailable("The index of packages does not answer.")
        starts = len(world.machines.starts)
        await world.portal.opening.begin(Visitor(ADA), "tiny")
        await world.settle()
        said = await world.portal.opening.progress(Visitor(ADA), "tiny")
        assert said.phase == "failed" and "does not answer" in said.detail and len(world.machines.starts) == starts
        server = world.server(world.core.see(Visitor(ADA), "tiny").app, 1)
        assert f"{server.path} did not start: The index of packages does not answer." in caplog.text
        world.core.maker = None
        with pytest.raises(Unavailable, match="this site makes none"):
            await world.portal.environments.ready((await _current(world)).snapshot)

    async def test_launches_and_runs_may_choose_it(self, world: World, shelf: Shelf) -> None:
        version = await published(world)
        found = world.portal.environments.of(version.snapshot)
        assert found and (found.kind, found.where, found.state) == ("lock", digest_of(version.snapshot), "ready")
        assert found.packages == {"tiny": "1.0"} and found.title == "As published"
        shelf.there.clear()
        again = world.portal.environments.of(version.snapshot)
        assert again and again.state == "unknown"
        bare = await drafted(world, {"lesson.ipynb": notebook("1")})
        assert world.portal.environments.of(bare.snapshot) is None

    async def test_the_sweep_keeps_what_versions_and_drafts_use(self, world: World, shelf: Shelf) -> None:
        version = await published(world)
        shelf.versions["more"] = "1"
        draft = await drafted(world, {**LESSON, "requirements.txt": b"more"})
        later = await published(world, {**LESSON, "requirements.txt": b"tiny\nmore"}, slug="tiny")
        shelf.there.add("b" * 64)
        assert world.portal.environments.sweep() == 1
        assert shelf.there == {digest_of(each.snapshot) for each in (version, draft, later)}

    async def test_it_is_told_when_it_was_locked(self, world: World, shelf: Shelf) -> None:
        first = await published(world)
        world.clock.forward(days=400)
        second = await published(world, {**LESSON, "lesson.ipynb": notebook("2")}, slug="tiny")
        shown = world.portal.environments.shown(second)
        assert (shown.since, dict(shown.packages), shown.asked) == (first.created, {"tiny": "1.0"}, "requirements.txt")


async def _current(world: World) -> Version:
    version = world.portal.gallery.current(world.core.see(Visitor(ADA), "tiny").app)
    assert version
    return version


class TestInTheAppServer:
    """Which Python a notebook's kernels are."""

    def made(self, folder: Path) -> KernelPython:
        site = folder / A / "lib" / "python3.11" / "site-packages"
        for path in (site / "tiny.py", folder / A / "bin" / "python", folder / f"{A}.json"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return find_python(A, {"VAAS_ENVIRONMENTS_FOLDER": str(folder)})

    def test_it_is_found_by_its_digest_or_the_app_does_not_start(self, tmp_path: Path) -> None:
        python = self.made(tmp_path)
        assert python.executable == str(tmp_path / A / "bin" / "python") and tmp_path / A in python.folders
        assert find_python("", {}) is HERE and HERE.folders == ()
        for digest, environ in ((A, {}), ("b" * 64, {"VAAS_ENVIRONMENTS_FOLDER": str(tmp_path)})):
            with pytest.raises(Unavailable, match="not on this machine"):
                find_python(digest, environ)

    def test_nothing_of_the_servers_own_packages_is_in_it(self, tmp_path: Path) -> None:
        python = self.made(tmp_path)
        environ = python.environ({"PATH": "/usr/bin", "PYTHONPATH": "/server", "LANG": "C"})
        assert environ["PATH"] == f"{tmp_path / A / 'bin'}:/usr/bin" and "PYTHONPATH" not in environ
        assert not python.is_missing("tiny") and not python.is_missing("json") and not python.is_missing("vaas")
        assert python.is_missing("pytest") and not HERE.is_missing("pytest")

    def test_what_is_missing_is_said_with_what_to_write_down(self, tmp_path: Path) -> None:
        lesson = parse(notebook("import json, tiny, zzz_one\nimport mine", "import zzz_two"), name="n")
        here, there = tmp_path / "here", tmp_path / "there"
        (here / "mine.py").parent.mkdir()
        (here / "mine.py").touch()
        where = {"folder": here, "cwd": here}
        own = missing_modules(lesson, Outcome(cells=2), **where, python=self.made(there), environ={})
        assert [each["text"] for each in own] == [
            "Cell 1 needs the module “zzz_one” (package zzz-one), which is not in its environment.",
            "Cell 2 needs the module “zzz_two” (package zzz-two), which is not in its environment.",
        ]
        assert own[0]["fix"].startswith("Add “zzz-one” to what the notebook asks for")
        shared = missing_modules(lesson, Outcome(cells=2), **where, python=HERE, environ={"VAAS_ENVIRONMENTS": "on"})
        assert len(shared) == 3 and "with 3 lines: tiny, zzz-one, zzz-two" in shared[0]["fix"]
        off = missing_modules(lesson, Outcome(cells=2), **where, python=HERE, environ={})
        assert off[1]["fix"].startswith("Ask for “zzz-one” to be installed")
