"""A notebook's own environment: where it can be chosen, that it is made first, and that no other notebook gets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub_service.launch_json import place_words
from tests.notebooks import notebook
from tests.own_servers import OFFERING, Labs
from tests.portal_parts import ADA, World
from tests.run_parts import finished, following, runs_of, state
from tests.unit.test_environments import LESSON, Shelf, published
from tests.unit.test_handlers import client
from tests.unit.test_running import Stage
from vaas.backends.base import Lent, OwnServer
from vaas.environments import files
from vaas.environments.base import Made
from vaas.errors import Conflict, Forbidden, Invalid, TooLarge, Unavailable
from vaas.lab.sandbox import python_folders
from vaas.launching import Environment, Run, Size
from vaas.locks import LOCK, digest_of
from vaas.model import Access, App, ServerName, Version, Visitor
from vaas.orders import Order
from vaas.plans import read_plan
from vaas.portal.choices import Choice
from vaas.portal.environments import BESIDE
from vaas.portal.run_folders import kernel_of
from vaas.portal.run_queue import choose
from vaas.portal.standing import settled
from vaas.pythons import folders_of
from vaas.stores.folder import FolderStore

AS_ADA, LENT = Visitor(ADA), Lent(ADA, "ada's own")


@pytest.fixture
def shelf(world: World) -> Shelf:
    """Return what makes environments; the site offers two places, of which one is this machine."""
    world.core.maker = made = Shelf()
    world.core.offering, world.core.own_servers = OFFERING, Labs()
    world.core.folders = lambda user: (user.name, ("everyone",))
    return made


async def app_of(world: World, shelf: Shelf, *, asked: str = "tiny") -> tuple[App, Version, str]:
    """Return an app of ada's that brings this, its version, and what its environment is called."""
    shelf.versions.setdefault(asked, "1.0")
    version = await published(world, {"lesson.ipynb": notebook(f"import {asked}"), "requirements.txt": asked.encode()})
    return app_with(world, version), version, f"lock-{digest_of(version.snapshot)[:12]}"


def app_with(world: World, version: Version) -> App:
    with world.core.database.begin() as records:
        app = records.apps.by_id(version.app_id)
    assert app
    return app


def labs(world: World) -> Labs:
    assert isinstance(world.core.own_servers, Labs)
    return world.core.own_servers


def at(choices: Iterable[Choice], environment: str) -> set[str]:
    """Return the places where the environment can be chosen."""
    return {each.facility.id for each in choices if each.environment.id == environment and each.possible}


def why_not(choices: Iterable[Choice], environment: str) -> str:
    """Return why the environment cannot be chosen on this machine."""
    (why,) = {each.why_not for each in choices if (each.environment.id, each.facility.id) == (environment, "here")}
    return why


