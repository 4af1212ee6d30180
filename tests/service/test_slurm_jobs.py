"""Jobs on a real Slurm: run as the person whose they are, watched, ended, and neither lost nor sent twice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, World
from tests.run_parts import finished, following, runs_of, state
from tests.slurm_jobs import Jobs
from tests.wheels import maker, packages, wheel
from vaas.errors import Unavailable
from vaas.executors.base import JobState
from vaas.executors.programs import Silent
from vaas.executors.slurm import SlurmExecutor
from vaas.launching import Size
from vaas.model import Visitor
from vaas.portal.environments import BESIDE
from vaas.portal.run_folders import kernel_of

pytestmark = pytest.mark.hub


async def test_a_job_runs_as_its_owner_and_its_log_is_read_while_it_runs(slurm_jobs: Jobs) -> None:
    job = slurm_jobs.job("id -un >who; echo begins; until [ -e go ]; do sleep 0.1; done; echo ends")
    ref = await slurm_jobs.executor.submit(job)
    await slurm_jobs.until(ref, "running")
    async with asyncio.timeout(20):
        while "begins" not in await slurm_jobs.executor.log(ref, most=1000):
            await asyncio.sleep(0.05)
    (job.folder / "go").touch()
    await slurm_jobs.until(ref, "done")
    assert (job.folder / "who").read_text() == f"{slurm_jobs.person}\n"
    assert (job.folder / "who").owner() == slurm_jobs.person
    assert (job.folder / "called").read_text() == "-P -m vaas.lab.run\n"
    assert await slurm_jobs.executor.log(ref, most=1000) == "begins\nends\n"
    assert await slurm_jobs.executor.log(ref, most=8) == "ends\n"


async def test_a_job_that_fails_has_failed(slurm_jobs: Jobs) -> None:
    ref = await slurm_jobs.executor.submit(slurm_jobs.job("exit 3"))
    assert await slurm_jobs.until(ref, "failed") == JobState("failed")


async def test_a_stopped_queue_is_said_and_a_waiting_job_is_cancelled(slurm_jobs: Jobs) -> None:
    slurm_jobs.executor = SlurmExecutor(
        replace(slurm_jobs.place, partition="stopped"), slurm_jobs.kept, clock=lambda: time.monotonic() * 100
    )
    ref = await slurm_jobs.executor.submit(slurm_jobs.job("true"))
    found = await slurm_jobs.until(ref, "queued", and_so=lambda found: found.message)
    assert found == JobState("queued", "The queue is stopped; the job waits until it goes on.")
    await slurm_jobs.executor.cancel(ref)
    assert await slurm_jobs.until(ref, "cancelled") == JobState("cancelled")
    await slurm_jobs.executor.cancel(ref)
    assert slurm_jobs.cluster.jobs() == []


async def test_a_full_cluster_says_when_a_job_begins(slurm_jobs: Jobs) -> None:
    whole = Size("whole", "Whole", 32, 100_000_000, seconds=600)
    first = await slurm_jobs.executor.submit(slurm_jobs.job("sleep 60", size=whole))
    await slurm_jobs.until(first, "running")
    second = await slurm_jobs.executor.submit(slurm_jobs.job("true", size=whole))
    found = await slurm_jobs.until(second, "queued", and_so=lambda found: found.starts_in and found.message)
    assert found.message in {"It waits until enough of the cluster is free.", "Others are before it in the queue."}
    assert 500 < (found.starts_in or 0) <= 660
    await slurm_jobs.executor.cancel(first)
    await slurm_jobs.until(first, "cancelled")
    await slurm_jobs.until(second, "done")


async def test_the_same_job_is_submitted_once(slurm_jobs: Jobs) -> None:
    job = slurm_jobs.job("echo once >>times")
    refs = {await slurm_jobs.executor.submit(job) for _ in range(3)}
    assert len(refs) == 1
    await slurm_jobs.until(*refs, "done")
    assert (job.folder / "times").read_text() == "once\n"


async def test_a_job_whose_submission_got_no_answer_is_found_again(slurm_jobs: Jobs) -> None:
    """As when the portal dies, or the controller answers too late."""
    lossy = slurm_jobs.folder / "lossy"
    lossy.write_text('#!/bin/sh\nrunuser -u "$@" || exit\n[ "$3" != sbatch ] || { echo lost >&2; exit 1; }\n')
    lossy.chmod(0o755)
    job = slurm_jobs.job("echo once >>times")
    with pytest.raises(Unavailable, match="does not answer"):
        await SlurmExecutor(replace(slurm_jobs.place, prefix=(str(lossy), "{owner}", "--")), slurm_jobs.kept).submit(
            job
        )
    ref = await slurm_jobs.executor.submit(job)
    await slurm_jobs.until(ref, "done")
    assert (job.folder / "times").read_text() == "once\n"


async def test_a_controller_that_is_down_loses_no_job(slurm_jobs: Jobs) -> None:
    job = slurm_jobs.job("until [ -e go ]; do sleep 0.1; done")
    ref = await slurm_jobs.executor.submit(job)
    await slurm_jobs.until(ref, "running")
    slurm_jobs.cluster.stop_controller()
    try:
        late = slurm_jobs.job("true")
        with pytest.raises(Silent, match="does not answer"):
            async with asyncio.timeout(30):
                while await slurm_jobs.executor.poll(ref):  # what was heard just now counts for a moment
                    await asyncio.sleep(0.1)
        with pytest.raises(Silent):
            await slurm_jobs.executor.submit(late)
        assert slurm_jobs.executor.silent
    finally:
        slurm_jobs.cluster.start_controller()
    (job.folder / "go").touch()
    async with asyncio.timeout(20):
        while True:
            try:
                refs = [ref, await slurm_jobs.executor.submit(late)]
                break
            except Unavailable:
                await asyncio.sleep(0.1)
    assert not slurm_jobs.executor.silent
    for each in refs:
        await slurm_jobs.until(each, "done")


async def test_a_job_that_slurm_has_forgotten_is_known_by_its_folder(slurm_jobs: Jobs) -> None:
    done, gone = slurm_jobs.job("true"), slurm_jobs.job("true")
    (done.folder / "status.json").write_text('{"state": "done"}')
    states = [await slurm_jobs.executor.poll(f"4000000/{slurm_jobs.person}/{job.folder.name}") for job in (done, gone)]
    assert [each.state for each in states] == ["done", "lost"]


async def test_what_the_cluster_does_not_take_is_said_in_its_words(slurm_jobs: Jobs) -> None:
    executor = SlurmExecutor(replace(slurm_jobs.place, partition="nowhere"), slurm_jobs.kept)
    with pytest.raises(Unavailable, match=r"The cluster does not take the job: Invalid partition name specified\."):
        await executor.submit(slurm_jobs.job("true"))


@pytest.mark.parametrize("ref", ["", "1", "1/../x", "1/ada/../x", "1;id/ada/x", "x/ada/x", "nothing"])
async def test_a_reference_that_is_none_reaches_nothing(slurm_jobs: Jobs, ref: str) -> None:
    assert (await slurm_jobs.executor.poll(ref)).state == "lost"
    assert await slurm_jobs.executor.log(ref, most=10) == ""
    await slurm_jobs.executor.cancel(ref)
    await slurm_jobs.executor.forget(ref)


@pytest.mark.app
async def test_a_run_says_why_it_waits_and_its_results_come_home(slurm_jobs: Jobs, world: World) -> None:
    world.put(ADA, "tides.ipynb", notebook("print(6 * 7)", "open('made.txt', 'w').write('made')"))
    running = runs_of(world, slurm_jobs.folder, executor=slurm_jobs.with_lab(slurm_jobs.folder / "runs"))
    slurm_jobs.cluster.command("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        async with following(running):
            run = await running.start(Visitor(ADA), {"store": "home", "path": "tides.ipynb"})
            await state(running, ADA, run, lambda now: "The queue is stopped" in now.progress.get("message", ""))
            slurm_jobs.cluster.command("scontrol", "update", "PartitionName=main", "State=UP")
            run = await finished(running, ADA, run)
    finally:
        slurm_jobs.cluster.command("scontrol", "update", "PartitionName=main", "State=UP")
    assert (run.state, run.error, run.result_store) == ("done", "", "home")
    result = world.homes / "ada" / run.result_path
    assert (result / "log.txt").read_text() == "42\n"
    assert (result / "files" / "made.txt").read_text() == "made"


@pytest.mark.app
async def test_a_run_has_the_packages_that_a_file_beside_its_notebook_asks_for(slurm_jobs: Jobs, world: World) -> None:
    """They are made here, before the job is handed over, in a folder that the node has, too."""
    world.put(ADA, "own/tides.ipynb", notebook("import sys, tiny\nprint(tiny.VERSION, sys.prefix)"))
    world.put(ADA, "own/requirements.txt", "tiny<2")
    environments = slurm_jobs.folder / "environments"
    with packages() as index:
        index.add_kernel()
        for version in ("1.0", "2.0"):
            index.add(wheel("tiny", version, {"tiny.py": f"VERSION = {version!r}"}))
        world.core.maker = maker(environments, index)
        executor = slurm_jobs.with_lab(slurm_jobs.folder / "runs")
        kernel = partial(kernel_of, made=environments)
        running = runs_of(world, slurm_jobs.folder, executor=executor, kernel=kernel, kind="slurm")
        async with following(running):
            run = await running.start(Visitor(ADA), {"store": "home", "path": "own/tides.ipynb"})
            assert (run.environment, run.facility) == (BESIDE, "here")
            run = await finished(running, ADA, run, seconds=120)
    assert (run.state, run.error) == ("done", "")
    (made,) = (each for each in environments.iterdir() if len(each.name) == 64)
    log = (world.homes / "ada" / run.result_path / "log.txt").read_text()
    assert log == f"1.0 {made}\n"
