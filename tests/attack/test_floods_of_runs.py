"""Somebody puts so many runs of so many files into the queue that whoever looks at it has nothing left for others."""

from __future__ import annotations

import email
import time
from dataclasses import replace
from email import policy
from pathlib import Path

import pytest

from hub_service.post import post
from tests.mail import mailbox
from tests.notebooks import notebook
from tests.portal_parts import ADA, World
from tests.run_parts import runs_of
from tests.unit.test_running import Stage
from vaas.errors import Invalid
from vaas.model import File, Snapshot, Visitor
from vaas.portal import Running
from vaas.portal.run_forms import Field, filled

pytestmark = pytest.mark.attack
PLAIN = {"store": "home", "path": "plain.ipynb"}


@pytest.fixture
def running(world: World, tmp_path: Path) -> Running:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    return runs_of(world, tmp_path, executor=Stage())


async def test_looking_at_the_queue_costs_nothing_for_each_file(world: World, running: Running) -> None:
    run = await running.start(Visitor(ADA), PLAIN)
    files = (*run.snapshot.files, *(File(f"data/{number}.csv", "a" * 64, 10) for number in range(2_000)))
    many = replace(run, snapshot=Snapshot("many", run.snapshot.notebook, files))
    with world.core.database.begin() as records:
        for number in range(100):
            records.runs.save(replace(many, id=f"r{number:011}", created=world.clock()))
    began = time.process_time()
    with world.core.database.begin() as records:
        assert len(records.runs.open()) == 101
        assert len(records.runs.of("ada")) == 101
    assert time.process_time() - began < 0.15
    with world.core.database.begin() as records:
        assert sorted(len(snapshot.files) for snapshot in records.runs.snapshots()) == [1, 2_001]


async def test_what_is_over_does_not_gather_for_ever(world: World, running: Running) -> None:
    world.core.limits = replace(world.core.limits, runs_kept=3)
    for _ in range(5):
        run = await running.start(Visitor(ADA), PLAIN)
        await running.cancel(Visitor(ADA), run.id)
    assert len([run for run in running.runs(Visitor(ADA)) if run.over]) <= 4


def test_many_long_values_are_no_way_to_fill_the_database() -> None:
    fields = [Field(f"p{number}", "str") for number in range(100)]
    assert len(filled(fields, {"p0": "x" * 19_000, "p1": "y" * 19_000})) == 2
    with pytest.raises(Invalid, match="together"):
        filled(fields, {each.name: "x" * 19_000 for each in fields})


async def test_nobodys_runs_fill_a_mailbox_and_it_reads_who_asked(world: World, tmp_path: Path) -> None:
    world.put(ADA, "plain.ipynb", notebook("x = 1"))
    world.limit(emails_each=2)
    with mailbox() as box:
        server = f"smtp://127.0.0.1:{box.port}"
        said = {"VAAS_SMTP": server, "VAAS_SMTP_FROM": "portal@example.org", "VAAS_SMTP_TO": "example.org"}
        running = runs_of(world, tmp_path, executor=Stage(), post=post(said))
        for day in range(2):
            for _ in range(4):
                run = await running.start(Visitor(ADA), PLAIN, email="bob@example.org")
                await running._queue._fail(run, "It failed.")
                await world.settle()
            assert len(box.letters) == 2 + 2 * day
            world.clock.forward(days=1)
    letter = email.message_from_string(box.letters[0][1], policy=policy.default)
    assert "ada asked the portal to tell this address." in letter.get_content()