class TestLaunching:
    """A launch of an app that brings its packages."""

    async def test_it_comes_first_where_it_lies_and_says_why_it_is_had_nowhere_else(
        self, world: World, shelf: Shelf
    ) -> None:
        app, _, own = await app_of(world, shelf)
        form = await world.portal.launching.form(AS_ADA, {"app": app.slug})
        assert form.suggested and (form.suggested.environment.id, form.suggested.facility.id) == (own, "here")
        assert form.suggested.environment.title == "As published" and form.suggested.missing == ()
        assert at(form.choices, own) == {"here"}
        (why,) = {each.why_not for each in form.choices if each.environment.id == own and each.facility.id == "cluster"}
        assert why == "What this portal makes does not lie there. Choose another environment, or another place."
        with pytest.raises(Forbidden, match="“As published” cannot be chosen. What this portal makes") as refused:
            await world.portal.launching.ask(AS_ADA, {"app": app.slug}, facility="cluster", environment=own)
        assert refused.value.field == "environment"
        assert {"apps", "slurm-py"} < {each.environment.id for each in form.choices}

    async def test_a_cluster_that_has_what_is_made_here_is_offered_it_and_it_is_made_before_the_job(
        self, world: World, shelf: Shelf
    ) -> None:
        app, version, own = await app_of(world, shelf)
        here, cluster, nights = OFFERING.facilities
        world.core.offering = replace(OFFERING, facilities=(here, replace(cluster, environments_shared=True), nights))
        laid(world, "tiny")
        launching = world.portal.launching
        for asked, id in (({"app": app.slug}, own), (OWN, BESIDE)):
            choices = (await launching.form(AS_ADA, asked)).choices
            assert at(choices, id) == {"here", "cluster"}
        shelf.there.clear()
        launch = await launching.ask(AS_ADA, {"app": app.slug}, facility="cluster", environment=own)
        await launching.begin(LENT, launch.id)
        assert not labs(world).plans
        await world.settle()
        assert planned(world).where == digest_of(version.snapshot) and shelf.there == {digest_of(version.snapshot)}
        run = replace(a_run(world, version, own), facility="cluster", size="large")
        assert choose(world.core, ADA, run)[1].where == digest_of(version.snapshot)

    async def test_what_brings_nothing_is_offered_what_the_site_offers(self, world: World, shelf: Shelf) -> None:
        bare = await published(world, {"lesson.ipynb": LESSON["lesson.ipynb"]})
        # A lock alone asks for nothing.
        stored = {
            "lesson.ipynb": LESSON["lesson.ipynb"],
            LOCK: world.core.content.read(digest_of((await app_of(world, shelf))[1].snapshot)),
        }
        for name, data in stored.items():
            world.put(ADA, f"work/{name}", data)
        for asked in ({"app": app_with(world, bare).slug}, {"store": "home", "path": "work/lesson.ipynb"}):
            form = await world.portal.launching.form(AS_ADA, asked)
            assert {each.environment.kind for each in form.choices} & {"lock"} == set()

    async def test_the_form_says_that_its_packages_run_at_once(self, world: World, shelf: Shelf, site: str) -> None:
        app, *_ = await app_of(world, shelf)
        await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:eve", access=Access.READ)
        async with client(site, "eve") as eve, client(site, "ada") as ada:
            assert "the packages that ada chose run as soon as" in (await eve.get(f"apps/{app.slug}/launch")).text
            assert "the packages that ada chose" not in (await ada.get(f"apps/{app.slug}/launch")).text

    async def test_its_plan_names_the_lock(self, world: World, shelf: Shelf) -> None:
        app, version, own = await app_of(world, shelf)
        launching = world.portal.launching
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, {"app": app.slug})).id)
        assert (launch.state, launch.environment) == ("starting", own)
        found = planned(world)
        assert (found.id, found.kind, found.where) == (own, "lock", digest_of(version.snapshot))

    async def test_it_is_made_first_and_who_waits_is_told(self, world: World, shelf: Shelf) -> None:
        app, version, _ = await app_of(world, shelf)
        shelf.there.clear()
        shelf.go.clear()
        launching = world.portal.launching
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, {"app": app.slug})).id)
        await asyncio.sleep(0.05)
        now = await launching.progress(LENT, launch.id)
        assert (now.phase, now.message) == ("asked", "Making its environment: putting it together.")
        assert not labs(world).plans
        # It may take as long as it likes: who makes it says again and again that they do, and who is gone does not.
        world.clock.forward(seconds=50)
        assert (await launching.progress(LENT, launch.id)).phase == "asked"
        async with asyncio.timeout(5):
            while launching.get(AS_ADA, launch.id).changed < world.clock():
                await asyncio.sleep(0.05)
        later = world.core.now() + timedelta(minutes=2)
        assert "The portal was restarted" in settled(now.launch, OwnServer(), now=later).error
        assert "restarted" not in settled(replace(now.launch, progress={}), OwnServer(), now=later).error
        shelf.go.set()
        await world.settle()
        assert launching.get(AS_ADA, launch.id).state == "starting"
        assert planned(world).where == digest_of(version.snapshot)

    async def test_one_that_is_stopped_meanwhile_is_not_started(self, world: World, shelf: Shelf) -> None:
        app, _, _ = await app_of(world, shelf)
        shelf.there.clear()
        shelf.go.clear()
        launching = world.portal.launching
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, {"app": app.slug})).id)
        await asyncio.sleep(0.05)
        await launching.stop(LENT, launch.id)
        shelf.go.set()
        await world.settle()
        assert launching.get(AS_ADA, launch.id).state == "stopped" and not labs(world).plans

    async def test_why_it_cannot_be_made_is_said(
        self, world: World, shelf: Shelf, caplog: pytest.LogCaptureFixture
    ) -> None:
        app, _, own = await app_of(world, shelf)
        shelf.there.clear()
        shelf.wrong = Unavailable("The index is silent.")
        launching = world.portal.launching
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, {"app": app.slug})).id)
        await world.settle()
        now = await launching.progress(LENT, launch.id)
        assert (now.phase, now.message) == ("failed", "The index is silent.") and not labs(world).plans
        assert f"Launch {now.launch.id}: The index is silent." in caplog.text
        world.core.maker = None
        form = await launching.form(AS_ADA, {"app": app.slug})
        assert "This site makes no environments." in why_not(form.choices, own)

    @pytest.mark.attack
    async def test_anothers_environment_is_neither_chosen_nor_started(self, world: World, shelf: Shelf) -> None:
        app, _, own = await app_of(world, shelf)
        _, _, other = await app_of(world, shelf, asked="secret")
        launching = world.portal.launching
        world.put(ADA, "work/tides.ipynb", notebook("x = 1"))
        for asked in ({"app": app.slug}, {"store": "home", "path": "work/tides.ipynb"}):
            with pytest.raises(Invalid) as said:
                await launching.ask(AS_ADA, asked, environment=other)
            assert said.value.field == "environment"
        forged = replace(await launching.ask(AS_ADA, {"app": app.slug}), environment=other)
        with world.core.database.begin() as records:
            records.launches.save(forged)
        for launch in (forged, replace(forged, environment=own, asked={"store": "home", "path": "work/tides.ipynb"})):
            with world.core.database.begin() as records:
                records.launches.save(launch)
            with pytest.raises(Conflict, match="not offered any more"):
                await launching._start(LENT, launch)
        assert not labs(world).plans


