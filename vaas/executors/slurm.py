"""Jobs on Slurm: submitted, watched and ended by its own programs, as the person whose they are."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import math
import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from pwd import struct_passwd

from vaas.errors import Forbidden, Invalid, Unavailable
from vaas.executors.accounts import LEAST_UID, account_of, as_account
from vaas.executors.base import Executor, Job, JobState
from vaas.executors.programs import NoAccounting, Unknown, answer_of
from vaas.executors.spool import last_bytes, told_state

__all__ = ["Cluster", "SlurmExecutor"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: One line for each job, with bars between.
_ACCOUNTED = ("--parsable2", "--allocations")
_REF = re.compile(rf"(\d{{1,12}})/([a-z_][a-z0-9_.-]{{0,31}})/({_NAME.pattern})")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
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
_ENDS = {
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
class Cluster:
    """Where jobs go, as the site configures it.

    Parameters
    ----------
    folder:
        Where folders of jobs lie: the same path on this machine and on all nodes.
    python:
        The Python of the launch environment on the nodes.
    prefix:
        What makes a command the person's, such as ``("sudo", "-u", "{owner}")``. Without ``{owner}`` in it only the
        portal's own account has jobs.
    give:
        What gives a job's folder to the person where the portal is not root, with ``{owner}`` and ``{folder}`` in it.
    partition, account, qos:
        Slurm's own; "": its defaults.
    options:
        More options for sbatch, one string each.
    least_uid:
        Accounts below are the system's own: nothing runs as one.
    seconds:
        How long one of Slurm's programs may take.
    """

    folder: Path
    python: Path
    prefix: tuple[str, ...] = ("sudo", "-n", "-u", "{owner}", "--")
    give: tuple[str, ...] = ()
    partition: str = ""
    account: str = ""
    qos: str = ""
    options: tuple[str, ...] = ()
    least_uid: int = LEAST_UID
    seconds: float = 20.0


@dataclass(frozen=True)
class _Ref:
    """A job as the portal keeps it: Slurm's number, whose it is, and the name of its folder."""

    number: str
    owner: str
    name: str

    @classmethod
    def read(cls, text: str) -> _Ref:
        found = _REF.fullmatch(text)
        if found is None:
            raise Invalid("This is no job of Slurm's.", log_message=f"No reference of a job: {text[:100]!r}")
        return cls(*found.groups())

    def __str__(self) -> str:
        return f"{self.number}/{self.owner}/{self.name}"


