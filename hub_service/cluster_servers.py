"""App servers and launches as jobs of a batch system, by the spawners of batchspawner, which a site may name."""

from __future__ import annotations

import asyncio
import contextlib
import math
import pwd
import re
import shlex
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from jupyterhub.spawner import SpawnException
from traitlets import Integer, Unicode, default

from hub_service.batch_jobs import BatchJobs
from hub_service.settings import NOWHERE
from vaas.errors import Forbidden
from vaas.executors.accounts import account_of
from vaas.executors.programs import refusal
from vaas.executors.slurm import ENDS, seconds_until, why_waiting
from vaas.jobs import read_tail
from vaas.plans import Plan

__all__ = ["FAILED", "BatchServers", "SlurmServers"]

FAILED = "The server could not be started:"
_ELSEWHERE = "Launches run on the cluster here. Choose it, or tell those who run this site."
_NO_LAUNCHES = "No launches run here: the Hub’s spawner runs apps alone. Tell those who run this site."
_DOWN = "The batch system does not take the job at the moment."
_TOO_LONG = "It waited in the queue of the cluster for longer than a start may take here."
_INSTEAD = (
    " Try again when there is room, choose a smaller size or another place, or run the notebook as a job, which waits "
    "for as long as it has to."
)
_STATE = re.compile(r"[A-Z_]+[| ]")
#: Time, level and logger, which a person need not read.
_LOG_HEAD = re.compile(r"^[\d:., -]+(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) [\w.]+: ")


