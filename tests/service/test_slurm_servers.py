"""App servers on a real Slurm, with the configuration that docs/slurm.md shows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import batchspawner
import httpx
import pytest

from hub_service.spawner import with_app_servers
from hub_service.wrapped import mixin_for
from tests.launched import Launches
from tests.portal_fixture import RunningPortal, app_python, until
from tests.published import Browser, publish
from tests.slurm import Cluster, a_person, site_config
from vaas.launching import Launch, Size

pytestmark = [pytest.mark.hub, pytest.mark.app]


@pytest.fixture(scope="module")
def apps_account(slurm: Cluster) -> Iterator[str]:
    """Return the account of the system as which apps run."""
    with a_person(slurm.folder) as name:
        yield name


@pytest.fixture(scope="module")
def on_slurm(slurm: Cluster, apps_account: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal whose servers are jobs."""
    data = tmp_path_factory.mktemp("on-slurm") / "data"
    portal = RunningPortal(data, app_python=app_python(), environ=slurm.environ)
    portal.configure(site_config(portal.settings, apps_as=apps_account))
    try:
        yield portal.start()
    finally:
        portal.stop()
        slurm.end_all()


@pytest.fixture(scope="module")
def app(on_slurm: RunningPortal) -> dict[str, Any]:
    """Return an app that everybody may open."""
    return publish(on_slurm, on_slurm.token_for("ada"), "print(6 * 7)", title="On a node", to="everyone")


def _opens(portal: RunningPortal, app: dict[str, Any]) -> bool:
    """Tell whether a visitor sees what the notebook prints."""
    with Browser(portal) as browser:
        return ">42\n<" in browser.get(browser.enters(app["slug"])).text


def _running(slurm: Cluster, account: str) -> list[str]:
    """Return the numbers of the account's jobs that run."""
    return [line.split()[0] for line in slurm.jobs("%i %u %T") if line.endswith(f" {account} RUNNING")]


def _server(portal: RunningPortal) -> str:
    """Return the path of the one server that runs or starts, in the Hub's REST API."""
    servers = [
        f"/users/{user['name']}/servers/{name}"
        for user in portal.hub("GET", "/users?state=active").json()
        for name in user["servers"]
    ]
    (path,) = servers
    return path


def _told(client: httpx.Client, address: str, *, until_it_says: str) -> list[str]:
    """Return what is said at the address while the server starts, as far as it says that."""
    told = []
    with client.stream("GET", address) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                told.append(json.loads(line.removeprefix("data:"))["message"])
                if until_it_says in told[-1]:
                    break
    return told


def test_an_app_is_a_job_of_the_sites_own_account_and_opens(
    on_slurm: RunningPortal, app: dict[str, Any], slurm: Cluster, apps_account: str
) -> None:
    assert _opens(on_slurm, app)
    assert len(_running(slurm, apps_account)) == 1


def test_a_hub_that_dies_finds_its_jobs_again(
    on_slurm: RunningPortal, app: dict[str, Any], slurm: Cluster, apps_account: str
) -> None:
    assert _opens(on_slurm, app)
    before, note = _running(slurm, apps_account), on_slurm.note
    os.kill(note.hub.pid, signal.SIGKILL)
    until(lambda: on_slurm.note.hub.pid != note.hub.pid and on_slurm.answers(), seconds=60, what="the Hub")
    assert _opens(on_slurm, app)
    assert _running(slurm, apps_account) == before
    assert on_slurm.hub("DELETE", _server(on_slurm)).status_code in {202, 204}
    until(lambda: _running(slurm, apps_account) == [], seconds=20, what="the job to end")


def test_a_portal_that_is_stopped_and_started_again_finds_its_jobs_too(
    on_slurm: RunningPortal, app: dict[str, Any], slurm: Cluster, apps_account: str
) -> None:
    assert _opens(on_slurm, app)
    before = _running(slurm, apps_account)
    on_slurm.stop()
    assert _running(slurm, apps_account) == before
    on_slurm.start()
    assert _opens(on_slurm, app)
    assert _running(slurm, apps_account) == before


