"""What belongs to a result: the data that a run was given go along, by the rights and in the state of that moment."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from hub_service.launch_json import steps
from tests.notebooks import code, markdown, notebook
from tests.own_servers import Labs
from tests.portal_parts import ADA, BOB, World
from tests.run_parts import finished, following, runs_of, state
from tests.unit.test_cli_launch import launch as command
from tests.unit.test_handlers import client
from tests.unit.test_running import ME, PARAMETERS, TIDES, Stage
from vaas import cli_publish
from vaas.backends.base import Lent
from vaas.cli_publish import add_publish, run_publish
from vaas.db.base import Query
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, VaasError
from vaas.jobs import inputs_of
from vaas.launching import Launch, Run, launch_server
from vaas.model import Access, Draft, File, ServerName, Visitor
from vaas.portal import Publication, Running
from vaas.portal.run_belongings import Belonging, copied_words, files_in
from vaas.stores.folder import FolderStore

Patch = pytest.MonkeyPatch
LENT = Lent(ADA, "ada's own")
CELLS = (markdown("# Tides"), PARAMETERS, "print(n, open(table).read())")
EXECUTED = notebook(*CELLS[:2], code("table = 'inputs/table/other.csv'", tags=["injected-parameters"]), CELLS[2])


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.leaves = {"out/executed.ipynb": EXECUTED.decode()}
    return stage


@pytest.fixture
async def running(world: World, tmp_path: Path, stage: Stage) -> AsyncIterator[Running]:
    world.put(ADA, "work/tides.ipynb", notebook(*CELLS))
    world.put(ADA, "work/tides.csv", "a,b")
    world.put(ADA, "other.csv", "c,d")
    world.put(ADA, "cube.zarr/.zgroup", "{}")
    world.put(ADA, "cube.zarr/t/0", "1")
    running = runs_of(world, tmp_path, executor=stage)
    async with following(running):
        yield running


async def done(running: Running, stage: Stage, thing: str = "store:home/other.csv") -> Run:
    """Return a run that has ended well; with "" it was given nothing."""
    run = await running.start(ME, TIDES, things={"table": thing} if thing else {})
    await state(running, ADA, run, lambda now: bool(now.ref))
    stage.end()
    run = await finished(running, ADA, run)
    assert run.state == "done" and run.result_store == "home"
    return run


async def publish(site: str, *words: str) -> int:
    """Return how `vaas publish` ends."""
    parser = argparse.ArgumentParser()
    add_publish(parser)
    return await asyncio.to_thread(run_publish, parser.parse_args([*words, "--url", site]))


def drafts_of(world: World) -> int:
    with world.core.database.begin() as records:
        return len(records.drafts.of("ada"))


async def copied(world: World, draft: Draft) -> Draft:
    """Return the draft when nothing goes on any more."""
    await world.settle()
    return world.portal.drafts.get(ADA, draft.id)


async def launched(world: World, run: Run) -> Launch:
    """Return a launch of the result that was begun, when nothing goes on any more."""
    launching = world.portal.launching
    launch = await launching.begin(LENT, (await launching.ask(ME, {"run": run.id})).id)
    await world.settle()
    return launching.get(ME, launch.id)


class Held(FolderStore):
    """A store whose files come in two pieces, the second when a test says so."""

    def __init__(self, home: Path) -> None:
        super().__init__("home", "Home", home)
        self.go, self.waits = asyncio.Event(), asyncio.Event()

    async def chunks(self, path: str) -> AsyncGenerator[bytes]:
        data = await self.read_all(path)
        yield data[: len(data) // 2]
        if path == "other.csv":
            self.waits.set()
            await self.go.wait()
        yield data[len(data) // 2 :]

    async def read_all(self, path: str) -> bytes:
        return b"".join([chunk async for chunk in super().chunks(path)])


def held(world: World, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Let ada's home be one that is slow."""
    store = Held(world.homes / "ada")
    monkeypatch.setattr(world.core.stores, "of", lambda _user: [store])
    places = world.core.stores.places
    monkeypatch.setattr(
        world.core.stores, "places", lambda *who, **how: [replace(p, store=store) for p in places(*who, **how)]
    )
    return store


