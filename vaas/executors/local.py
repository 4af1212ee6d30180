"""Jobs as processes of this machine, each with a guard of its own, which outlives the portal and the Hub."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaas import jobs
from vaas.errors import Invalid, NotFound, StorageFull, Unavailable
from vaas.executors.base import Executor, Job, JobState

__all__ = ["Bounds", "LocalExecutor"]

#: Seconds in which a guard says that it is there.
_PATIENCE = 20.0
#: What tells where the files of one job are, of the guard, its order, somebody's wish to end it, and its end.
_SUFFIXES = (".order", ".guard", ".cancel", ".end", ".reserve")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Bounds:
    """What one job may do whatever its size: bytes that it writes, processes, seconds if its size has none."""

    bytes: int = 10_000_000_000
    processes: int = 512
    seconds: int = 86_400


class LocalExecutor(Executor):
    """Runs jobs here.

    Parameters
    ----------
    python:
        The Python of the launch environment.
    folder:
        Where it is kept what runs; what runs cannot see it.
    sandbox:
        "off": without walls between jobs and this machine; else jobs are refused where bubblewrap is missing.
    network:
        Whether jobs have the machine's network; else they have none.
    paths:
        What jobs may read besides the system and their environment, such as ``/cvmfs``.
    environ:
        Where programs are found, and what else jobs may know of our environment.
    """

    def __init__(
        self,
        python: Path,
        folder: Path,
        *,
        sandbox: str = "auto",
        network: bool = True,
        paths: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._python, self._folder, self._bounds = python, folder, bounds
        self._sandbox, self._network, self._paths = sandbox, network, tuple(paths)
        self._environ = {"PATH": os.defpath, "LANG": "C.UTF-8", **(environ or {})}
        #: Guards that were started from here, so that the system forgets them when they are over.
        self._started: dict[str, asyncio.subprocess.Process] = {}

    async def submit(self, job: Job) -> str:
        """Start the job's guard; no-op when there is one."""
        ref = job.id
        if not self._path(ref, ".guard").exists():
            self._write_order(job)
            await self._start(ref)
        return ref

    async def poll(self, ref: str) -> JobState:
        """Return how the job is doing: by its guard's last word, or by whether there is a guard."""
        if state := self._ended(ref):
            return state
        if not self._path(ref, ".order").exists():
            return JobState("lost", "Nobody knows this job any more.")
        if self._pid(ref):
            return JobState("running")
        # It may have ended between the two looks.
        return self._ended(ref) or JobState("failed", "It was ended from outside, as when the machine was restarted.")

    async def cancel(self, ref: str) -> None:
        """Wish the job's end; its guard sees to it."""
        if self._path(ref, ".order").exists() and not self._ended(ref):
            self._path(ref, ".cancel").touch(mode=0o600)

    async def log(self, ref: str, *, most: int) -> str:
        """Return the end of what it wrote."""
        folder = jobs.read_json(self._path(ref, ".order")).get("folder")
        return await asyncio.to_thread(jobs.read_tail, Path(folder) / jobs.LOG, most=most) if folder else ""

    async def forget(self, ref: str) -> None:
        """Remove what is kept of it; a job that still runs is ended first."""
        if pid := self._pid(ref):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            await self._until(lambda: not self._pid(ref), _PATIENCE)
        for suffix in _SUFFIXES:
            self._path(ref, suffix).unlink(missing_ok=True)
        if guard := self._started.pop(ref, None):
            await guard.wait()

    def _write_order(self, job: Job) -> None:
        bubblewrap = "" if self._sandbox == "off" else shutil.which("bwrap", path=self._environ["PATH"])
        if bubblewrap is None:
            raise Invalid(
                "Runs cannot be kept apart from this machine: bubblewrap is missing. Tell those who run this portal.",
                log_message="Runs are refused: bubblewrap is not installed, and VAAS_SANDBOX is not “off”.",
            )
        threads = dict.fromkeys(_THREADS, str(max(1, math.ceil(job.size.cores))))
        order = {
            "folder": str(job.folder),
            "guard": str(self._path(job.id, ".guard")),
            "wanted": str(self._path(job.id, ".cancel")),
            "ended": str(self._path(job.id, ".end")),
            "memory": job.size.memory,
            "seconds": job.size.seconds or self._bounds.seconds,
            "bytes": self._bounds.bytes,
            "processes": self._bounds.processes,
            "bubblewrap": bubblewrap,
            "network": self._network,
            "paths": list(map(str, self._paths)),
            "environ": {**self._environ, **threads, **job.variables},
        }
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            jobs.write_json(self._path(job.id, ".order"), order)
        except OSError as error:
            raise StorageFull("The portal's disk is full. It is tried again.", log_message=f"jobs: {error}") from error

    async def _start(self, ref: str) -> None:
        command = [str(self._python), "-P", "-m", "vaas.lab.guard", str(self._path(ref, ".order"))]
        try:
            guard = await asyncio.create_subprocess_exec(
                *command,
                env=self._environ,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                "Runs cannot be started at the moment. Tell the people who run this portal.",
                log_message=f"The launch environment cannot be started: {error}",
            ) from error
        self._started[ref] = guard
        there = self._path(ref, ".guard").exists
        if not await self._until(lambda: there() or guard.returncode is not None, _PATIENCE) or not there():
            raise Unavailable(
                "Runs cannot be started at the moment. Tell the people who run this portal.",
                log_message=f"The guard of job {ref} did not start (code {guard.returncode}).",
            )

    async def _until(self, true: Any, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not true():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.02)
        return True

    def _ended(self, ref: str) -> JobState | None:
        said = jobs.read_json(self._path(ref, ".end"))
        return JobState(str(said["state"]), str(said.get("message", ""))) if "state" in said else None

    def _pid(self, ref: str) -> int:
        """Return the number of the job's guard, 0 when it is gone: the number alone may be another's by now."""
        said = jobs.read_json(self._path(ref, ".guard"))
        pid = said.get("pid")
        alive = isinstance(pid, int) and pid > 1 and said.get("mark") == jobs.mark_of(pid) != ""
        return pid if alive and isinstance(pid, int) else 0

    def _path(self, ref: str, suffix: str) -> Path:
        if not ref.isalnum() or not ref.isascii():
            raise NotFound("There is no such job.")
        return self._folder / f"{ref}{suffix}"
