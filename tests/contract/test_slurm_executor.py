"""Jobs on a real Slurm: the contract, with notebooks that real kernels run there as a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.executor import ExecutorContract, job_of, over
from tests.run_parts import SMALL
from tests.slurm_jobs import Jobs
from vaas.executors.base import Executor
from vaas.launching import Size


class TestSlurmExecutor(ExecutorContract):
    """The contract."""

    @pytest.fixture
    def spool(self, slurm_jobs: Jobs) -> Path:
        return slurm_jobs.folder

    @pytest.fixture
    def executor(self, slurm_jobs: Jobs) -> Executor:
        return slurm_jobs.with_lab(slurm_jobs.folder)

    @pytest.fixture
    def later(self, slurm_jobs: Jobs) -> Executor:
        return slurm_jobs.with_lab(slurm_jobs.folder)

    async def test_its_time_has_an_end(self, executor: Executor, spool: Path) -> None:
        """Slurm counts whole minutes, and looks twice in one."""
        size = Size("short", "Short", 1, SMALL.memory, seconds=60)
        ref = await executor.submit(job_of(spool, "import time; time.sleep(600)", size=size))
        state = await over(executor, ref, seconds=240)
        assert state.state == "failed" and "longer than" in state.message, state
        await executor.forget(ref)
