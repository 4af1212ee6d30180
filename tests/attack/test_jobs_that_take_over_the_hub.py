"""Jobs that try to become the Hub, by batchspawner's own API and by what callers send; and what such a job is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.launched import Launches
from tests.portal_fixture import RunningPortal, until
from tests.slurm import Cluster, site_config

pytestmark = pytest.mark.hub
ACCOUNT, OTHER = "app-abcdefgh1234", "app-bcdefghi2345"
#: What stands where an app's server would: it keeps its environment in its home, and waits or dies.
_SERVER = """#!/bin/sh
name="$HOME/$JUPYTERHUB_USER-$JUPYTERHUB_SERVER_NAME"
env >"$name.part" && mv "$name.part" "$name"
[ "$JUPYTERHUB_SERVER_NAME" != v9 ] || { echo "2026-11-28 07:00:00,000 ERROR vaas: Something is missing."; exit 3; }
sleep 600
"""
#: Notes what it is given, and runs the rest as the account.
_PREFIX = """#!/bin/sh
{{ echo "$*"; env; }} >>{seen}
exec runuser -u "$@"
"""
_SECRET = "5ec2e7" * 10


class Site:
    """A portal on Slurm whose servers wait, and what they and the Hub's programs were given."""

    def __init__(self, portal: RunningPortal, cluster: Cluster, person: str, seen: Path) -> None:
        self.portal, self.cluster, self.seen = portal, cluster, seen
        self.home = cluster.folder / person

    def start(self, server: str, *, account: str = ACCOUNT, options: Any = None) -> dict[str, str]:
        """Start the server, and return its environment once it has one."""
        token, path = self.portal.portal_token, f"/users/{account}/servers/{server}"
        self.portal.hub("PUT", f"/vaas/accounts/{account}", token=token).raise_for_status()
        self.portal.hub("POST", path, token=token, json={"user_options": options or {}}).raise_for_status()
        kept = self.home / f"{account}-{server}"
        until(kept.exists, seconds=20, what=self.portal.log)
        return dict(line.split("=", 1) for line in kept.read_text().splitlines() if "=" in line)

    def asked(self) -> int:
        """Return how often the Hub has asked how jobs are doing."""
        return self.seen.read_text().count("squeue")

    def says(self, server: dict[str, str], body: Any) -> int:
        """Send what the server says of itself, with its own token, and return the Hub's answer."""
        headers = {"Authorization": f"token {server['JUPYTERHUB_API_TOKEN']}"}
        return httpx.post(f"{self.portal.hub_api}/batchspawner", headers=headers, json=body, timeout=10).status_code


