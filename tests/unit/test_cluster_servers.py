"""Spawners of batchspawner as VaaS wraps them: which is wrapped how, and what they make of the answers of Slurm."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import signal
import time
from collections.abc import Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import batchspawner
import psutil
import pytest
from dockerspawner import DockerSpawner
from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner, SpawnException
from kubespawner import KubeSpawner
from traitlets import TraitError
from traitlets.config import Config

from hub_service.cluster_servers import BatchServers, SlurmServers
from hub_service.condor_servers import CondorServers
from hub_service.containers import Containers
from hub_service.hub_config import configure
from hub_service.pods import with_pods
from hub_service.settings import Settings
from hub_service.spawner import AppServers, with_app_servers
from hub_service.wrapped import mixin_for
from vaas.executors.programs import is_over
from vaas.launching import Environment, Size
from vaas.plans import Plan

SLURM = with_app_servers(batchspawner.SlurmSpawner, mixin_for(batchspawner.SlurmSpawner))
PBS = with_app_servers(batchspawner.PBSSpawner, mixin_for(batchspawner.PBSSpawner))
CONDOR = with_app_servers(batchspawner.CondorSpawner, mixin_for(batchspawner.CondorSpawner))


@pytest.mark.parametrize(
    ("spawner", "mixin"),
    [
        (batchspawner.SlurmSpawner, SlurmServers),
        (type("OfASite", (batchspawner.SlurmSpawner,), {}), SlurmServers),
        (batchspawner.PBSSpawner, BatchServers),
        (batchspawner.CondorSpawner, CondorServers),
        (DockerSpawner, Containers),
        (SimpleLocalProcessSpawner, AppServers),
    ],
)
def test_each_spawner_is_wrapped_by_what_it_is(spawner: type[Any], mixin: type[Any]) -> None:
    assert mixin_for(spawner) is mixin


@pytest.mark.parametrize(
    ("spawner", "kinds"),
    [
        (batchspawner.SlurmSpawner, ("slurm",)),
        (batchspawner.PBSSpawner, ("nowhere",)),
        (batchspawner.CondorSpawner, ("htcondor",)),
        (DockerSpawner, ("docker",)),
        (with_pods(with_app_servers(KubeSpawner)), ("kubernetes",)),
        (SimpleLocalProcessSpawner, ("local",)),
        (Spawner, ()),
    ],
)
def test_the_portal_is_told_at_which_facilities_each_spawner_starts_launches(
    spawner: type[Any], kinds: tuple[str, ...], tmp_path: Path
) -> None:
    c = Config()
    c.JupyterHub.spawner_class = spawner
    configure(c, Settings.from_environ({"VAAS_DATA": str(tmp_path), "VAAS_DEMO": "1", "VAAS_HOSTED_PROXY": "1"}), {})
    told = Settings.from_environ(c.JupyterHub.services[0]["environment"])
    assert (told.launch_kinds, told.local_apps) == (kinds, kinds == ("local",))


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("PENDING|Resources|N/A| n/a", "pending"),
        ("RUNNING|None|2026-11-28T07:00:00| node-1.cluster", "running"),
        ("COMPLETING|None|2026-11-28T07:00:00| node-1", "running"),
        ("OUT_OF_MEMORY|OutOfMemory|2026-11-28T07:00:00| node-1", "over"),
        ("slurm_load_jobs error: Invalid job id specified", "over"),
        ("", "over"),
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", "unknown"),
        ("slurm_load_jobs error: Zero Bytes were transmitted or received", "unknown"),
        ("sudo: a password is required", "unknown"),
    ],
)
def test_only_slurms_own_word_ends_a_server(said: str, state: str) -> None:
    spawner = SLURM(job_id="42", job_status=said)
    found = {
        "pending": spawner.state_ispending(),
        "running": spawner.state_isrunning(),
        "unknown": spawner.state_isunknown(),
    }
    assert [name for name, is_so in found.items() if is_so] == ([state] if state != "over" else [])


def test_the_host_is_where_slurm_says() -> None:
    spawner = SLURM(job_id="42", job_status="RUNNING|None|2026-11-28T07:00:00| node-1.cluster")
    assert spawner.state_gethost() == "node-1.cluster"


def test_a_launch_asks_for_its_size_and_its_facilitys_partition() -> None:
    spawner = SLURM(req_partition="interactive", req_gres="", plan_key_file="")
    place, environment = ("/user/ada/l0/", 1e12, "cluster", "slurm"), Environment("e", "E", "python", "/p")
    spawner.prepare_launch(Plan(*place, environment, Size("s", "S", 1.5, 3 << 30, 0, 90)))
    asked = (spawner.req_memory, spawner.req_nprocs, spawner.req_runtime, spawner.req_gres, spawner.req_partition)
    assert asked == ("3072M", "2", "2", "", "interactive")
    spawner.prepare_launch(Plan(*place, environment, Size("g", "G", 1, 3 << 30, 2), profile="gpu"))
    assert (spawner.req_gres, spawner.req_partition) == ("gpu:2", "gpu")


def test_a_site_says_where_its_nodes_have_the_shared_folders(tmp_path: Path) -> None:
    settings = Settings.from_environ({"VAAS_DATA": str(tmp_path), "VAAS_DEMO": "1", "VAAS_HOSTED_PROXY": "1"})
    for said, root in (("/nfs/shared", "/nfs/shared"), ("", str(tmp_path / "shared"))):
        c = Config()
        c.JupyterHub.spawner_class = batchspawner.SlurmSpawner
        if said:
            c.Launches.shared_root = said
        configure(c, settings, {})
        assert c.Launches.shared_root == root


def test_a_launch_on_a_node_is_in_the_home_that_its_account_has_there() -> None:
    spawner = SLURM(homes_root="/data/homes", shared_root="/nfs/shared", plan_key_file="")
    place, environment = ("/user/ada/l0/", 1e12, "cluster", "slurm"), Environment("e", "E", "python", "/p")
    spawner.prepare_launch(Plan(*place, environment, Size("s", "S"), home="ada", shared=("everyone",)))
    order = spawner.order_of(spawner.plan)
    assert (order.home, order.shared) == ("", {"everyone": "/nfs/shared/everyone"})


@pytest.mark.parametrize("kind", ["slurm", "htcondor"])
def test_a_spawner_that_is_not_asked_for_sizes_starts_no_launch(kind: str) -> None:
    spawner = with_app_servers(batchspawner.PBSSpawner, mixin_for(batchspawner.PBSSpawner))(plan_key_file="")
    plan = Plan("/user/ada/l0/", 1e12, "pool", kind, Environment("e", "E", "python", "/p"), Size("s", "S"))
    with pytest.raises(SpawnException, match="No launches run here"):
        spawner.prepare_launch(plan)


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ('[{"JobStatus": 1}]', "pending", "It waits until a machine is free."),
        ('[{"JobStatus": 5, "HoldReasonCode": 1, "HoldReason": "by ada"}]', "pending", "It is held back: by ada"),
        ('[{"JobStatus": 5, "HoldReasonCode": 16}]', "pending", "It waits until a machine is free."),
        ('[{"JobStatus": 2}]', "running", ""),
        ('[{"JobStatus": 3}]', "running", ""),  # it is being removed, and still there
        ('[{"JobStatus": 6}]', "running", ""),
        ('[{"JobStatus": 5, "HoldReasonCode": 34}]', "over", "more memory than its size has"),
        ('[{"JobStatus": 5, "HoldReasonCode": 6, "HoldReason": "cannot start"}]', "over", "held back: cannot start"),
        ('[{"JobStatus": 4, "ExitCode": 0}]', "over", ""),
        ("", "over", ""),
        ("[]", "over", ""),
        ("Error: Can't find address of schedd", "unknown", ""),
        ("-- Failed to fetch ads from: <127.0.0.1:9618>", "unknown", ""),
        ("sudo: a password is required", "unknown", ""),
    ],
)
def test_only_htcondors_own_word_ends_a_server(said: str, state: str, words: str) -> None:
    spawner = CONDOR(job_id="42", job_status=said)
    found = {
        "pending": spawner.state_ispending(),
        "running": spawner.state_isrunning(),
        "unknown": spawner.state_isunknown(),
    }
    assert [name for name, is_so in found.items() if is_so] == ([state] if state != "over" else [])
    assert words in spawner.waiting()[0]


@pytest.mark.parametrize(("seconds", "runtime"), [(90, "150"), (0, "")])
def test_a_launch_in_a_pool_asks_for_its_size_and_a_minute_more(seconds: int, runtime: str) -> None:
    spawner = CONDOR(plan_key_file="")
    environment, size = Environment("e", "E", "python", "/p"), Size("s", "S", 1.5, 3 << 30, 2, seconds)
    spawner.prepare_launch(Plan("/user/ada/l0/", 1e12, "pool", "htcondor", environment, size))
    asked = (spawner.req_memory, spawner.req_nprocs, spawner.req_runtime, spawner.req_ngpus)
    assert asked == ("3072M", "2", runtime, "2")


def test_a_time_that_the_pool_would_not_understand_is_refused() -> None:
    with pytest.raises(TraitError, match="write seconds"):
        CONDOR(req_runtime="12:00:00")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "a minute"),
        (61, "about 2 minutes"),
        (7100, "about 119 minutes"),
        (7200, "about 2 hours"),
        (90_000, "about 25 hours"),
    ],
)
async def test_how_long_it_waits_is_told_in_words(seconds: int, words: str) -> None:
    begins = (datetime.now() + timedelta(seconds=seconds)).isoformat()
    spawner = SLURM(
        job_id="42", job_status=f"PENDING|Priority|{begins}| n/a", user=SimpleNamespace(name="app-0123456789ab")
    )
    said = await anext(spawner.progress())
    assert said["message"] == (
        f"In the queue of the cluster. Others are before it in the queue. It should begin in {words}."
    )


async def test_a_launch_that_waits_has_its_estimate_in_seconds() -> None:
    begins = (datetime.now() + timedelta(seconds=600)).isoformat()
    spawner = SLURM(job_id="42", job_status=f"PENDING|Priority|{begins}| n/a", user=SimpleNamespace(name="ada"))
    said = await anext(spawner.progress())
    assert said["message"] == "In the queue of the cluster. Others are before it in the queue."
    assert said["phase"] == "queued" and 595 <= said["starts_in"] <= 600
    spawner.job_status = "PENDING|Priority|N/A| n/a"
    assert "starts_in" not in await anext(spawner.progress())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Invalid partition name specified", "The cluster does not take the job: Invalid partition name specified."),
        (
            "Unable to contact slurm controller (connect failure)",
            "The batch system does not take the job at the moment.",
        ),
    ],
)
async def test_a_cluster_that_is_gone_takes_no_job_and_refuses_none(said: str, words: str) -> None:
    assert await SLURM().why_failed(f"sbatch: error: Batch job submission failed: {said}") == words


def quick(kind: Any = SLURM, **commands: Any) -> Any:
    """Return a spawner whose batch system is these commands of a shell."""
    person = SimpleNamespace(name="ada", url="/user/ada")
    known = {"req_username": "ada", "req_homedir": "/home/ada", "user": person, "exec_prefix": ""}
    return kind(**known, **commands)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that need nothing to be submitted."""
    monkeypatch.setattr(BatchServers, "get_env", lambda self: {"JUPYTERHUB_API_TOKEN": "secret"})
    monkeypatch.setattr(BatchServers, "cmd_formatted_for_batch", lambda self: "true")


