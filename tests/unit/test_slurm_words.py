"""What Slurm's programs answer, written as Slurm 22.05 writes it, and what is told of it."""

from __future__ import annotations

import asyncio
import getpass
import math
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hub_service.batch import batch, executors
from hub_service.clusters import runs_folder, slurm_of
from hub_service.settings import Settings
from tests.portal_parts import World
from vaas.errors import Forbidden, Invalid, Unavailable
from vaas.executors import clusters
from vaas.executors.accounts import account_of
from vaas.executors.base import Job
from vaas.executors.programs import Hangs, answer_of
from vaas.executors.slurm import Cluster, SlurmExecutor
from vaas.launching import Environment, Size

ME = getpass.getuser()
_PROGRAM = """#!/bin/sh
echo "$*" >>{folder}/calls
[ ! -e {folder}/$2.wrong ] || {{ cat {folder}/$2.wrong >&2; exit 1; }}
[ ! -e {folder}/$2 ] || cat {folder}/$2
"""
_LARGER = "Choose a larger one."


class Answers:
    """A cluster whose programs answer what was put into files of their names, and note how they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        asked = folder / "asked"
        asked.write_text(
            f'#!/bin/sh\necho "$*" >>{folder}/calls\n[ -e {folder}/$2.wrong ] && cat {folder}/$2.wrong >&2'
        )
        asked.write_text(f"{asked.read_text()} && exit 1\ncat {folder}/$2 2>/dev/null || true\n")
        asked.chmod(0o755)
        prefix = (str(asked), "{owner}")
        cluster = Cluster(folder / "runs", folder / "python", prefix, least_uid=0, account="physics", options=("--x",))
        cluster.folder.mkdir()
        self.executor = SlurmExecutor(cluster, folder / "kept")

    def say(self, program: str, answer: str, *, wrong: bool = False) -> None:
        """Let the program answer that, or complain so."""
        (self.folder / f"{program}{'.wrong' if wrong else ''}").write_text(answer)

    @property
    def calls(self) -> list[str]:
        """How the programs were asked."""
        return (self.folder / "calls").read_text().splitlines()

    def job(self, size: Size | None = None) -> Job:
        """Return a job."""
        folder = self.folder / "runs" / "abc"
        folder.mkdir()
        asked = size or Size("s", "S", 1.5, 2_000_000_000, 2, 90)
        return Job("abc", ME, "A run", folder, Environment("apps", "Apps", "python", "/x"), asked)


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    """Return the cluster."""
    return Answers(tmp_path)


@pytest.mark.parametrize(
    ("line", "state", "words"),
    [
        ("PENDING|None|N/A", "queued", ""),
        ("PENDING|Resources|N/A", "queued", "It waits until enough of the cluster is free."),
        ("PENDING|Priority|N/A", "queued", "Others are before it in the queue."),
        (
            "PENDING|ReqNodeNotAvail, UnavailableNodes:n1|N/A",
            "queued",
            "The machines that it needs are not there at the moment.",
        ),
        (
            "PENDING|AssocGrpCPUMinutesLimit|N/A",
            "queued",
            "A limit on the cluster holds it back (AssocGrpCPUMinutesLimit).",
        ),
        ("CONFIGURING|None|2026-11-28T07:00:00", "queued", ""),
        ("RUNNING|None|2026-11-28T07:00:00", "running", ""),
        ("COMPLETING|None|2026-11-28T07:00:00", "running", ""),
        ("COMPLETED|None|2026-11-28T07:00:00", "done", ""),
        ("FAILED|NonZeroExitCode|2026-11-28T07:00:00", "failed", ""),
        ("CANCELLED|None|2026-11-28T07:00:00", "cancelled", ""),
        (
            "TIMEOUT|TimeLimit|2026-11-28T07:00:00",
            "failed",
            f"It ran for longer than its size allows. {_LARGER}",
        ),
        (
            "OUT_OF_MEMORY|OutOfMemory|2026-11-28T07:00:00",
            "failed",
            f"It needed more memory than its size has. {_LARGER}",
        ),
        ("NODE_FAIL|NodeFail|2026-11-28T07:00:00", "failed", "The machine that it ran on failed. Run it again."),
    ],
)
async def test_a_state_and_its_reason_are_told_in_words(answers: Answers, line: str, state: str, words: str) -> None:
    answers.say("squeue", f"41|RUNNING|None|N/A\n42|{line}\n")
    found = await answers.executor.poll(f"42/{ME}/abc")
    assert (found.state, found.message) == (state, words)


async def test_the_estimate_is_told_in_seconds(answers: Answers) -> None:
    begins = (datetime.now() + timedelta(minutes=20)).isoformat(timespec="seconds")
    answers.say("squeue", f"42|PENDING|Resources|{begins}\n")
    found = await answers.executor.poll(f"42/{ME}/abc")
    assert 1190 <= (found.starts_in or 0) <= 1200


@pytest.mark.parametrize(
    ("line", "state"),
    [("COMPLETED", "done"), ("CANCELLED by 1000", "cancelled"), ("TIMEOUT", "failed"), ("", "lost")],
)
async def test_what_the_controller_has_forgotten_is_in_the_accounting(answers: Answers, line: str, state: str) -> None:
    answers.say("sacct", f"{line}\n")
    assert (await answers.executor.poll(f"42/{ME}/abc")).state == state
    assert answers.calls[-1] == f"{ME} sacct --noheader --parsable2 --allocations --jobs=42 --format=State"


async def test_a_cluster_without_accounting_is_one_too(answers: Answers) -> None:
    answers.say("sacct", "Slurm accounting storage is disabled\n", wrong=True)
    assert (await answers.executor.poll(f"42/{ME}/abc")).state == "lost"


async def test_a_hundred_runs_of_a_person_are_one_question(answers: Answers) -> None:
    answers.say("squeue", "".join(f"{number}|RUNNING|None|N/A\n" for number in range(100)))
    states = await asyncio.gather(*(answers.executor.poll(f"{number}/{ME}/x") for number in range(100)))
    assert {each.state for each in states} == {"running"}
    assert len(answers.calls) == 1


async def test_what_is_asked_for_is_what_the_size_says(answers: Answers) -> None:
    answers.say("sbatch", "43;cluster\n")
    assert await answers.executor.submit(answers.job()) == f"43/{ME}/abc"
    asked = set(answers.calls[-1].split())
    assert {"--cpus-per-task=2", "--mem=1907M", "--time=2", "--gres=gpu:2", "--account=physics", "--x"} <= asked
    assert not [each for each in asked if each.startswith(("--partition", "--qos"))]


async def test_a_job_goes_to_its_facilitys_partition(answers: Answers) -> None:
    answers.say("sbatch", "43\n")
    await answers.executor.submit(replace(answers.job(), profile="gpu"))
    assert "--partition=gpu" in answers.calls[-1].split()


async def test_a_job_that_the_accounting_knows_by_its_name_is_not_submitted_again(answers: Answers) -> None:
    answers.say("sacct", "42\n")
    assert await answers.executor.submit(answers.job()) == f"42/{ME}/abc"
    assert not [call for call in answers.calls if " sbatch " in call]


async def test_a_note_that_cannot_be_written_loses_no_job(answers: Answers) -> None:
    answers.say("sbatch", "43\n")
    (answers.folder / "kept").write_text("in the way")
    with pytest.raises(Exception, match="disk is full"):
        await answers.executor.submit(answers.job())


@pytest.mark.parametrize("id", ["", "../x", "a b", "-x", "x/y"])
async def test_a_name_that_is_none_is_submitted_nowhere(answers: Answers, id: str) -> None:
    job = answers.job()
    with pytest.raises(Invalid):
        await answers.executor.submit(Job(id, ME, "", job.folder, job.environment, job.size))
    elsewhere = Job("abc", ME, "", answers.folder / "abc", job.environment, job.size)
    with pytest.raises(Invalid):
        await answers.executor.submit(elsewhere)


async def test_a_variable_that_is_none_gets_into_no_script(answers: Answers) -> None:
    job = answers.job()
    with pytest.raises(Invalid):
        await answers.executor.submit(Job("abc", ME, "", job.folder, job.environment, job.size, {"x;id": "1"}))


@pytest.mark.parametrize(
    ("complaint", "silent"),
    [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", True),
        ("slurm_load_jobs error: Zero Bytes were transmitted or received", True),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", True),
        ("Error: Can't find address of local schedd", True),
        ("-- Failed to fetch ads from: <127.0.0.1:9618>", True),
        # What one person hears of their own account says nothing of the cluster.
        ("sudo: a password is required", False),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination", False),
        ("slurm_load_jobs error: Invalid job id specified", False),
    ],
)
async def test_a_system_that_did_not_answer_is_silent_until_it_does(
    answers: Answers, complaint: str, silent: bool
) -> None:
    job = answers.job()
    assert not answers.executor.silent
    answers.say("squeue", complaint, wrong=True)
    with pytest.raises(Unavailable):
        await answers.executor.submit(job)
    assert answers.executor.silent is silent
    (answers.folder / "squeue.wrong").unlink()
    answers.say("squeue", "43\n")
    await answers.executor.submit(job)
    assert not answers.executor.silent


async def test_what_nobody_asks_is_asked_for_a_sign_of_life_as_who_asked_last(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(answers.folder))
    await answers.executor.ensure_asked()
    assert not (answers.folder / "calls").exists(), "there is no program, and nobody has asked"
    monkeypatch.undo()
    answers.say("sbatch", "43\n")
    await answers.executor.submit(answers.job())
    before = len(answers.calls)
    answers.say("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)", wrong=True)
    await answers.executor.ensure_asked()
    assert len(answers.calls) == before and not answers.executor.silent, "it was asked a moment ago"
    monkeypatch.setattr(clusters, "_RESTED", 0.0)
    await answers.executor.ensure_asked()
    assert answers.calls[-1] == f"{ME} squeue --noheader --user={ME}" and answers.executor.silent


async def test_what_cannot_be_asked_as_one_person_says_nothing_and_is_asked_as_another_next(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_RESTED", 0.0)
    await answers.executor.submit(answers.job())
    answers.say("squeue", "sudo: PAM account management error: Authentication token is no longer valid", wrong=True)
    await answers.executor.ensure_asked()
    assert answers.executor.silent, "it may be the system that does not let anybody in"
    program = answers.folder / "squeue"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{answers.folder}:/usr/bin:/bin")
    await answers.executor.ensure_asked()
    assert not answers.executor.silent, "as the portal's own account it answers"
    monkeypatch.setattr(answers.executor, "_unanswered", time.monotonic())
    program.write_text("#!/bin/sh\necho 'squeue: a password is required' >&2; exit 1\n")
    await answers.executor.ensure_asked()
    assert answers.executor.silent, "who is refused hears nothing of the system"


async def test_where_only_people_reach_it_it_is_asked_again_and_again_as_who_was_answered(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_RESTED", 0.0)
    await answers.executor.submit(answers.job())
    monkeypatch.setattr(clusters.shutil, "which", lambda _name: None)
    before = len(answers.calls)
    answers.say("squeue", "squeue: error: Unable to contact slurm controller", wrong=True)
    for _ in range(3):
        await answers.executor.ensure_asked()
    assert len(answers.calls) == before + 3 and answers.executor.silent


async def test_what_hangs_is_not_asked_once_more(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_RESTED", 0.0)
    asked = []

    class Going:
        returncode: int | None = None

    async def hangs(*_: object, **__: object) -> str:
        asked.append(1)
        raise Hangs("It hangs.", log_message="", process=going)  # type: ignore[arg-type]

    going = Going()
    monkeypatch.setattr(answers.executor, "_answer", hangs)
    monkeypatch.setattr(answers.executor, "_asker", ME)
    for _ in range(3):
        await answers.executor.ensure_asked()
    monkeypatch.setattr(answers.executor, "_unanswered", -math.inf)
    assert len(asked) == 1 and answers.executor.silent, "as long as it hangs"
    going.returncode = -9
    assert not answers.executor.silent
    monkeypatch.setattr(answers.executor, "_asker", ME)
    await answers.executor.ensure_asked()
    assert len(asked) == 2


async def test_before_anybody_asks_it_is_asked_as_the_portals_own_account(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = answers.folder / "squeue"
    program.write_text("#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{answers.folder}:/usr/bin:/bin")
    await answers.executor.ensure_asked()
    assert answers.executor.silent


async def test_a_program_that_hangs_or_is_missing_is_a_cluster_that_does_not_answer() -> None:
    began = time.monotonic()
    for command in (["sleep", "60"], ["/nowhere/squeue"]):
        with pytest.raises(Unavailable, match="The batch system does not answer"):
            await answer_of(command, seconds=0.2)
    assert time.monotonic() - began < 5


def test_the_portal_hears_of_a_system_that_does_not_answer(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o711)
    said = {"VAAS_SLURM_FOLDER": str(tmp_path / "runs"), "VAAS_SLURM_PREFIX": "runuser -u {owner} --"}
    batch(_settings(tmp_path), said)(world.core, world.portal.baskets)
    kinds = ("local", "slurm", "docker")
    assert not any(world.core.silent(kind) for kind in kinds)
    monkeypatch.setattr(SlurmExecutor, "silent", True)
    assert [kind for kind in kinds if world.core.silent(kind)] == ["slurm"]


@pytest.mark.parametrize("name", ["", "x y", "-u", "x;id", "ünal", "app-abcdefgh1234", "no-such-person-here"])
def test_who_has_no_account_is_nobody(name: str) -> None:
    with pytest.raises(Forbidden, match="no account on the cluster"):
        account_of(name)


def _settings(tmp_path: Path) -> Settings:
    return Settings.from_environ({"VAAS_DATA": str(tmp_path / "data")})


def test_a_site_names_its_cluster_by_variables(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(0o711)
    said = {"VAAS_SLURM_FOLDER": str(tmp_path / "runs"), "VAAS_SLURM_PREFIX": "runuser -u {owner} --"}
    settings = _settings(tmp_path)
    assert set(executors(settings, said)) == {"local", "slurm"}
    assert runs_folder(settings, said) == tmp_path / "runs"
    assert set(executors(settings, {})) == {"local"}
    assert slurm_of(settings, {"VAAS_SLURM_PARTITION": ""}) is None
    assert runs_folder(settings, {}) == settings.data / "runs"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"VAAS_SLURM_PARTITION": "main"}, "VAAS_SLURM_FOLDER is missing"),
        ({"VAAS_SLURM_FOLDER": "/nowhere/at/all"}, "is no folder"),
        ({"VAAS_SLURM_FOLDER": "runs"}, "is no folder"),
        ({"VAAS_SLURM_FOLDER": "{closed}"}, "chmod 711"),
        ({"VAAS_SLURM_FOLDER": "/tmp", "VAAS_SLURM_PARTITON": "main"}, "VAAS_SLURM_PARTITON is not known"),
        ({"VAAS_SLURM_FOLDER": "/tmp", "VAAS_SLURM_ACCOUNT": "a b"}, "is no name"),
        ({"VAAS_SLURM_FOLDER": "/tmp", "VAAS_SLURM_PREFIX": "sudo 'x"}, "VAAS_SLURM_PREFIX"),
    ],
)
def test_what_cannot_be_a_cluster_is_said(tmp_path: Path, said: dict[str, str], words: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Invalid, match=words):
        slurm_of(_settings(tmp_path), {name: value.format(closed=closed) for name, value in said.items()})
