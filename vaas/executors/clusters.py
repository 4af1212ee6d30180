"""What executors of batch systems have in common: jobs in a shared folder, submitted as the person whose they are."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import math
import os
import re
import shlex
import shutil
import time
from abc import abstractmethod
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd

from vaas import jobs
from vaas.errors import Forbidden, Invalid, StorageFull, Unavailable
from vaas.executors.accounts import LEAST_UID, account_of, as_account
from vaas.executors.base import Executor, Job, JobState
from vaas.executors.programs import Hangs, Refused, Silent, Unknown, answer_of

__all__ = ["ClusterExecutor", "Ref", "Shared", "is_ours"]

_log = logging.getLogger("vaas")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_REF = re.compile(rf"(\d{{1,12}})/([a-z_][a-z0-9_.-]{{0,31}})/({_NAME.pattern})")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: So long (seconds) nobody knows better where nothing is asked any more: what waits is tried twice a minute.
_REMEMBERED = 120.0
#: It is asked for a sign of life so long (seconds) after the last question.
_RESTED = 60.0
_LOST = JobState("lost", "The cluster knows nothing of it any more.")


@dataclass(frozen=True)
class Shared:
    """How a site lets the portal use a cluster, whichever it is.

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
    least_uid:
        Accounts below are the system's own: nothing runs as one.
    seconds:
        How long one of the batch system's programs may take.
    """

    folder: Path
    python: Path
    prefix: tuple[str, ...] = ("sudo", "-n", "-u", "{owner}", "--")
    give: tuple[str, ...] = ()
    least_uid: int = LEAST_UID
    seconds: float = 20.0


@dataclass(frozen=True)
class Ref:
    """A job as the portal keeps it: the batch system's number, whose it is, and the name of its folder."""

    number: str
    owner: str
    name: str

    @classmethod
    def read(cls, text: str) -> Ref | None:
        """Return the job that a reference names, None for what is none."""
        found = _REF.fullmatch(text)
        return cls(*found.groups()) if found else None

    def __str__(self) -> str:
        return f"{self.number}/{self.owner}/{self.name}"


