"""Runs: whose turn it is, what survives what, and that nobody sees another's."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import code, markdown, notebook
from tests.portal_parts import ADA, BOB, NOBODY, World
from tests.run_parts import SMALL, finished, following, runs_of, state
from vaas import housekeeping, jobs
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, SignInNeeded, StorageFull, Unavailable, VaasError
from vaas.executors.base import Executor, Job, JobState
from vaas.launching import Run
from vaas.model import EVERYONE, Snapshot, Visitor
from vaas.portal import Running
from vaas.portal.run_queue import fair
from vaas.portal.run_results import folder_name
from vaas.series import TABLE
from vaas.stores import lending
from vaas.stores.folder import FolderStore

TIDES = {"store": "home", "path": "work/tides.ipynb"}
ME = Visitor(ADA)
PARAMETERS = code("n = 1  # how many\ntable = 'tides.csv'", tags=["parameters"])


class Stage(Executor):
    """Runs nothing: jobs are as the test says, by id; what was asked is in ``asked``."""

    def __init__(self) -> None:
        self.states: dict[str, JobState] = {}
        self.submitted: list[Job] = []
        self.asked: list[tuple[str, str]] = []
        self.down = False
        #: What a job leaves in its folder when it is over.
        self.leaves: Mapping[str, str] = {
            "out/executed.ipynb": "{}",
            "out/result.html": "<p>",
            "notebook/made.txt": "m",
        }

    async def submit(self, job: Job) -> str:
        if self.down:
            raise Unavailable("The batch system does not answer.")
        self.submitted.append(job)
        self.states.setdefault(job.id, JobState("running"))
        return job.id

    def end(self, state: str = "done", message: str = "", *, id: str = "") -> None:
        """End a job, or all."""
        for job in self.submitted:
            if id in {"", job.id} and job.folder.exists():
                for path, text in self.leaves.items():
                    (job.folder / path).parent.mkdir(exist_ok=True)
                    (job.folder / path).write_text(text)
                self.states[job.id] = JobState(state, message)

    async def poll(self, ref: str) -> JobState:
        return self.states.get(ref, JobState("lost"))

    async def cancel(self, ref: str) -> None:
        if self.down:
            raise Unavailable("The batch system does not answer.")
        self.asked.append(("cancel", ref))
        self.end("cancelled", "It was cancelled.", id=ref)

    async def log(self, ref: str, *, most: int) -> str:
        return f"log of {ref}"

    async def forget(self, ref: str) -> None:
        self.asked.append(("forget", ref))


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def running(world: World, tmp_path: Path, stage: Stage) -> Running:
    world.put(ADA, "work/tides.ipynb", notebook(markdown("# Tides"), PARAMETERS, "print(n, open(table).read())"))
    world.put(ADA, "work/tides.csv", "a,b")
    world.put(ADA, "other.csv", "c,d")
    world.put(ADA, "plain.ipynb", notebook(markdown("# Plain"), "x = 1"))
    return runs_of(world, tmp_path, executor=stage)


PLAIN = {"store": "home", "path": "plain.ipynb"}


async def test_a_batch_system_that_gives_no_sign_of_life_holds_nothing_up(world: World, tmp_path: Path) -> None:
    class Hanging(Stage):
        asked_for_life = 0

        async def ensure_asked(self) -> None:
            self.asked_for_life += 1
            await asyncio.sleep(60)

    stage = Hanging()
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    running = runs_of(world, tmp_path, executor=stage)
    async with following(running):
        run = await running.start(ME, PLAIN)
        await state(running, ADA, run, lambda now: bool(now.ref))
        stage.end()
        await finished(running, ADA, run)
    assert stage.asked_for_life == 1


def made(id: str, owner: str, *, minute: int = 0, facility: str = "here") -> Run:
    at = datetime(2026, 3, 1, 12, minute, tzinfo=UTC)
    return Run(id, owner, "T", Snapshot("h", "n", ()), {}, "apps", "small", facility, at)


class TestFairness:
    def ids(self, waiting: list[Run], running: Mapping[str, int], *, each: int = 2, room: int = 4) -> list[str]:
        return [run.id for run in fair(waiting, running, each=each, room={"here": room})]

    def test_who_has_fewest_running_is_next_and_among_equals_the_oldest(self) -> None:
        waiting = [made(f"a{n}", "ada", minute=n) for n in range(5)] + [made("b", "bob", minute=9)]
        assert self.ids(waiting, {}, room=3) == ["a0", "b", "a1"]
        assert self.ids(waiting, {"ada": 1}, room=2) == ["b", "a0"]
        assert self.ids([made("a", "ada", minute=2), made("b", "bob", minute=1)], {}, room=1) == ["b"]

    def test_nobody_has_more_than_one_may_and_no_place_more_than_it_takes(self) -> None:
        waiting = [made(f"a{n}", "ada", minute=n) for n in range(9)]
        assert self.ids(waiting, {}) == ["a0", "a1"] and self.ids(waiting, {"ada": 2}) == []
        assert self.ids(waiting, {}, each=0) == ["a0", "a1", "a2", "a3"]
        assert self.ids(waiting, {}, room=0) == []
        elsewhere = [made("x", "ada", facility="cluster")]
        assert [run.id for run in fair(elsewhere + waiting, {}, each=0, room={"here": 1, "cluster": 9})] == ["a0", "x"]


@pytest.mark.app
async def test_a_real_run_from_its_form_to_its_results(world: World, tmp_path: Path) -> None:
    world.put(ADA, "work/tides.ipynb", notebook(markdown("# Tides"), PARAMETERS, "print(n, open(table).read())"))
    world.put(ADA, "work/tides.csv", "a,b")
    world.put(ADA, "other.csv", "c,d")
    running = runs_of(world, tmp_path)
    form = await running.form(ME, TIDES)
    assert [(each.name, each.kind, each.default, each.help) for each in form.fields] == [
        ("n", "int", 1, "how many"),
        ("table", "slot", "tides.csv", ""),
    ]
    async with following(running):
        run = await running.start(ME, TIDES, values={"n": "7"}, things={"table": "store:home/other.csv"})
        run = await finished(running, ADA, run)
        assert (run.state, run.error, run.result_store) == ("done", "", "home")
        said = await running.log(ME, run.id)
        assert said.splitlines()[-1:] == ["7 c,d"], said
        again = await finished(running, ADA, await running.repeat(ME, run.id, values={"n": 8}))
        async with asyncio.timeout(20):
            while os.listdir(tmp_path / "runs") or os.listdir(tmp_path / "jobs"):
                await asyncio.sleep(0.02)
    assert (again.state, again.result_path) == ("done", "Runs/Tides 2026-03-01-2")
    folder = world.homes / "ada" / "Runs" / "Tides 2026-03-01"
    assert sorted(os.listdir(folder)) == ["log.txt", "result.html", "run.json", "tides.ipynb"]
    said = json.loads((folder / "run.json").read_text())
    ours = housekeeping.of_run((folder / "run.json").read_bytes())
    assert {name: size or 0 for name, size in ours.items()} == {
        "run.json": 0,
        **{name: (folder / name).stat().st_size for name in ("log.txt", "result.html")},
    }
    assert said["parameters"] == {"n": 7} and said["environment"]["digest"] == "d1"
    assert [each["sha256"] for each in said["things"]] == [
        "707a18593548bcbbb00b565b44fce7fdd573811a8f5ea9eb524bb702bc8294d1"
    ]
    assert {each["path"] for each in said["files"]} == {"log.txt", "result.html", "tides.ipynb"}


async def test_its_executor_is_told_what_it_calls_the_place(world: World, running: Running, stage: Stage) -> None:
    (here,) = world.core.offering.facilities
    world.core.offering = replace(world.core.offering, facilities=(replace(here, about={"profile": "p"}),))
    run = await running.start(ME, PLAIN)
    async with following(running):
        await state(running, ADA, run, lambda _: bool(stage.submitted))
    assert [job.profile for job in stage.submitted] == ["p"]


async def test_an_app_is_run_by_who_may_read_its_source(world: World, running: Running, stage: Stage) -> None:
    app = await world.published(ADA, "x = 1", to=(EVERYONE,), slug="waves")
    with pytest.raises(Forbidden):
        await running.start(Visitor(BOB), {"app": app.slug})
    with pytest.raises(SignInNeeded):
        await running.form(NOBODY, {"app": app.slug})
    with pytest.raises(NotFound):
        await running.start(Visitor(BOB), {"app": "hidden"})
    run = await running.start(ME, {"app": app.slug})
    assert (run.asked, run.snapshot.hash) == ({"app": "waves", "version": app.version}, app.version)


@pytest.mark.attack
async def test_nobody_sees_or_touches_another_persons_runs(world: World, running: Running, stage: Stage) -> None:
    run = await running.start(ME, PLAIN)
    schedule = await running.schedule(ME, PLAIN, cron="0 6 * * *", until=world.clock.time + timedelta(days=3))
    eve = Visitor(BOB)
    for attempt in (
        lambda: running.run(eve, run.id),
        lambda: running.forget(eve, run.id),
        lambda: running.unschedule(eve, schedule.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    for work in (running.log(eve, run.id), running.cancel(eve, run.id), running.repeat(eve, run.id)):
        with pytest.raises(NotFound):
            await work
    assert running.runs(eve) == [] and running.schedules(eve) == [] and running.news(eve) == 0
    with pytest.raises(SignInNeeded):
        running.runs(NOBODY)
    # A name in what is asked for is no way to another's files.
    for asked in ({"store": "home", "path": "../ada/plain.ipynb"}, {"store": "home-ada", "path": "plain.ipynb"}):
        with pytest.raises((Invalid, NotFound)):
            await running.start(eve, asked)
    world.put(BOB, "tides.ipynb", notebook(code("table = 'x'  # data", tags=["parameters"])))
    for thing in ("store:home/../ada/other.csv", "store:home-ada/other.csv", "x/y", "y"):
        with pytest.raises(Invalid) as refused:
            await running.start(eve, {"store": "home", "path": "tides.ipynb"}, things={"table": thing})
        assert refused.value.field == "table"


async def test_what_is_not_offered_is_refused_where_it_was_chosen(world: World, running: Running) -> None:
    for name in ("environment", "size", "facility"):
        with pytest.raises(Invalid) as refused:
            await running.start(ME, PLAIN, **{name: "/bin/sh"})  # type: ignore[arg-type]
        assert refused.value.field == name
    here = world.core.offering.facilities[0]
    world.core.offering = replace(world.core.offering, facilities=(replace(here, groups=("chemistry",)),))
    with pytest.raises(Forbidden, match="for members of chemistry"):
        await running.start(ME, PLAIN)
    assert {each.why_not for each in (await running.form(ME, PLAIN)).choices} == {"It is for members of chemistry."}
    world.core.offering = replace(world.core.offering, facilities=())
    with pytest.raises(Unavailable):
        await running.start(ME, PLAIN)


async def test_what_is_suggested_goes_by_where_the_data_lies(world: World, running: Running) -> None:
    here = world.core.offering.facilities[0]
    far = replace(here, id="far", stores=())
    world.core.offering = replace(world.core.offering, facilities=(far, here))
    assert (await running.start(ME, PLAIN)).facility == "far", "what the site names first, where nothing is needed"
    assert [each.facility.id for each in (await running.form(ME, TIDES)).choices] == ["here", "far"]
    assert (await running.start(ME, TIDES, things={"table": "store:home/other.csv"})).facility == "here"


async def test_a_batch_system_that_does_not_answer_is_not_suggested_before_others(
    world: World, running: Running
) -> None:
    here = world.core.offering.facilities[0]
    far = replace(here, id="far", silent="It does not answer.")
    world.core.offering = replace(world.core.offering, facilities=(far, here))
    assert [each.facility.id for each in (await running.form(ME, PLAIN)).choices] == ["here", "far"]
    assert (await running.start(ME, PLAIN, facility="far")).facility == "far", "it waits until the system is back"


async def test_what_lies_beside_the_notebook_is_not_missing(world: World, running: Running) -> None:
    known = replace(world.core.offering.environments[0], modules={"numpy": "numpy"})
    world.core.offering = replace(world.core.offering, environments=(known,))
    world.put(ADA, "own.ipynb", notebook("import mine, pack.deep, numpy, sklearn"))
    world.put(ADA, "mine.py", "")
    world.put(ADA, "pack/deep.py", "")
    form = await running.form(ME, {"store": "home", "path": "own.ipynb"})
    assert form.choices[0].missing == ("scikit-learn",)


async def test_two_processes_run_nothing_twice(world: World, running: Running, stage: Stage, tmp_path: Path) -> None:
    other = runs_of(world, tmp_path, executor=stage)
    world.limit(runs=20, runs_each=20)
    runs = [await running.start(ME, PLAIN) for _ in range(6)]
    async with following(running, other):
        for run in runs:
            await state(running, ADA, run, lambda now: bool(now.ref))
        stage.end()
        for run in runs:
            assert (await finished(running, ADA, run)).state == "done"
    assert sorted(job.id for job in stage.submitted) == sorted(run.id for run in runs)
    assert len(os.listdir(world.homes / "ada" / "Runs")) == 6


async def test_who_lost_its_turn_meanwhile_hands_nothing_over(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await running.start(ME, PLAIN)
    spool, begin = running._queue._spool, running._queue._spool.begin

    async def slow(asked: Run) -> Path:
        with world.core.database.begin() as records:
            now = records.runs.get(run.id)
            assert now is not None and now.state == "running"
            records.runs.save(replace(now, progress={**now.progress, "by": "another"}))
        return await begin(asked)

    monkeypatch.setattr(spool, "begin", slow)
    await running._queue.step()
    await asyncio.gather(*running._queue._busy.values())
    assert stage.submitted == [] and running.run(ME, run.id).progress["by"] == "another"


async def test_what_a_dead_process_left_of_ended_runs_is_removed(
    world: World, running: Running, stage: Stage, tmp_path: Path
) -> None:
    run = await running.start(ME, PLAIN)
    for left in ("unknown", "unknown.kept", run.id, f"{run.id}.kept"):
        (tmp_path / "runs" / left / "deep").mkdir(parents=True)
    waiting = await running.start(ME, PLAIN)
    await running._queue._spool.begin(waiting)
    with world.core.database.begin() as records:
        records.runs.save(replace(run, state="done", ref="r"))
    await running._queue.sweep()
    assert os.listdir(tmp_path / "runs") == [waiting.id] and stage.asked == [("forget", "r")]


async def test_a_process_that_dies_at_any_step_is_followed_by_another(
    world: World, running: Running, stage: Stage, tmp_path: Path
) -> None:
    run = await running.start(ME, PLAIN)
    # It had claimed the run, and prepared its folder; nobody knows whether it was handed over.
    await running._queue._spool.begin(run)
    running._queue._spool.finish(run, kernel={}, brought=[])
    with world.core.database.begin() as records:
        records.runs.save(replace(run, state="running"))
    async with following(runs_of(world, tmp_path, executor=stage)):
        await state(running, ADA, run, lambda now: bool(now.ref))
    stage.end()
    # And here the results had been brought, but it was not said.
    over = replace(running.run(ME, run.id), state="done", ended=world.clock.time)
    brought = await running._queue._results.bring(over)
    async with following(runs_of(world, tmp_path, executor=stage)):
        final = await finished(running, ADA, run)
    assert final.result_path == brought.result_path == "Runs/Plain 2026-03-01"
    assert os.listdir(world.homes / "ada" / "Runs") == ["Plain 2026-03-01"]


class Full(FolderStore):
    """A store that has no room while it is told so."""

    full = True

    async def bring(self, path: str, folder: Path) -> None:
        if Full.full:
            raise StorageFull("“Home” is full. Delete something there, and try again.")
        await super().bring(path, folder)


async def test_results_that_do_not_fit_are_kept_until_they_do(
    world: World, running: Running, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Full("home", "Home", world.homes / "ada")
    monkeypatch.setattr(world.core.stores, "of", lambda user: [home])
    monkeypatch.setattr("vaas.portal.run_queue._LATER", 0.1)
    async with following(running):
        run = await running.start(ME, PLAIN)
        await state(running, ADA, run, lambda now: bool(now.ref))
        stage.end()
        kept = await state(running, ADA, run, lambda now: "full" in now.progress.get("message", ""))
        assert not kept.over and (tmp_path / "runs" / run.id).exists()
        # Whoever waits for room holds up nobody: its job is over.
        world.limit(runs=1, runs_each=1)
        second = await running.start(ME, PLAIN)
        await state(running, ADA, second, lambda now: bool(now.ref))
        assert (await running.cancel(ME, run.id)).progress["outcome"]["state"] == "done"
        Full.full = False
        final = await finished(running, ADA, run)
    assert (final.state, final.result_path) == ("done", "Runs/Plain 2026-03-01")
    assert (world.homes / "ada" / final.result_path / "files" / "made.txt").read_text() == "m"


class Account(FolderStore):
    """A store that is an account elsewhere, as WebDAV ones are, and says no or nothing while it is told so."""

    here = False
    error: VaasError | None = None

    async def bring(self, path: str, folder: Path) -> None:
        if self.error:
            raise self.error
        await super().bring(path, folder)


@pytest.fixture
def account(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Ada's account, which holds a notebook."""
    home, account = FolderStore("home", "Home", world.homes / "ada"), Account("cloud", "Cloud", tmp_path / "cloud")
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "plain.ipynb").write_bytes(notebook(markdown("# Plain"), "x = 1"))
    monkeypatch.setattr(world.core.stores, "of", lambda user: [home, account])
    monkeypatch.setattr("vaas.portal.run_queue._LATER", 0.1)
    return account