async def given_up(work: Coroutine[Any, Any, Any]) -> None:
    """Cancel it while it waits for a command."""
    going = asyncio.ensure_future(work)
    await asyncio.sleep(0.2)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going


async def stopped_by_the_hub(spawner: Any) -> None:
    """Stop it in the Hub's order, which forgets the job whatever comes of it."""
    if await spawner.poll() is None:
        await spawner.stop()
    spawner.clear_state()


def written(path: Path) -> list[str]:
    """Return the lines that commands have written there."""
    return path.read_text().split() if path.exists() else []


async def until_written(path: Path, lines: int) -> list[str]:
    """Wait until commands have written so many lines there."""
    async with asyncio.timeout(30):
        while len(written(path)) < lines:
            await asyncio.sleep(0.05)
    return written(path)


async def test_a_start_that_is_given_up_while_it_asks_does_not_forget_its_job() -> None:
    spawner = quick(job_id="42", batch_query_cmd="sleep 5; false")
    await given_up(spawner.poll())
    assert spawner.job_id == "42"


@pytest.mark.usefixtures("bare")
async def test_a_job_that_is_being_submitted_when_its_start_is_given_up_is_ended(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    spawner = quick(batch_submit_cmd="sleep 5; echo 43", batch_cancel_cmd=f"echo {{job_id}} >>{ended}")
    await given_up(spawner.submit_batch_script())
    assert not spawner.job_id
    await stopped_by_the_hub(spawner)
    assert written(ended) == ["43"]


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "submitting",
    [
        "echo Socket timed out on send/recv operation >&2; exit 1",
        "echo Thank you",
        "sleep 60",
        "exit 1",
        "no-such-program",
    ],
)
async def test_a_job_whose_number_nobody_knows_is_ended_by_its_name_now_and_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, submitting: str
) -> None:
    ended = tmp_path / "ended"
    monkeypatch.setattr(SLURM, "again", (0.1, 0.1))
    spawner = quick(batch_submit_cmd=submitting, batch_end_named_cmd=f"echo {{vaas_name}} >>{ended}", patience=0.5)
    with pytest.raises(RuntimeError):
        await spawner.submit_batch_script()
    name, spawner.patience = spawner.req_vaas_name, 30
    await stopped_by_the_hub(spawner)
    assert name and await until_written(ended, 3) == [name] * 3