class BatchServers(BatchJobs):
    """A mixin for the spawners of batchspawner, which run app servers; a batch system's own class starts launches.

    Nothing that anybody asks for reaches the job's script or a command: what is filled in is the site's, a plan's size,
    and an account that the system knows. Jobs run as the person; those of apps as one account of the site.
    """

    #: Others than Slurm and HTCondor are not asked for a launch's size here.
    kinds: ClassVar[tuple[str, ...]] = (NOWHERE,)

    app_username = Unicode(help="The account of the system as which the jobs of apps run.").tag(config=True)
    listen = Unicode("0.0.0.0", help="The address at which a server listens on its node.").tag(config=True)
    queue_timeout = Integer(
        86_400, help="For how many seconds the job of a launch may wait in the queue; its start counts from then on."
    ).tag(config=True)
    job_log = Unicode(help="Where the log of a job is, with {homedir} and {job_id}; empty: not read.").tag(config=True)

    #: Number and state of the job as they were last seen; batchspawner forgets those of a job that is over.
    last_job = ("", "")
    #: For how many seconds the start of a launch may take once its job runs; 0: all of it has the Hub's time.
    _start_seconds = 0
    #: When the job was seen to run.
    _running_since: float | None = None

    @property
    def account(self) -> pwd.struct_passwd:
        """As whom the job runs.

        Raises
        ------
        SpawnException
            The system has no such account, or it is one of its own.
        """
        try:
            return account_of(str(self.app_username) if self.for_app else self.user.name)
        except Forbidden as error:
            self.log.error("%s", error.log_message)
            raise SpawnException(error.message, reason="no-account", status_code=403) from error

    @default("req_username")
    def _account_name(self) -> str:
        return self.account.pw_name

    @default("req_homedir")
    def _account_home(self) -> str:
        return self.account.pw_dir

    @default("req_keepvars")
    def _no_names_yet(self) -> str:
        # What asks how a job is doing needs none, and after a restart of the Hub nobody knows its plan any more.
        return ""

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Name the account and its home."""
        return env | {"USER": self.account.pw_name, "HOME": self.account.pw_dir}

    def get_env(self) -> dict[str, str]:
        """Return what the server may know, and where on its node it listens."""
        env = super().get_env()
        parts = urlsplit(env["JUPYTERHUB_SERVICE_URL"])
        return env | {"JUPYTERHUB_SERVICE_URL": urlunsplit(parts._replace(netloc=f"{self.listen}:0"))}

    def cmd_formatted_for_batch(self) -> str:
        """Return the command of the job: the server, behind what tells the Hub its port."""
        return shlex.join([self.cmd[0], "-P", "-m", "vaas.batched", *self.cmd, *self.get_args()])

    def prepare_launch(self, plan: Plan) -> None:
        """Set what is started: on a node, with the plan's size, in the home that the account has there."""
        if plan.kind not in self.kinds:
            words = _NO_LAUNCHES if NOWHERE in self.kinds else _ELSEWHERE
            raise SpawnException(words, reason="facility", status_code=400)
        super().prepare_launch(replace(plan, home=""))
        size = plan.size
        self.req_memory, self.req_nprocs = f"{max(1, size.memory >> 20)}M", str(max(1, math.ceil(size.cores)))

    def allow_time(self) -> None:
        """Give the start of a launch its time from when its job runs: in a queue it waits as long as the site says."""
        if not self._start_seconds:
            super().allow_time()
            self._start_seconds = self.start_timeout
        self.start_timeout = self.queue_timeout + self._start_seconds + 30

    async def start(self) -> Any:
        """Submit the job and return when its server listens.

        Raises
        ------
        SpawnException
            The batch system does not take it, or it ended before; the message says why.
        """
        account, self.last_job, self._running_since = self.account, ("", ""), None
        began = time.monotonic()
        self.req_username, self.req_homedir = account.pw_name, account.pw_dir
        starting = asyncio.ensure_future(super().start())
        try:
            while not starting.done():
                await asyncio.wait({starting}, timeout=max(0.2, self.startup_poll_interval))
                await self._going_on(starting)
                self._in_time(began)
            address = starting.result()
            await self._listening(*address)
        except RuntimeError as error:
            self.log.error("The job of %s: %s", self._log_name, error)
            raise SpawnException(await self.why_failed(str(error)), reason="batch", status_code=500) from error
        finally:
            starting.cancel()
        return address

    async def why_failed(self, said: str) -> str:
        """Return in words why the job did not become a server; ``said`` is what the batch system's programs wrote."""
        last = await asyncio.to_thread(self._last_line)
        if not self.last_job[0]:
            return _DOWN
        return f"{FAILED} {last or 'its job ended without a word.'}"

    async def query_job_status(self) -> Any:
        """Ask how the job is doing, and keep the answer."""
        status = await super().query_job_status()
        if self.job_id:
            self.last_job = (str(self.job_id), str(self.job_status))
        return status

    def waiting(self) -> tuple[str, float | None]:
        """Return in words why the job waits, and for how many seconds more; "" and None where nobody knows."""
        return "", None

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Say why the job waits and for how long, until it runs.

        A launch's page has a place of its own for the estimate; who opens an app is shown the message alone.
        """
        while not self.state_isrunning():
            why, seconds = self.waiting()
            told = _queued(why, seconds if self.for_app else None)
            estimate = {} if seconds is None else {"starts_in": round(seconds)}
            yield {"progress": 10, "phase": "queued", "message": told, **estimate}
            await asyncio.sleep(1)
        yield {"progress": 40, "message": "It starts on the cluster."}

    async def ended(self) -> bool:
        """Tell whether the batch system says that the job is over; False while it does not answer."""
        return (await self.query_job_status()).name == "NOTFOUND"

    async def _going_on(self, starting: asyncio.Future[Any]) -> None:
        """Raise RuntimeError when the job is over and has not said where it listens: it never will."""
        if not starting.done() and self.job_id and not self.port and self.state_isrunning() and await self.ended():
            raise RuntimeError("The job has ended.")

    def _in_time(self, began: float) -> None:
        """Raise when the job waits for too long, SpawnException, or its server takes too long to come, RuntimeError."""
        now = time.monotonic()
        if self._running_since is None and self.job_id and self.state_isrunning():
            self._running_since = now
        waits = self.queue_timeout if self._start_seconds else self.start_timeout - 2
        if self._running_since is None and now - began > waits:
            self.log.error("The job %s of %s waited for %d s.", self.job_id, self._log_name, waits)
            if not self.job_id:
                raise RuntimeError("It has no number yet.")
            words = _TOO_LONG + (_INSTEAD if self._start_seconds else "")
            raise SpawnException(words, reason="queue", status_code=500)
        if self._start_seconds and self._running_since is not None and now - self._running_since > self._start_seconds:
            raise RuntimeError("The job runs and does not say where it listens.")

    async def _listening(self, host: str, port: int) -> None:
        """Wait until something listens there, a little less long than the Hub, which would give no reason."""
        begun = self._running_since or time.monotonic()
        deadline = max(time.monotonic() + 1, begun + (self._start_seconds or self.start_timeout) - 2)
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2):
                    _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return
            if await self.ended():
                break
            await asyncio.sleep(self.startup_poll_interval)
        raise RuntimeError("Nothing listens where the job said.")

    def _last_line(self) -> str:
        number = self.last_job[0]
        if not self.job_log or not number:
            return ""
        path = Path(str(self.job_log).format(homedir=self.req_homedir, job_id=number))
        # A folder on the way there may be a link that the person has laid: to the log of somebody else.
        told = read_tail(path, most=4000, owner=self.account.pw_uid)
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        return _LOG_HEAD.sub("", lines[-1])[:300] if lines else ""


class SlurmServers(BatchServers):
    """A mixin for batchspawner's SlurmSpawner, which asks Slurm more and says more of what it answers."""

    kinds = ("slurm",)
    named_by = "SBATCH_JOB_NAME"
    req_partition: str
    _site_partition: str | None = None

    batch_end_named_cmd = Unicode(
        "scancel --name={vaas_name} --user={username}", help="Ends a job whose number is not known."
    ).tag(config=True)
    batch_query_cmd = Unicode(
        "squeue --noheader --states=all --jobs={job_id} --format='%T|%r|%S| %B'",
        help="State, reason, start, and behind a blank the host; of jobs that are over, too.",
    ).tag(config=True)
    job_log = Unicode("{homedir}/jupyterhub_slurmspawner_{job_id}.log", help="Where a job's log is.").tag(config=True)

    def prepare_launch(self, plan: Plan) -> None:
        """Ask for the time and the GPUs of the plan, too, in the partition that its facility is."""
        super().prepare_launch(plan)
        size = plan.size
        self.req_runtime = str(math.ceil(size.seconds / 60)) if size.seconds else ""
        # The Hub takes the same object for the next start: what a plan says nothing of is the site's own again.
        if self._site_partition is None:
            self._site_partition = str(self.req_partition)
        self.req_partition = plan.profile or self._site_partition
        self.req_gres = f"gpu:{size.gpus}" if size.gpus else ""

    def state_isunknown(self) -> Any:
        """Tell whether Slurm did not answer: anything but a state, or that it knows no such job."""
        status = str(self.job_status or "")
        return bool(status) and not _STATE.match(status) and "Invalid job id" not in status

    async def why_failed(self, said: str) -> str:
        """Return in words why: what Slurm says of the job, else the end of its log."""
        if refused := refusal(said):
            return refused
        end = ENDS.get(self.last_job[1].partition("|")[0])
        if end and end.state == "cancelled":
            return f"{FAILED} its job was cancelled on the cluster."
        return f"{FAILED} {end.message}" if end and end.message else await super().why_failed(said)

    def waiting(self) -> tuple[str, float | None]:
        """Return what Slurm says."""
        _, _, told = str(self.job_status or "").partition("|")
        reason, _, start = told.partition("|")
        return why_waiting(reason), seconds_until(start.partition("|")[0])


def _queued(why: str, seconds: float | None) -> str:
    words = f"In the queue of the cluster. {why}".strip()
    return words if seconds is None else f"{words} It should begin in {_about(seconds)}."


def _about(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes <= 1:
        return "a minute"
    return f"about {minutes} minutes" if minutes < 120 else f"about {round(minutes / 60)} hours"