IN_THE_CLOUD = {"store": "cloud", "path": "plain.ipynb"}


async def ends(running: Running, stage: Stage, asked: Mapping[str, str]) -> Run:
    """Return a run of ada's whose job is over, and whose results are not where they belong yet."""
    run = await running.start(ME, asked)
    await state(running, ADA, run, lambda now: bool(now.ref))
    stage.end()
    return run


async def test_results_go_to_the_account_that_the_notebook_is_from(
    world: World, running: Running, stage: Stage, account: Account, tmp_path: Path
) -> None:
    async with following(running):
        run = await finished(running, ADA, await ends(running, stage, IN_THE_CLOUD))
        other = await finished(running, ADA, await ends(running, stage, PLAIN))
    assert (run.state, run.error, run.result_store, other.result_store) == ("done", "", "cloud", "home")
    assert (tmp_path / "cloud" / run.result_path / "files" / "made.txt").read_text() == "m"
    assert os.listdir(world.homes / "ada" / "Runs") == [other.result_path.removeprefix("Runs/")]


@pytest.mark.parametrize("error", [Forbidden("It does not allow this."), Invalid("It cannot do this.")])
async def test_an_account_that_takes_no_results_is_named_and_the_home_has_them(
    world: World, running: Running, stage: Stage, account: Account, error: VaasError
) -> None:
    account.error = error
    async with following(running):
        run = await finished(running, ADA, await ends(running, stage, IN_THE_CLOUD))
    assert (run.state, run.result_store) == ("done", "home")
    assert run.error == f"The results could not be kept in “Cloud”: {error.message}"
    assert (world.homes / "ada" / run.result_path / "files" / "made.txt").read_text() == "m"


