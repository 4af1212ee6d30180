"""Jobs on HTCondor: submitted, watched and ended by its own programs, as the person whose they are."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd
from typing import Any

from vaas import jobs
from vaas.errors import Invalid, Unavailable
from vaas.executors.base import Job, JobState
from vaas.executors.clusters import ClusterExecutor, Ref, Shared, is_ours
from vaas.prose import clean_text, shorten

__all__ = [
    *("ASKED", "HANDING_BACK", "HELD", "IDLE", "MARK", "REMOVED", "RUNNING", "SUSPENDED"),
    *("HtcondorExecutor", "Pool", "described", "first_of", "number_in", "state_of"),
]

#: The script that HTCondor starts. It cannot take one from its input, and shows everybody the environment of a job.
_SCRIPT = "start.sh"
#: What we call a job in its description; HTCondor's own names of jobs can be given twice.
MARK = "VaasJob"
#: For how many days a job that is over stays in the queue, where the site keeps no history.
_KEPT = 10
_HELD_BY = ("HoldReason", "HoldReasonCode", "HoldReasonSubCode")
#: What is read of a job's description.
ASKED = ("ClusterId", "JobStatus", "ExitCode", "ExitBySignal", *_HELD_BY)
#: HTCondor's numbers for how a job is doing.
IDLE, RUNNING, REMOVED, COMPLETED, HELD, HANDING_BACK, SUSPENDED = range(1, 8)
#: Who holds it back: a condition in its own description, or the machine.
_BY_ITSELF, _BY_MACHINE = 3, 21
_MEMORY = "It needed more memory than its size has. Choose a larger one."
_TIME = "It ran for longer than its size allows. Choose a larger one."
#: What we say ourselves when its time is up.
_TIME_IS_UP = 46
#: Why it is held back, where that is its end, by HTCondor's number, or with the one below it: of our own condition, and
#: of the policy HOLD_IF_MEMORY_EXCEEDED.
_ENDS = {34: _MEMORY, 46: _TIME, 47: _TIME, (_BY_ITSELF, _TIME_IS_UP): _TIME, (_BY_MACHINE, 102): _MEMORY}
#: Its files are still on their way, which HTCondor calls holding too.
_SPOOLING = 16


@dataclass(frozen=True)
class Pool(Shared):
    """Where jobs go, as the site configures it; ``lines`` are added to each description of a job."""

    lines: tuple[str, ...] = ()


class HtcondorExecutor(ClusterExecutor):
    """Jobs by condor_submit, condor_q, condor_history and condor_rm, each run as the job's owner."""

    def __init__(self, pool: Pool, kept: Path) -> None:
        super().__init__(pool, kept)
        self._lines = pool.lines

    async def _number(self, job: Job, owner: str) -> str | None:
        found = await self._ads(owner, "condor_q", "-constraint", f'{MARK} == "{job.id}"')
        found = found or await self._ads(owner, "condor_history", "-limit", "1", "-constraint", f'{MARK} == "{job.id}"')
        return str(found["ClusterId"]) if found else None

    async def _handed_over(self, job: Job, owner: struct_passwd) -> str:
        described = self._described(job)
        # Later the folder is the person's, and a link may lie there instead.
        if is_ours(job.folder):
            await asyncio.to_thread(_write, job.folder / _SCRIPT, self._script(job))
        await self._give(job.folder, owner)
        said = await self._run(owner.pw_name, ["condor_submit", "-terse", "-"], described)
        number = number_in(said)
        if not number.isdecimal():
            raise Unavailable("The batch system does not answer as it should.", log_message=f"condor_submit: {said}")
        return number

    async def _told(self, job: Ref) -> JobState | None:
        if found := await self._ads(job.owner, "condor_q", job.number):
            # It is marked at once, and stays in the queue until all of it has ended.
            going = found.get("JobStatus") == REMOVED
            return JobState("running", "It is being ended.") if going else state_of(found)
        found = await self._ads(job.owner, "condor_history", "-limit", "1", job.number)
        return state_of(found) if found else None

    def _small(self, owner: str) -> tuple[str, ...]:
        return "condor_q", "-totals"

    async def _end(self, job: Ref) -> None:
        await self._run(job.owner, ["condor_rm", job.number])

    async def forget(self, ref: str) -> None:
        """Let go of what is kept of the job: beside its folder, and in the queue."""
        await self.cancel(ref)
        await super().forget(ref)

    async def _ads(self, owner: str, program: str, *asked: str) -> Mapping[str, Any] | None:
        """Return the first description that fits, None when there is none."""
        said = await self._run(owner, [program, *asked, "-json", "-attributes", ",".join(ASKED)])
        try:
            return first_of(said)
        except ValueError as error:
            raise Unavailable(
                "The batch system does not answer as it should.", log_message=f"{program}: {said[:500]}"
            ) from error

    def _described(self, job: Job) -> str:
        """Return the job's description."""
        size = job.size
        asked = {
            "output": jobs.LOG,
            "error": jobs.LOG,
            "request_cpus": str(max(1, math.ceil(size.cores))),
            "request_memory": f"{max(1, size.memory >> 20)}MB",
            "request_gpus": str(size.gpus) if size.gpus else "",
            "leave_in_queue": f"JobStatus == 4 && time() - EnteredCurrentStatus < {_KEPT * 86_400}",
            f"+{MARK}": f'"{job.id}"',
        }
        return described(job.folder / _SCRIPT, job.folder, asked, seconds=size.seconds, lines=self._lines)


