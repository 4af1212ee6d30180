"""Launches at the real Hub: what a person's click starts, and that nobody else's does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.notebooks import write_notebook
from tests.portal_fixture import RunningPortal, running, stand_in_app, until
from tests.stand_in_launch import SITE
from vaas.launching import launch_server

pytestmark = pytest.mark.hub
PORTAL = "/services/vaas/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal at a Hub that starts a small web server for each launch."""
    folder = tmp_path_factory.mktemp("launches")
    with running(folder / "data", app_python=stand_in_app(folder), more_site=SITE) as portal:
        write_notebook(portal.data / "homes" / "ada" / "a b.ipynb", "x = 1")
        yield portal


@pytest.fixture(scope="module")
def tokens(site: RunningPortal) -> dict[str, str]:
    return {name: site.token_for(name) for name in ("ada", "sam", "emil")}


@pytest.fixture(autouse=True)
def nothing_runs(site: RunningPortal, tokens: dict[str, str]) -> Iterator[None]:
    """Remove what a test launched, and let starts work again."""
    told(site)
    yield
    for token in (tokens["ada"], tokens["sam"]):
        for launch in rest(site, "GET", "launches", token)["launches"]:
            rest(site, "DELETE", f"launches/{launch['id']}", token)


def told(site: RunningPortal, **said: Any) -> None:
    """Say how the next starts go."""
    (site.data / "launch.json").write_text(json.dumps(said))


