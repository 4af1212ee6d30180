"""Jobs on a real Slurm: the contract, with notebooks that real kernels run there as a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.executor import ExecutorContract
from tests.slurm_jobs import Jobs
from vaas.executors.base import Executor


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
        pytest.skip("Slurm counts whole minutes and looks twice in one: tests/unit/test_slurm_words.py has its words.")