def described(script: Path, folder: Path, asked: Mapping[str, str], *, seconds: int, lines: Sequence[str] = ()) -> str:
    """Return the description of a job that runs the script once in the folder, one thing a line.

    Everybody in the pool can read it: what nobody may know stands in the script.

    Raises
    ------
    Invalid
        A path would mean something in it.
    """
    for path in (str(script), str(folder)):
        if any(character in path for character in "$\n\r\"'"):
            raise Invalid("This job cannot be run here.", log_message=f"{path} cannot stand in a description.")
    all_of_it = {
        "universe": "vanilla",
        "executable": str(script),
        "initialdir": str(folder),
        "should_transfer_files": "NO",
        "getenv": "False",
        # HTCondor's own allowed_execute_duration does not hold for what begins in the second of its shadow.
        "periodic_hold": f"JobStatus == 2 && time() - JobCurrentStartDate > {seconds}" if seconds else "",
        "periodic_hold_reason": '"It ran for too long."' if seconds else "",
        "periodic_hold_subcode": str(_TIME_IS_UP) if seconds else "",
        # One that was begun is not begun again behind our back.
        "requirements": "NumJobStarts == 0",
        "periodic_remove": "JobStatus == 1 && NumJobStarts > 0",
        **asked,
    }
    return "\n".join([*(f"{name} = {value}" for name, value in all_of_it.items() if value), *lines, "queue", ""])


def number_in(said: str) -> str:
    """Return the number of the job of which condor_submit says that it has it."""
    return said.rpartition("\n")[2].partition(".")[0].strip()


def first_of(said: str) -> Mapping[str, Any] | None:
    """Return the first description in an answer as JSON, None for none. Raises ValueError for what is no answer."""
    try:
        found = json.loads(said or "[]")
        return dict(found[0]) if found else None
    except (TypeError, KeyError) as error:
        raise ValueError("These are no descriptions.") from error


def state_of(found: Mapping[str, Any]) -> JobState:
    """Return what HTCondor's numbers in a job's description say."""
    status, code = found.get("JobStatus"), found.get("HoldReasonCode")
    if status == HELD and code != _SPOOLING:
        if end := _ENDS.get(code) or _ENDS.get((code, found.get("HoldReasonSubCode"))):
            return JobState("failed", end)
        reason = shorten(" ".join(clean_text(str(found.get("HoldReason", ""))).split()), 200)
        return JobState("queued", f"It is held back: {reason}" if reason else "It is held back.")
    if status == COMPLETED:
        return JobState("done" if found.get("ExitCode") == 0 and not found.get("ExitBySignal") else "failed")
    if status == REMOVED:
        return JobState("cancelled")
    waits = status in {IDLE, HELD}
    return JobState("queued", "It waits until a machine is free.") if waits else JobState("running")


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    os.chmod(path, 0o700)
