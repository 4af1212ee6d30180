"""What a site says of the network of its runs on the portal's machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hub_service.batch import executors
from hub_service.settings import Settings
from tests.contract.executor import job_of, over
from vaas.errors import Invalid
from vaas.executors.local import LocalExecutor


def local(tmp_path: Path, **said: str) -> LocalExecutor:
    """Return what runs jobs here, as the portal makes it by these variables."""
    settings = replace(Settings.from_environ(said), data=tmp_path / "data")
    found = executors(settings, said)["local"]
    assert isinstance(found, LocalExecutor)
    return found


@pytest.mark.parametrize(
    ("apps", "runs", "has"),
    [
        ("all", "", True),
        ("none", "", False),
        ("example.org", "", False),
        ("all", "none", False),
        ("example.org", "all", True),
    ],
)
def test_runs_have_the_network_or_none(tmp_path: Path, apps: str, runs: str, has: bool) -> None:
    assert local(tmp_path, VAAS_NETWORK=apps, VAAS_RUN_NETWORK=runs)._network is has


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"VAAS_RUN_NETWORK": "example.org"}, "all of the network or none"),
        ({"VAAS_RUN_NETWORK": "none", "VAAS_SANDBOX": "off"}, "takes a sandbox"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, said: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        local(tmp_path, **said)


@pytest.mark.app
async def test_a_run_without_a_network_sees_no_way_out(tmp_path: Path) -> None:
    executor = local(tmp_path, VAAS_RUN_NETWORK="none")
    seen = "print([line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line])"
    job = job_of(tmp_path / "spool", seen)
    ref = await executor.submit(job)
    assert (await over(executor, ref)).state == "done"
    assert (await executor.log(ref, most=1000)).splitlines()[-1] == "['lo']"
