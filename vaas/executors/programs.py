"""The programs of a batch system: run with nothing of our own environment, and their complaints as errors of ours."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence

from vaas.errors import Unavailable

__all__ = ["CONFIGURED_BY", "NoAccounting", "Silent", "Unknown", "answer_of", "bare_environment", "refusal"]

#: Variables that tell these programs where their configuration is, at sites where it is not in the usual place.
CONFIGURED_BY = ("SLURM_CONF", "CONDOR_CONFIG")
#: What they need to know. They run as people, who can read the environment of what runs as they.
_NEEDED = ("PATH", "LANG", "LC_ALL", "TZ", *CONFIGURED_BY)
_DOWN = "The batch system does not answer. What runs goes on; it is asked again in a moment."
_UNKNOWN = re.compile(r"Invalid job id|already completing or completed|Couldn't find/remove all jobs")
#: What their programs write when nothing stands behind them; not what one person alone may hear of their own account.
_SILENT = re.compile(
    r"(?i)unable to contact|timed out|zero bytes|connection refused|munge|failed to (?:fetch|connect)"
    r"|can't (?:find address|connect)"
)
_REFUSED = re.compile(r"Batch job submission failed: (?!Unable to contact|Socket timed out|Zero Bytes)(.{1,200})")


class Unknown(Unavailable):
    """The batch system knows no such job, or it is over."""


class Silent(Unavailable):
    """The batch system does not answer, or not to us."""


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
    called = shlex.join(command)
    environ = bare_environment(os.environ)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, cwd="/", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        raise Silent(_DOWN, log_message=f"{called}: {error}") from error
    try:
        async with asyncio.timeout(seconds):
            out, problem = await process.communicate(given.encode())
    except TimeoutError as error:
        raise Silent(_DOWN, log_message=f"{called} does not end.") from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise _problem(problem.decode(errors="replace").strip()[-2000:], called)
    return out.decode(errors="replace").strip()


def refusal(said: str) -> str:
    """Return why Slurm does not take a job, by what sbatch wrote; "" where it was not even asked."""
    found = _REFUSED.search(said)
    return f"The cluster does not take the job: {found[1]}." if found else ""


def _problem(said: str, called: str) -> Unavailable:
    log_message = f"{called}: {said}"
    if _UNKNOWN.search(said):
        return Unknown("The cluster knows nothing of this job.", log_message=log_message)
    if "accounting storage is disabled" in said:
        return NoAccounting(_DOWN, log_message=log_message)
    if _SILENT.search(said):
        return Silent(_DOWN, log_message=log_message)
    return Unavailable(refusal(said) or _DOWN, log_message=log_message)
