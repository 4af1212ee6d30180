"""Jobs on a real Slurm: run as the person whose they are, watched, ended, and neither lost nor sent twice."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.slurm import Cluster as RunningCluster
from tests.slurm import a_person
from vaas.errors import Forbidden, Invalid, Unavailable
from vaas.executors.base import Job, JobState
from vaas.executors.slurm import Cluster, SlurmExecutor
from vaas.launching import Environment, Size

pytestmark = pytest.mark.hub
SMALL = Size("small", "Small", 1, 100_000_000, seconds=600)


class Jobs:
    """Jobs of a shell script each, in a folder on the cluster, through an executor."""

    def __init__(self, cluster: RunningCluster, folder: Path, person: str) -> None:
        self.cluster, self.folder, self.person = cluster, folder, person
        folder.mkdir()
        runner = folder / "runner"
        # What stands where the launch environment's Python is: it gets "-P -m vaas.lab.run FOLDER".
        runner.write_text('#!/bin/sh\necho "$1 $2 $3" >called\nexec sh "$4/script"\n')
        runner.chmod(0o755)
        self.place = Cluster(folder, python=runner, prefix=("runuser", "-u", "{owner}", "--"), partition="main")
        self.executor = SlurmExecutor(self.place, clock=lambda: time.monotonic() * 100)

    def job(self, script: str, *, size: Size = SMALL, variables: Mapping[str, str] | None = None) -> Job:
        """Return a job that runs the script."""
        name = f"j{secrets.token_hex(4)}"
        folder = self.folder / name
        folder.mkdir()
        (folder / "script").write_text(script)
        environment = Environment("apps", "Apps", "python", "/usr/bin/python3")
        return Job(name, self.person, "A run", folder, environment, size, variables or {})

    async def until(
        self, ref: str, state: str, *, and_so: Callable[[JobState], object] = lambda found: True
    ) -> JobState:
        """Return how it is doing once it is in that state, and so."""
        async with asyncio.timeout(20):
            while (found := await self.executor.poll(ref)).state != state or not and_so(found):
                await asyncio.sleep(0.05)
        return found


@pytest.fixture
def jobs(slurm: RunningCluster, slurm_person: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Jobs]:
    """Return jobs of a person on the running cluster; those that are left are ended."""
    for name, value in slurm.environ.items():
        monkeypatch.setenv(name, value)
    yield Jobs(slurm, slurm.folder / f"runs-{tmp_path.name}", slurm_person)
    slurm.command("scancel", f"--user={slurm_person}")


async def test_a_job_runs_as_its_owner_and_its_log_is_read_while_it_runs(jobs: Jobs) -> None:
    job = jobs.job("id -un >who; echo begins; until [ -e go ]; do sleep 0.1; done; echo ends")
    ref = await jobs.executor.submit(job)
    await jobs.until(ref, "running")
    async with asyncio.timeout(20):
        while "begins" not in await jobs.executor.log(ref, most=1000):
            await asyncio.sleep(0.05)
    (job.folder / "go").touch()
    await jobs.until(ref, "done")
    assert (job.folder / "who").read_text() == f"{jobs.person}\n"
    assert (job.folder / "who").owner() == jobs.person
    assert (job.folder / "called").read_text() == "-P -m vaas.lab.run\n"
    assert await jobs.executor.log(ref, most=1000) == "begins\nends\n"
    assert await jobs.executor.log(ref, most=5) == "ends\n"


async def test_a_job_that_fails_has_failed(jobs: Jobs) -> None:
    ref = await jobs.executor.submit(jobs.job("exit 3"))
    assert await jobs.until(ref, "failed") == JobState("failed")


@pytest.mark.attack
async def test_a_job_finds_nothing_of_the_portals_environment(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-portals-own")
    job = jobs.job("env >env", variables={"VAAS_TOKEN": "it's $its own", "EMPTY": ""})
    ref = await jobs.executor.submit(job)
    # Everybody on the cluster may read these.
    told = jobs.cluster.command("squeue", "--states=all", "--noheader", "--format=%o %j %k %Z")
    await jobs.until(ref, "done")
    found = (job.folder / "env").read_text().splitlines()
    assert {"VAAS_TOKEN=it's $its own", "EMPTY="} <= set(found)
    assert f"HOME={Path('~' + jobs.person).expanduser()}" in found
    assert not [line for line in found if "the-portals-own" in line]
    assert "its own" not in told


async def test_a_stopped_queue_is_said_and_a_waiting_job_is_cancelled(jobs: Jobs) -> None:
    jobs.executor = SlurmExecutor(replace(jobs.place, partition="stopped"), clock=lambda: time.monotonic() * 100)
    ref = await jobs.executor.submit(jobs.job("true"))
    found = await jobs.until(ref, "queued", and_so=lambda found: found.message)
    assert found == JobState("queued", "The queue is stopped; the job waits until it goes on.")
    await jobs.executor.cancel(ref)
    assert await jobs.until(ref, "cancelled") == JobState("cancelled")
    await jobs.executor.cancel(ref)
    assert jobs.cluster.jobs() == []


async def test_a_full_cluster_says_when_a_job_begins(jobs: Jobs) -> None:
    whole = Size("whole", "Whole", 8, 100_000_000, seconds=600)
    first = await jobs.executor.submit(jobs.job("sleep 60", size=whole))
    await jobs.until(first, "running")
    second = await jobs.executor.submit(jobs.job("true", size=whole))
    found = await jobs.until(second, "queued", and_so=lambda found: found.starts_in and found.message)
    assert found.message in {"It waits until enough of the cluster is free.", "Others are before it in the queue."}
    assert 500 < (found.starts_in or 0) <= 660
    await jobs.executor.cancel(first)
    await jobs.until(first, "cancelled")
    await jobs.until(second, "done")


async def test_the_same_job_is_submitted_once(jobs: Jobs) -> None:
    job = jobs.job("echo once >>times")
    refs = {await jobs.executor.submit(job) for _ in range(3)}
    assert len(refs) == 1
    await jobs.until(*refs, "done")
    assert (job.folder / "times").read_text() == "once\n"


async def test_a_job_whose_submission_got_no_answer_is_found_again(jobs: Jobs) -> None:
    """As when the portal dies, or the controller answers too late."""
    lossy = jobs.folder / "lossy"
    lossy.write_text('#!/bin/sh\nrunuser -u "$@" || exit\n[ "$3" != sbatch ] || { echo lost >&2; exit 1; }\n')
    lossy.chmod(0o755)
    job = jobs.job("echo once >>times")
    with pytest.raises(Unavailable, match="does not answer"):
        await SlurmExecutor(replace(jobs.place, prefix=(str(lossy), "{owner}", "--"))).submit(job)
    ref = await jobs.executor.submit(job)
    await jobs.until(ref, "done")
    assert (job.folder / "times").read_text() == "once\n"


async def test_a_controller_that_is_down_loses_no_job(jobs: Jobs) -> None:
    job = jobs.job("until [ -e go ]; do sleep 0.1; done")
    ref = await jobs.executor.submit(job)
    await jobs.until(ref, "running")
    jobs.cluster.stop_controller()
    try:
        late = jobs.job("true")
        results = await asyncio.gather(jobs.executor.poll(ref), jobs.executor.submit(late), return_exceptions=True)
    finally:
        jobs.cluster.start_controller()
    assert [type(each) for each in results] == [Unavailable, Unavailable]
    assert "does not answer" in str(results[0])
    (job.folder / "go").touch()
    async with asyncio.timeout(20):
        while True:
            try:
                refs = [ref, await jobs.executor.submit(late)]
                break
            except Unavailable:
                await asyncio.sleep(0.1)
    for each in refs:
        await jobs.until(each, "done")


async def test_a_job_that_slurm_has_forgotten_is_known_by_its_folder(jobs: Jobs) -> None:
    done, gone = jobs.job("true"), jobs.job("true")
    (done.folder / "status.json").write_text('{"state": "done"}')
    states = [await jobs.executor.poll(f"4000000/{jobs.person}/{job.folder.name}") for job in (done, gone)]
    assert [each.state for each in states] == ["done", "lost"]


async def test_what_the_cluster_does_not_take_is_said_in_its_words(jobs: Jobs) -> None:
    executor = SlurmExecutor(replace(jobs.place, partition="nowhere"))
    with pytest.raises(Unavailable, match=r"The cluster does not take the job: Invalid partition name specified\."):
        await executor.submit(jobs.job("true"))


@pytest.mark.attack
@pytest.mark.parametrize(
    "owner", ["root", "nobody", "daemon", "x; touch {taken}", "-u root", "", "$(id)", "app-abcdefgh1234"]
)
async def test_nobody_becomes_another_by_a_name(jobs: Jobs, owner: str, tmp_path: Path) -> None:
    job = replace(jobs.job("id >who"), owner=owner.replace("{taken}", str(tmp_path / "taken")))
    with pytest.raises(Forbidden, match="no account on the cluster"):
        await jobs.executor.submit(job)
    assert not (tmp_path / "taken").exists()
    assert jobs.cluster.jobs() == []


@pytest.mark.attack
async def test_without_a_prefix_nobodys_job_runs_as_the_portal(jobs: Jobs) -> None:
    with pytest.raises(Forbidden):
        await SlurmExecutor(replace(jobs.place, prefix=())).submit(jobs.job("id >who"))


@pytest.mark.attack
async def test_nobody_ends_the_job_of_another(jobs: Jobs) -> None:
    ref = await jobs.executor.submit(jobs.job("sleep 60"))
    await jobs.until(ref, "running")
    number, _, name = ref.split("/")
    with a_person(jobs.folder) as stranger:
        with pytest.raises(Unavailable):
            await jobs.executor.cancel(f"{number}/{stranger}/{name}")
        assert (await jobs.executor.poll(ref)).state == "running"
        assert (await jobs.executor.poll(f"{number}/{stranger}/{name}")).state == "lost"
    await jobs.executor.cancel(ref)
    await jobs.until(ref, "cancelled")


@pytest.mark.attack
@pytest.mark.parametrize("trick", ["ln -s {secret} log", "mkfifo log", "mkdir log"])
async def test_a_log_that_leads_elsewhere_shows_nothing(jobs: Jobs, trick: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the portal's own")
    job = jobs.job(f"rm log; {trick.format(secret=secret)}")
    ref = await jobs.executor.submit(job)
    await jobs.until(ref, "done")
    async with asyncio.timeout(5):
        assert await jobs.executor.log(ref, most=1000) == ""


@pytest.mark.attack
@pytest.mark.parametrize("ref", ["", "1", "1/../x", "1/ada/../x", "1;id/ada/x", "x/ada/x"])
async def test_a_reference_that_is_none_reaches_nothing(jobs: Jobs, ref: str) -> None:
    for ask in (jobs.executor.poll, jobs.executor.cancel, jobs.executor.forget):
        with pytest.raises((Invalid, Forbidden)):
            await ask(ref)
    with pytest.raises(Invalid):
        await jobs.executor.log(ref, most=10)
