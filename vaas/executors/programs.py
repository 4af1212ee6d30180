"""The programs of a batch system: run with nothing of our own environment, and their complaints as errors of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryFile
from typing import BinaryIO

from vaas.errors import Unavailable

__all__ = [
    *("CONFIGURED_BY", "Hangs", "NoAccounting", "Refused", "Silent", "Unknown"),
    *("answer_of", "bare_environment", "is_over", "refusal", "said_by"),
]

#: Variables that tell these programs where their configuration is, at sites where it is not in the usual place.
CONFIGURED_BY = ("SLURM_CONF", "CONDOR_CONFIG")
#: What they need to know. They run as people, who can read the environment of what runs as they.
_NEEDED = ("PATH", "LANG", "LC_ALL", "TZ", *CONFIGURED_BY)
_DOWN = "The batch system does not answer. What runs goes on; it is asked again in a moment."
_UNKNOWN = re.compile(r"Invalid job id|already completing or completed|Couldn't find/remove all jobs")
#: What their programs write when nothing stands behind them; not what one person alone may hear of their own account.
_SILENT = re.compile(
    r"(?i)unable to contact|timed out|zero bytes|connection refused|munge|failed to (?:fetch|connect)"
    r"|can't (?:find address|connect)|authenticat|receive failure|reset by peer"
)
#: What they write beside it where they did not reach, or not as somebody who may, what would know.
_NOT_HEARD = re.compile(r"(?i)can't (?:send|read)|unspecified|permission denied")
#: What a shell says of a program that it does not find, or cannot start.
_NOT_STARTED = (126, 127)
_REFUSED = re.compile(r"Batch job submission failed: (.{1,200})")


class Unknown(Unavailable):
    """The batch system knows no such job, or it is over."""


class Silent(Unavailable):
    """The batch system does not answer, or not to us."""


class Hangs(Silent):
    """A program that did not end in time; ``process`` may run still, where it may not be killed."""

    def __init__(self, message: str, *, log_message: str, process: Process) -> None:
        super().__init__(message, log_message=log_message)
        self.process = process


class Refused(Unavailable):
    """The batch system does not take the job, and says why."""


class NoAccounting(Unavailable):
    """This batch system keeps no accounts of jobs."""


def bare_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a program that runs as somebody else may have of an environment."""
    return {name: environ[name] for name in _NEEDED if name in environ}


async def answer_of(command: Sequence[str], given: str = "", *, seconds: float) -> str:
    """Run a program with ``given`` as its input and return what it says.

    Raises
    ------
    Unknown, NoAccounting, Unavailable
        It says that something is wrong.
    Silent
        It cannot be started, does not end, or the batch system does not answer it.
    """
    code, said, problem = await said_by(command, given, seconds=seconds)
    if code:
        raise _problem(problem[-2000:], shlex.join(command))
    return said


async def said_by(
    command: Sequence[str], given: str = "", *, seconds: float, environ: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run a program and return its exit code, what it wrote, and what it complained of.

    One that takes longer is killed with all that it started. What sudo started for somebody else cannot be, by an
    account that is not root: it is let go of.

    Raises
    ------
    Hangs
        It does not end in time.
    Silent
        It cannot be started.
    """
    called = shlex.join(command)
    # No pipes, which stay open for as long as somebody has them whom we may not kill.
    try:
        with _memory(given) as given_file, _memory() as out, _memory() as problem:
            process = await _started(command, environ, given_file, out, problem)
            code = await _ended(process, called, seconds)
            said, complaint = _read(out), _read(problem)
    except OSError as error:  # too many files are open, say
        raise Silent(_DOWN, log_message=f"{called}: {error}") from error
    if code in _NOT_STARTED:
        raise Silent(_DOWN, log_message=f"{called}: {complaint[-2000:]}")
    return code, said, complaint


async def _started(
    command: Sequence[str], environ: Mapping[str, str] | None, given: BinaryIO, out: BinaryIO, problem: BinaryIO
) -> Process:
    environ = bare_environment(os.environ) if environ is None else environ
    # By a shell, since whoever starts a process waits until its program is found: on a mount that hangs, for ever.
    started = ["/bin/sh", "-c", 'exec "$@"', "sh", *command]
    return await asyncio.create_subprocess_exec(
        *started, env=environ, cwd="/", start_new_session=True, stdin=given, stdout=out, stderr=problem
    )


async def _ended(process: Process, called: str, seconds: float) -> int:
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError as error:
        raise Hangs(_DOWN, log_message=f"{called} does not end.", process=process) from error
    finally:
        if process.returncode is None:
            await _kill(process)


async def _kill(process: Process) -> None:
    """End it with all that it started; what may not be ended, or does not, is let go of."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await process.wait()


@contextlib.contextmanager
def _memory(text: str = "") -> Iterator[BinaryIO]:
    """Give a file with this text that is on no disk, where the system has such."""
    with os.fdopen(os.memfd_create("vaas"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


def _read(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def is_over(said: str) -> bool:
    """Tell whether a batch system's program says that there is no such job, or that it is over, and means it.

    HTCondor's write the same where they reach nobody, and another complaint before it.
    """
    return bool(_UNKNOWN.search(said)) and not _SILENT.search(said) and not _NOT_HEARD.search(said)


def refusal(said: str) -> str:
    """Return why Slurm does not take a job, by what sbatch wrote; "" where it was not even asked."""
    found = _REFUSED.search(said)
    return f"The cluster does not take the job: {found[1]}." if found and not _SILENT.search(said) else ""


def _problem(said: str, called: str) -> Unavailable:
    log_message = f"{called}: {said}"
    if is_over(said):
        return Unknown("The cluster knows nothing of this job.", log_message=log_message)
    if "accounting storage is disabled" in said:
        return NoAccounting(_DOWN, log_message=log_message)
    if _SILENT.search(said):
        return Silent(_DOWN, log_message=log_message)
    why = refusal(said)
    return Refused(why, log_message=log_message) if why else Unavailable(_DOWN, log_message=log_message)