class TestLaunchingOnesOwn:
    """A launch of a notebook in a store, with a file beside it that asks for packages."""

    async def test_it_gets_what_the_file_asks_for_made_first_and_the_same_when_it_starts_again(
        self, world: World, shelf: Shelf
    ) -> None:
        laid(world, "tiny")
        launching = world.portal.launching
        form = await launching.form(AS_ADA, OWN)
        assert form.suggested and form.suggested.environment.title == "Packages of requirements.txt"
        assert at(form.choices, BESIDE) == {"here"}
        assert shelf.locks == 0
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, OWN)).id)
        assert launch.state == "asked" and not labs(world).plans
        assert place_words(world.core.offering, launch)["environment"] == "Packages of requirements.txt"
        await world.settle()
        found = planned(world)
        assert (found.id, found.kind, {found.where}) == (BESIDE, "lock", shelf.there) and shelf.locks == 1
        server = ServerName("ada", labs(world).plans[0][0])
        told = await world.portal.placing.manifest(server, public_url="https://here/")
        assert told["environment"]["where"] == found.where
        # What the file asks for meanwhile is for another launch.
        laid(world, "tiny+other")
        labs(world).plans.clear()
        await launching.stop(LENT, launch.id)
        await launching.start_again(LENT, launch.id)
        await world.settle()
        assert planned(world).where == found.where and shelf.locks == 1

    async def test_started_again_where_the_site_makes_none_any_more_it_keeps_its_lock_and_says_why(
        self, world: World, shelf: Shelf
    ) -> None:
        laid(world, "tiny")
        launching = world.portal.launching
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, OWN)).id)
        await world.settle()
        await launching.stop(LENT, launch.id)
        labs(world).plans.clear()
        before = launching.get(AS_ADA, launch.id).asked["files"]
        world.core.maker = None
        with pytest.raises(Conflict, match="not offered any more|makes no environments"):
            await launching.start_again(LENT, launch.id)
        await world.settle()
        assert launching.get(AS_ADA, launch.id).asked["files"] == before and not labs(world).plans
        assert LOCK in {file["path"] for file in before}

    async def test_a_lock_that_travels_with_it_is_what_it_gets(self, world: World, shelf: Shelf) -> None:
        _, version, _ = await app_of(world, shelf)
        laid(world, "tiny")
        world.put(ADA, f"work/{LOCK}", world.core.content.read(digest_of(version.snapshot)))
        shelf.versions["tiny"], shelf.locks = "2.0", 0
        await world.portal.launching.begin(LENT, (await world.portal.launching.ask(AS_ADA, OWN)).id)
        await world.settle()
        assert planned(world).where == digest_of(version.snapshot) and shelf.locks == 0

    async def test_where_the_site_makes_none_what_it_asks_for_is_named_and_cannot_be_chosen(
        self, world: World, shelf: Shelf
    ) -> None:
        laid(world, "tiny")
        world.core.maker = None
        form = await world.portal.launching.form(AS_ADA, OWN)
        assert form.suggested and form.suggested.environment.id == "apps"
        assert why_not(form.choices, BESIDE) == "It cannot be used at the moment. This site makes no environments."
        world.put(ADA, "work/requirements.txt", "# nothing\n")
        choices = (await world.portal.launching.form(AS_ADA, OWN)).choices
        assert BESIDE not in {each.environment.id for each in choices}, "it asks for nothing"
        titles = {each.environment.title for each in form.choices if each.environment.id == BESIDE}
        assert titles == {"Packages of requirements.txt"}

    async def test_why_it_cannot_be_had_is_said(self, world: World, shelf: Shelf) -> None:
        launching = world.portal.launching
        laid(world, "-e .")
        assert "requirements.txt" in why_not((await launching.form(AS_ADA, OWN)).choices, BESIDE)
        with pytest.raises(Forbidden, match="cannot be chosen"):
            await launching.ask(AS_ADA, OWN, environment=BESIDE)
        laid(world, "nowhere")
        launch = await launching.begin(LENT, (await launching.ask(AS_ADA, OWN)).id)
        await world.settle()
        failed = launching.get(AS_ADA, launch.id)
        assert failed.state == "failed" and "there is no such package" in failed.error and not labs(world).plans

    @pytest.mark.parametrize("content", ["# nothing\n", None])
    async def test_what_asks_for_nothing_has_none(self, world: World, shelf: Shelf, content: str | None) -> None:
        laid(world, content)
        form = await world.portal.launching.form(AS_ADA, OWN)
        assert BESIDE not in {each.environment.id for each in form.choices}
        with pytest.raises(Invalid, match="not offered"):
            await world.portal.launching.ask(AS_ADA, OWN, environment=BESIDE)

    async def test_the_form_of_what_lies_in_a_shared_place_says_that_its_packages_run_at_once(
        self, world: World, shelf: Shelf, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        laid(world, "tiny")
        for name, data in LESSON.items():
            (tmp_path / name).write_bytes(data)
        stores = [*world.core.stores.of(ADA), FolderStore("shared-everyone", "Shared: everyone", tmp_path)]
        monkeypatch.setattr(world.core.stores, "of", lambda _: stores)
        async with client(site, "ada") as ada:
            shared = (await ada.get("launch?store=shared-everyone&path=lesson.ipynb")).text
            assert "choose them if you trust whoever can write there" in shared
            assert "choose them if you trust" not in (await ada.get("launch?store=home&path=work/lesson.ipynb")).text

    @pytest.mark.attack
    async def test_one_of_which_nothing_was_gathered_is_not_started(self, world: World, shelf: Shelf) -> None:
        laid(world, None)
        launching = world.portal.launching
        forged = replace(await launching.ask(AS_ADA, OWN), environment=BESIDE)
        with world.core.database.begin() as records:
            records.launches.save(forged)
        with pytest.raises(Conflict, match="not offered any more"):
            await launching._start(LENT, forged)


#: A notebook in a store, as a launch or a run is asked for it.
OWN = {"store": "home", "path": "work/lesson.ipynb"}


def laid(world: World, asked: str | None) -> None:
    """Lay a notebook into ada's home, and beside it what it asks for."""
    world.put(ADA, "work/lesson.ipynb", LESSON["lesson.ipynb"])
    if asked is not None:
        world.put(ADA, "work/requirements.txt", asked.replace("+", "\n"))


def planned(world: World) -> Environment:
    """Return the environment in the plan with which the Hub was asked."""
    ((name, _, plan),) = labs(world).plans
    now = world.core.now().timestamp()
    return read_plan(plan, master=world.core.master_key, server=ServerName("ada", name), now=now).environment


class TestRunning:
    """A run of it."""

    async def test_a_run_gets_it_here_and_is_refused_elsewhere(self, world: World, shelf: Shelf) -> None:
        _, version, own = await app_of(world, shelf)
        run = a_run(world, version, own)
        assert choose(world.core, ADA, run)[1].where == digest_of(version.snapshot)
        with pytest.raises(Invalid, match="not offered there") as said:
            choose(world.core, ADA, replace(run, facility="cluster", size="large"))
        assert said.value.field == "environment"

    @pytest.mark.parametrize(
        ("wrong", "ends", "said"),
        [
            (TooLarge("It is too large."), "failed", "It is too large."),
            (Unavailable("The index is silent."), "queued", "The index is silent."),
        ],
    )
    async def test_it_is_made_before_the_job_is_handed_over_or_the_run_says_why_not(
        self,
        world: World,
        shelf: Shelf,
        tmp_path: Path,
        wrong: Exception,
        ends: str,
        said: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        stage = Stage()
        running = runs_of(world, tmp_path, executor=stage)
        app, _, own = await app_of(world, shelf)
        shelf.there.clear()
        shelf.go.clear()
        shelf.wrong = wrong
        run = await running.start(AS_ADA, {"app": app.slug})
        assert run.environment == own
        async with following(running):
            making = "Making its environment: putting it together."
            await state(running, ADA, run, lambda now: now.progress.get("message") == making)
            shelf.go.set()
            told = await state(running, ADA, run, lambda now: said in {now.error, now.progress.get("message")})
        assert told.state == ends and stage.submitted == []
        assert run.id in caplog.text and said in caplog.text

    async def test_cancelled_while_it_is_made_the_run_ends_at_once_and_nothing_runs(
        self, world: World, shelf: Shelf, tmp_path: Path
    ) -> None:
        stage = Stage()
        running = runs_of(world, tmp_path, executor=stage)
        app, _, _ = await app_of(world, shelf)
        shelf.there.clear()
        shelf.go.clear()
        run = await running.start(AS_ADA, {"app": app.slug})
        async with following(running):
            await state(running, ADA, run, lambda now: now.state == "running")
            await running.cancel(AS_ADA, run.id)
            ended = await finished(running, ADA, run, seconds=5)
            async with asyncio.timeout(5):
                while list((tmp_path / "runs").iterdir()):
                    await asyncio.sleep(0.01)
        assert (ended.state, ended.error, ended.result_path) == ("cancelled", "It was cancelled.", "")
        assert stage.submitted == []

    async def test_ones_own_notebook_runs_in_what_the_file_beside_it_asks_for_and_so_does_its_repetition(
        self, world: World, shelf: Shelf, tmp_path: Path
    ) -> None:
        stage = Stage()
        running = runs_of(world, tmp_path, executor=stage, kernel=lambda each: {"argv": [each.where]})
        laid(world, "tiny")
        assert (await running.form(AS_ADA, OWN)).choices[0].environment.id == BESIDE and shelf.locks == 0
        run = await running.start(AS_ADA, OWN)
        async with following(running):
            await state(running, ADA, run, lambda now: bool(now.ref))
            again = await running.repeat(AS_ADA, run.id)
            await state(running, ADA, again, lambda now: bool(now.ref))
        assert [(job.environment.id, {job.environment.where}) for job in stage.submitted] == [(BESIDE, shelf.there)] * 2
        assert shelf.locks == 1
        assert LOCK in {file.path for file in running.run(AS_ADA, run.id).snapshot.files}

    async def test_a_schedule_keeps_the_lock_of_its_first_run_and_the_runs_page_says_what_is_in_it(
        self, world: World, shelf: Shelf, tmp_path: Path, site: str
    ) -> None:
        stage = Stage()
        running = world.portal.running = runs_of(world, tmp_path, executor=stage, kernel=lambda each: {"argv": ["p"]})
        laid(world, "tiny")
        until = world.core.now() + timedelta(days=3)
        schedule = await running.schedule(AS_ADA, OWN, cron="0 * * * *", until=until)
        used = list[str]()
        async with following(running):
            for version in ("1.0", "2.0", "3.0"):
                shelf.versions["tiny"] = version
                world.clock.forward(hours=1)
                await running._schedules.step()
                (run, *before) = running.runs(AS_ADA)
                assert len(before) == len(used)
                told = await state(running, ADA, run, lambda now: bool(now.ref))
                stage.end()
                await finished(running, ADA, run)
                used.append(digest_of(told.snapshot))
                if version == "2.0":
                    # What is lost comes back as it was.
                    shelf.there.clear()
        assert len(set(used)) == 1 and shelf.locks == 1 and shelf.there == set(used)
        (kept,) = running.schedules(AS_ADA)
        assert (kept.id, digest_of(kept.snapshot)) == (schedule.id, used[0])
        async with client(site, "ada") as ada:
            page = (await ada.get(f"runs/{run.id}/")).text
        assert "Packages of requirements.txt: " in page and '<span class="path">tiny</span>' in page

    @pytest.mark.attack
    async def test_no_other_notebook_runs_in_it(self, world: World, shelf: Shelf) -> None:
        _, version, own = await app_of(world, shelf)
        _, another, other = await app_of(world, shelf, asked="secret")
        for run in (
            a_run(world, version, other),
            a_run(world, another, own),
            replace(a_run(world, version, own), asked={"store": "home", "path": "lesson.ipynb"}),
        ):
            with pytest.raises(Invalid, match="not offered there"):
                choose(world.core, ADA, run)

    def test_its_kernel_is_the_python_that_was_made_and_none_where_it_was_not(self, tmp_path: Path) -> None:
        python = made(tmp_path, "a" * 64)
        own = Environment("lock-a", "As published", "lock", "a" * 64)
        assert kernel_of(own, made=tmp_path)["argv"][0] == str(python)
        for each, folder in (
            (own, None),
            (replace(own, where="b" * 64), tmp_path),
            (replace(own, where=".."), tmp_path),
        ):
            with pytest.raises(Invalid, match="cannot be used for runs here"):
                kernel_of(each, made=folder)


def a_run(world: World, version: Version, environment: str) -> Run:
    asked = {"app": "lesson", "version": version.snapshot.hash}
    now = world.core.now()
    return Run("r", "ada", "R", version.snapshot, {}, environment, "small", "here", now, asked=asked)


def made(folder: Path, digest: str, *sees: Path) -> Path:
    """Make what looks like an environment that was made of a lock, and return its Python."""
    python = folder / digest / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    files.note(folder, Made(digest, "3.11", 1), sees=sees)
    return python


@pytest.mark.attack
def test_a_package_does_not_say_what_a_sandbox_shows(tmp_path: Path) -> None:
    secret, base, package = tmp_path / "secret", tmp_path / "base", tmp_path / "vaas"
    (secret / "bin").mkdir(parents=True)
    python = made(tmp_path / "environments", "c" * 64, base, package)
    top = python.parent.parent
    # A package can bring both.
    (top / "pyvenv.cfg").write_text(f"home = {secret / 'bin'}\n")
    python.unlink()
    (secret / "bin" / "python").touch()
    python.symlink_to(secret / "bin" / "python")
    order = Order("local", Environment("l", "L", "python", str(python)), Size("s", "S"), "/data/homes/ada")
    assert {top, base, package} <= set(python_folders(order)) and secret not in python_folders(order)
    assert folders_of(python) == [top, base, package]
    # Nor where the note says nothing.
    (top.parent / f"{top.name}.json").write_text(json.dumps({"sees": None}))
    assert folders_of(python) == [top] and secret not in python_folders(order)
