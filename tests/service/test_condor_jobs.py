"""Jobs on a real HTCondor: run as the person whose they are, watched, ended, and neither lost nor sent twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, World
from tests.run_parts import finished, following, runs_of, state
from tests.slurm_jobs import CondorJobs
from vaas import jobs
from vaas.errors import Unavailable
from vaas.executors.base import JobState
from vaas.executors.htcondor import HtcondorExecutor
from vaas.launching import Size
from vaas.model import Visitor
from vaas.portal import Running

pytestmark = pytest.mark.hub


async def test_a_job_runs_as_its_owner_once_and_its_log_is_read_while_it_runs(condor_jobs: CondorJobs) -> None:
    job = condor_jobs.job("id -un >who; echo begins; until [ -e go ]; do sleep 0.1; done; echo ends; echo x >>times")
    refs = {await condor_jobs.executor.submit(job) for _ in range(2)}
    ref = refs.pop()
    assert not refs
    await condor_jobs.until(ref, "running")
    async with asyncio.timeout(20):
        while "begins" not in await condor_jobs.executor.log(ref, most=1000):
            await asyncio.sleep(0.05)
    (job.folder / "go").touch()
    assert await condor_jobs.until(ref, "done") == JobState("done")
    assert (job.folder / "who").read_text() == f"{condor_jobs.person}\n"
    assert (job.folder / "times").read_text() == "x\n"
    assert await condor_jobs.executor.log(ref, most=8) == "ends\n"
    await condor_jobs.executor.forget(ref)
    assert not list(condor_jobs.kept.iterdir())


@pytest.mark.attack
async def test_a_job_fails_without_anything_of_the_portals_environment(
    condor_jobs: CondorJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-portals-own")
    job = condor_jobs.job("env >env; exit 3", variables={"VAAS_TOKEN": "it's $its own"})
    ref = await condor_jobs.executor.submit(job)
    shown = condor_jobs.pool.command("condor_q", "-long", "-allusers") + condor_jobs.pool.command(
        "condor_history", "-long"
    )
    assert await condor_jobs.until(ref, "failed") == JobState("failed")
    found = (job.folder / "env").read_text().splitlines()
    assert "VAAS_TOKEN=it's $its own" in found
    assert not [line for line in found if "the-portals-own" in line]
    assert "its own" not in shown and "the-portals-own" not in shown


async def test_a_job_that_waits_or_runs_is_cancelled_and_a_foreign_reference_ends_nothing(
    condor_jobs: CondorJobs,
) -> None:
    huge = Size("huge", "Huge", 64, 100_000_000)
    waits = await condor_jobs.executor.submit(condor_jobs.job("true", size=huge))
    runs = await condor_jobs.executor.submit(condor_jobs.job("sleep 60"))
    await condor_jobs.until(runs, "running")
    assert (await condor_jobs.executor.poll(waits)).state == "queued"
    for ref in (waits, runs):
        await condor_jobs.executor.cancel(ref)
        await condor_jobs.until(ref, "cancelled")
        await condor_jobs.executor.cancel(ref)
    lost = f"99999/{condor_jobs.person}/j1"
    await condor_jobs.executor.cancel(lost)
    assert (await condor_jobs.executor.poll(lost)).state == "lost"
    for wrong in ("", "1/root;x/j1", "1 2/a/b"):
        assert (await condor_jobs.executor.poll(wrong)).state == "lost"


async def test_a_submission_without_an_answer_is_found_again(condor_jobs: CondorJobs) -> None:
    lossy = condor_jobs.folder / "lossy"
    words = " ".join(word.replace("{owner}", condor_jobs.person) for word in condor_jobs.place.prefix)
    lossy.write_text(
        f'#!/bin/sh\nshift\n{words} "$@" || exit\n[ "$1" != condor_submit ] || {{ echo lost >&2; exit 1; }}\n'
    )
    lossy.chmod(0o755)
    job = condor_jobs.job("echo once >>times")
    with pytest.raises(Unavailable, match="does not answer"):
        await HtcondorExecutor(replace(condor_jobs.place, prefix=(str(lossy), "{owner}")), condor_jobs.kept).submit(job)
    ref = await condor_jobs.executor.submit(job)
    await condor_jobs.until(ref, "done")
    assert (job.folder / "times").read_text() == "once\n"


@pytest.mark.app
async def test_a_run_goes_on_while_the_portal_is_started_again_and_its_results_come_home(
    condor_jobs: CondorJobs, world: World
) -> None:
    waits = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint(6 * 7)"
    world.put(ADA, "tides.ipynb", notebook("print('begun')", waits, "open('made.txt', 'w').write('made')"))

    def portal() -> Running:
        return runs_of(world, condor_jobs.folder, executor=condor_jobs.with_lab(condor_jobs.folder / "runs"))

    running = portal()
    async with following(running):
        run = await running.start(Visitor(ADA), {"store": "home", "path": "tides.ipynb"})
        run = await state(running, ADA, run, lambda now: now.progress.get("cell") == 2)
        assert "begun" in await running.log(Visitor(ADA), run.id)
    (condor_jobs.folder / "runs" / run.id / jobs.FILES / "go").touch()
    running = portal()
    async with following(running):
        run = await finished(running, ADA, run)
    assert (run.state, run.error, run.result_store) == ("done", "", "home")
    result = world.homes / "ada" / run.result_path
    assert (result / "log.txt").read_text() == "begun\n42\n"
    assert (result / "files" / "made.txt").read_text() == "made"
