"""What belongs to a result: the data that a run was given go along, by the rights and in the state of that moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.notebooks import code, markdown, notebook
from tests.own_servers import Labs
from tests.portal_parts import ADA, BOB, World
from tests.run_parts import finished, following, runs_of, state
from tests.unit.test_handlers import client
from tests.unit.test_running import ME, PARAMETERS, TIDES, Stage
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, VaasError
from vaas.jobs import inputs_of
from vaas.launching import Run, launch_server
from vaas.model import Access, File, ServerName, Visitor
from vaas.portal import Running
from vaas.portal.run_belongings import Belonging, files_in

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


def drafts_of(world: World) -> int:
    with world.core.database.begin() as records:
        return len(records.drafts.of("ada"))


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
    with pytest.raises(Invalid, match="Tick") as refused:
        await world.portal.drafts.begin_result(ADA, run.id)
    assert (refused.value.field, drafts_of(world)) == ("shares", 0)
    draft = await world.portal.drafts.begin_result(ADA, run.id, shares=True)
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
    assert not list(world.core.content.root.glob(".taken-*")), "nothing is left of what was looked at"


@pytest.mark.parametrize(
    ("now", "limits", "error", "words"),
    [
        ("x,y", {}, Conflict, "not what it was when this ran"),
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
    launch = await world.portal.launching.ask(ME, {"run": run.id})
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
    launch = await world.portal.launching.ask(Visitor(BOB), {"run": theirs.id})
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
        assert made.status_code == 201 and made.json()["asked"] == {"run": run.id, "notebook": "tides.ipynb"}
        assert (await ada.get(f"launches/{made.json()['id']}/")).status_code == 200
        world.put(ADA, "other.csv", "new")
        assert "not what it was" in (await ada.post(f"runs/{run.id}/", data={"do": "publish", "shares": "1"})).text
    async with client(site, "bob") as bob:
        assert (await bob.post(f"runs/{run.id}/", data={"do": "publish", "shares": "1"})).status_code == 404
        assert (await bob.get(f"launch?run={run.id}")).status_code == 404