@pytest.mark.parametrize("days", [0, 30])
async def test_an_account_that_does_not_answer_is_waited_for_and_not_for_ever(
    world: World, running: Running, stage: Stage, account: Account, days: int
) -> None:
    account.error = Unavailable("“Cloud” does not answer.")
    async with following(running):
        run = await ends(running, stage, IN_THE_CLOUD)
        await state(running, ADA, run, lambda now: "does not answer" in now.progress.get("message", ""))
        if not days:
            account.error = None
        world.clock.forward(days=days)
        run = await finished(running, ADA, run)
    assert (run.state, run.result_store) == ("done", "home" if days else "cloud")
    assert ("does not answer" in run.error) == bool(days)


async def test_results_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "deep" / "a.txt").write_text("a")
    (tmp_path / "from" / "link").symlink_to("/etc/passwd")
    (tmp_path / "from" / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "from" / "pipe")
    store = FolderStore("home", "Home", tmp_path / "home")
    await store.bring("new", tmp_path / "from")
    assert sorted(path.name for path in (tmp_path / "home").rglob("*")) == ["a.txt", "deep", "new"]
    with pytest.raises(Conflict):
        await store.bring("new", tmp_path / "from")
    with pytest.raises(NotFound):
        await store.bring("none/new", tmp_path / "from")
    for path in ("../out", ".hidden"):
        with pytest.raises(Invalid):
            await store.bring(path, tmp_path / "from")
    (tmp_path / "from" / "deep" / "gone").symlink_to("nowhere")
    (tmp_path / "from" / "closed").mkdir()
    with pytest.raises(Exception, match="x"):
        await asyncio.to_thread(lambda: store._bring("second", _Broken(tmp_path / "from")))
    assert sorted(os.listdir(tmp_path / "home")) == ["new"]