@pytest.mark.usefixtures("bare")
async def test_a_job_that_was_refused_is_not_looked_for(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    refused = "sbatch: error: Batch job submission failed: Invalid account"
    spawner = quick(batch_submit_cmd=f"echo {refused} >&2; exit 1", batch_end_named_cmd=f"echo >>{ended}")
    with pytest.raises(RuntimeError, match="Invalid account"):
        await spawner.submit_batch_script()
    await stopped_by_the_hub(spawner)
    assert not ended.exists()


async def test_a_job_that_cannot_be_ended_is_ended_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    monkeypatch.setattr(SLURM, "again", (0.1, 0.1, 0.1))
    fails_twice = f"echo {{job_id}} >>{tried}; test $(wc -l <{tried}) -gt 2"
    spawner = quick(job_id="42", batch_query_cmd="echo 'RUNNING|None|N/A| n1'", batch_cancel_cmd=fails_twice)
    await stopped_by_the_hub(spawner)
    assert await until_written(tried, 3) == ["42"] * 3
    await asyncio.sleep(0.5)
    assert len(written(tried)) == 3


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (SLURM, "exit 1"),
        (SLURM, "kill -9 $$"),
        (SLURM, "sleep 60"),
        (SLURM, "no-such-program"),
        (CONDOR, "exit 1"),
        (CONDOR, "sleep 60"),
        (PBS, "sleep 60"),
        (PBS, "exit 1"),
    ],
)
async def test_a_batch_system_that_gives_no_answer_ends_no_server(kind: Any, command: str) -> None:
    spawner = quick(kind, job_id="42", batch_query_cmd=command, patience=0.3)
    assert await spawner.poll() is None
    assert spawner.job_id == "42"