class ClusterExecutor(Executor):
    """Jobs by the programs of a batch system, each run as the job's owner; its own class says how they are called.

    ``kept`` is a folder of ours in which it is noted what was submitted; no job sees it.
    """

    def __init__(self, shared: Shared, kept: Path) -> None:
        self._shared, self._kept = shared, kept
        #: When it was asked last, who was answered last, and when nobody was.
        self._asked, self._asker, self._unanswered = -math.inf, "", -math.inf
        #: What asked for a sign of life and hangs.
        self._hanging: Process | None = None

    @property
    def silent(self) -> bool:
        """Whether the system did not answer when it was asked last. What waits asks it again and again."""
        return self._hangs or time.monotonic() - self._unanswered < _REMEMBERED

    @property
    def _hangs(self) -> bool:
        return self._hanging is not None and self._hanging.returncode is None

    async def ensure_asked(self) -> None:
        """Ask it as who was answered last; before anybody was, as the portal's own account, where that has programs."""
        if self._hangs or time.monotonic() - self._asked < _RESTED:
            return
        asker, own = self._asker, self._small(_own_account())
        has_programs = await asyncio.to_thread(shutil.which, own[0])
        try:
            if asker:
                # As them once alone, where it can be asked otherwise: it may be their account that is not good.
                self._asker = "" if has_programs else asker
                await self._run(asker, self._small(asker))
            elif has_programs:
                await self._heard(own)
        except Hangs as error:
            self._hanging = error.process
        except Unavailable as error:
            _log.info("No sign of life: %s", error.log_message)

    async def submit(self, job: Job) -> str:
        """Submit the job; one that the system has or had under its name is not submitted again."""
        owner = self._owner(job.owner)
        named = _NAME.fullmatch(job.id) and _NAME.fullmatch(job.folder.name)
        if not named or job.folder.parent != self._shared.folder:
            raise Invalid("This job cannot be run here.", log_message=f"{job.id!r} in {job.folder} is no job of ours.")
        note = self._kept / job.folder.name
        if note.exists():
            return note.read_text()
        number = await self._number(job, owner.pw_name) or await self._handed_over(job, owner)
        ref = str(Ref(number, owner.pw_name, job.folder.name))
        try:
            self._kept.mkdir(mode=0o700, parents=True, exist_ok=True)
            note.write_text(ref)
        except OSError as error:
            # It is submitted, and found again by its name.
            raise StorageFull("The portal's disk is full. It is tried again.", log_message=f"{ref}: {error}") from error
        return ref

    async def poll(self, ref: str) -> JobState:
        """Return how the job is doing: what the system says, or, where it knows nothing any more, its own folder."""
        job = Ref.read(ref)
        if job is None:
            return _LOST
        self._owner(job.owner)
        if told := await self._told(job):
            return told
        own = await asyncio.to_thread(jobs.read_json, self._shared.folder / job.name / jobs.STATUS)
        return JobState(own["state"]) if own.get("state") in {"done", "failed"} else _LOST

    async def cancel(self, ref: str) -> None:
        """End the job; no-op when it is over or not known."""
        if job := Ref.read(ref):
            self._owner(job.owner)
            with contextlib.suppress(Unknown):
                await self._end(job)

    async def log(self, ref: str, *, most: int) -> str:
        """Return the last ``most`` bytes of what it wrote, "" while there is nothing."""
        job = Ref.read(ref)
        path = self._shared.folder / job.name / jobs.LOG if job else None
        return await asyncio.to_thread(jobs.read_tail, path, most=most) if path else ""

    async def forget(self, ref: str) -> None:
        """Let go of what is noted of the job."""
        if job := Ref.read(ref):
            (self._kept / job.name).unlink(missing_ok=True)

    @abstractmethod
    async def _number(self, job: Job, owner: str) -> str | None:
        """Return the number of a job that the system has under this name: a submission whose answer got lost."""

    @abstractmethod
    async def _handed_over(self, job: Job, owner: struct_passwd) -> str:
        """Submit it and return its number; :meth:`_give` its folder before."""

    @abstractmethod
    async def _told(self, job: Ref) -> JobState | None:
        """Return what the system says of it; None when it knows nothing of it."""

    @abstractmethod
    def _small(self, owner: str) -> tuple[str, ...]:
        """Return what asks the system something small of this account, by a program that the account may call."""

    @abstractmethod
    async def _end(self, job: Ref) -> None:
        """End it. Raises Unknown when the system knows no such job."""

    def _owner(self, name: str) -> struct_passwd:
        found = account_of(name, least_uid=self._shared.least_uid)
        if not any("{owner}" in part for part in self._shared.prefix) and name != getpass.getuser():
            log_message = f"The prefix of the cluster's commands names no {{owner}}: {name} would be somebody else."
            raise Forbidden("Jobs of yours cannot run on this cluster.", log_message=log_message)
        return found

    def _script(self, job: Job) -> str:
        """Return what the job runs. Variables stand in it, as every command line can be read by everybody."""
        wrong = [name for name in job.variables if not _VARIABLE.fullmatch(name)]
        if wrong:
            raise Invalid("This job cannot be run here.", log_message=f"These are no variables: {wrong}")
        lines = [f"export {name}={shlex.quote(value)}" for name, value in job.variables.items()]
        command = [str(self._shared.python), "-P", "-m", "vaas.lab.run", str(job.folder)]
        return "\n".join(["#!/bin/sh", f"export HOME=~{job.owner}", *lines, f"exec {shlex.join(command)}", ""])

    async def _give(self, folder: Path, owner: struct_passwd) -> None:
        """Make the folder the person's, whose job writes into it; no-op when it is: they have had it since."""
        if not is_ours(folder):
            return
        if self._shared.give:
            named = as_account(self._shared.give, owner.pw_name)
            await self._answer([part.replace("{folder}", str(folder)) for part in named])
        elif os.geteuid() == 0:
            os.chmod(folder, 0o700)
            await asyncio.to_thread(jobs.give, folder, owner.pw_uid, owner.pw_gid)
        elif owner.pw_uid != os.geteuid():
            raise Unavailable("Jobs cannot run here: their folder cannot be given to you. Ask those who run this site.")

    async def _run(self, owner: str, command: Sequence[str], given: str = "") -> str:
        """Run one of the system's programs as the person and return what it says."""
        said = await self._heard([*as_account(self._shared.prefix, owner), *command], given)
        self._asker = owner
        return said

    async def _heard(self, command: Sequence[str], given: str = "") -> str:
        """Return what it says, and note whether anything stands behind it."""
        self._asked = time.monotonic()
        try:
            said = await self._answer(command, given)
            self._hanging = None
        except Silent:
            self._unanswered = time.monotonic()
            raise
        except Unavailable as error:
            if isinstance(error, Unknown | Refused):  # which it is the system that says
                self._unanswered = -math.inf
            raise
        self._unanswered = -math.inf
        return said

    async def _answer(self, command: Sequence[str], given: str = "") -> str:
        return await answer_of(command, given, seconds=self._shared.seconds)


def _own_account() -> str:
    """Return what the account is called that we have, or its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def is_ours(folder: Path) -> bool:
    """Tell whether nobody else can have changed anything in the folder."""
    return folder.stat(follow_symlinks=False).st_uid == os.geteuid()