class _Broken(type(Path())):  # type: ignore[misc]
    """A folder that cannot be read to its end."""

    def __fspath__(self) -> str:
        raise RuntimeError("x")


@pytest.mark.attack
@pytest.mark.parametrize("place", ["out", "notebook", "out/executed.ipynb", "notebook/made.txt", "result", "log"])
async def test_a_job_that_puts_links_into_its_folder_gets_nothing_of_ours(
    world: World, running: Running, stage: Stage, tmp_path: Path, place: str
) -> None:
    ours = tmp_path / "ours"
    (ours / "deep").mkdir(parents=True)
    for name in ("executed.ipynb", "result.html", "secret.txt", "deep/secret.txt"):
        (ours / name).write_text("secret")
    run = await running.start(ME, PLAIN)
    async with following(running):
        run = await state(running, ADA, run, lambda now: bool(now.ref))
        link = tmp_path / "runs" / run.id / place
        stage.leaves = {}
        if link.is_dir():
            link.rename(link.with_name("away"))
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(ours if "." not in place else ours / "secret.txt")
        stage.end()
        final = await finished(running, ADA, run)
    assert final.state == "done"
    found = [path for path in (world.homes / "ada" / "Runs").rglob("*") if path.is_file()]
    assert [path for path in found if "secret" in path.read_text()] == []
    assert len([path for path in ours.rglob("*") if path.is_file()]) == 4


