"""Launches on HTCondor, whose queue everybody in the pool can read, and whoever has a job can write into."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import batchspawner
import psutil
import pytest

from hub_service.cluster_servers import BatchServers
from hub_service.spawner import with_app_servers
from hub_service.wrapped import mixin_for
from tests.condor import Pool
from tests.condor_site import on_condor
from tests.launched import Launches
from tests.portal_fixture import until
from tests.slurm import a_person
from vaas.launching import Size

pytestmark = [pytest.mark.attack, pytest.mark.hub]


def test_nobody_in_the_pool_reads_a_launchs_token_or_writes_its_description(
    condor: Pool, condor_person: str, tmp_path: Path
) -> None:
    with on_condor(condor, tmp_path / "data", apps_as=condor_person) as portal, a_person(condor.folder) as stranger:
        portal.hub("POST", f"/users/{condor_person}").raise_for_status()
        launches = Launches(portal, condor_person)
        launch = launches.new(app="world-map")
        plan = launches.plan(launch, kind="htcondor", size=Size("huge", "Huge", 64, 600_000_000))
        sent = {name: "+Evil = 1" for name in ("options", "req_options", "batch_script", "memory")}
        launches.ask(launch, {"plan": plan, **sent}).raise_for_status()
        folder = condor.folder / condor_person / ".vaas-jobs"

        def shown() -> str:
            return condor.command("condor_q", "-long", "-allusers")

        until(lambda: f"{folder}/vaas-" in shown(), seconds=30, what=lambda: launches.said(launch))
        (script,) = folder.glob("*.sh")
        token = re.findall(r"export JUPYTERHUB_API_TOKEN=(\w+)", script.read_text())[0]
        assert token not in shown() and "Evil" not in shown()
        # Also where its folder is open to all.
        script.parents[1].chmod(0o755)
        for path in (script, script.parent):
            assert subprocess.run(["runuser", "-u", stranger, "--", "cat", path], capture_output=True).returncode
        script.parent.chmod(0o755)
        assert subprocess.run(["runuser", "-u", stranger, "--", "cat", script], capture_output=True).returncode
        for process in psutil.process_iter(["cmdline"]):
            assert token not in " ".join(process.info["cmdline"] or ())
        assert token not in portal.log()
        condor.end_all()
        until(lambda: not script.exists(), seconds=30, what="the script to be removed")
        assert token not in condor.command("condor_history", "-long")


async def test_a_job_that_says_that_it_runs_elsewhere_leads_the_proxy_nowhere(
    condor_person: str, tmp_path: Path
) -> None:
    queue = tmp_path / "queue"
    queue.write_text('[{"JobStatus": 2, "RemoteHost": "slot1@10.0.0.66", "StartdIpAddr": "<10.0.0.66:9618>"}]')
    machines = tmp_path / "machines"
    machines.write_text("")
    spawner = with_app_servers(batchspawner.CondorSpawner, mixin_for(batchspawner.CondorSpawner))(
        user=SimpleNamespace(name="app-abcdefgh1234"),
        app_username=condor_person,
        exec_prefix="",
        batch_query_cmd=f"cat {queue}",
        batch_host_cmd=f"printf '%s' {{asked}} >{tmp_path}/asked; cat {machines}",
    )
    spawner.job_id, spawner.host = "7", ""
    assert (await spawner.query_job_status()).name == "PENDING" and not spawner.state_gethost()
    machines.write_text('[{"MyAddress": "<127.0.0.1:9618?addrs=127.0.0.1-9618>"}]')
    assert (await spawner.query_job_status()).name == "RUNNING"
    assert spawner.state_gethost() == "127.0.0.1"
    # A job of that number in the hands of somebody else is another one.
    assert f'splitUserName(RemoteOwner)[0] == "{condor_person}"' in (tmp_path / "asked").read_text()


async def test_no_link_in_a_home_shows_the_log_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub may read all logs, and whose programs say which number a job has is the person."""
    theirs, home = tmp_path / "theirs", tmp_path / "home"
    for folder in (theirs, home):
        folder.mkdir()
    (theirs / "7.log").write_text("what is secret\n")
    (home / ".vaas-jobs").symlink_to(theirs)
    person = SimpleNamespace(pw_name="sam", pw_dir=str(home), pw_uid=os.getuid() + 1)
    monkeypatch.setattr(BatchServers, "account", property(lambda _: person))
    spawner = with_app_servers(batchspawner.CondorSpawner, mixin_for(batchspawner.CondorSpawner))(
        user=SimpleNamespace(name="sam"), exec_prefix="", batch_history_cmd="true {job_id}", req_homedir=str(home)
    )
    spawner.last_job = ("7", "")
    assert await spawner.why_failed("") == "The server could not be started: its job ended without a word."
    person.pw_uid = os.getuid()
    assert await spawner.why_failed("") == "The server could not be started: what is secret"
