"""Jobs on a real HTCondor: run as the person whose they are, watched, ended, and neither lost nor sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.condor import Pool as RunningPool
from tests.condor import a_pool
from tests.slurm import a_person
from tests.slurm_jobs import ShellJobs
from vaas.errors import Unavailable
from vaas.executors.base import JobState
from vaas.executors.htcondor import HtcondorExecutor, Pool
from vaas.launching import Size

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def pool() -> Iterator[RunningPool]:
    """Return a running HTCondor."""
    with a_pool() as pool:
        yield pool


class Jobs(ShellJobs):
    """Jobs on HTCondor, which looks for machines every second or so."""

    patience = 60.0

    def __init__(self, pool: RunningPool, folder: Path, person: str) -> None:
        super().__init__(folder, person)
        self.pool, self.place = pool, Pool(folder, python=self.runner, prefix=pool.prefix)
        self.executor = HtcondorExecutor(self.place, self.kept)


@pytest.fixture(scope="module")
def person(pool: RunningPool) -> Iterator[str]:
    """Return an account of the system that the pool knows; it remembers names, so that there is one for all."""
    with a_person(pool.folder) as person:
        pool.know(person)
        yield person
        pool.forget(person)


@pytest.fixture
def jobs(pool: RunningPool, person: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Jobs:
    """Return jobs of a person on the running pool."""
    for name, value in pool.environ.items():
        monkeypatch.setenv(name, value)
    return Jobs(pool, pool.folder / f"runs-{tmp_path.name}", person)


async def test_a_job_runs_as_its_owner_once_and_its_log_is_read_while_it_runs(jobs: Jobs) -> None:
    job = jobs.job("id -un >who; echo begins; until [ -e go ]; do sleep 0.1; done; echo ends; echo x >>times")
    refs = {await jobs.executor.submit(job) for _ in range(2)}
    ref = refs.pop()
    assert not refs
    await jobs.until(ref, "running")
    async with asyncio.timeout(20):
        while "begins" not in await jobs.executor.log(ref, most=1000):
            await asyncio.sleep(0.05)
    (job.folder / "go").touch()
    assert await jobs.until(ref, "done") == JobState("done")
    assert (job.folder / "who").read_text() == f"{jobs.person}\n"
    assert (job.folder / "times").read_text() == "x\n"
    assert await jobs.executor.log(ref, most=8) == "ends\n"
    await jobs.executor.forget(ref)
    assert not list(jobs.kept.iterdir())


@pytest.mark.attack
async def test_a_job_fails_without_anything_of_the_portals_environment(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-portals-own")
    job = jobs.job("env >env; exit 3", variables={"VAAS_TOKEN": "it's $its own"})
    ref = await jobs.executor.submit(job)
    shown = jobs.pool.command("condor_q", "-long", "-allusers") + jobs.pool.command("condor_history", "-long")
    assert await jobs.until(ref, "failed") == JobState("failed")
    found = (job.folder / "env").read_text().splitlines()
    assert "VAAS_TOKEN=it's $its own" in found
    assert not [line for line in found if "the-portals-own" in line]
    assert "its own" not in shown and "the-portals-own" not in shown


async def test_a_job_that_waits_or_runs_is_cancelled_and_a_foreign_reference_ends_nothing(jobs: Jobs) -> None:
    huge = Size("huge", "Huge", 64, 100_000_000)
    waits = await jobs.executor.submit(jobs.job("true", size=huge))
    runs = await jobs.executor.submit(jobs.job("sleep 60"))
    await jobs.until(runs, "running")
    assert (await jobs.executor.poll(waits)).state == "queued"
    for ref in (waits, runs):
        await jobs.executor.cancel(ref)
        await jobs.until(ref, "cancelled")
        await jobs.executor.cancel(ref)
    lost = f"99999/{jobs.person}/j1"
    await jobs.executor.cancel(lost)
    assert (await jobs.executor.poll(lost)).state == "lost"
    for wrong in ("", "1/root;x/j1", "1 2/a/b"):
        assert (await jobs.executor.poll(wrong)).state == "lost"


async def test_a_submission_without_an_answer_is_found_again(jobs: Jobs) -> None:
    lossy = jobs.folder / "lossy"
    words = " ".join(word.replace("{owner}", jobs.person) for word in jobs.place.prefix)
    lossy.write_text(
        f'#!/bin/sh\nshift\n{words} "$@" || exit\n[ "$1" != condor_submit ] || {{ echo lost >&2; exit 1; }}\n'
    )
    lossy.chmod(0o755)
    job = jobs.job("echo once >>times")
    with pytest.raises(Unavailable, match="does not answer"):
        await HtcondorExecutor(replace(jobs.place, prefix=(str(lossy), "{owner}")), jobs.kept).submit(job)
    ref = await jobs.executor.submit(job)
    await jobs.until(ref, "done")
    assert (job.folder / "times").read_text() == "once\n"
