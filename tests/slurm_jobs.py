"""Jobs of shell scripts on the tests' Slurm, as a person's."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from zlib import crc32

from tests.run_parts import lab_python
from tests.slurm import Cluster as RunningCluster
from vaas.executors.base import Executor, Job, JobState
from vaas.executors.slurm import Cluster, SlurmExecutor
from vaas.launching import Environment, Size

__all__ = ["SMALL", "Jobs", "OnePersons", "ShellJobs", "with_lab"]

SMALL = Size("small", "Small", 1, 100_000_000, seconds=600)


class ShellJobs:
    """Jobs of a shell script each, in a folder on a cluster, through the ``executor`` that a class of its own makes."""

    executor: Executor
    #: For how many seconds it is waited that a job gets into a state.
    patience = 20.0

    def __init__(self, folder: Path, person: str) -> None:
        self.folder, self.person, self.kept = folder, person, folder.with_suffix(".kept")
        folder.mkdir()
        self.runner = folder / "runner"
        # What stands where the launch environment's Python is: it gets "-P -m vaas.lab.run FOLDER".
        self.runner.write_text('#!/bin/sh\necho "$1 $2 $3" >called\nexec sh "$4/script"\n')
        self.runner.chmod(0o755)

    def job(self, script: str, *, size: Size = SMALL, variables: Mapping[str, str] | None = None) -> Job:
        """Return a job that runs the script."""
        name = f"j{secrets.token_hex(4)}"
        folder = self.folder / name
        folder.mkdir()
        (folder / "script").write_text(script)
        environment = Environment("apps", "Apps", "python", "/usr/bin/python3")
        return Job(name, self.person, "A run", folder, environment, size, variables or {})

    async def until(
        self, ref: str, state: str, *, and_so: Callable[[JobState], object] = lambda found: True
    ) -> JobState:
        """Return how it is doing once it is in that state, and so."""
        async with asyncio.timeout(self.patience):
            while (found := await self.executor.poll(ref)).state != state or not and_so(found):
                await asyncio.sleep(0.05)
        return found


class Jobs(ShellJobs):
    """Such jobs on Slurm."""

    def __init__(self, cluster: RunningCluster, folder: Path, person: str) -> None:
        super().__init__(folder, person)
        self.cluster = cluster
        self.place = Cluster(folder, python=self.runner, prefix=("runuser", "-u", "{owner}", "--"), partition="main")
        self.executor = SlurmExecutor(self.place, self.kept, clock=lambda: time.monotonic() * 100)


class OnePersons(SlurmExecutor):
    """All jobs are those of one person, who has an account here, and called after their folders.

    The first job of each contract test is “j1”, and Slurm remembers that of another test.
    """

    person = ""

    async def submit(self, job: Job) -> str:
        """Submit it as theirs."""
        return await super().submit(replace(job, owner=self.person, id=f"j{crc32(bytes(job.folder))}"))


def with_lab(jobs: Jobs, folder: Path) -> OnePersons:
    """Return an executor that runs notebooks of that folder in the launch environment."""
    executor = OnePersons(replace(jobs.place, folder=folder, python=lab_python()), jobs.kept)
    executor.person = jobs.person
    return executor
