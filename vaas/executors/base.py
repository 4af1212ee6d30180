"""The executor port: something that runs a prepared folder once, on this machine or on a batch system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vaas.launching import Environment, Size

__all__ = ["Executor", "Job", "JobState"]


@dataclass(frozen=True)
class Job:
    """What is to be run: a folder of its own, and how.

    In ``folder`` lies ``job.json`` (notebook, parameters, where the inputs are); what runs it keeps ``status.json``,
    ``log`` and ``out/`` in it (see :mod:`vaas.lab.run`). ``owner`` is whose it is: a batch system runs it as them.
    ``profile`` is what the batch system calls the facility, such as a partition of Slurm; "" for its own choice.
    """

    id: str
    owner: str
    title: str
    folder: Path
    environment: Environment
    size: Size
    variables: Mapping[str, str] = field(default_factory=dict)
    profile: str = ""


@dataclass(frozen=True)
class JobState:
    """How a job is doing: "queued", "running", "done", "failed", "cancelled", or "lost" when nobody knows it any more.

    ``message`` is for the person: the queue's state, or what went wrong; ``starts_in`` is the batch system's estimate
    in seconds, None where it has none.
    """

    state: str
    message: str = ""
    starts_in: float | None = None


class Executor(ABC):
    """Runs jobs; every method raises Unavailable when the system does not answer."""

    @property
    def silent(self) -> bool:
        """Whether the system did not answer when it was asked last, a short while ago."""
        return False

    async def ensure_asked(self) -> None:
        """Ask for a sign of life what nobody has asked for a minute; no-op where that says nothing. Raises nothing."""
        return

    @abstractmethod
    async def submit(self, job: Job) -> str:
        """Hand the job over and return what the system calls it; once for each id: the same again is a no-op."""

    @abstractmethod
    async def poll(self, ref: str) -> JobState:
        """Return how the job is doing."""

    @abstractmethod
    async def cancel(self, ref: str) -> None:
        """End the job with all that it started; no-op when it is over or not known."""

    @abstractmethod
    async def log(self, ref: str, *, most: int) -> str:
        """Return the last ``most`` bytes of what it wrote, "" while there is nothing."""

    @abstractmethod
    async def forget(self, ref: str) -> None:
        """Let go of what the system keeps of a job that is over; no-op when there is nothing."""
