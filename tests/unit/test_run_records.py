"""Runs with records of other sites: a slot takes their files, never the page that shows them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.catalog_site import Repository, repository
from tests.notebooks import code, markdown, notebook
from tests.portal_parts import ADA, BOB, World
from tests.run_parts import finished, following, runs_of, state
from tests.unit.test_running import ME, PARAMETERS, TIDES, Stage
from vaas import jobs
from vaas.catalogs.invenio import InvenioCatalog
from vaas.errors import Conflict, Invalid, NotFound
from vaas.http import Http
from vaas.launching import Run
from vaas.model import Visitor
from vaas.portal import Portal, Running
from vaas.portal.run_belongings import Belonging

DATA = b"year,level\n2000,1\n"
CELLS = (markdown("# Tides"), PARAMETERS, "print(n, open(table).read())")
EXECUTED = notebook(*CELLS[:2], code("table = 'inputs/table/tides.csv'", tags=["injected-parameters"]), CELLS[2])


@pytest.fixture
def there() -> Iterator[Repository]:
    with repository(one={"tides.csv": DATA}, two={"a.csv": b"1", "b.csv": b"22"}, none={}) as made:
        yield made


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.leaves = {"out/executed.ipynb": EXECUTED.decode()}
    return stage


@pytest.fixture
async def running(world: World, tmp_path: Path, stage: Stage, there: Repository) -> AsyncIterator[Running]:
    """Return what runs notebooks, on a portal that asks the repository."""
    elsewhere = InvenioCatalog("there", "The repository", there.url, http=Http(allowed_private=[there.url[7:]]))
    # Without what keeps answers for a minute: a test changes what there is.
    world.portal = Portal(world.core, catalogs=[elsewhere])
    world.put(ADA, "work/tides.csv", "a,b")
    world.put(ADA, "work/tides.ipynb", notebook(*CELLS))
    running = runs_of(world, tmp_path, executor=stage)
    async with following(running):
        yield running


async def thing(world: World, record: str, visitor: Visitor = ME) -> str:
    """Put the record into the visitor's basket; return what a slot is given."""
    look = await world.portal.baskets.add(visitor, "there", record)
    (held,) = (each.thing for each in look.things if each.thing.record == record)
    return f"{look.basket.id}/{held.id}"


async def given(world: World, running: Running, stage: Stage, record: str) -> tuple[Run, Path]:
    """Return a run with that record in its slot that was handed over, and its job's folder."""
    run = await running.start(ME, TIDES, things={"table": await thing(world, record)})
    await state(running, ADA, run, lambda now: bool(now.ref))
    return running.run(ME, run.id), stage.submitted[-1].folder


async def test_a_record_with_one_file_is_that_file(world: World, running: Running, stage: Stage) -> None:
    run, folder = await given(world, running, stage, "one")
    said = json.loads((folder / jobs.JOB).read_text())
    assert (said["things"], "table" in said["parameters"]) == ({"table": "table/tides.csv"}, False)
    assert (folder / jobs.DATA / "table" / "tides.csv").read_bytes() == DATA
    kept = run.asked["things"]["table"]
    assert (kept["name"], kept["size"], kept["sha256"]) == ("tides.csv", len(DATA), hashlib.sha256(DATA).hexdigest())


async def test_a_record_with_several_files_is_a_folder(world: World, running: Running, stage: Stage) -> None:
    _, folder = await given(world, running, stage, "two")
    assert json.loads((folder / jobs.JOB).read_text())["things"] == {"table": "table/Record two"}
    files = {each.name: each.read_bytes() for each in (folder / jobs.DATA / "table" / "Record two").iterdir()}
    assert files == {"a.csv": b"1", "b.csv": b"22"}


async def test_a_record_without_files_is_refused_in_words_with_its_page(
    world: World, running: Running, stage: Stage, there: Repository
) -> None:
    with pytest.raises(Invalid, match="no files of it that can be had.*/records/none") as refused:
        await running.start(ME, TIDES, things={"table": await thing(world, "none")})
    one = await thing(world, "one")
    there.access = {"status": "restricted"}
    with pytest.raises(Invalid, match="not for everybody.*/records/one"):
        await running.start(ME, TIDES, things={"table": one})
    assert refused.value.field == "table" and stage.submitted == []


async def test_a_record_that_is_not_what_it_says_fails_the_run(
    world: World, running: Running, stage: Stage, there: Repository
) -> None:
    there.lies["tides.csv"] = {"checksum": f"md5:{'0' * 32}"}
    run = await running.start(ME, TIDES, things={"table": await thing(world, "one")})
    assert "not what its checksum" in (await finished(running, ADA, run)).error
    assert stage.submitted == []


async def test_a_record_that_is_larger_than_a_run_may_have_fails_it(
    world: World, running: Running, stage: Stage
) -> None:
    world.limit(run_data=2)
    for record in ("one", "two"):
        run = await running.start(ME, TIDES, things={"table": await thing(world, record)})
        assert "Choose less." in (await finished(running, ADA, run)).error
    assert stage.submitted == []


async def test_its_data_go_along_with_the_result_while_they_are_what_they_were(
    world: World, running: Running, stage: Stage, there: Repository
) -> None:
    run, _ = await given(world, running, stage, "one")
    stage.end()
    run = await finished(running, ADA, run)
    belongings = world.portal.belongings
    assert belongings.data(ADA, run) == (Belonging("table", "Record one", len(DATA), there.url[7:]),)
    files = {file.path for file in (await belongings.gather(ADA, run)).files}
    assert files == {"tides.ipynb", "tides.csv", "inputs/table/tides.csv"}
    there.records["one"] = {"tides.csv": b"another"}
    with pytest.raises(Conflict, match="not what it was"):
        await belongings.gather(ADA, run)
    there.access = {"status": "restricted"}
    with pytest.raises(NotFound, match="cannot be had from its site any more"):
        await belongings.gather(ADA, run)


@pytest.mark.attack
async def test_anothers_basket_fills_no_slot(world: World, running: Running) -> None:
    his = await thing(world, "one", Visitor(BOB))
    with pytest.raises(Invalid, match="not shared with you"):
        await running.start(ME, TIDES, things={"table": his})


async def test_an_address_that_was_kept_before_is_to_be_chosen_again(
    world: World, running: Running, stage: Stage
) -> None:
    run, _ = await given(world, running, stage, "one")
    stage.end()
    run = await finished(running, ADA, run)
    page = {"title": "Record one", "uri": "https://r.example/1", "checksum": "", "size": None}
    with world.core.database.begin() as records:
        records.runs.save(replace(run, asked={**run.asked, "things": {"table": page}}))
    again = await running.repeat(ME, run.id)
    assert "Choose it again, so that its files" in (await finished(running, ADA, again)).error
    assert len(stage.submitted) == 1
