"""Launches on a real HTCondor, with the configuration that docs/jobs.md shows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import batchspawner
import pytest

from hub_service.spawner import with_app_servers
from hub_service.wrapped import mixin_for
from tests.condor import Pool
from tests.condor_site import on_condor
from tests.launched import Launches
from tests.portal_fixture import lab_python, until
from vaas.launching import Environment, Size

pytestmark = [pytest.mark.hub, pytest.mark.app]
_ASKED = "JobStatus,RequestMemory,RequestCpus,Owner,HoldReason,MasterPid"
_RUNS = 2


@pytest.fixture(scope="module")
def launches(condor: Pool, condor_person: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launches]:
    """Return the launches of a person whom the pool knows."""
    with on_condor(condor, tmp_path_factory.mktemp("on-condor") / "data", apps_as=condor_person) as portal:
        portal.hub("POST", f"/users/{condor_person}").raise_for_status()
        yield Launches(portal, condor_person)
        condor.end_all()


@pytest.fixture
def scripts(condor: Pool, condor_person: str) -> Path:
    """Return the folder in which scripts of jobs lie."""
    return condor.folder / condor_person / ".vaas-jobs"


def _jobs(pool: Pool) -> list[dict[str, Any]]:
    """Return what the queue says of all jobs."""
    return list(json.loads(pool.command("condor_q", "-allusers", "-json", "-attributes", _ASKED) or "[]"))


def _running(pool: Pool) -> list[dict[str, Any]]:
    return [job for job in _jobs(pool) if job["JobStatus"] == _RUNS]


async def test_a_launch_is_a_job_of_the_person_of_its_size_and_outlives_the_hub(
    launches: Launches, condor: Pool, condor_person: str, scripts: Path
) -> None:
    launch = launches.new(app="world-map", title="In the pool")
    size, began = Size("s", "S", 1.5, 600_000_000, seconds=1200), time.time()
    launches.start(launch, kind="htcondor", size=size)
    (job,) = _running(condor)
    assert (job["Owner"], job["RequestCpus"], job["RequestMemory"]) == (condor_person, 2, 572)
    code = "import getpass, os; print(getpass.getuser(), os.getcwd(), os.environ['VAAS_LAUNCH_ENDS'], sep=chr(10))"
    who, where, ends = (await launches.run(launch, code)).splitlines()
    assert who == condor_person and where.startswith(str(condor.folder / condor_person))
    assert began + 1200 < int(ends) < time.time() + 1200
    assert scripts.stat().st_mode & 0o777 == 0o700
    assert not list(scripts.glob("*.sh"))

    note = launches.portal.note
    os.kill(note.hub.pid, signal.SIGKILL)
    until(
        lambda: launches.portal.note.hub.pid != note.hub.pid and launches.portal.answers(), seconds=40, what="the Hub"
    )
    until(lambda: launches.ready(launch), seconds=20, what=lambda: launches.said(launch))
    assert await launches.run(launch, "print(6 * 7)") == "42\n"
    assert len(_running(condor)) == 1

    launches.stop(launch)
    until(lambda: _jobs(condor) == [], seconds=20, what="the job to end")
    assert launches.get(launch).progress["ended"] == "outside"


def test_a_launch_that_waits_says_why_and_one_that_is_removed_fails_with_words_and_leaves_nothing(
    launches: Launches, condor: Pool, scripts: Path
) -> None:
    launch, huge = launches.new(app="world-map", title="In the queue"), Size("huge", "Huge", 64, 600_000_000)
    launches.ask(launch, {"plan": launches.plan(launch, kind="htcondor", size=huge)}).raise_for_status()

    def told() -> str:
        path = f"/services/vaas/api/launches/{launch.id}"
        return str(launches.portal.request("GET", path, token=launches.token).json()["message"])

    waits = "In the queue of the cluster. It waits until a machine is free."
    until(lambda: told() == waits, seconds=30, what=told)
    assert [each.stat().st_mode & 0o777 for each in scripts.glob("*.sh")] == [0o700]
    condor.command("condor_hold", "-all")
    until(lambda: "It is held back: via condor_hold" in told(), seconds=30, what=told)
    condor.command("condor_rm", "-all")
    assert "its job was removed from the pool" in launches.said(launch)
    assert _jobs(condor) == [] and not list(scripts.glob("*.sh"))


def test_a_start_that_fails_says_why(launches: Launches, condor: Pool) -> None:
    launch = launches.new(app="world-map", title="Fails")
    environment = Environment("gone", "Gone", "python", "/nowhere/python")
    launches.ask(launch, {"plan": launches.plan(launch, kind="htcondor", environment=environment)}).raise_for_status()
    until(
        lambda: not launches.portal.hub("GET", launches.path(launch)).json()["pending"],
        seconds=60,
        what=lambda: launches.said(launch),
    )
    assert "could not be started" in launches.said(launch)
    until(lambda: _jobs(condor) == [], seconds=20, what="the queue to be empty")


async def test_a_job_whose_number_got_lost_is_ended_by_its_name(
    condor: Pool, condor_person: str, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in condor.environ.items():
        monkeypatch.setenv(name, value)
    spawner = with_app_servers(batchspawner.CondorSpawner, mixin_for(batchspawner.CondorSpawner))(
        user=SimpleNamespace(name=condor_person, url=f"/user/{condor_person}"),
        lab_cmd=[str(lab_python())],
        exec_prefix=" ".join(condor.prefix).replace("{owner}", "{username}"),
        req_nprocs="64",
        req_memory="100M",
    )
    monkeypatch.setattr(type(spawner), "get_env", lambda self: {})
    monkeypatch.setattr(type(spawner), "cmd_formatted_for_batch", lambda self: "true")
    monkeypatch.setattr(type(spawner), "parse_job_id", lambda self, said: int(""))
    monkeypatch.setattr(type(spawner), "again", ())
    with pytest.raises(RuntimeError, match="no number"):
        await spawner.submit_batch_script()
    assert len(_jobs(condor)) == 1 and len(list(scripts.glob("*.sh"))) == 1
    assert await spawner.poll() is None
    await spawner.stop()
    until(lambda: _jobs(condor) == [], seconds=20, what="the job to end")
    assert not list(scripts.glob("*.sh"))
