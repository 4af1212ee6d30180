"""The job behind a server of a batch system: handed over once, never forgotten while it may be there, and ended."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from asyncio.subprocess import Process
from collections.abc import Coroutine
from typing import Any, ClassVar

from traitlets import Float, Unicode

from hub_service.spawner import AppServers
from vaas.executors.programs import Hangs, Silent, bare_environment, is_over, refusal, said_by

__all__ = ["BatchJobs"]

#: What stands in place of an answer where there is none.
_SILENT = "The batch system does not answer."
#: So long (seconds) nothing is asked beside a program that hangs.
_BESIDE = 600.0
#: What goes on though nobody waits for it: the event loop alone would let go of it.
_GOING: set[asyncio.Future[Any]] = set()


class BatchJobs(AppServers):
    """A mixin for the spawners of batchspawner, whose own ways with a job lose some.

    Each job has a name of its own, which is kept before it is handed over: by it a job is ended whose number nobody
    knows, because its submission was given up, its answer got lost, or the Hub was ended.
    """

    patience = Float(60, help="For how many seconds each of the batch system's programs may run.").tag(config=True)
    batch_end_named_cmd = Unicode(help="Ends the job called {vaas_name}, whose number is not known.").tag(config=True)
    #: What the job is called that was handed over last, by us and anew each time; "" when there is none.
    req_vaas_name = Unicode()
    #: The variable by which the batch system's own program hears how a job is to be called; "": there is none.
    named_by: ClassVar[str] = ""
    #: After so many seconds, one after the other, a job is ended again that could not be, or may be taken late.
    again: ClassVar[tuple[float, ...]] = (10, 60, 600, 3600)
    #: The job that is on its way to the batch system, or has been: its number is known when this is done.
    _submitting: asyncio.Future[Any] | None = None
    #: The program that did not end in time and may run still, and when that was.
    _hangs: Process | None = None
    _hangs_since = 0.0

    async def submit_batch_script(self) -> Any:
        """Submit the job, to the end even when the start is given up: else nobody would know its number."""
        self.req_vaas_name = f"vaas-{secrets.token_hex(8)}"
        self._submitting = _to_the_end(self._submit())
        return await asyncio.shield(self._submitting)

    async def _submit(self) -> Any:
        # Not batchspawner's way: it fills in what the caller sent, and writes the environment, with the server's token,
        # into the log of a Hub that is looked at closely.
        self._keep()
        self.req_keepvars = ",".join(self.get_env())
        known = self.get_req_subvars() | {"cmd": self.cmd_formatted_for_batch()}
        script = await self._get_batch_script(**known)
        named = {self.named_by: self.req_vaas_name} if self.named_by else {}
        await self._handed_over(self.run_command(self._command(self.batch_submit_cmd), script, self.get_env() | named))

    async def _handed_over(self, submission: Coroutine[Any, Any, str]) -> None:
        """Keep the number of the job; a job that was refused is none."""
        try:
            said = await submission
        except RuntimeError as error:
            if refusal(str(error)):
                self.req_vaas_name = ""
            raise
        try:
            self.job_id = self.parse_job_id(said)
        except Exception as error:  # each spawner fails in its own way
            raise RuntimeError(f"This is no number of a job: {said[:200]}") from error
        finally:
            self._keep()
        self.log.info("Job %s is the server %s.", self.job_id, self._log_name)

    def _keep(self) -> None:
        """Save the job at once: a Hub that is ended while it waits would not know of it any more."""
        if self.orm_spawner is not None:
            self.orm_spawner.state = self.get_state()
            self.db.commit()

    def get_state(self) -> dict[str, Any]:
        """Add what the job is called."""
        return super().get_state() | ({"job_name": self.req_vaas_name} if self.req_vaas_name else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Load it, too."""
        super().load_state(state)
        self.req_vaas_name = state.get("job_name", "")

    def clear_state(self) -> None:
        """Forget the job."""
        super().clear_state()
        self.req_vaas_name = ""

    def _command(self, template: str, **more: str) -> str:
        """Return a command line of the site's, as the person."""
        return f"{self._filled(self.exec_prefix)} {self._filled(template, **more)}"

    def _filled(self, template: str, **more: str) -> str:
        from batchspawner.batchspawner import format_template  # only where a site's spawner is one of its

        return str(format_template(template, **(self.get_req_subvars() | more)))

    async def run_command(self, cmd: str, input: str | None = None, env: dict[str, str] | None = None) -> Any:
        """Run one of the batch system's programs with nothing of the Hub's environment: it runs as the person.

        Who is cancelled meanwhile hears so, and it goes on: batchspawner would take that for an answer, that there is
        no such job, and forget one that is there.

        Raises
        ------
        RuntimeError
            It says that something is wrong, or nothing at all.
        """
        given = bare_environment(os.environ) | (env or {})
        return await asyncio.shield(_to_the_end(self._said(cmd, input or "", given)))

    async def _said(self, cmd: str, given: str, environ: dict[str, str]) -> str:
        try:
            code, said, problem = await said_by(["/bin/sh", "-c", cmd], given, seconds=self.patience, environ=environ)
        except Silent as error:
            if isinstance(error, Hangs):
                self._hangs, self._hangs_since = error.process, time.monotonic()
            self.log.error("%s", error.log_message)
            raise RuntimeError(_SILENT) from error
        if code:
            self.log.error("%s: %s", cmd, problem)
            raise RuntimeError(problem or _SILENT)
        return said

    async def stop(self, now: bool = False) -> Any:
        """End the job, one that is just being submitted too; one that is not known is none.

        The Hub forgets it whatever comes of this: what cannot be ended now, or may be taken late, is ended later.
        """
        if self._submitting is not None:
            await asyncio.wait({self._submitting})
        ending, known = self._ending(), bool(self.job_id)
        if not ending:
            return
        try:
            # The job is told, and looked at ten times whether it is over.
            async with asyncio.timeout(self.patience + 15):
                told = await _is_told(super().stop(now=now) if known else self.run_command(ending))
        except TimeoutError:
            told = True
        # Of one without a number nobody knows whether it was there yet.
        if not (known and told):
            self.log.error("The job of %s may be there still: %s is run again later.", self._log_name, ending)
            _to_the_end(self._end_later(ending, known=known))

    def _ending(self) -> str:
        """Return the command line that ends the job, "" where there is none."""
        if self.job_id:
            return self._command(self.batch_cancel_cmd, job_id=str(self.job_id))
        if self.req_vaas_name and self.batch_end_named_cmd:
            return self._command(self.batch_end_named_cmd)
        if self.req_vaas_name:
            self.log.error("A job of %s may be in the queue, whose number is not known.", self._log_name)
        return ""

    async def _end_later(self, ending: str, *, known: bool) -> None:
        for seconds in self.again:
            await asyncio.sleep(seconds)
            if await _is_told(self.run_command(ending)) and known:
                return
        if known:
            self.log.error("A job of %s was not ended. Do it by hand: %s", self._log_name, ending)

    async def poll(self) -> Any:
        """Tell how the job is doing as the spawner does; one without a number is there, or the Hub would not end it."""
        return None if self.req_vaas_name and not self.job_id else await super().poll()

    async def query_job_status(self) -> Any:
        """Ask how the job is doing; UNKNOWN where there is no answer, or none that the spawner can read.

        For a while it is not asked beside a program that hangs and cannot be killed: they would heap up.
        """
        from batchspawner.batchspawner import JobStatus  # only where a site's spawner is one of its

        hangs = self._hangs is not None and self._hangs.returncode is None
        if hangs and time.monotonic() - self._hangs_since < _BESIDE:
            return JobStatus.UNKNOWN
        try:
            return await super().query_job_status()
        except Exception:  # each spawner fails in its own way
            self.log.exception("Nobody can read how job %s is doing: %r", self.job_id, self.job_status)
            return JobStatus.UNKNOWN

    def state_isunknown(self) -> Any:
        """Tell whether the batch system did not answer."""
        return self.job_status == _SILENT or super().state_isunknown()


async def _is_told(ending: Coroutine[Any, Any, Any]) -> bool:
    """Tell whether the batch system was told to end the job, or says that it is over."""
    try:
        await ending
    except RuntimeError as error:
        return is_over(str(error))
    return True


def _to_the_end(work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
    """Let it go on though nobody may wait for it any more; how it fails is of no interest then."""
    going = asyncio.ensure_future(work)
    _GOING.add(going)
    going.add_done_callback(_GOING.discard)
    going.add_done_callback(lambda done: done.cancelled() or done.exception())
    return going
