"""What tests of runs share: real executors with real kernels, in a portal of their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hub_service.settings import ROOT
from hub_service.timetable import next_time
from tests.loops import going_on
from tests.portal_fixture import app_python
from tests.portal_parts import World
from vaas.executors.base import Executor
from vaas.executors.inspecting import Inspector
from vaas.executors.local import Bounds, LocalExecutor
from vaas.launching import Environment, Facility, Offering, Run, Size
from vaas.model import User, Visitor
from vaas.portal import Running
from vaas.portal.run_folders import Kernel, kernel_of
from vaas.portal.run_results import Post

__all__ = ["SMALL", "environment", "finished", "following", "lab_python", "local", "offering", "runs_of", "state"]

SMALL = Size("small", "Small", 1, 1_000_000_000, 0, 120)
_SECONDS = 60.0


def lab_python() -> Path:
    """Return the launch environment's python."""
    return Path(os.environ.get("VAAS_LAB_PYTHON") or ROOT / ".venvs" / "lab" / "bin" / "python")


def environment() -> Environment:
    """Return the apps' environment."""
    return Environment("apps", "As in apps", "python", str(app_python()), packages={"numpy": "2.0"}, digest="d1")


def offering(kind: str = "local") -> Offering:
    """Return this machine with one environment and one size; or a cluster that has what is made here."""
    here = Facility("here", "This machine", kind, ("apps",), ("small",), stores=("home",))
    here = replace(here, environments_shared=kind != "local")
    return Offering((here,), (environment(),), (SMALL,))


def local(folder: Path, **said: Any) -> LocalExecutor:
    """Return the executor of this machine; ``said`` goes before what is usual."""
    usual = {"environ": {"PATH": os.environ["PATH"]}, "bounds": Bounds(bytes=200_000_000)}
    return LocalExecutor(lab_python(), folder, **{**usual, **said})


def runs_of(
    world: World,
    folder: Path,
    *,
    executor: Executor | None = None,
    post: Post | None = None,
    kernel: Kernel = kernel_of,
    kind: str = "local",
) -> Running:
    """Give the portal what runs notebooks here; what is kept lies in ``folder``."""
    world.core.offering = offering(kind)
    world.portal.running = Running(
        world.core,
        {kind: executor or local(folder / "jobs")},
        folder / "runs",
        baskets=world.portal.baskets,
        inspect=Inspector(lab_python(), environ={"PATH": os.environ["PATH"]}),
        next_time=next_time,
        post=post,
        kernel=kernel,
        often=0.05,
    )
    return world.portal.running


def following(*running: Running) -> AbstractAsyncContextManager[list[asyncio.Task[None]]]:
    """Let them look after the queue inside of the block."""
    return going_on(*(each.follow() for each in running))


async def finished(running: Running, user: User, run: Run, *, seconds: float = _SECONDS) -> Run:
    """Return the run when it is over."""
    return await state(running, user, run, lambda now: now.over, seconds=seconds)


async def state(
    running: Running, user: User, run: Run, true: Callable[[Run], bool], *, seconds: float = _SECONDS
) -> Run:
    """Return the run when this holds of it."""
    async with asyncio.timeout(seconds):
        while not true(now := running.run(Visitor(user), run.id)):
            await asyncio.sleep(0.05)
    return now