@pytest.fixture(scope="module")
def site(slurm: Cluster, slurm_person: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return the site."""
    seen = slurm.folder / "seen"
    programs = {"server": _SERVER, "prefix": _PREFIX.format(seen=seen)}
    for name, text in programs.items():
        (slurm.folder / name).write_text(text)
        (slurm.folder / name).chmod(0o755)
    data = tmp_path_factory.mktemp("jobs") / "data"
    environ = slurm.environ | {"JUPYTERHUB_CRYPT_KEY": _SECRET + "abcd"}
    portal = RunningPortal(data, app_python=slurm.folder / "server", environ=environ)
    portal.configure(site_config(portal.settings, apps_as=slurm_person))
    portal.configure(f"c.SlurmSpawner.exec_prefix = '{slurm.folder / 'prefix'} {{username}} --'\n")
    try:
        yield Site(portal.start(), slurm, slurm_person, seen)
    finally:
        portal.stop()
        slurm.end_all()


@pytest.fixture(scope="module")
def server(site: Site) -> dict[str, str]:
    """Return the environment of a server that has not said its port yet."""
    return site.start("v1")


@pytest.mark.attack
@pytest.mark.parametrize("sent", ["batch_query_cmd", "batch_cancel_cmd", "exec_prefix"])
def test_a_job_that_sets_a_command_of_its_spawner_runs_nothing_in_the_hub(
    site: Site, server: dict[str, str], sent: str, tmp_path: Path
) -> None:
    command = f"touch {tmp_path / 'taken'}; true"
    for body in ({sent: command}, {"port": 40000, sent: command}):
        assert site.says(server, body) == 400
    asked = site.asked()
    until(lambda: site.asked() > asked + 2, seconds=30, what="the Hub to ask how the job is doing")
    assert not (tmp_path / "taken").exists()


@pytest.mark.attack
@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"port": "40000"}, {"port": True}, {"port": 4e4}, {"port": 22}, {"port": 70000}]
)
def test_what_is_no_port_is_taken_from_no_job(site: Site, server: dict[str, str], body: Any) -> None:
    assert site.says(server, body) == 400


@pytest.mark.attack
def test_nobody_says_anothers_port(site: Site, server: dict[str, str]) -> None:
    second = site.start("v2")
    stranger = site.start("v1", account=OTHER)
    portal = site.portal
    others = ("x", portal.portal_token, portal.admin_token, portal.token_for("ada"))
    assert [site.says({"JUPYTERHUB_API_TOKEN": token}, {"port": 40000}) for token in others] == [403] * len(others)
    for each in (second, stranger):
        assert site.says(each, {"port": 40001}) == 201
        # Once: who has come in later changes nothing.
        assert site.says(each, {"port": 40002}) == 409
    assert portal.hub("GET", f"/users/{ACCOUNT}/servers/v1").json()["pending"] == "spawn"
    assert site.says(server, {"port": 40003}) == 201


@pytest.mark.attack
def test_what_a_caller_sends_gets_into_no_job(site: Site) -> None:
    taken = site.home / "taken"
    evil = f"touch {taken}"
    names = ("prologue", "cmd", "srun", "epilogue", "options", "homedir", "keepvars", "partition")
    found = site.start("v3", options={name: evil for name in names} | {"req_prologue": evil, "batch_script": evil})
    assert not taken.exists()
    assert found["JUPYTERHUB_SERVER_NAME"] == "v3"


@pytest.mark.attack
@pytest.mark.parametrize("name", ["root", "daemon", "ada", "x;touch taken", "$(touch taken)", "-u root"])
def test_nobody_runs_as_another_by_a_name(site: Site, name: str) -> None:
    """“ada” has no account on the cluster; the others are of the system, or a shell would make more of them."""
    site.portal.hub("POST", f"/users/{quote(name)}")
    launches = Launches(site.portal, name)
    launch = launches.new(app="world-map")
    plan = launches.plan(launch, kind="slurm", home="", shared=())
    path = f"/users/{quote(name)}/servers/l{launch.id}"
    site.portal.hub("POST", path, json={"user_options": {"plan": plan}}).raise_for_status()
    until(lambda: not site.portal.hub("GET", path).json()["pending"], seconds=10, what="the refusal")
    assert "You have no account on the cluster." in site.portal.hub("GET", f"{path}/progress").text
    assert not list(site.portal.data.rglob("taken"))
    assert not [job for job in site.cluster.jobs("%u %T") if not job.startswith(site.home.name)]


@pytest.mark.attack
def test_the_programs_that_run_as_the_account_get_nothing_of_the_hubs(site: Site, server: dict[str, str]) -> None:
    given = site.seen.read_text()
    assert {"sbatch", "squeue"} <= {line.split()[2] for line in given.splitlines() if line.startswith(site.home.name)}
    names = {line.partition("=")[0] for line in given.splitlines() if "=" in line}
    assert "SLURM_CONF" in names
    assert not names & {"JUPYTERHUB_CRYPT_KEY", "CONFIGPROXY_AUTH_TOKEN", "VAAS_DEMO_PASSWORD", "VAAS_DATA"}
    assert _SECRET not in given


@pytest.mark.attack
def test_a_server_is_told_what_it_needs_and_no_more(server: dict[str, str]) -> None:
    ours = {name for name in server if name.startswith(("JUPYTERHUB_", "VAAS_", "JPY_"))}
    assert {name for name in ours if not name.startswith(("VAAS_SANDBOX", "VAAS_ENVIRONMENTS"))} == {
        *("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL", "JUPYTERHUB_SERVER_NAME", "JUPYTERHUB_SERVICE_PREFIX"),
        *("JUPYTERHUB_SERVICE_URL", "JUPYTERHUB_USER", "VAAS_PORTAL_URL"),
    }
    # It listens where the site says, rather than everywhere.
    assert server["JUPYTERHUB_SERVICE_URL"].startswith("http://127.0.0.1:0/")


def test_a_job_that_dies_says_the_end_of_its_log(site: Site) -> None:
    site.start("v9")
    path = f"/users/{ACCOUNT}/servers/v9"
    until(lambda: not site.portal.hub("GET", path).json()["pending"], seconds=20, what="the start to fail")
    told = site.portal.hub("GET", f"{path}/progress").text
    assert "The server could not be started: Something is missing." in told


def test_a_launch_for_this_machine_is_started_on_no_node(site: Site) -> None:
    site.portal.hub("POST", f"/users/{site.home.name}").raise_for_status()
    launches = Launches(site.portal, site.home.name)
    launch = launches.new(app="world-map")
    launches.ask(launch, {"plan": launches.plan(launch)}).raise_for_status()
    until(lambda: not site.portal.hub("GET", launches.path(launch)).json()["pending"], seconds=10, what="the refusal")
    assert "Launches run on the cluster here." in launches.said(launch)
