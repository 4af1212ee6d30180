"""Launches at the real Hub: what a person's click starts, how it is followed, stopped and started again."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest

from tests.launch_site import PORTAL, Launches
from tests.portal_fixture import until
from vaas.launching import launch_server

pytestmark = pytest.mark.hub


def test_a_launch_is_the_persons_own_server_with_the_portals_plan(launches: Launches) -> None:
    launch = launches.launch(app="penguins", size="large")
    launches.until(launch, "ready")
    now = launches.rest("GET", f"launches/{launch}")
    found = re.fullmatch(r"http://([^:/]+):\d+(/user/ada/l\w{12}/lab)", now["url"])
    assert found and found[1] == "ada.vaas.localhost"
    page = launches.portal.get(found[2], host=found[1]).text
    plan = json.loads(re.search(r"<p id=plan>(.*?)</p>", page)[1])  # type: ignore[index]
    assert plan == {"facility": "here", "size": "large", "home": "ada", "shared": ["everyone"]}
    server = launches.at_hub(launch)
    assert server and server["display_name"] == "Penguins of the Palmer Archipelago" == now["title"]
    assert now["asked"]["app"] == "penguins" and now["percent"] == 100 and now["used"]
    assert launches.rest("POST", f"launches/{launch}/stop")["state"] == "stopped"
    assert launches.processes(launch) == 0
    launches.rest("POST", f"launches/{launch}/start")
    launches.until(launch, "ready")
    launches.rest("DELETE", f"launches/{launch}")
    assert launches.processes(launch) == 0
    # The Hub answers when it has stopped it, and forgets it in a task of its own.
    until(lambda: launches.at_hub(launch) is None, seconds=10, what="the Hub to forget it")


@pytest.mark.parametrize("when", ["before", "delay"])
def test_it_is_cancelled_while_it_starts_and_leaves_nothing(launches: Launches, when: str) -> None:
    launches.told(**{when: 60})
    launch = launches.launch()
    assert launches.state(launch) == "starting"
    if when == "delay":
        until(lambda: launches.processes(launch) == 1, seconds=10, what="the process")
    began = time.monotonic()
    assert launches.rest("POST", f"launches/{launch}/stop")["state"] == "stopped"
    assert time.monotonic() - began < 10 and launches.processes(launch) == 0
    assert (launches.at_hub(launch) or {})["stopped"] is True
    # And so it can be started again at once.
    launches.told()
    launches.rest("POST", f"launches/{launch}/start")
    launches.until(launch, "ready")


def test_removing_what_still_starts_leaves_nothing_either(launches: Launches) -> None:
    launches.told(delay=60)
    launch = launches.launch()
    launches.rest("DELETE", f"launches/{launch}")
    assert launches.processes(launch) == 0
    until(lambda: launches.at_hub(launch) is None, seconds=5, what="the Hub to forget it")


def test_a_start_that_fails_says_why_in_the_spawners_words(launches: Launches) -> None:
    launches.told(fail="There is no room on this machine: 0.4 GB are left.")
    launch = launches.launch()
    launches.until(launch, "failed")
    for _ in range(2):  # and it stays said
        now = launches.rest("GET", f"launches/{launch}")
        assert now["error"] == now["message"] == "There is no room on this machine: 0.4 GB are left."
    page = launches.portal.get(f"{PORTAL}launches/{launch}/", token=launches.tokens["ada"]).text
    assert "0.4 GB are left" in page and "What to try" in page and "Try again" in page
    # The Hub waits for one that has died, and names an address that is for nobody.
    launches.told(die=3, patience=2)
    launches.rest("POST", f"launches/{launch}/start")
    launches.until(launch, "failed", seconds=45)
    assert launches.rest("GET", f"launches/{launch}")["error"] == "It did not answer in time."


def test_one_that_is_stopped_at_the_hub_is_no_failure(launches: Launches) -> None:
    launch = launches.launch()
    launches.until(launch, "ready")
    launches.portal.hub("DELETE", f"/users/ada/servers/{launch_server(launch)}", token=launches.tokens["ada"])
    launches.until(launch, "stopped")
    listed = launches.rest("GET", "launches")["launches"]
    assert [(each["id"], each["state"], each["url"]) for each in listed] == [(launch, "stopped", "")]


def test_events_tell_how_far_it_is_until_it_is_over(launches: Launches) -> None:
    launches.told(delay=1)
    launch, settings = launches.launch(), launches.portal.settings
    headers = {"Host": f"{settings.domain}:{settings.port}", "Authorization": f"token {launches.tokens['ada']}"}
    url = f"http://127.0.0.1:{settings.port}{PORTAL}launches/{launch}/events"
    with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        seen = [json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:")]
    assert [each["over"] for each in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[0]["state"] == "starting" and seen[-1]["state"] == "ready" and "/user/ada/l" in seen[-1]["url"]
    assert [each["percent"] for each in seen] == sorted(each["percent"] for each in seen)


def test_a_token_that_may_not_start_servers_launches_nothing_and_is_told_why(launches: Launches) -> None:
    scopes = ["custom:vaas:read", "custom:vaas:write", "read:users:name!user", "access:services!service=vaas"]
    made = launches.portal.hub("POST", "/users/ada/tokens", json={"note": "less", "scopes": scopes})
    body = {"store": "home", "path": "a b.ipynb"}
    answer = launches.portal.request("POST", f"{PORTAL}api/launches", token=made.json()["token"], json=body)
    assert answer.status_code == 403 and "start:servers" in answer.json()["error"]["message"]
    assert launches.rest("GET", "launches") == {"launches": []}