async def heard(store: Held, said: Callable[[], str]) -> str:
    """Return what is said once half of the file is copied."""
    async with asyncio.timeout(10):
        await store.waits.wait()
        while "0 of" in said() or " of " not in said():
            await asyncio.sleep(0.02)
    return said()


@pytest.mark.parametrize(
    ("notebook", "paths", "folder"),
    [
        ("a.ipynb", [], "inputs"),
        ("a.ipynb", ["a.ipynb", "inputs.csv", "sub/inputs/x"], "inputs"),
        ("a.ipynb", ["inputs/x", "inputs-2"], "inputs-3"),
        ("sub/a.ipynb", ["inputs/x", "sub/a.ipynb"], "sub/inputs"),
        ("sub/a.ipynb", ["sub/inputs/x"], "sub/inputs-2"),
    ],
)
def test_data_have_a_folder_beside_the_notebook_that_holds_nothing_else(
    notebook: str, paths: list[str], folder: str
) -> None:
    assert inputs_of(notebook, paths) == folder


async def test_a_copy_of_the_data_goes_along_when_its_person_says_so(
    world: World, running: Running, stage: Stage
) -> None:
    run = await done(running, stage)
    assert world.portal.belongings.data(ADA, run) == (Belonging("table", "other.csv", 3, ""),)
    with pytest.raises(Invalid, match="Confirm") as refused:
        await world.portal.drafts.begin_result(ADA, run.id)
    assert (refused.value.field, drafts_of(world)) == ("shares", 0)
    draft = await copied(world, await world.portal.drafts.begin_result(ADA, run.id, shares=True))
    files = {file.path: world.core.content.read(file.sha256) for file in draft.snapshot.files}
    assert files == {"tides.ipynb": EXECUTED, "tides.csv": b"a,b", "inputs/table/other.csv": b"c,d"}
    assert draft.origin_path == run.executed


async def test_a_folder_goes_along_as_the_run_had_it(world: World, running: Running, stage: Stage) -> None:
    run = await done(running, stage, "store:home/cube.zarr")
    made = await world.portal.belongings.gather(ADA, run)
    inside = {file.path for file in made.files if file.path.startswith("inputs/")}
    assert inside == {"inputs/table/cube.zarr/.zgroup", "inputs/table/cube.zarr/t/0"}
    world.put(ADA, "cube.zarr/t/0", "2")
    with pytest.raises(Conflict, match="not what it was"):
        await world.portal.belongings.gather(ADA, run)
    assert not list(world.core.content.root.glob(".pending-*")), "nothing is left of what was looked at"


@pytest.mark.parametrize(
    ("now", "limits", "error", "words"),
    [
        ("longer", {}, Conflict, "not what it was when this ran"),
        (None, {}, NotFound, "not among your files any more"),
        ("c,d", {"draft_bytes": 5}, TooLarge, "Run it on a part"),
        ("c,d", {"file_bytes": 2}, TooLarge, "Run it on a part"),
        ("c,d", {"draft_files": 2}, TooLarge, "Run it on a part"),
    ],
)
async def test_what_cannot_be_had_is_said_before_there_is_a_draft_or_a_launch(
    world: World,
    running: Running,
    stage: Stage,
    now: str | None,
    limits: dict[str, int],
    error: type[VaasError],
    words: str,
) -> None:
    world.core.own_servers = Labs()
    run = await done(running, stage)
    if now is None:
        (world.homes / "ada/other.csv").unlink()
    else:
        world.put(ADA, "other.csv", now)
    world.limit(**limits)
    with pytest.raises(error, match=words):
        await world.portal.drafts.begin_result(ADA, run.id, shares=True)
    with pytest.raises(error, match=words):
        await world.portal.launching.ask(ME, {"run": run.id})
    assert drafts_of(world) == 0 and world.portal.launching.known(ME) == []


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (0, 3, "0 of 3 bytes"),
        (999, 1000, "1 of 1 kB"),
        (1_234_567_890, 4_000_000_000, "1.2 of 4 GB"),
        (350_000_000, 999_000_000, "350 of 999 MB"),
        (10**18, 10**18, "1000000 of 1000000 TB"),
    ],
)
def test_how_much_is_copied_is_said_in_the_unit_of_the_whole(done: int, total: int, words: str) -> None:
    assert copied_words(done, total) == f"Copying the result’s data: {words}"


