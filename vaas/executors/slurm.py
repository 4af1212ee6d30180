"""Jobs on Slurm: submitted, watched and ended by its own programs, as the person whose they are."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from pwd import struct_passwd

from vaas import jobs
from vaas.executors.base import Job, JobState
from vaas.executors.clusters import ClusterExecutor, Ref, Shared
from vaas.executors.programs import NoAccounting, Unknown

__all__ = ["ENDS", "Cluster", "SlurmExecutor", "seconds_until", "why_waiting"]

#: One line for each job, with bars between.
_ACCOUNTED = ("--parsable2", "--allocations")
#: How long an answer about all jobs of a person is good: a table of a hundred runs asks the controller once.
_FRESH = 2.0

#: Why a job waits, by the first word of Slurm's reason.
_REASONS = {
    "None": "",
    "Resources": "It waits until enough of the cluster is free.",
    "Priority": "Others are before it in the queue.",
    "PartitionDown": "The queue is stopped; the job waits until it goes on.",
    "PartitionInactive": "The queue is stopped; the job waits until it goes on.",
    "PartitionNodeLimit": "It asks for more than this queue gives: choose a smaller size.",
    "PartitionTimeLimit": "It asks for more time than this queue gives: choose a smaller size.",
    "ReqNodeNotAvail": "The machines that it needs are not there at the moment.",
    "NodeDown": "The machines that it needs are not there at the moment.",
    "JobHeldUser": "It is held back: release it on the cluster.",
    "JobHeldAdmin": "Those who run the cluster hold it back.",
    "BadConstraints": "No machine of this cluster has what it asks for: choose another size.",
}
#: How a job ended, by what Slurm calls it.
ENDS = {
    "COMPLETED": JobState("done"),
    "CANCELLED": JobState("cancelled"),
    "TIMEOUT": JobState("failed", "It ran for longer than its size allows. Choose a larger one."),
    "DEADLINE": JobState("failed", "It could not end before its deadline."),
    "OUT_OF_MEMORY": JobState("failed", "It needed more memory than its size has. Choose a larger one."),
    "NODE_FAIL": JobState("failed", "The machine that it ran on failed. Run it again."),
    "BOOT_FAIL": JobState("failed", "The machine for it did not start. Run it again."),
    "PREEMPTED": JobState("failed", "The cluster took the machine back. Run it again."),
    "REVOKED": JobState("failed", "The cluster took the job back. Run it again."),
    "FAILED": JobState("failed"),
}
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}


@dataclass(frozen=True)
class Cluster(Shared):
    """Where jobs go, as the site configures it.

    Parameters
    ----------
    partition, account, qos:
        Slurm's own; "": its defaults.
    options:
        More options for sbatch, one string each.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    options: tuple[str, ...] = ()


class SlurmExecutor(ClusterExecutor):
    """Jobs by sbatch, squeue, sacct and scancel, each run as the job's owner."""

    def __init__(self, cluster: Cluster, kept: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(cluster, kept)
        self._cluster, self._clock = cluster, clock
        self._seen: dict[str, tuple[float, dict[str, tuple[str, str, str]]]] = {}
        self._looking: dict[str, asyncio.Lock] = {}

    async def _handed_over(self, job: Job, owner: struct_passwd) -> str:
        await self._give(job.folder, owner)
        said = await self._run(owner.pw_name, self._sbatch(job), self._script(job))
        self._seen.pop(owner.pw_name, None)
        return said.partition(";")[0].strip()

    async def _told(self, job: Ref) -> JobState | None:
        """Return what the queue says, then the accounting."""
        told = (await self._queue(job.owner)).get(job.number) or await self._accounted(job)
        if told is None:
            return None
        state, reason, start = told
        if state in _WAITING:
            return JobState("queued", why_waiting(reason), seconds_until(start))
        # Else running, completing, suspended, and what a later Slurm may know.
        return ENDS.get(state) or JobState("running")

    def _small(self, owner: str) -> tuple[str, ...]:
        return "squeue", "--noheader", f"--user={owner}"

    async def _end(self, job: Ref) -> None:
        self._seen.pop(job.owner, None)
        await self._run(job.owner, ["scancel", job.number])

    async def _number(self, job: Job, owner: str) -> str | None:
        """Return the number of a job that Slurm has under this name already: a submission whose answer got lost."""
        named = ["--noheader", f"--name={_named(job)}", f"--user={owner}"]
        found = await self._run(owner, ["squeue", *named, "--states=all", "--format=%i"])
        if not found:
            with contextlib.suppress(NoAccounting):
                found = await self._run(
                    owner, ["sacct", *named, *_ACCOUNTED, "--starttime=now-30days", "--format=JobIDRaw"]
                )
        return next((line.strip() for line in found.splitlines() if line.strip().isdecimal()), None)

    async def _queue(self, owner: str) -> dict[str, tuple[str, str, str]]:
        """Return state, reason and start of all jobs of the person that the controller knows, by number."""
        async with self._looking.setdefault(owner, asyncio.Lock()):
            at, found = self._seen.get(owner, (-math.inf, {}))
            if self._clock() - at > _FRESH:
                command = ["squeue", "--noheader", f"--user={owner}", "--states=all", "--format=%i|%T|%r|%S"]
                lines = (line.split("|") for line in (await self._run(owner, command)).splitlines())
                found = {parts[0]: (parts[1], parts[2], parts[3]) for parts in lines if len(parts) == 4}
                self._seen[owner] = (self._clock(), found)
            return found

    async def _accounted(self, job: Ref) -> tuple[str, str, str] | None:
        """Return what the accounting says of a job that the controller has forgotten; None where there is none."""
        asked = ["--noheader", *_ACCOUNTED, f"--jobs={job.number}", "--format=State"]
        try:
            found = await self._run(job.owner, ["sacct", *asked])
        except (NoAccounting, Unknown):
            return None
        # "CANCELLED by 1000"
        return (found.split()[0], "", "") if found else None

    def _sbatch(self, job: Job) -> list[str]:
        size, cluster = job.size, self._cluster
        asked = {
            "job-name": _named(job),
            "chdir": str(job.folder),
            "output": jobs.LOG,
            "open-mode": "append",
            "cpus-per-task": str(max(1, math.ceil(size.cores))),
            "mem": f"{max(1, size.memory >> 20)}M",
            "time": str(math.ceil(size.seconds / 60)) if size.seconds else "",
            "gres": f"gpu:{size.gpus}" if size.gpus else "",
            "partition": job.profile or cluster.partition,
            "account": cluster.account,
            "qos": cluster.qos,
            # Nothing of the portal's environment; and a job that was begun is not begun again behind our back.
            "export": "NIL",
        }
        options = [f"--{name}={value}" for name, value in asked.items() if value]
        return ["sbatch", "--parsable", "--no-requeue", *options, *cluster.options]


def _named(job: Job) -> str:
    return f"vaas-{job.id}"


def why_waiting(reason: str) -> str:
    """Return in words why a job waits, "" where Slurm's reason says nothing to a person."""
    word = re.match(r"\w*", reason)
    name = word[0] if word else ""
    limited = name.startswith(("Assoc", "QOS", "MaxJobs"))
    return _REASONS.get(name) or (f"A limit on the cluster holds it back ({name})." if limited else "")


def seconds_until(start: str) -> float | None:
    """Return for how long the batch system thinks that a job waits; it writes local time, or "N/A"."""
    try:
        return max(0.0, datetime.fromisoformat(start).timestamp() - time.time())
    except ValueError:
        return None