@pytest.mark.attack
async def test_what_a_job_says_of_itself_is_bounded(
    world: World, running: Running, stage: Stage, tmp_path: Path
) -> None:
    run = await running.start(ME, PLAIN)
    async with following(running):
        run = await state(running, ADA, run, lambda now: bool(now.ref))
        status = tmp_path / "runs" / run.id / jobs.STATUS
        lies: dict[str, Any] = {"cell": 10**30, "of": -5, "message": "\x1b[0m" + "x" * 90_000, "state": [], "error": {}}
        status.write_text(json.dumps(lies))
        now = await state(
            running, ADA, run, lambda now: bool(now.progress.get("of") is not None and now.progress["cell"])
        )
        assert (now.progress["cell"], now.progress["of"]) == (1_000_000, 0)
        assert len(now.progress["message"]) == 500 and "\x1b" not in now.progress["message"]
        status.write_bytes(b"[" * 1_000_000)
        stage.end("failed")
        assert (await finished(running, ADA, run)).error == "It failed."


async def test_cancelled_while_it_waits_it_never_runs(world: World, running: Running, stage: Stage) -> None:
    run = await running.start(ME, PLAIN)
    assert (await running.cancel(ME, run.id)).state == "cancelled"
    async with following(running):
        await asyncio.sleep(0.3)
    assert stage.submitted == []
    running.forget(ME, run.id)
    assert running.runs(ME) == []