async def test_a_launch_says_how_much_is_copied_and_starts_when_all_of_it_is_there(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.core.own_servers = labs = Labs()
    run, store, launching = await done(running, stage), held(world, monkeypatch), world.portal.launching
    launch = await launching.begin(LENT, (await launching.ask(ME, {"run": run.id})).id)
    assert launch.state == "asked", "who asks does not wait for the copies"
    said = await heard(store, lambda: str(launching.get(ME, launch.id).progress["message"]))
    assert said == "Copying the result’s data: 1 of 3 bytes."
    now = await launching.progress(LENT, launch.id)
    assert (now.phase, now.step, now.percent) == ("asked", "copying", 16) and not labs.plans
    assert [each["key"] for each in steps(now, None) if each["is"] == "now"] == ["copying"]
    store.go.set()
    await world.settle()
    now = await launching.progress(LENT, launch.id)
    assert (now.phase, now.copies, now.percent) == ("starting", True, 57) and len(labs.plans) == 1
    assert {file.path for file in files_in(now.launch.asked).files} >= {"inputs/table/other.csv"}


async def test_who_cancels_a_launch_or_throws_a_draft_away_ends_the_copying_and_leaves_nothing(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.core.own_servers = labs = Labs()
    run, store, launching = await done(running, stage), held(world, monkeypatch), world.portal.launching
    launch = await launching.begin(LENT, (await launching.ask(ME, {"run": run.id})).id)
    draft = await world.portal.drafts.begin_result(ADA, run.id, shares=True)
    await heard(store, lambda: str(world.portal.drafts.get(ADA, draft.id).progress["text"]))
    await launching.stop(LENT, launch.id)
    world.portal.drafts.discard(ADA, draft.id)
    async with asyncio.timeout(10):
        await world.settle()  # though the store never goes on
    assert launching.get(ME, launch.id).state == "stopped" and not labs.plans and drafts_of(world) == 0
    assert not list(world.core.content.root.glob(".pending-*")), "nothing half is left"
    with pytest.raises(NotFound):
        world.core.content.path(sha256(b"c,d").hexdigest())
    store.go.set()
    await launching.start_again(LENT, launch.id)
    await world.settle()
    assert launching.get(ME, launch.id).state == "starting", "it begins anew"


async def test_what_is_not_as_it_was_is_found_by_its_checksum_and_said_where_one_waits(
    world: World, running: Running, stage: Stage
) -> None:
    world.core.own_servers = labs = Labs()
    run = await done(running, stage)
    world.put(ADA, "other.csv", "x,y")
    failed = await launched(world, run)
    assert failed.state == "failed" and "not what it was when this ran" in failed.error and not labs.plans
    drafts = world.portal.drafts
    draft = await copied(world, await drafts.begin_result(ADA, run.id, shares=True))
    (problem,) = draft.report["problems"]
    assert draft.state == "done" and problem["kind"] == "copying" and "check again" in problem["fix"]
    assert "not what it was when this ran" in problem["text"] and not world.machines.starts
    with pytest.raises(Conflict, match="nothing whole to publish"):
        drafts.publish(ADA, draft.id, Publication(title="Half", anyway=True))
    world.put(ADA, "other.csv", "c,d")
    drafts.check_again(ADA, draft.id)
    again = await copied(world, draft)
    assert {file.path for file in again.snapshot.files} >= {"inputs/table/other.csv"} and world.machines.starts
    await world.portal.launching.start_again(LENT, failed.id)
    await world.settle()
    assert world.portal.launching.get(ME, failed.id).state == "starting" and len(labs.plans) == 1


async def test_a_portal_that_is_restarted_meanwhile_says_so(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.core.own_servers = Labs()
    run, store, launching = await done(running, stage), held(world, monkeypatch), world.portal.launching
    launch = await launching.begin(LENT, (await launching.ask(ME, {"run": run.id})).id)
    draft = await world.portal.drafts.begin_result(ADA, run.id, shares=True)
    await heard(store, lambda: str(launching.get(ME, launch.id).progress["message"]))
    await world.core.close()
    after = World(world.core, world.machines, world.people, world.clock, world.homes).portal
    assert "restarted" in after.launching.get(ME, launch.id).error
    told = await after.drafts.progress(ADA, draft.id)
    assert told.state == "done" and "restarted" in told.report["problems"][0]["text"]
    assert not list(world.core.content.root.glob(".pending-*"))
    store.go.set()
    after.drafts.check_again(ADA, draft.id)
    whole = await copied(world, draft)
    assert {file.path for file in whole.snapshot.files} >= {"inputs/table/other.csv"}


async def test_the_command_launches_a_result_by_its_id_or_its_page_and_says_how_much_is_copied(
    world: World,
    site: str,
    running: Running,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.core.own_servers = labs = Labs()
    monkeypatch.setenv("VAAS_TOKEN", "ada")
    run, store, launching = await done(running, stage), held(world, monkeypatch), world.portal.launching
    said = list[str]()

    def told() -> str:
        said.append(capsys.readouterr().out)
        return "".join(said)

    going = asyncio.create_task(command(site, f"run:{run.id}"))
    assert "Copying the result’s data: 1 of 3 bytes.\n" in await heard(store, told)
    store.go.set()
    await world.settle()
    (launch,) = [now.launch for now in launching.known(ME)]
    labs.put("ada", launch_server(launch.id), "ready")
    assert await going == 0 and "Ready. " in told()
    assert await command(site, f"{site}runs/{run.id}/", "--no-wait") == 0
    await world.settle()
    assert [now.launch.asked["run"] for now in launching.known(ME)] == [run.id] * 2


async def checked(world: World) -> None:
    """Let the check of ada's only draft end well, when nothing else goes on any more."""
    with world.core.database.begin() as records:
        (draft,) = records.drafts.of("ada")
    await world.settle()
    world.report(draft)


async def test_a_result_is_published_from_the_command_line(
    world: World, site: str, running: Running, stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    monkeypatch.setenv("VAAS_TOKEN", "ada")
    # Nobody runs the notebook once more here, to say how it will open.
    monkeypatch.setattr(cli_publish, "_A_WHILE", -2.0)
    run = await done(running, stage)
    assert await publish(site, f"run:{run.id}") == 2
    told = capsys.readouterr().err
    assert "Confirm that you may pass on a copy of the data" in told and "add --shares-data" in told
    assert drafts_of(world) == 0
    going = asyncio.create_task(publish(site, f"{site}runs/{run.id}/", "--shares-data", "--network", "example.org"))
    while not drafts_of(world):
        await asyncio.sleep(0.02)
    await checked(world)
    assert await going == 0
    (app,) = [listed.app for listed in world.portal.gallery.apps(ME, Query()) if listed.app.owner == "ada"]
    files = {file.path for file in world.core.version(app).snapshot.files}
    assert files == {"tides.ipynb", "tides.csv", "inputs/table/other.csv"} and app.network == ("example.org",)
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"/apps/{app.slug}/")


async def test_a_notebook_of_a_store_is_published_from_the_command_line(
    world: World, site: str, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("VAAS_TOKEN", "ada")
    monkeypatch.setattr(cli_publish, "_A_WHILE", -2.0)
    world.put(ADA, "lab/sea.ipynb", notebook("x = 1"))
    world.put(ADA, "lab/sea.csv", "a\n1\n")
    world.put(ADA, "lab/other.csv", "a\n1\n")
    assert await publish(site, "home:lab/sea.ipynb", "--update", "sea") == 2 and drafts_of(world) == 0
    going = asyncio.create_task(publish(site, "home:lab/sea.ipynb", "--include", "sea.csv", "--title", "Sea"))
    while not (drafts_of(world) or going.done()):
        await asyncio.sleep(0.02)
    await checked(world)
    assert await going == 0
    (app,) = [listed.app for listed in world.portal.gallery.apps(ME, Query()) if listed.app.title == "Sea"]
    assert {file.path for file in world.core.version(app).snapshot.files} == {"sea.ipynb", "sea.csv"}


@pytest.mark.parametrize("option", [["--include", "a.csv"], ["--notebook", "a.ipynb"], ["--update", "tides"]])
async def test_a_result_is_published_as_it_is(
    site: str, option: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    monkeypatch.setenv("VAAS_TOKEN", "ada")
    assert await publish(site, "run:abcdefghijkl", *option) == 2
    assert "taken as it is" in capsys.readouterr().err


async def test_programs_publish_a_result(world: World, site: str, running: Running, stage: Stage) -> None:
    run = await done(running, stage)
    asked = {"run": run.id, "shares": True}
    async with client(site, "ada") as ada, client(site, "bob") as bob:
        assert (await bob.post("api/drafts", json=asked)).status_code == 404
        unsaid = await ada.post("api/drafts", json={"run": run.id})
        assert unsaid.status_code == 400 and "Confirm" in unsaid.text
        assert (await ada.post("api/drafts", json={**asked, "store": "home", "path": run.executed})).status_code == 400
        made = await ada.post("api/drafts", json=asked)
        assert (made.status_code, made.json()["origin_path"]) == (201, run.executed)
    await copied(world, world.portal.drafts.get(ADA, made.json()["id"]))
    assert drafts_of(world) == 1


async def test_the_page_of_a_draft_says_how_much_is_copied(
    world: World, site: str, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, store = await done(running, stage), held(world, monkeypatch)
    async with client(site, "ada") as ada:
        sent = await ada.post(f"runs/{run.id}/", data={"do": "publish", "shares": "1"})
        address = sent.headers["Location"].partition("/services/vaas/")[2]
        draft = address.split("/")[1]
        await heard(store, lambda: str(world.portal.drafts.get(ADA, draft).progress["text"]))
        page = (await ada.get(address)).text
        assert "Copying the result’s data: 1 of 3 bytes…" in page and "Cancel, and discard this draft" in page
        assert 'value="33"' in page
        told = (await ada.get(f"api/drafts/{draft}")).json()["progress"]
        assert (told["stage"], told["percent"]) == ("copying", 33)
        store.go.set()
        await world.settle()
        world.report(world.portal.drafts.get(ADA, draft))
        page = (await ada.get(address)).text
        assert f'action="/services/vaas/drafts/{draft}/check"' in page, "its data lie beside it in no store"
        assert "inputs/table/other.csv" in page and 'name="include"' not in page


async def test_a_run_of_which_it_is_not_known_what_it_was_given_is_to_be_repeated(
    world: World, running: Running, stage: Stage
) -> None:
    run = await done(running, stage)
    thing = {name: value for name, value in run.asked["things"]["table"].items() if name != "sha256"}
    with pytest.raises(Conflict, match="Repeat it"):
        await world.portal.belongings.gather(ADA, replace(run, asked={**run.asked, "things": {"table": thing}}))


async def test_what_an_address_leads_to_stays_where_it_is(world: World, running: Running, stage: Stage) -> None:
    run = await done(running, stage)
    far = replace(run, asked={**run.asked, "things": {"table": {"title": "Far", "uri": "https://example.org/x.csv"}}})
    assert world.portal.belongings.data(ADA, far) == ()
    assert {file.path for file in (await world.portal.belongings.gather(ADA, far)).files} == {
        "tides.ipynb",
        "tides.csv",
    }


async def test_a_result_is_launched_with_its_data(world: World, running: Running, stage: Stage) -> None:
    world.core.own_servers = Labs()
    run = await done(running, stage)
    launch = await launched(world, run)
    assert launch.state == "starting"
    running.forget(ME, run.id)  # what was gathered for it stays, so that it can be started again
    server = ServerName("ada", launch_server(launch.id))
    told = await world.portal.placing.manifest(server, public_url="http://vaas.localhost/")
    assert told["notebook"] == "tides.ipynb" and told["folder"].startswith("Launches/Tides ")
    assert {each["path"] for each in told["files"]} == {"tides.ipynb", "tides.csv", "inputs/table/other.csv"}
    assert b"c,d" in b"".join(await world.portal.placing.content(server))
    assert files_in(launch.asked).files == tuple(File(**each) for each in told["files"])


async def test_the_environment_of_the_run_is_suggested_for_its_launch(
    world: World, running: Running, stage: Stage
) -> None:
    run = await done(running, stage)
    offering = world.core.offering
    (here,), (apps,) = offering.facilities, offering.environments
    both = replace(offering, environments=(replace(apps, id="other"), apps))
    world.core.offering = replace(both, facilities=(replace(here, environments=("other", "apps")),))
    suggested = [(await world.portal.launching.form(ME, asked)).suggested for asked in (TIDES, {"run": run.id})]
    assert [each.environment.id for each in suggested if each] == ["other", "apps"]


@pytest.mark.attack
async def test_nobody_gets_at_anothers_run_or_at_an_app_that_they_may_not_read_any_more(
    world: World, running: Running, stage: Stage
) -> None:
    world.core.own_servers = Labs()
    run = await done(running, stage)
    with pytest.raises(NotFound, match="no such run"):
        await world.portal.drafts.begin_result(BOB, run.id, shares=True)
    with pytest.raises(NotFound, match="no such run"):
        await world.portal.launching.ask(Visitor(BOB), {"run": run.id})
    assert world.portal.belongings.of_result(BOB, "home", run.executed) is None
    app = await world.published(ADA, *CELLS, to=("user:bob",))
    await world.portal.sharing.grant(ME, app.slug, subject="user:bob", access=Access.READ)
    theirs = await running.start(Visitor(BOB), {"app": app.slug})
    await state(running, BOB, theirs, lambda now: bool(now.ref))
    stage.end()
    await finished(running, BOB, theirs)
    lent = Lent(BOB, "bob's own")
    launch = await world.portal.launching.begin(
        lent, (await world.portal.launching.ask(Visitor(BOB), {"run": theirs.id})).id
    )
    await world.settle()
    await world.portal.sharing.grant(ME, app.slug, subject="user:bob", access=Access.VIEW)
    with pytest.raises(Forbidden):
        await world.portal.drafts.begin_result(BOB, theirs.id)
    with pytest.raises(Forbidden):
        await world.portal.launching.ask(Visitor(BOB), {"run": theirs.id})
    with pytest.raises(Forbidden):
        await world.portal.placing.manifest(ServerName("bob", launch_server(launch.id)), public_url="http://x/")


@pytest.mark.attack
async def test_data_of_a_place_that_was_closed_meanwhile_do_not_go_along(
    world: World, running: Running, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await done(running, stage)
    # The place is another's now, though a file of this name lies in one of theirs.
    thing = {**run.asked["things"]["table"], "record": "file:home-bob/other.csv"}
    run = replace(run, asked={**run.asked, "things": {"table": thing}})
    with pytest.raises(NotFound, match="not among your files any more"):
        await world.portal.belongings.gather(ADA, run)
    assert world.portal.belongings.data(ADA, run) == (Belonging("table", "other.csv", 3, None),)


async def test_the_pages_say_what_goes_along_and_ask(world: World, site: str, running: Running, stage: Stage) -> None:
    world.core.own_servers = Labs()
    run, plain = await done(running, stage), await done(running, stage, "")
    async with client(site, "ada") as ada:
        page = (await ada.get(f"runs/{run.id}/")).text
        assert "other.csv</span>" in page and "From your home" in page and 'name="shares"' in page
        refused = await ada.post(f"runs/{run.id}/", data={"do": "publish"})
        assert refused.status_code == 400 and 'href="#f-shares"' in refused.text and "details" in refused.text
        sent = await ada.post(f"runs/{run.id}/", data={"do": "publish", "shares": "1"})
        assert sent.status_code == 303 and "/drafts/" in sent.headers["Location"]
        page = (await ada.get(f"runs/{plain.id}/")).text
        assert 'name="shares"' not in page and 'value="publish"' in page
        page = (await ada.get(f"files/home/{run.executed}")).text
        assert f'href="/services/vaas/runs/{run.id}/"' in page and "was given data" in page
        assert "was given data" not in (await ada.get(f"files/home/{plain.executed}")).text
        page = (await ada.get(f"launch?run={run.id}")).text
        assert "other.csv" in page and f'name="run" value="{run.id}"' in page
        made = await ada.post("api/launches", json={"run": run.id})
        assert made.status_code == 201 and made.json()["asked"] == {"run": run.id}
        assert made.json()["state"] == "asked"
        await world.settle()
        told = (await ada.get(f"api/launches/{made.json()['id']}")).json()
        assert told["asked"] == {"run": run.id, "notebook": "tides.ipynb"} and told["percent"] > 50
        assert (await ada.get(f"launches/{made.json()['id']}/")).status_code == 200
        world.put(ADA, "other.csv", "newer")
        assert "not what it was" in (await ada.post(f"runs/{run.id}/", data={"do": "publish", "shares": "1"})).text
    async with client(site, "bob") as bob:
        assert (await bob.post(f"runs/{run.id}/", data={"do": "publish", "shares": "1"})).status_code == 404
        assert (await bob.get(f"launch?run={run.id}")).status_code == 404