async def test_a_program_that_takes_too_long_is_killed_with_what_it_started(tmp_path: Path) -> None:
    began, going_on = tmp_path / "began", tmp_path / "going-on"
    spawner = quick(patience=3)
    with pytest.raises(RuntimeError, match="does not answer"):
        await spawner.run_command(f"(touch {began}; sleep 6; touch {going_on}) & wait")
    assert began.exists()
    await asyncio.sleep(4)
    assert not going_on.exists()


async def test_a_program_that_leaves_another_behind_has_answered() -> None:
    assert await asyncio.wait_for(quick().run_command("sleep 60 & echo 43"), 20) == "43"


async def test_nobody_is_asked_beside_a_program_that_hangs_and_may_not_be_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError

    kill, mount, asked = os.killpg, tmp_path / "mount", tmp_path / "asked"
    monkeypatch.setattr(os, "killpg", refuse)
    hangs = f"echo $$ >>{asked}; until test -e {mount}; do sleep 0.1; done; echo 'RUNNING|None|N/A| n1'"
    spawner = quick(job_id="42", batch_query_cmd=hangs, patience=2)
    try:
        assert [await spawner.poll() for _ in range(3)] == [None, None, None]
        (number,) = written(asked)
        assert psutil.pid_exists(int(number))
        mount.touch()
        async with asyncio.timeout(30):
            while (await spawner.query_job_status()).name != "RUNNING":
                await asyncio.sleep(0.1)
    finally:
        for number in written(asked):
            with contextlib.suppress(ProcessLookupError):
                kill(int(number), signal.SIGKILL)


