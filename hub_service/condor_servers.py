"""App servers and launches as jobs of HTCondor, which shows what it knows of a job to everybody in the pool."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SpawnException
from traitlets import TraitError, Unicode, validate

from hub_service.cluster_servers import FAILED, BatchServers
from vaas.errors import Invalid
from vaas.executors.htcondor import (
    ASKED,
    HANDING_BACK,
    HELD,
    IDLE,
    MARK,
    REMOVED,
    RUNNING,
    SUSPENDED,
    described,
    first_of,
    number_in,
    state_of,
)
from vaas.executors.programs import is_over
from vaas.plans import Plan

__all__ = ["CondorServers"]

#: Where the scripts and the logs of a person's jobs are, in their home; nobody else can read it.
_FOLDER = ".vaas-jobs"
#: A launch ends by itself when its time is up, and says so; so many seconds later the pool ends what did not.
_LATER = 60
#: How a job is doing that a machine has.
_ON_A_MACHINE = (RUNNING, REMOVED, HANDING_BACK, SUSPENDED)
#: It is held back for a while: by who may release it, or as it was submitted. For all else it ends.
_FOR_A_WHILE = (1, 15, 16)
#: An address as HTCondor writes it: “<127.0.0.1:9618?…>”, “<[::1]:9618>”.
_ADDRESS = re.compile(r"<\[?([0-9a-fA-F.:]+?)\]?:\d+[?>]")


class CondorServers(BatchServers):
    """A mixin for batchspawner's CondorSpawner, whose description of jobs and ways to ask are ours.

    Whoever has a job may change all that the queue says of it, also where it runs. So the machines themselves are asked
    where the proxy is to lead, by the Hub's own account: HTCondor's programs believe what is in the home of who asks.
    """

    kinds = ("htcondor",)

    batch_end_named_cmd = Unicode(
        f"condor_rm -constraint '{MARK} == \"{{vaas_name}}\"'", help="Ends a job whose number is not known."
    ).tag(config=True)
    batch_query_cmd = Unicode(
        f"condor_q {{job_id}} -json -attributes {','.join(ASKED)}", help="What the queue says of a job."
    ).tag(config=True)
    batch_history_cmd = Unicode(
        f"condor_history {{job_id}} -limit 1 -json -attributes {','.join(ASKED)}",
        help="What is known of one that is over.",
    ).tag(config=True)
    batch_host_cmd = Unicode(
        "condor_status -json -attributes MyAddress -constraint {asked}",
        help="What the machine says of itself that has the job; run as the Hub.",
    ).tag(config=True)
    job_log = Unicode(f"{{homedir}}/{_FOLDER}/{{job_id}}.log", help="Where a job's log is.").tag(config=True)

    #: Where the job runs; None: nobody asks.
    host: str | None = None

    @validate("req_runtime")
    def _in_seconds(self, proposal: Mapping[str, Any]) -> str:
        if not re.fullmatch(r"\d*", proposal["value"]):
            raise TraitError(f"c.CondorSpawner.req_runtime is {proposal['value']!r}: write seconds, such as 43200.")
        return str(proposal["value"])

    def prepare_launch(self, plan: Plan) -> None:
        """Ask for the time and the GPUs of the plan, too."""
        super().prepare_launch(plan)
        self.req_runtime = str(plan.size.seconds + _LATER) if plan.size.seconds else ""
        self.req_ngpus = str(plan.size.gpus) if plan.size.gpus else ""

    async def start(self) -> Any:
        """Submit the job and return when its server listens, on a machine that says that it has the job."""
        self.host = ""
        try:
            return await super().start()
        finally:
            self.host = None

    async def stop(self, now: bool = False) -> Any:
        """End the job as the others do; of one whose number is not known its script is taken away, too."""
        await super().stop(now=now)
        if self.req_vaas_name and not self.job_id:
            with contextlib.suppress(RuntimeError):
                await self._pooled("{}")

    async def poll(self) -> Any:
        """Tell how the job is doing as the others do."""
        return await super().poll()

    async def _submit(self) -> Any:
        # Environment and command are in a script that nobody but the person can read. Nothing of batchspawner's way: it
        # would write the environment into the log of a Hub that is looked at closely.
        self._keep()
        try:
            handed = json.dumps({"script": self._script_text(), "description": self._described()})
        except Invalid as error:
            self.log.error("%s", error.log_message)
            self.req_vaas_name = ""
            raise SpawnException(error.message, reason="batch", status_code=500) from error
        await self._handed_over(self._pooled(handed))

    def parse_job_id(self, output: str) -> str:
        """Return the job's number. Raises ValueError when there is none."""
        return str(int(number_in(output)))

    async def query_job_status(self) -> Any:
        """Ask how the job is doing; of one that is over nothing stays, neither in the queue nor in the home."""
        status = await super().query_job_status()
        if status.name == "NOTFOUND" and self.job_id:
            with contextlib.suppress(RuntimeError):
                await (self.cancel_batch_job() if self._told() else self._pooled("{}"))
        if status.name == "RUNNING" and self.host == "":
            self.host = await self._machine()
            return status if self.host else type(status).PENDING
        return status

    async def cancel_batch_job(self) -> None:
        """End the job, and remove what of it lies in the home."""
        try:
            await super().cancel_batch_job()
        except RuntimeError as error:
            if not is_over(str(error)):
                raise
        await self._pooled("{}")

    def state_ispending(self) -> bool:
        """Tell whether the job waits."""
        found = self._told() or {}
        held = found.get("JobStatus") == HELD and found.get("HoldReasonCode") in _FOR_A_WHILE
        return held or found.get("JobStatus") == IDLE

    def state_isrunning(self) -> bool:
        """Tell whether a machine has the job, also while it ends."""
        return (self._told() or {}).get("JobStatus") in _ON_A_MACHINE

    def state_isunknown(self) -> bool:
        """Tell whether HTCondor did not answer: anything but what the queue says."""
        return self._told() is None

    def state_gethost(self) -> str:
        """Return where the job runs, as the machine says."""
        return self.host or ""

    def waiting(self) -> tuple[str, float | None]:
        """Return what HTCondor says; it has no estimate."""
        found = self._told()
        return (state_of(found).message if found else ""), None

    async def why_failed(self, said: str) -> str:
        """Return in words why: what HTCondor says of the job, else the end of its log."""
        number, last = self.last_job
        if number:
            found = _first(last) or _first(await self._remembered(number)) or {}
            end = state_of(found)
            if found.get("JobStatus") == REMOVED:
                return f"{FAILED} its job was removed from the pool."
            if found.get("JobStatus") == HELD and end.message:
                return f"{FAILED} {end.message}"
        return await super().why_failed(said)

    @property
    def _script(self) -> Path:
        return Path(self.account.pw_dir) / _FOLDER / f"{self.req_vaas_name}.sh"

    def _script_text(self) -> str:
        """Return what the job runs; it removes itself, since it runs once."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.get_env().items()]
        gone, home = f"rm -f -- {shlex.quote(str(self._script))}", 'cd -- "$HOME" || exit'
        return "\n".join(["#!/bin/sh", gone, *lines, home, f"exec {self.cmd_formatted_for_batch()}", ""])

    def _described(self) -> str:
        log = f"{_FOLDER}/$(Cluster).log"
        asked = {
            "output": log,
            "error": log,
            "request_cpus": str(self.req_nprocs or "1"),
            "request_memory": str(self.req_memory),
            "request_gpus": str(self.req_ngpus),
            f"+{MARK}": f'"{self.req_vaas_name}"',
        }
        lines = str(self.req_options).splitlines()
        return described(self._script, self._script.parents[1], asked, seconds=int(self.req_runtime or 0), lines=lines)

    async def _pooled(self, handed: str) -> str:
        """Run what lays and removes scripts, as the person."""
        python = (self.app_cmd if self.for_app else self.lab_cmd)[0]
        return await self._as_person(shlex.join([python, "-P", "-m", "vaas.pooled", str(self._script)]), handed)

    async def _as_person(self, command: str, given: str | None = None) -> str:
        return str(await self.run_command(f"{self._filled(self.exec_prefix)} {command}", input=given))

    async def _machine(self) -> str:
        """Return the address of the machine that has the job, "" while none says so."""
        person = json.dumps(self.account.pw_name)
        asked = f'JobId == "{int(self.job_id)}.0" && splitUserName(RemoteOwner)[0] == {person}'
        try:
            found = _first(await self.run_command(str(self.batch_host_cmd).format(asked=shlex.quote(asked))))
        except RuntimeError as error:
            self.log.warning("The pool does not say where job %s runs: %s", self.job_id, error)
            return ""
        address = _ADDRESS.match(str((found or {}).get("MyAddress")))
        return address[1] if address else ""

    async def _remembered(self, number: str) -> str:
        with contextlib.suppress(RuntimeError):
            return await self._as_person(str(self.batch_history_cmd).format(job_id=number))
        return ""

    def _told(self) -> Mapping[str, Any] | None:
        return _first(str(self.job_status or ""))


def _first(said: str) -> Mapping[str, Any] | None:
    """Return the first description in an answer of HTCondor's, {} for none, None where that is no answer."""
    with contextlib.suppress(ValueError):
        return first_of(said) or {}
    return None