def test_a_stopped_queue_is_said_and_what_ends_in_it_can_be_started_again(
    on_slurm: RunningPortal, app: dict[str, Any], slurm: Cluster, apps_account: str
) -> None:
    assert _opens(on_slurm, app)
    server = _server(on_slurm)
    progress = f"{on_slurm.hub_api}{server}/progress"
    on_slurm.hub("DELETE", server)
    until(lambda: _running(slurm, apps_account) == [], seconds=20, what="the job to end")
    slurm.command("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        until(lambda: on_slurm.hub("POST", server, token=on_slurm.portal_token).status_code == 202, seconds=10)
        stopped = "In the queue of the cluster. The queue is stopped; the job waits until it goes on."
        with httpx.Client(headers={"Authorization": f"token {on_slurm.admin_token}"}, timeout=20) as hub:
            assert _told(hub, progress, until_it_says=stopped)[-1] == stopped
            with Browser(on_slurm) as visitor:
                assert _told(visitor, f"{on_slurm.url}apps/{app['slug']}/events", until_it_says=stopped)[-1] == stopped
            slurm.command("scancel", f"--user={apps_account}")
            assert "its job was cancelled on the cluster" in _told(hub, progress, until_it_says="cancelled")[-1]
    finally:
        slurm.command("scontrol", "update", "PartitionName=main", "State=UP")
    assert _opens(on_slurm, app)


@pytest.fixture(scope="module")
def launches(on_slurm: RunningPortal, slurm_person: str) -> Launches:
    """Return the launches of a person with an account on the cluster."""
    on_slurm.hub("POST", f"/users/{slurm_person}").raise_for_status()
    return Launches(on_slurm, slurm_person)


def told(launches: Launches, launch: Launch) -> dict[str, Any]:
    """Return what the portal's REST says of a launch."""
    answer = launches.portal.request("GET", f"/services/vaas/api/launches/{launch.id}", token=launches.token)
    return dict(answer.raise_for_status().json())


async def test_a_launch_is_a_job_of_the_person_in_their_own_home(
    launches: Launches, slurm: Cluster, slurm_person: str
) -> None:
    launch = launches.new(app="world-map", title="On a node")
    # As of a facility at which both stores are said to lie: there are homes of its own, and no folder of the portal's.
    launches.start(launch, kind="slurm")
    assert slurm.jobs("%u %C %m %T").count(f"{slurm_person} 1 1907M RUNNING") == 1
    code = "import getpass, json, os; print(json.dumps([getpass.getuser(), os.getcwd(), sorted(os.listdir())]))"
    user, there, files = json.loads(await launches.run(launch, code))
    folder = slurm.folder / slurm_person / launches.get(launch).folder
    assert (user, there) == (slurm_person, str(folder))
    assert {"world-map.ipynb", "gapminder.csv"} <= set(files)
    assert folder.owner() == slurm_person
    launches.stop(launch)
    until(lambda: _running(slurm, slurm_person) == [], seconds=20, what="the job to end")
    assert launches.get(launch).progress["ended"] == "outside"


async def test_a_launch_knows_the_time_that_its_partition_gives_by_default(
    launches: Launches, slurm: Cluster, slurm_person: str
) -> None:
    launch = launches.new(app="world-map", title="For half an hour")
    began = time.time()
    launches.start(launch, kind="slurm", home="", shared=(), profile="brief", size=Size("s", "S", 1, 1_000_000_000))
    assert slurm.jobs("%u %P %l").count(f"{slurm_person} brief 30:00") == 1
    # It is by this that JupyterLab says when it ends, and that the launch ends with the word “time”.
    ends = int(await launches.run(launch, "import os; print(os.environ['VAAS_LAUNCH_ENDS'])"))
    assert began + 1700 < ends < began + 1800 + 60
    launches.stop(launch)
    until(lambda: _running(slurm, slurm_person) == [], seconds=20, what="the job to end")


def test_a_hub_that_dies_while_a_job_waits_leaves_none_behind(
    launches: Launches, slurm: Cluster, slurm_person: str
) -> None:
    slurm.command("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        launch = launches.new(app="world-map", title="Waits")
        launches.ask(launch, {"plan": launches.plan(launch, kind="slurm")}).raise_for_status()
        waits = f"{slurm_person} PENDING"
        until(lambda: waits in slurm.jobs("%u %T"), seconds=30, what=lambda: launches.said(launch))
        note = launches.portal.note
        os.kill(note.hub.pid, signal.SIGKILL)
        until(lambda: waits not in slurm.jobs("%u %T"), seconds=90, what="the job to end")
        until(lambda: told(launches, launch)["state"] == "failed", seconds=60, what=lambda: told(launches, launch))
        assert told(launches, launch)["error"].startswith("It ended before JupyterLab was ready")
    finally:
        slurm.command("scontrol", "update", "PartitionName=main", "State=UP")


async def test_a_job_whose_number_got_lost_is_ended_by_its_name(
    slurm: Cluster, slurm_person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.environ.items():
        monkeypatch.setenv(name, value)
    spawner = with_app_servers(batchspawner.SlurmSpawner, mixin_for(batchspawner.SlurmSpawner))(
        user=SimpleNamespace(name=slurm_person, url=f"/user/{slurm_person}"),
        exec_prefix="runuser -u {username} --",
        batch_submit_cmd="sbatch --output=/dev/null --wrap='sleep 600' >/dev/null",
    )
    monkeypatch.setattr(type(spawner), "get_env", lambda self: {})
    monkeypatch.setattr(type(spawner), "cmd_formatted_for_batch", lambda self: "true")
    monkeypatch.setattr(type(spawner), "again", ())
    with pytest.raises(RuntimeError, match="no number"):
        await spawner.submit_batch_script()
    ours = f"{slurm_person} {spawner.req_vaas_name}"
    assert ours in slurm.jobs("%u %j")
    assert await spawner.poll() is None
    await spawner.stop()
    until(lambda: ours not in slurm.jobs("%u %j"), seconds=20, what="the job to end")
    # Where there is none of the name any more, that is no failure.
    assert await spawner.run_command(spawner._ending()) == ""


def test_a_launch_behind_a_full_cluster_has_the_schedulers_estimate(launches: Launches, slurm: Cluster) -> None:
    for partition in ("main", "brief"):
        slurm.command("scancel", f"--partition={partition}")
    until(lambda: not slurm.jobs(), seconds=40, what=lambda: f"an empty cluster: {slurm.jobs('%i %P %u %T %r')}")
    size = ("--ntasks=32", "--mem=100", "--time=10", "--output=/dev/null")
    blocker = slurm.command("sbatch", "--parsable", *size, "--wrap=sleep 600")
    until(lambda: slurm.jobs("%i %T").count(f"{blocker} RUNNING"), seconds=20, what="the cluster to be full")
    launch = launches.new(app="world-map", title="In the queue")
    launches.ask(launch, {"plan": launches.plan(launch, kind="slurm")}).raise_for_status()

    try:
        until(lambda: told(launches, launch)["starts_in"], seconds=30, what=lambda: told(launches, launch))
        waits = told(launches, launch)
        assert waits["state"] == "queued" and 400 < waits["starts_in"] <= 660
        assert waits["message"].startswith("In the queue of the cluster.") and "It should begin" not in waits["message"]
    finally:
        slurm.command("scancel", blocker)
    until(lambda: launches.ready(launch), seconds=40, what=lambda: launches.said(launch))
    assert told(launches, launch)["starts_in"] is None
    launches.stop(launch)
