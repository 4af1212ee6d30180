"""Attacks on launches: forged plans, other people's tokens, what lies outside of a person's own folders."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernelspecs import COLONS, PORTS, WAY, kernelspec
from tests.launched import Launches
from tests.portal_fixture import RunningPortal, until
from vaas.launching import Environment, Launch, launch_server
from vaas.model import ServerName

pytestmark = [pytest.mark.attack, pytest.mark.hub]


@pytest.fixture(scope="module")
def ada(hub: RunningPortal) -> Launches:
    return Launches(hub, "ada")


@pytest.fixture(scope="module")
def eve(hub: RunningPortal) -> Launches:
    hub.hub("POST", "/users/eve")
    return Launches(hub, "eve")


@pytest.fixture(scope="module")
def launch(ada: Launches) -> Iterator[Launch]:
    made = ada.new(app="world-map")
    ada.start(made)
    yield made
    ada.stop(made)


def refused(launches: Launches, launch: Launch, options: dict[str, Any]) -> str:
    """Return what the Hub says to a start that must not happen."""
    launches.ask(launch, options)
    path = f"{launches.path(launch)}/progress"
    until(lambda: '"failed"' in launches.portal.hub("GET", path).text, seconds=20, what="the refusal")
    assert launches.processes(launch) == []
    return launches.portal.hub("GET", path).text


PYTHON = Environment("own", "Own", "python", "/bin/sh")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"plan": ""},
        {"plan": {"server": "/user/eve/l0/"}},
        {"cmd": ["sh"], "environment": {"X": "1"}, "profile": "large"},
        {"plan": "e30.e30", "cmd": "sh"},
    ],
)
def test_without_a_plan_nothing_starts(eve: Launches, options: dict[str, Any]) -> None:
    assert "Start it from the portal" in refused(eve, eve.new(app="world-map"), options)


def test_a_plan_for_a_cluster_starts_nothing_on_the_hubs_machine_where_only_the_cluster_would_be_a_wall(
    eve: Launches,
) -> None:
    launch = eve.new(app="world-map")
    assert "another place" in refused(eve, launch, {"plan": eve.plan(launch, kind="slurm", home="", shared=())})


@pytest.mark.parametrize(
    "changed",
    [
        {"master": secrets.token_bytes(32), "environment": PYTHON},
        {"expires": time.time() - 1},
        {"server": "/user/eve/l000000000000/"},
        {"server": ServerName("ada", "l000000000000").path},
    ],
    ids=["forged", "expired", "for another server", "for another person"],
)
def test_a_plan_that_is_not_for_this_server_now_starts_nothing(eve: Launches, changed: dict[str, Any]) -> None:
    made = eve.new(app="world-map")
    assert "Start it from the portal" in refused(eve, made, {"plan": eve.plan(made, **changed)})


def test_another_persons_plan_starts_nothing(ada: Launches, eve: Launches) -> None:
    made = ada.new(app="world-map")
    assert "Start it from the portal" in refused(eve, made, {"plan": ada.plan(made)})


@pytest.mark.parametrize("name", ["lab", "v1", "l", "l0123456789abc"])
def test_a_server_that_is_no_launch_does_not_start(hub: RunningPortal, eve: Launches, name: str) -> None:
    path = f"/users/eve/servers/{name}"
    hub.hub("POST", path, token=eve.token, json={"user_options": {"plan": "x"}})
    assert "people's servers begin there" in hub.hub("GET", f"{path}/progress", token=eve.token).text


def test_what_is_asked_for_beside_the_plan_does_not_count(ada: Launches) -> None:
    made = ada.new(app="world-map")
    more = {"cmd": ["/bin/sh"], "environment": {"X": "1"}, "env": {"X": "1"}, "profile": "x", "mem_limit": 1}
    ada.ask(made, {"plan": ada.plan(made), **more})
    until(lambda: ada.ready(made), seconds=40, what=lambda: ada.said(made))
    process = ada.processes(made)[0]
    assert "X" not in process.environ() and process.cmdline()[-1] == "vaas.lab"
    ada.stop(made)


SEEN = """
import os, pathlib
data = pathlib.Path({data!r})
print([str(path) for path in (data, data / 'secrets', data / 'homes', data / 'portal.sqlite') if path.exists()])
print(sorted(os.listdir('/home')), sorted(os.listdir('/shared')), os.getuid() != 0)
commands = [open(f'/proc/{{pid}}/cmdline', 'rb').read() for pid in os.listdir('/proc') if pid.isdecimal()]
print([command for command in commands if b'hub_service' in command])
rights = [line.split() for line in open('/proc/self/status') if line.startswith(('CapEff', 'CapPrm', 'CapBnd'))]
print([right for right in rights if int(right[1], 16)])
"""


async def test_it_sees_no_other_home_no_secret_and_no_data_of_the_portal(ada: Launches, launch: Launch) -> None:
    said = await ada.run(launch, SEEN.format(data=str(ada.portal.settings.data)))
    assert said.splitlines() == ["[]", "['ada'] ['everyone'] True", "[]", "[]"]


async def test_it_changes_nothing_but_its_home(ada: Launches, launch: Launch) -> None:
    places = [
        "/usr/x",
        "/etc/x",
        "/x",
        "/dev/x",
        "/shared/x",
        "/home/x",
        str(ada.portal.settings.app_python.parent / "x"),
    ]
    code = f"import os\nfor place in {places!r}:\n    try: open(place, 'w'); print(place)\n    except OSError: pass"
    assert await ada.run(launch, code) == ""


async def test_nobody_on_the_machine_hears_its_kernels(ada: Launches, launch: Launch) -> None:
    # Who connects to a kernel's port gets all that it puts out, with no key; and a debugger runs what it is sent.
    assert await ada.run(launch, WAY) == "ipc\n"
    specs = ada.lab("GET", launch, "api/kernelspecs").json()["kernelspecs"]
    assert [each["spec"]["metadata"]["debugger"] for each in specs.values()] == [False]


@pytest.mark.parametrize(("program", "way"), [(COLONS, "ipc"), (PORTS, "tcp")], ids=["sockets", "ports"])
async def test_kernels_in_another_language_have_ports_only_where_they_cannot_do_without(
    ada: Launches, tmp_path: Path, program: str, way: str
) -> None:
    site = Environment("tides", "Tides", "kernelspec", str(kernelspec(tmp_path / "tides", program)), "tides")
    launch = ada.new(app="world-map", title="In another language")
    ada.start(launch, environment=site)
    assert await ada.run(launch, WAY, kernel="tides") == f"{way}\n"
    assert ("which others on this machine can reach" in ada.said(launch)) is (way == "tcp")
    ada.stop(launch)


async def test_its_token_opens_itself_and_nothing_else(ada: Launches, launch: Launch) -> None:
    token, hub = ada.own_token(launch), ada.portal
    refused = [("GET", "/users"), ("POST", "/users/ada/tokens"), ("POST", "/users/ada/servers/l000000000000")]
    refused += [("DELETE", ada.path(launch)), ("GET", "/proxy"), ("PUT", "/vaas/accounts/app-abcdefgh1234")]
    assert {hub.hub(*call, token=token).status_code for call in refused} <= {403, 404}
    for path in ("me", "stores", "apps", "baskets"):
        answer = hub.get(f"/services/vaas/api/{path}", token=token)
        assert answer.status_code == 403, path


def test_a_launch_speaks_for_itself_alone(ada: Launches, eve: Launches, launch: Launch) -> None:
    hers = eve.new(app="world-map", title="Hers")
    eve.start(hers)
    said = ada.asks(launch, "progress", json={"state": "ready", "message": "of ada"})
    assert said.json() == {"stop": False}
    assert eve.get(hers).progress["message"] != "of ada" and ada.get(launch).progress["message"] == "of ada"
    assert eve.asks(hers, "manifest").json()["title"] == "Hers"
    eve.save(type(hers)(**{**vars(eve.get(hers)), "owner": "ada"}))  # another's by that name
    assert eve.asks(hers, "manifest").status_code == 404
    assert eve.asks(hers, "progress", json={"state": "ready"}).json() == {"stop": True}
    eve.stop(hers)


def test_a_launch_gets_no_thing_of_another_basket(ada: Launches, eve: Launches, launch: Launch) -> None:
    hub, portal = eve.portal, "/services/vaas/api/baskets"
    app = ada.portal.get("/services/vaas/api/search?q=type:app", token=eve.token).json()["records"][0]
    basket = hub.request("POST", portal, token=eve.token, json={"name": secrets.token_hex(4)}).json()["id"]
    body = {"catalog": "here", "record": app["id"]}
    hub.request("POST", f"{portal}/{basket}/things", token=eve.token, json=body)
    thing = hub.get(f"{portal}/{basket}", token=eve.token).json()["things"][0]["id"]
    assert ada.asks(launch, f"things/{thing}").status_code == 404
    other = ada.new(app="world-map", basket=basket)
    ada.start(other)
    assert ada.asks(other, "manifest").json()["things"] == [], "hers is not shared with him"
    assert ada.asks(other, f"things/{thing}").status_code == 404
    ada.stop(other)


def test_what_a_launch_posts_is_rebuilt(ada: Launches, launch: Launch) -> None:
    said = {
        "state": "root",
        "percent": 10**9,
        "message": "\u202e<b>" + "x" * 10_000,
        "things": {"../../etc": {"state": "done"}, "0" * 16: {"state": "evil", "done": -1, "of": "x", "message": 7}},
        "use": {"memory": -5, "cpu": "x"},
        "folder": "../../ada",
        "notebook": "/etc/passwd",
    }
    before = ada.get(launch)
    ada.asks(launch, "progress", json=said)
    now = ada.get(launch)
    assert (now.state, now.folder, now.notebook) == (before.state, before.folder, before.notebook)
    assert now.progress["percent"] == 100 and len(now.progress["message"]) <= 300
    assert now.progress["things"] == {"0" * 16: {"done": 0, "of": 0, "state": "waiting", "message": ""}}
    assert "\u202e" not in now.progress["message"]


def test_a_launch_that_moves_its_folder_stays_where_it_was_told(ada: Launches, launch: Launch) -> None:
    before = ada.get(launch).folder
    for folder in ("examples", f"{before}-x", f"{before}/..", "", "/"):
        ada.asks(launch, "progress", json={"folder": folder, "notebook": "a.ipynb"})
        assert ada.get(launch).folder == before
    assert launch_server(launch.id) in ada.portal.hub("GET", "/users/ada").json()["servers"]
