"""Jobs of which a real Slurm's controller has forgotten everything: its real accounting tells how they ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.accounting import AccountedCluster
from tests.portal_fixture import until
from tests.slurm import a_cluster, a_person
from tests.slurm_jobs import Jobs

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[AccountedCluster]:
    with a_cluster(AccountedCluster) as made:
        assert isinstance(made, AccountedCluster)
        yield made


@pytest.fixture
def jobs(cluster: AccountedCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)
    with a_person(cluster.folder) as person:
        yield Jobs(cluster, cluster.folder / f"runs-{person}", person)


async def test_how_jobs_ended_is_known_when_the_controller_knows_nothing(cluster: AccountedCluster, jobs: Jobs) -> None:
    good, bad, long = (jobs.job(script) for script in ("exit 0", "exit 3", "sleep 600"))
    refs = [await jobs.executor.submit(each) for each in (good, bad, long)]
    await jobs.until(refs[0], "done")
    await jobs.until(refs[1], "failed")
    await jobs.until(refs[2], "running")
    await jobs.executor.cancel(refs[2])
    await jobs.until(refs[2], "cancelled")
    names = [f"vaas-{each.id}" for each in (good, bad, long)]
    until(lambda: _ended(cluster.accounts(), names), seconds=60, what=lambda: f"the accounts: {cluster.accounts()}")
    cluster.forget()
    assert cluster.jobs() == []
    for ref, state in zip(refs, ("done", "failed", "cancelled"), strict=True):
        assert (await jobs.executor.poll(ref)).state == state
    assert not (good.folder / "status.json").exists(), "nothing else could have told"
    # The answer to its submission was lost: it is found by its name, and not submitted once more.
    await jobs.executor.forget(refs[0])
    assert await jobs.executor.submit(good) == refs[0] and cluster.jobs() == []


def _ended(accounts: list[str], names: list[str]) -> bool:
    """Tell whether each of these has a line, and has ended in it."""
    ends = dict(line.split("|") for line in accounts)
    return all(ends.get(name, "").partition(" ")[0] in {"COMPLETED", "FAILED", "CANCELLED"} for name in names)
