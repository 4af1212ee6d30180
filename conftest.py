"""The fixtures that service, browser tests and attacks share: one running portal, and one running Slurm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.condor import Pool, a_pool
from tests.portal_fixture import RunningPortal, app_python, running
from tests.slurm import Cluster, a_cluster, a_person
from tests.slurm_jobs import CondorJobs, Jobs


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait more than they compute: one more at a time than there are cores (e2e takes turns), four at most."""
    return min((os.cpu_count() or 1) + 1, 4)


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Take back what a program that ran in this process made of it: files of later tests would be for us alone."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a running portal with real app servers and the demo's content."""
    with running(tmp_path_factory.mktemp("hub") / "data", app_python=app_python()) as portal:
        yield portal


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """Return a running Slurm."""
    with a_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def slurm_person(slurm: Cluster) -> Iterator[str]:
    """Return the name of somebody with an account on the cluster."""
    with a_person(slurm.folder) as name:
        yield name


@pytest.fixture
def slurm_jobs(slurm: Cluster, slurm_person: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Jobs]:
    """Return jobs of a person on the running cluster; those that are left are ended."""
    for name, value in slurm.environ.items():
        monkeypatch.setenv(name, value)
    yield Jobs(slurm, slurm.folder / f"runs-{tmp_path.name}", slurm_person)
    slurm.command("scancel", f"--user={slurm_person}")


@pytest.fixture(scope="session")
def condor() -> Iterator[Pool]:
    """Return a running HTCondor."""
    with a_pool() as pool:
        yield pool


@pytest.fixture(scope="session")
def condor_person(condor: Pool) -> Iterator[str]:
    """Return the name of somebody whom the pool knows; it remembers names, so that there is one for all."""
    with a_person(condor.folder) as name:
        condor.know(name)
        yield name


@pytest.fixture
def condor_jobs(
    condor: Pool, condor_person: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CondorJobs]:
    """Return jobs of a person on the running pool; those that are left are ended."""
    for name, value in condor.environ.items():
        monkeypatch.setenv(name, value)
    yield CondorJobs(condor, condor.folder / f"runs-{tmp_path.name}", condor_person)
    condor.end_all()
