"""A portal whose runs lie on a desk: they are in its database, and go on when a test says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import httpx
import pytest

from hub_service.offered import default_offering
from hub_service.settings import Settings
from hub_service.timetable import next_time
from tests.notebooks import code, markdown, notebook
from tests.portal_parts import ADA, BOB, World
from tests.unit.test_handlers import client
from vaas.executors.base import Executor, Job, JobState
from vaas.launching import Run
from vaas.model import Visitor
from vaas.portal import Running

__all__ = [
    "ASKED",
    "AS_ADA",
    "AS_BOB",
    "CELLS",
    "FORM",
    "HOSTILE",
    "ada",
    "becomes",
    "ended",
    "going",
    "kept",
    "started",
    "writes",
]

AS_ADA, AS_BOB = Visitor(ADA), Visitor(BOB)
HOSTILE = "<script>alert(1)</script>'\"{{7*7}}"
CELLS = (
    markdown("# Waves"),
    code(
        "n: int = 3  # how many <b>waves</b>\nheight = 1.5\nfast = True\nname = 'sea'\nlevels = [1, 2]\n"
        "table = 'sea.csv'  # data: the levels",
        tags=["parameters"],
    ),
    "print(n)",
)
ASKED = {"store": "home", "path": "lab/waves.ipynb"}
FORM = "runs/new?store=home&path=lab/waves.ipynb"


@pytest.fixture
async def ada(world: World, site: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return ada's browser; a notebook with parameters is in her home."""
    world.core.offering = default_offering(Settings.from_environ({}))
    world.put(ADA, "lab/waves.ipynb", notebook(*CELLS))
    world.put(ADA, "lab/sea.csv", "a,b\n1,2\n")
    world.portal.running = Running(
        world.core,
        {"local": Desk()},
        world.homes.parent / "runs",
        baskets=world.portal.baskets,
        inspect=parameters,
        next_time=next_time,
    )
    async with client(site, "ada") as ada:
        yield ada


class Desk(Executor):
    """Takes no jobs, and has logs by what it calls them."""

    logs: ClassVar[dict[str, str]] = {}

    async def submit(self, job: Job) -> str:
        return job.id

    async def poll(self, ref: str) -> JobState:
        return JobState("running")

    async def cancel(self, ref: str) -> None:
        return None

    async def log(self, ref: str, *, most: int) -> str:
        return self.logs.get(ref, "")[-most:]

    async def forget(self, ref: str) -> None:
        return None


async def parameters(data: bytes) -> list[dict[str, Any]]:
    """Return what papermill finds in the notebook of these tests."""
    found = {"n": ("int", 3, "how many <b>waves</b>"), "height": ("float", 1.5, ""), "fast": ("bool", True, "")}
    found |= {
        "name": ("str", "sea", ""),
        "levels": ("list", [1, 2], ""),
        "table": ("str", "sea.csv", "data: the levels"),
    }
    return [{"name": n, "type": t, "default": d, "help": h, "is": True} for n, (t, d, h) in found.items()]


def writes(run: Run, text: str) -> None:
    """Let the run have written this."""
    Desk.logs[run.ref] = text


def kept(world: World) -> list[Run]:
    """Return all runs of ada's, the first first."""
    running = world.portal.running
    found = [running.run(AS_ADA, seen.id) for seen in running.runs(AS_ADA)]
    return sorted(found, key=lambda run: run.created)


def becomes(world: World, run: Run, **changed: Any) -> Run:
    """Let the run go on."""
    run = replace(run, **changed)
    with world.core.database.begin() as records:
        records.runs.save(run)
    return run


async def started(world: World, **values: Any) -> Run:
    """Return a run that waits."""
    return await world.portal.running.start(AS_ADA, ASKED, values=values)


async def going(world: World, **values: Any) -> Run:
    """Return a run that runs."""
    run = await started(world, **values)
    return becomes(world, run, state="running", ref=run.id, started=world.clock(), progress={"cell": 1, "of": 2})


def ended(world: World, run: Run, **changed: Any) -> Run:
    """Let the run end well, with a result in the home."""
    world.put(ADA, "Runs/Waves/waves.ipynb", notebook("1"))
    world.put(ADA, "Runs/Waves/result.html", f"<h1>Result</h1>{HOSTILE}")
    world.put(ADA, "Runs/Waves/run.json", json.dumps({"run": run.id}))
    now = world.clock()
    said = {"state": "done", "started": now - timedelta(seconds=75), "ended": now, "result_store": "home"}
    return becomes(world, run, **{**said, "result_path": "Runs/Waves", **changed})
