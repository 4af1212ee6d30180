"""Jobs on a real HTCondor: the contract, with notebooks that real kernels run there as a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.executor import ExecutorContract, executed, job_of, over
from tests.slurm_jobs import CondorJobs
from vaas.executors.base import Executor, JobState
from vaas.launching import Size


class TestHtcondorExecutor(ExecutorContract):
    """The contract."""

    @pytest.fixture
    def spool(self, condor_jobs: CondorJobs) -> Path:
        return condor_jobs.folder

    @pytest.fixture
    def executor(self, condor_jobs: CondorJobs) -> Executor:
        return condor_jobs.with_lab(condor_jobs.folder)

    @pytest.fixture
    def later(self, condor_jobs: CondorJobs) -> Executor:
        return condor_jobs.with_lab(condor_jobs.folder)

    async def test_more_memory_than_its_size_has_ends_it(self, executor: Executor, spool: Path) -> None:
        greedy = "import time; x = bytearray(700_000_000); x[::4096] = b'1' * len(x[::4096]); time.sleep(600)"
        job = job_of(spool, "print('first')", greedy, size=Size("s", "S", 1, 400_000_000, 0, 60))
        ref = await executor.submit(job)
        said = "It needed more memory than its size has. Choose a larger one."
        assert await over(executor, ref) == JobState("failed", said)
        assert executed(job)[0]["outputs"][0]["text"] == ["first\n"]
        await executor.forget(ref)