async def test_a_pool_that_cannot_be_reached_ends_no_job_and_is_told_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"
    monkeypatch.setattr(CONDOR, "again", (0.1,))
    monkeypatch.setattr(CONDOR, "_pooled", lambda self, handed: asyncio.sleep(0))
    said = "Failed to connect to schedd; Couldn't find/remove all jobs in cluster 42"
    down = f'echo {{job_id}} >>{tried}; echo "{said}" >&2; exit 1'
    spawner = quick(CONDOR, job_id="42", batch_query_cmd="exit 1", batch_cancel_cmd=down.replace("\\'", "'"))
    await stopped_by_the_hub(spawner)
    assert await until_written(tried, 2) == ["42", "42"]
    gone = "Couldn't find/remove all jobs in cluster 42"
    assert is_over(gone) and not is_over(f"Failed to connect to schedd\n{gone}")


async def test_a_hub_without_room_for_another_file_ends_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", none_left)
    spawner = quick(job_id="42", batch_query_cmd="echo 'RUNNING|None|N/A| n1'")
    assert await spawner.poll() is None and spawner.job_id == "42"


async def test_an_answer_that_a_spawner_cannot_read_ends_no_server() -> None:
    grid = with_app_servers(batchspawner.GridengineSpawner, mixin_for(batchspawner.GridengineSpawner))
    spawner = quick(grid, job_id="42", batch_query_cmd="echo no XML >&2; exit 1")
    assert await spawner.poll() is None and spawner.job_id == "42"


def waiting(state: str, **limits: Any) -> Any:
    """Return the spawner of a launch whose job is in this state, for ever."""
    spawner = quick(batch_submit_cmd="echo 43", batch_query_cmd=f"echo '{state}|None|N/A| n1'", **limits)
    spawner.startup_poll_interval = 0.1
    spawner.user.name = "app-abcdefgh1234"  # an app's server needs no plan
    return spawner


@pytest.mark.usefixtures("bare")
async def test_the_time_of_a_launch_counts_from_when_its_job_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchServers, "account", property(lambda _: pwd.getpwuid(os.getuid())))
    monkeypatch.setattr(SLURM, "name", "v1")
    queued = waiting("PENDING", start_timeout=1, queue_timeout=3, launch_timeout=1)
    queued.allow_time()
    queued.allow_time()
    assert queued.start_timeout > 3 + 1, "the Hub's own patience ends after ours"
    began = time.monotonic()
    with pytest.raises(SpawnException, match="waited in the queue"):
        await queued.start()
    assert time.monotonic() - began > 3
    runs = waiting("RUNNING", start_timeout=1, queue_timeout=600, launch_timeout=1)
    runs.allow_time()
    with pytest.raises(SpawnException, match="could not be started"):
        await runs.start()


@pytest.mark.usefixtures("bare")
async def test_an_app_that_waits_for_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchServers, "account", property(lambda _: pwd.getpwuid(os.getuid())))
    monkeypatch.setattr(SLURM, "name", "v1")
    with pytest.raises(SpawnException, match="waited in the queue"):
        await waiting("PENDING", start_timeout=4).start()


@pytest.mark.usefixtures("bare")
async def test_a_hub_that_is_ended_meanwhile_knows_its_job_again_and_tells_no_log_its_token(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    kept = SimpleNamespace(state=None, server=None)
    ended = tmp_path / "ended"
    caplog.set_level("DEBUG")
    spawner = quick(batch_submit_cmd="sleep 60", patience=0.3, db=SimpleNamespace(commit=lambda: None))
    spawner.orm_spawner = kept
    with pytest.raises(RuntimeError):
        await spawner.submit_batch_script()
    again = quick(batch_end_named_cmd=f"echo {{vaas_name}} >>{ended}")
    again.load_state(kept.state)
    await stopped_by_the_hub(again)
    assert written(ended)[0] == spawner.req_vaas_name
    assert "secret" not in caplog.text