async def test_cancelled_while_it_runs_its_results_are_brought(world: World, running: Running, stage: Stage) -> None:
    hidden = {"notebook/.ipynb_checkpoints/x": "x", "notebook/__pycache__/m.pyc": "x", "notebook/.hidden": "x"}
    stage.leaves = {**stage.leaves, **hidden, "notebook/plain.ipynb": "changed", "notebook/a\\b": "x"}
    run = await running.start(ME, PLAIN)
    async with following(running):
        await state(running, ADA, run, lambda now: bool(now.ref))
        with pytest.raises(Conflict):
            running.forget(ME, run.id)
        await running.cancel(ME, run.id)
        final = await finished(running, ADA, run)
    assert (final.state, final.error, final.result_path) == ("cancelled", "It was cancelled.", "Runs/Plain 2026-03-01")
    assert ("forget", run.id) in stage.asked and (await running.cancel(ME, run.id)) == final
    # What is hidden, made by Python or badly named stays behind, and the notebook is there as it was executed.
    found = world.homes / "ada" / final.result_path
    names = ["made.txt", "plain.ipynb", "result.html", "run.json"]
    assert sorted(path.name for path in found.rglob("*") if path.is_file()) == names
    assert (found / "plain.ipynb").read_text() == "{}"


async def test_a_batch_system_that_does_not_answer_is_asked_again(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaas.portal.run_queue._LATER", 0.1)
    stage.down = True
    run = await running.start(ME, PLAIN)
    async with following(running):
        now = await state(running, ADA, run, lambda now: "does not answer" in now.progress.get("message", ""))
        assert now.state == "queued"
        stage.down = False
        await state(running, ADA, run, lambda now: bool(now.ref))
        stage.states[run.id] = JobState("queued", "Waits for a node.", 60.0)
        now = await state(running, ADA, run, lambda now: now.progress.get("starts_in") == 60.0)
        assert (now.state, now.progress["message"]) == ("queued", "Waits for a node.")
        del stage.states[run.id]
        assert (await finished(running, ADA, run)).state == "failed"


async def test_what_is_cancelled_while_the_batch_system_is_away_is_ended_when_it_is_back(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaas.portal.run_queue._LATER", 0.1)
    run = await running.start(ME, PLAIN)
    async with following(running):
        await state(running, ADA, run, lambda now: now.state == "running" and bool(now.ref))
        stage.down = True
        told = (await running.cancel(ME, run.id)).progress["message"]
        assert told == "It is to be cancelled. The batch system does not answer."
        await asyncio.sleep(0.3)
        now = running.run(ME, run.id)
        assert (now.state, now.progress["message"]) == ("running", told)
        stage.down = False
        assert (await finished(running, ADA, run)).state == "cancelled"


async def test_who_is_gone_or_lost_the_data_gets_words(world: World, running: Running, stage: Stage) -> None:
    run = await running.start(ME, TIDES, things={"table": "store:home/other.csv"})
    (world.homes / "ada" / "other.csv").unlink()
    async with following(running):
        assert (await finished(running, ADA, run)).error == "There is no “other.csv”."
        del world.people.known["ada"]
        run = await running.start(ME, PLAIN)
        assert "no “ada” here" in (await finished(running, ADA, run)).error
    assert stage.submitted == []


async def test_a_folder_fills_a_slot_with_all_that_is_in_it(world: World, running: Running, stage: Stage) -> None:
    for path in ("cube.zarr/.zgroup", "cube.zarr/t/.zarray", "cube.zarr/t/0"):
        world.put(ADA, path, "{}")
    run = await running.start(ME, TIDES, things={"table": "store:home/cube.zarr"})
    assert run.asked["things"]["table"]["title"] == "cube.zarr"
    async with following(running):
        await state(running, ADA, run, lambda now: bool(now.ref))
    (job,) = stage.submitted
    assert json.loads((job.folder / jobs.JOB).read_text())["things"] == {"table": "table/cube.zarr"}
    there = job.folder / jobs.DATA / "table" / "cube.zarr"
    assert sorted(str(each.relative_to(there)) for each in there.rglob("*")) == [".zgroup", "t", "t/.zarray", "t/0"]


async def test_a_folder_that_cannot_be_brought_says_why(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(ADA, "cube.zarr/.zgroup", "{}" * 600)
    with pytest.raises(Invalid, match="not all of it") as refused:
        await running.start(ME, TIDES, things={"table": "store:home/"})
    assert refused.value.field == "table"
    run = await running.start(ME, TIDES, things={"table": "store:home/cube.zarr"})
    world.limit(run_data=1_000)
    async with following(running):
        assert "Choose less." in (await finished(running, ADA, run)).error
    monkeypatch.setattr(FolderStore, "here", False)
    with pytest.raises(Invalid, match="Copy the folder into your home first") as refused:
        await running.start(ME, TIDES, things={"table": "store:home/cube.zarr"})
    assert refused.value.field == "table" and stage.submitted == []


async def test_a_disk_that_is_full_while_data_is_brought_is_said_and_tried_again(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(ADA, "cube.zarr/.zgroup", "{}")
    copy, full = lending.copy_whole, [True]

    def filling(folder: int, to: Path, **said: Any) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(folder, to, **said)

    monkeypatch.setattr(lending, "copy_whole", filling)
    monkeypatch.setattr("vaas.portal.run_queue._LATER", 0.1)
    run = await running.start(ME, TIDES, things={"table": "store:home/cube.zarr"})
    async with following(running):
        now = await state(running, ADA, run, lambda now: "disk is full" in now.progress.get("message", ""))
        assert now.state == "queued"
        full[0] = False
        await state(running, ADA, run, lambda now: bool(now.ref))


async def test_what_filled_a_slot_is_exchanged_when_it_is_repeated(world: World, running: Running) -> None:
    first = await running.start(ME, TIDES, values={"n": 5}, things={"table": "store:home/other.csv"})
    form = await running.form_again(ME, first.id)
    assert (form.had, [each.default for each in form.fields]) == ({"table": "other.csv"}, [5, "tides.csv"])

    async def table(**said: Any) -> tuple[Any, Any]:
        again = await running.repeat(ME, first.id, **said)
        assert (again.snapshot, again.parameters.pop("n")) == (first.snapshot, 5)  # type: ignore[attr-defined]
        return again.parameters, {name: thing["path"] for name, thing in again.asked["things"].items()}

    assert await table() == ({}, {"table": "other.csv"}), "what is not said stays"
    assert await table(things={"table": "store:home/work/tides.csv"}) == ({}, {"table": "work/tides.csv"})
    assert await table(things={"table": ""}) == ({}, {}), "as in the notebook"
    there = "https://example.org/x.csv"
    assert await table(values={"table": there}) == ({"table": there}, {})
    first = await running.repeat(ME, first.id, values={"table": there})
    assert (await running.form_again(ME, first.id)).had == {"table": there}
    assert await table() == ({"table": there}, {})
    assert await table(things={"table": "store:home/other.csv"}) == ({}, {"table": "other.csv"})
    with pytest.raises(Invalid) as refused:
        await running.repeat(ME, first.id, things={"table": "store:home/gone.csv"})
    assert refused.value.field == "table"


async def test_a_run_is_repeated_where_it_was_or_where_one_wishes(world: World, running: Running) -> None:
    (here,) = world.core.offering.facilities
    large, spare = replace(SMALL, id="large"), replace(here, id="spare", sizes=("large", "small"))
    world.core.offering = replace(world.core.offering, facilities=(here, spare), sizes=(SMALL, large))
    first = await running.start(ME, PLAIN, facility="spare", size="small")

    async def again(**said: str) -> tuple[str, str, str]:
        run = await running.repeat(ME, first.id, **said)
        return run.facility, run.environment, run.size

    assert await again() == ("spare", "apps", "small"), "as it was, not as it is suggested"
    assert await again(size="large") == ("spare", "apps", "large")
    assert await again(facility="here") == ("here", "apps", "small")
    best = (await running.form_again(ME, first.id)).choices[0]
    assert (best.facility.id, best.size.id, best.possible) == ("spare", "small", True)
    closed = replace(spare, about={"status": "down", "note": "It is being moved."})
    world.core.offering = replace(world.core.offering, facilities=(here, closed))
    with pytest.raises(Forbidden, match="It is being moved.") as refused:
        await again()
    assert refused.value.field == "facility"
    assert await again(facility="here") == ("here", "apps", "small")
    form = await running.form_again(ME, first.id)
    assert {each.facility.id: each.possible for each in form.choices} == {"spare": False, "here": True}
    world.core.offering = replace(world.core.offering, facilities=(here,))
    with pytest.raises(Invalid, match="not offered here"):
        await again()


async def test_each_row_has_its_own_data(world: World, running: Running) -> None:
    for_all = {"table": "store:home/other.csv"}
    rows = [{"table": "store:home/work/tides.csv"}, {"n": 2}, {"table": "https://example.org/x.csv"}]
    runs = await running.start_series(ME, TIDES, table=rows, things=for_all)
    assert [
        (each.parameters, {slot: thing["path"] for slot, thing in each.asked.get("things", {}).items()})
        for each in runs
    ] == [
        ({}, {"table": "work/tides.csv"}),
        ({"n": 2}, {"table": "other.csv"}),
        ({"table": "https://example.org/x.csv"}, {}),
    ]
    with world.core.database.begin() as records:
        of_one = records.runs.of("ada", series=runs[0].series, limit=1)
    assert len(of_one) == 3, "of a series all are told, however many are listed at once"
    with pytest.raises(Invalid) as refused:
        gone = [{"table": "store:home/gone.csv"}, {"n": 1}, {"table": "store:nowhere/x.csv"}]
        await running.start_series(ME, TIDES, table=gone)
    assert [line.partition(":")[0] for line in refused.value.message.splitlines()[1:]] == [
        "Row 2, column “table”",
        "Row 4, column “table”",
    ]
    with pytest.raises(Invalid, match="^This place is not offered here"):
        await running.start_series(ME, TIDES, table=[{"n": 1}], facility="none")
    assert len(running.runs(ME)) == len(runs)


async def test_a_table_of_values_is_in_the_queue_whole_or_not_at_all(world: World, running: Running) -> None:
    with pytest.raises(Invalid) as refused:
        await running.start_series(ME, TIDES, table=[{"n": 1}, {"n": "x"}, {"what": 2, "n": 1.5}])
    assert refused.value.message.splitlines()[1:] == [
        "Row 3: “n” takes a whole number.",
        "Row 4: The notebook has no parameter “what”.",
        "Row 4: “n” takes a whole number.",
    ], "the names of the columns are row 1"
    assert refused.value.field == TABLE and running.runs(ME) == []
    runs = await running.start_series(ME, TIDES, table=[{"n": 1}, {"n": "2"}], values={"n": 9}, title="All")
    assert [(run.title, run.parameters) for run in runs] == [("All (1)", {"n": 1}), ("All (2)", {"n": 2})]
    assert len({run.series for run in runs}) == 1 and len(running.runs(ME, series=runs[0].series)) == 2
    world.limit(series_runs=1, runs_queued=2)
    with pytest.raises(Invalid):
        await running.start_series(ME, TIDES, table=[{"n": 1}] * 2)
    with pytest.raises(Conflict):
        await running.start(ME, PLAIN)


async def test_what_ended_is_news_until_it_was_seen(world: World, running: Running, stage: Stage) -> None:
    run = await running.start(ME, PLAIN)
    assert running.news(ME) == 0
    await running.cancel(ME, run.id)
    assert running.news(ME) == 1 and running.news(Visitor(BOB)) == 0
    running.seen(ME)
    assert running.news(ME) == 0
    other = await running.start(ME, PLAIN)
    await running.cancel(ME, other.id)
    world.clock.forward(days=30)
    assert running.news(ME) == 0


def test_folders_are_called_after_title_and_day() -> None:
    run = made("r", "ada")
    assert folder_name(replace(run, title=' ../a/b\x00 "c" ‮ ')) == "a b c 2026-03-01"
    assert folder_name(replace(run, title="...")) == "Run 2026-03-01"
    assert len(folder_name(replace(run, title="x" * 900))) < 100
    assert len(folder_name(replace(run, title="😀" * 900)).encode()) < 240