def rest(site: RunningPortal, method: str, path: str, token: str, body: Any = None) -> Any:
    answer = site.request(method, f"{PORTAL}api/{path}", token=token, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def launched(site: RunningPortal, token: str, **asked: str) -> str:
    return str(rest(site, "POST", "launches", token, asked or {"store": "home", "path": "a b.ipynb"})["id"])


def state(site: RunningPortal, token: str, launch: str) -> str:
    return str(rest(site, "GET", f"launches/{launch}", token)["state"])


def hub_server(site: RunningPortal, user: str, launch: str) -> dict[str, Any] | None:
    """Return what the Hub knows of the launch's server."""
    model = site.hub("GET", f"/users/{user}?include_stopped_servers").json()
    found: dict[str, Any] | None = model["servers"].get(launch_server(launch))
    return found


def processes(site: RunningPortal, launch: str) -> int:
    """Return how many processes there are of the launch's server."""
    hub = psutil.Process(site.process.pid) if site.process else psutil.Process()
    mine = [child for child in hub.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    return sum(child.environ().get("JUPYTERHUB_SERVER_NAME") == launch_server(launch) for child in mine)


def test_a_launch_is_the_persons_own_server_with_the_portals_plan(site: RunningPortal, tokens: dict[str, str]) -> None:
    launch = launched(site, tokens["ada"], app="penguins", size="large")
    until(lambda: state(site, tokens["ada"], launch) == "ready", seconds=20, what="the launch")
    now = rest(site, "GET", f"launches/{launch}", tokens["ada"])
    host, path = re.fullmatch(r"http://([^:/]+):\d+(/user/ada/l\w{12}/lab)", now["url"]).groups()  # type: ignore[union-attr]
    page = site.get(path, host=host).text
    assert host == "ada.vaas.localhost" and "JupyterLab" in page
    assert json.loads(
        re.search(r"<p id=plan>(.*?)</p>", page)[1]  # type: ignore[index]
    ) == {"facility": "here", "size": "large", "home": "ada", "shared": ["everyone"]}
    server = hub_server(site, "ada", launch)
    assert server and server["display_name"] == "Penguins of the Palmer Archipelago" == now["title"]
    assert now["asked"]["app"] == "penguins" and now["percent"] == 100 and now["used"]
    stopped = rest(site, "POST", f"launches/{launch}/stop", tokens["ada"])
    assert stopped["state"] == "stopped" and processes(site, launch) == 0
    rest(site, "POST", f"launches/{launch}/start", tokens["ada"])
    until(lambda: state(site, tokens["ada"], launch) == "ready", seconds=20, what="the second start")
    rest(site, "DELETE", f"launches/{launch}", tokens["ada"])
    assert hub_server(site, "ada", launch) is None and processes(site, launch) == 0


@pytest.mark.parametrize("when", ["before", "delay"])
def test_it_is_cancelled_while_it_starts_and_leaves_nothing(
    site: RunningPortal, tokens: dict[str, str], when: str
) -> None:
    told(site, **{when: 60})
    launch = launched(site, tokens["ada"])
    assert state(site, tokens["ada"], launch) == "starting"
    if when == "delay":
        until(lambda: processes(site, launch) == 1, seconds=10, what="the process")
    began = time.monotonic()
    assert rest(site, "POST", f"launches/{launch}/stop", tokens["ada"])["state"] == "stopped"
    assert time.monotonic() - began < 10 and processes(site, launch) == 0
    assert (hub_server(site, "ada", launch) or {})["stopped"] is True
    # And so it can be started again at once.
    told(site)
    rest(site, "POST", f"launches/{launch}/start", tokens["ada"])
    until(lambda: state(site, tokens["ada"], launch) == "ready", seconds=20, what="the launch")


def test_removing_what_still_starts_leaves_nothing_either(site: RunningPortal, tokens: dict[str, str]) -> None:
    told(site, delay=60)
    launch = launched(site, tokens["ada"])
    rest(site, "DELETE", f"launches/{launch}", tokens["ada"])
    assert processes(site, launch) == 0
    until(lambda: hub_server(site, "ada", launch) is None, seconds=5, what="the Hub to forget it")


def test_a_start_that_fails_says_why_in_the_spawners_words(site: RunningPortal, tokens: dict[str, str]) -> None:
    told(site, fail="There is no room on this machine: 0.4 GB are left.")
    launch = launched(site, tokens["ada"])
    until(lambda: state(site, tokens["ada"], launch) == "failed", seconds=10, what="the failure")
    for _ in range(2):  # and it stays said
        now = rest(site, "GET", f"launches/{launch}", tokens["ada"])
        assert now["error"] == now["message"] == "There is no room on this machine: 0.4 GB are left."
    page = site.get(f"{PORTAL}launches/{launch}/", token=tokens["ada"]).text
    assert "0.4 GB are left" in page and "What to try" in page and "Try again" in page
    # One that dies before it answers says so too.
    told(site, die=3)
    rest(site, "POST", f"launches/{launch}/start", tokens["ada"])
    until(lambda: state(site, tokens["ada"], launch) == "failed", seconds=45, what="the second failure")
    assert rest(site, "GET", f"launches/{launch}", tokens["ada"])["error"]


def test_one_that_is_killed_is_stopped_and_no_failure(site: RunningPortal, tokens: dict[str, str]) -> None:
    launch = launched(site, tokens["ada"])
    until(lambda: state(site, tokens["ada"], launch) == "ready", seconds=20, what="the launch")
    site.hub("DELETE", f"/users/ada/servers/{launch_server(launch)}", token=tokens["ada"])  # as on the Hub's own page
    until(lambda: state(site, tokens["ada"], launch) == "stopped", seconds=10, what="the end")
    listed = rest(site, "GET", "launches", tokens["ada"])["launches"]
    assert [(each["id"], each["state"], each["url"]) for each in listed] == [(launch, "stopped", "")]


def test_events_tell_how_far_it_is_until_it_is_over(site: RunningPortal, tokens: dict[str, str]) -> None:
    told(site, delay=1)
    launch, seen = launched(site, tokens["ada"]), []
    headers = {"Host": f"{site.settings.domain}:{site.settings.port}", "Authorization": f"token {tokens['ada']}"}
    url = f"http://127.0.0.1:{site.settings.port}{PORTAL}launches/{launch}/events"
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        seen = [json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:")]
    assert [each["over"] for each in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[0]["state"] == "starting" and seen[-1]["state"] == "ready" and "/user/ada/l" in seen[-1]["url"]
    assert [each["percent"] for each in seen] == sorted(each["percent"] for each in seen)


@pytest.mark.attack
def test_anothers_launch_is_hidden_and_cannot_be_touched(site: RunningPortal, tokens: dict[str, str]) -> None:
    launch = launched(site, tokens["ada"])
    until(lambda: state(site, tokens["ada"], launch) == "ready", seconds=20, what="the launch")
    asked = [
        ("GET", f"launches/{launch}/"),
        ("GET", f"launches/{launch}/events"),
        ("GET", f"api/launches/{launch}"),
        ("DELETE", f"api/launches/{launch}"),
        ("POST", f"api/launches/{launch}/stop"),
        ("POST", f"api/launches/{launch}/start"),
    ]
    for method, path in asked:
        theirs = site.request(method, PORTAL + path, token=tokens["sam"])
        none = site.request(method, PORTAL + path.replace(launch, "zzzzzzzzzzzz"), token=tokens["sam"])
        # But for what is made anew with every page.
        texts = {
            re.sub(r"zzzzzzzzzzzz|[A-Za-z0-9_|:=%-]{40,}", "", each.text.replace(launch, "")) for each in (theirs, none)
        }
        assert (theirs.status_code, none.status_code, len(texts)) == (404, 404, 1), path
    for do in ("stop", "start", "remove", "rename"):
        sent = site.form(f"{PORTAL}launches/{launch}/", f"do={do}&title=x", token=tokens["sam"])
        assert sent.status_code == 404
    assert rest(site, "GET", "launches", tokens["sam"]) == {"launches": []}
    assert state(site, tokens["ada"], launch) == "ready" and processes(site, launch) == 1


@pytest.mark.attack
def test_the_portals_own_right_starts_and_stops_nobodys_server(site: RunningPortal, tokens: dict[str, str]) -> None:
    launch = launched(site, tokens["ada"])
    path = f"/users/ada/servers/{launch_server(launch)}"
    for method in ("GET", "POST", "DELETE"):
        assert site.hub(method, path, token=site.portal_token, json={}).status_code in {403, 404}
    assert hub_server(site, "ada", launch)


@pytest.mark.attack
def test_a_server_without_the_portals_plan_is_not_started(site: RunningPortal, tokens: dict[str, str]) -> None:
    for options in ({}, {"plan": "e30.e30"}, {"cmd": ["/bin/sh"]}):
        site.hub("POST", "/users/ada/servers/lforged", token=tokens["ada"], json={"user_options": options})
        time.sleep(0.3)
        told_of = site.hub("GET", "/users/ada/servers/lforged/progress", token=tokens["ada"]).text
        assert "Start it from the portal" in told_of
    site.hub("DELETE", "/users/ada/servers/lforged", token=tokens["ada"], json={"remove": True})


@pytest.mark.attack
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://app-abcdefghijkl.vaas.localhost"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_a_page_of_an_app_launches_and_stops_nothing(
    site: RunningPortal, tokens: dict[str, str], headers: dict[str, str]
) -> None:
    launch = launched(site, tokens["ada"])
    base = f"http://127.0.0.1:{site.settings.port}{PORTAL}"
    sent = {
        "Host": f"{site.settings.domain}:{site.settings.port}",
        "Authorization": f"token {tokens['ada']}",
        **headers,
    }
    for path in (
        "apps/penguins/launch",
        "launch",
        f"launches/{launch}/",
        "api/launches",
        f"api/launches/{launch}/stop",
    ):
        assert httpx.post(base + path, headers=sent, data={"do": "stop", "basket": ""}).status_code == 403
    assert len(rest(site, "GET", "launches", tokens["ada"])["launches"]) == 1
    assert state(site, tokens["ada"], launch) in {"starting", "ready"}


@pytest.mark.attack
def test_a_token_that_may_not_start_servers_launches_nothing(site: RunningPortal, tokens: dict[str, str]) -> None:
    scopes = ["custom:vaas:read", "custom:vaas:write", "read:users:name!user", "access:services!service=vaas"]
    made = site.hub("POST", "/users/ada/tokens", json={"note": "less", "scopes": scopes})
    answer = site.request(
        "POST", f"{PORTAL}api/launches", token=made.json()["token"], json={"store": "home", "path": "a b.ipynb"}
    )
    assert answer.status_code == 403 and "start:servers" in answer.json()["error"]["message"]
    assert rest(site, "GET", "launches", tokens["ada"]) == {"launches": []}


@pytest.mark.attack
def test_an_app_that_one_may_not_read_is_not_launched(site: RunningPortal, tokens: dict[str, str]) -> None:
    for method, path, body in (("GET", "apps/penguins/launch", None), ("POST", "api/launches", {"app": "penguins"})):
        assert site.request(method, PORTAL + path, token=tokens["emil"], json=body).status_code == 404
    rest(site, "PUT", "apps/penguins/grants/user:emil", tokens["ada"], {"access": "VIEW"})
    for method, path, body in (("GET", "apps/penguins/launch", None), ("POST", "api/launches", {"app": "penguins"})):
        assert site.request(method, PORTAL + path, token=tokens["emil"], json=body).status_code == 403


@pytest.mark.attack
def test_titles_and_reasons_are_text_on_every_page(site: RunningPortal, tokens: dict[str, str]) -> None:
    told(site, fail="No <script>alert(1)</script> & more.")
    title = "<img src=x onerror=alert(1)>\"'"
    launch = launched(site, tokens["ada"], store="home", path="a b.ipynb", title=title)
    until(lambda: state(site, tokens["ada"], launch) == "failed", seconds=10, what="the failure")
    for path in (f"launches/{launch}/", "servers"):
        page = site.get(PORTAL + path, token=tokens["ada"]).text
        assert "<script>alert" not in page and "<img src=x" not in page
        assert "&lt;img src=x" in page and "&lt;script&gt;alert" in page
