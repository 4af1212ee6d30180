"""A run in a whole portal, with real kernels: portal and Hub may go and come back meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hub_service.running import portals
from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal, app_python, until
from tests.run_parts import lab_python
from vaas import jobs
from vaas.content import Content, snapshot_of
from vaas.db.seal import Seal, ensure_secret
from vaas.db.sql import SqlDatabase
from vaas.launching import Run
from vaas.model import File

pytestmark = [pytest.mark.hub, pytest.mark.app, pytest.mark.slow]
#: Ends when the test says so.
WAITS = "import pathlib, time\nprint('begun', flush=True)\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)"


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[RunningPortal]:
    made = RunningPortal(tmp_path / "data", app_python=app_python(), environ={"VAAS_LAB_PYTHON": str(lab_python())})
    made.environ["VAAS_LAB_PYTHON"] = str(lab_python())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def database(portal: RunningPortal) -> Iterator[SqlDatabase]:
    seal = Seal(ensure_secret(portal.settings.secrets / "seal"))
    made = SqlDatabase(f"sqlite:///{portal.data / 'portal.sqlite'}", seal=seal)
    yield made
    made.close()


def queued(portal: RunningPortal, database: SqlDatabase, *cells: str, id: str) -> Run:
    """Put a run of ada's into the queue."""
    data = notebook(*cells)
    file = File("a.ipynb", *Content(portal.data / "content").add(data))
    with database.begin() as records:
        now = records.leases.all("runs")[0].until
        run = Run(id, "ada", "Waves", snapshot_of("a.ipynb", [file]), {}, "apps", "small", "here", now)
        records.runs.save(replace(run, asked={"store": "home", "path": "a.ipynb"}))
    return run


def now(database: SqlDatabase, run: Run) -> Run:
    with database.begin() as records:
        found = records.runs.get(run.id)
    assert found is not None
    return found


def test_a_run_outlives_portal_and_hub(portal: RunningPortal, database: SqlDatabase) -> None:
    def leads() -> bool:
        with database.begin() as records:
            return bool(records.leases.all("runs"))

    until(leads, seconds=60, what="the queue")
    portal.token_for("ada")
    run = queued(portal, database, WAITS, "print('end')", id="waits")
    folder = portal.data / "runs" / run.id
    until(lambda: "begun" in jobs.read_tail(folder / jobs.LOG, most=1000), seconds=60, what="the first cell")
    guard = psutil.Process(jobs.read_json(portal.settings.run / "jobs" / "waits.guard")["pid"])
    (service,) = portals(portal.settings)
    service.kill()
    until(lambda: [each.pid for each in portals(portal.settings)] not in ([], [service.pid]), seconds=60)
    portal.wait()
    assert guard.is_running() and now(database, run).state == "running"
    portal.stop()
    assert guard.is_running()
    # It ends while nobody looks.
    (folder / jobs.FILES / "go").touch()
    until(lambda: (portal.settings.run / "jobs" / "waits.end").exists(), seconds=60, what="its end")
    portal.start()
    until(lambda: now(database, run).over, seconds=60, what="its results")
    final = now(database, run)
    assert (final.state, final.error, final.result_store) == ("done", "", "home")
    result = portal.data / "homes" / "ada" / final.result_path
    assert (result / "log.txt").read_text() == "begun\nend\n" and (result / "run.json").exists()
    until(lambda: not folder.exists() and not list((portal.settings.run / "jobs").iterdir()), seconds=20)
    assert time.time() - (result / "run.json").stat().st_mtime < 120
