"""Jobs of shell scripts and of notebooks on the clusters of the tests, as a person's."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

from tests.condor import Pool as RunningPool
from tests.run_parts import lab_python
from tests.slurm import Cluster as RunningCluster
from vaas.executors.base import Executor, Job, JobState
from vaas.executors.clusters import ClusterExecutor
from vaas.executors.htcondor import HtcondorExecutor, Pool
from vaas.executors.slurm import Cluster, SlurmExecutor
from vaas.launching import Environment, Size

__all__ = ["SMALL", "CondorJobs", "Jobs", "ShellJobs"]

SMALL = Size("small", "Small", 1, 100_000_000, seconds=600)


class ShellJobs:
    """Jobs of a shell script each, in a folder on a cluster, through the ``executor`` that a class of its own makes."""

    executor: Executor
    place: Any
    of_one: type[Any]
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

    def with_lab(self, folder: Path) -> Executor:
        """Return an executor that runs notebooks of that folder in the launch environment; each remembers nothing."""
        executor = self.of_one(replace(self.place, folder=folder, python=lab_python()), self.kept)
        executor.person = self.person
        return executor


class _OnePersons(ClusterExecutor):
    """All jobs are those of one person, who has an account here, and called after their folders.

    The first job of each contract test is “j1”, and a batch system remembers that of another test.
    """

    person = ""

    async def submit(self, job: Job) -> str:
        """Submit it as theirs."""
        return await super().submit(replace(job, owner=self.person, id=f"j{crc32(bytes(job.folder))}"))


class _OnSlurm(_OnePersons, SlurmExecutor):
    """On Slurm."""


class _OnCondor(_OnePersons, HtcondorExecutor):
    """On HTCondor."""


class Jobs(ShellJobs):
    """Such jobs on Slurm."""

    of_one = _OnSlurm

    def __init__(self, cluster: RunningCluster, folder: Path, person: str) -> None:
        super().__init__(folder, person)
        self.cluster = cluster
        self.place = Cluster(folder, python=self.runner, prefix=("runuser", "-u", "{owner}", "--"), partition="main")
        self.executor = SlurmExecutor(self.place, self.kept, clock=lambda: time.monotonic() * 100)


class CondorJobs(ShellJobs):
    """Such jobs on HTCondor, which looks for machines every second or so."""

    patience = 60.0
    of_one = _OnCondor

    def __init__(self, pool: RunningPool, folder: Path, person: str) -> None:
        super().__init__(folder, person)
        self.pool, self.place = pool, Pool(folder, python=self.runner, prefix=pool.prefix)
        self.executor = HtcondorExecutor(self.place, self.kept)