class SlurmExecutor(Executor):
    """Jobs by sbatch, squeue, sacct and scancel, each run as the job's owner."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._clock = cluster, clock
        self._seen: dict[str, tuple[float, dict[str, tuple[str, str, str]]]] = {}
        self._looking: dict[str, asyncio.Lock] = {}

    async def submit(self, job: Job) -> str:
        """Submit the job; one that Slurm has or had under its name is not submitted again."""
        owner = self._owner(job.owner)
        named = _NAME.fullmatch(job.id) and _NAME.fullmatch(job.folder.name)
        if not named or job.folder.parent != self._cluster.folder:
            raise Invalid("This job cannot be run here.", log_message=f"{job.id!r} in {job.folder} is no job of ours.")
        kept = self._kept(job.folder.name)
        if kept.exists():
            return str(_Ref.read(kept.read_text()))
        number = await self._number(job, owner.pw_name)
        if number is None:
            await self._give(job.folder, owner)
            number = (await self._run(owner.pw_name, self._sbatch(job), self._script(job))).partition(";")[0].strip()
        ref = _Ref(number, owner.pw_name, job.folder.name)
        kept.write_text(str(ref))
        self._seen.pop(owner.pw_name, None)
        return str(ref)

    async def poll(self, ref: str) -> JobState:
        """Return how the job is doing: what the queue says, then the accounting, then its own folder."""
        job = _Ref.read(ref)
        self._owner(job.owner)
        told = (await self._queue(job.owner)).get(job.number) or await self._accounted(job)
        state, reason, start = told or ("", "", "")
        if state in _WAITING:
            return JobState("queued", _why(reason), _seconds_until(start))
        if state in _ENDS:
            return _ENDS[state]
        if state:  # running, completing, suspended, and what a later Slurm may know
            return JobState("running")
        own = await asyncio.to_thread(told_state, self._cluster.folder / job.name)
        return (
            JobState(own)
            if own in {"done", "failed"}
            else JobState("lost", "The cluster knows nothing of it any more.")
        )

    async def cancel(self, ref: str) -> None:
        """End the job; no-op when it is over or not known."""
        job = _Ref.read(ref)
        self._owner(job.owner)
        self._seen.pop(job.owner, None)
        with contextlib.suppress(Unknown):
            await self._run(job.owner, ["scancel", job.number])

    async def log(self, ref: str, *, most: int) -> str:
        """Return the last ``most`` bytes of what it wrote, "" while there is nothing."""
        return await asyncio.to_thread(last_bytes, self._cluster.folder / _Ref.read(ref).name / "log", most=most)

    async def forget(self, ref: str) -> None:
        """Let go of what is kept of the job beside its folder."""
        self._kept(_Ref.read(ref).name).unlink(missing_ok=True)

    def _owner(self, name: str) -> struct_passwd:
        found = account_of(name, least_uid=self._cluster.least_uid)
        if not any("{owner}" in part for part in self._cluster.prefix) and name != getpass.getuser():
            log_message = f"The prefix of Slurm's commands names no {{owner}}, so that {name} would be somebody else."
            raise Forbidden("Jobs of yours cannot run on this cluster.", log_message=log_message)
        return found

    def _kept(self, name: str) -> Path:
        """Where a job's reference is kept: beside its folder, which is the person's own to change."""
        return self._cluster.folder / f"{name}.slurm"

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

    async def _accounted(self, job: _Ref) -> tuple[str, str, str] | None:
        """Return what the accounting says of a job that the controller has forgotten; None where there is none."""
        asked = ["--noheader", *_ACCOUNTED, f"--jobs={job.number}", "--format=State"]
        try:
            found = await self._run(job.owner, ["sacct", *asked])
        except (NoAccounting, Unknown):
            return None
        # "CANCELLED by 1000"
        return (found.split()[0], "", "") if found else None

    async def _give(self, folder: Path, owner: struct_passwd) -> None:
        """Make the folder the person's, whose job writes into it."""
        if self._cluster.give:
            named = as_account(self._cluster.give, owner.pw_name)
            command = [part.replace("{folder}", str(folder)) for part in named]
            await answer_of(command, seconds=self._cluster.seconds)
        elif os.geteuid() == 0:
            await asyncio.to_thread(_chown, folder, owner)
        elif owner.pw_uid != os.geteuid():
            raise Unavailable("Jobs cannot run here: their folder cannot be given to you. Ask those who run this site.")

    def _sbatch(self, job: Job) -> list[str]:
        size, cluster = job.size, self._cluster
        asked = {
            "job-name": _named(job),
            "chdir": str(job.folder),
            "output": "log",
            "open-mode": "append",
            "cpus-per-task": str(max(1, math.ceil(size.cores))),
            "mem": f"{max(1, size.memory >> 20)}M",
            "time": str(math.ceil(size.seconds / 60)) if size.seconds else "",
            "gres": f"gpu:{size.gpus}" if size.gpus else "",
            "partition": cluster.partition,
            "account": cluster.account,
            "qos": cluster.qos,
            # Nothing of the portal's environment; and a job that was begun is not begun again behind our back.
            "export": "NIL",
        }
        options = [f"--{name}={value}" for name, value in asked.items() if value]
        return ["sbatch", "--parsable", "--no-requeue", *options, *cluster.options]

    def _script(self, job: Job) -> str:
        """Return what the job runs. Variables stand in it, as every command line can be read by everybody."""
        wrong = [name for name in job.variables if not _VARIABLE.fullmatch(name)]
        if wrong:
            raise Invalid("This job cannot be run here.", log_message=f"These are no variables: {wrong}")
        lines = [f"export {name}={shlex.quote(value)}" for name, value in job.variables.items()]
        command = [str(self._cluster.python), "-P", "-m", "vaas.lab.run", str(job.folder)]
        return "\n".join(["#!/bin/sh", f"export HOME=~{job.owner}", *lines, f"exec {shlex.join(command)}", ""])

    async def _run(self, owner: str, command: Sequence[str], given: str = "") -> str:
        return await answer_of(
            [*as_account(self._cluster.prefix, owner), *command], given, seconds=self._cluster.seconds
        )


def _named(job: Job) -> str:
    return f"vaas-{job.id}"


def _why(reason: str) -> str:
    """Return Slurm's reason why a job waits in words."""
    word = re.match(r"\w*", reason)
    name = word[0] if word else ""
    limited = name.startswith(("Assoc", "QOS", "MaxJobs"))
    return _REASONS.get(name) or (f"A limit on the cluster holds it back ({name})." if limited else "")


def _seconds_until(start: str) -> float | None:
    """Return for how long the batch system thinks that a job waits; it writes local time, or "N/A"."""
    try:
        return max(0.0, datetime.fromisoformat(start).timestamp() - time.time())
    except ValueError:
        return None


def _chown(folder: Path, owner: struct_passwd) -> None:
    for root, folders, files in os.walk(folder):
        for path in (root, *(os.path.join(root, name) for name in (*folders, *files))):
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
