"""Jobs on a cluster that try to be somebody else's, the portal's own, or to show what is not theirs."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.slurm import a_person
from tests.slurm_jobs import Jobs
from vaas.errors import Forbidden, Unavailable
from vaas.executors.slurm import SlurmExecutor

pytestmark = [pytest.mark.attack, pytest.mark.hub]


async def test_a_job_finds_nothing_of_the_portals_environment(
    slurm_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-portals-own")
    job = slurm_jobs.job("env >env", variables={"VAAS_TOKEN": "it's $its own", "EMPTY": ""})
    ref = await slurm_jobs.executor.submit(job)
    # Everybody on the cluster may read these.
    told = slurm_jobs.cluster.command("squeue", "--states=all", "--noheader", "--format=%o %j %k %Z")
    await slurm_jobs.until(ref, "done")
    found = (job.folder / "env").read_text().splitlines()
    assert {"VAAS_TOKEN=it's $its own", "EMPTY="} <= set(found)
    assert f"HOME={Path('~' + slurm_jobs.person).expanduser()}" in found
    assert not [line for line in found if "the-portals-own" in line]
    assert "its own" not in told


@pytest.mark.parametrize(
    "owner", ["root", "nobody", "daemon", "x; touch {taken}", "-u root", "", "$(id)", "app-abcdefgh1234"]
)
async def test_nobody_becomes_another_by_a_name(slurm_jobs: Jobs, owner: str, tmp_path: Path) -> None:
    job = replace(slurm_jobs.job("id >who"), owner=owner.replace("{taken}", str(tmp_path / "taken")))
    with pytest.raises(Forbidden, match="no account on the cluster"):
        await slurm_jobs.executor.submit(job)
    assert not (tmp_path / "taken").exists()
    assert slurm_jobs.cluster.jobs() == []


async def test_without_a_prefix_nobodys_job_runs_as_the_portal(slurm_jobs: Jobs) -> None:
    with pytest.raises(Forbidden):
        await SlurmExecutor(replace(slurm_jobs.place, prefix=()), slurm_jobs.kept).submit(slurm_jobs.job("id >who"))


async def test_nobody_reads_the_log_or_the_files_of_anothers_job(slurm_jobs: Jobs) -> None:
    job = slurm_jobs.job("echo 'what is mine'; echo mine >made; sleep 60")
    job.folder.chmod(0o755)  # as a umask would leave it
    slurm_jobs.folder.chmod(0o711)
    ref = await slurm_jobs.executor.submit(job)
    await slurm_jobs.until(ref, "running")
    async with asyncio.timeout(20):
        while "mine" not in await slurm_jobs.executor.log(ref, most=1000):
            await asyncio.sleep(0.05)
    with a_person(slurm_jobs.cluster.folder) as stranger:
        for path in ("", "log", "made", "script"):
            reads = ["runuser", "-u", stranger, "--", "ls" if not path else "cat", str(job.folder / path)]
            assert subprocess.run(reads, capture_output=True).returncode, path


async def test_nobody_ends_the_job_of_another(slurm_jobs: Jobs) -> None:
    ref = await slurm_jobs.executor.submit(slurm_jobs.job("sleep 60"))
    await slurm_jobs.until(ref, "running")
    number, _, name = ref.split("/")
    with a_person(slurm_jobs.folder) as stranger:
        with pytest.raises(Unavailable):
            await slurm_jobs.executor.cancel(f"{number}/{stranger}/{name}")
        assert (await slurm_jobs.executor.poll(ref)).state == "running"
        assert (await slurm_jobs.executor.poll(f"{number}/{stranger}/{name}")).state == "lost"
    await slurm_jobs.executor.cancel(ref)
    await slurm_jobs.until(ref, "cancelled")


@pytest.mark.parametrize("trick", ["ln -s {secret} log", "mkfifo log", "mkdir log"])
async def test_a_log_that_leads_elsewhere_shows_nothing(slurm_jobs: Jobs, trick: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the portal's own")
    job = slurm_jobs.job(f"rm log; {trick.format(secret=secret)}")
    ref = await slurm_jobs.executor.submit(job)
    await slurm_jobs.until(ref, "done")
    async with asyncio.timeout(5):
        assert await slurm_jobs.executor.log(ref, most=1000) == ""
