"""Searching over REST and from the command line, on the real portal: soon after a change, and only what one may see."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.notebooks import markdown, notebook
from tests.portal_fixture import RunningPortal, until

pytestmark = pytest.mark.hub


def call(portal: RunningPortal, method: str, path: str, token: str, body: Any = None) -> Any:
    answer = portal.request(method, f"/services/vaas/api/{path}", token=token, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def people(hub: RunningPortal) -> dict[str, str]:
    for name in ("sven", "tove"):
        hub.hub("POST", f"/users/{name}")
    return {name: hub.token_for(name) for name in ("sven", "tove")}


@pytest.fixture(scope="module")
def app(hub: RunningPortal, people: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Return an app of sven's that nobody else may see."""
    cells = markdown("# Fjord temperatures\nMeasured in *Hardanger* by the harbour office."), "1 + 1"
    files = {"fjords.ipynb": base64.b64encode(notebook(*cells)).decode()}
    draft = call(hub, "POST", "uploads", people["sven"], {"files": files})["id"]
    deadline = time.monotonic() + 90
    while call(hub, "GET", f"drafts/{draft}", people["sven"])["state"] != "done":
        assert time.monotonic() < deadline, "the check takes too long"
        time.sleep(0.2)
    app = call(hub, "POST", f"drafts/{draft}/publish", people["sven"], {"tags": ["ocean"]})
    yield app
    call(hub, "DELETE", f"apps/{app['slug']}", people["sven"])


def found(portal: RunningPortal, query: str, token: str = "") -> list[str]:
    return [record["title"] for record in call(portal, "GET", f"search?q={query}", token)["records"]]


def test_an_app_is_found_within_seconds_by_who_may_see_it(
    hub: RunningPortal, people: dict[str, str], app: dict[str, Any]
) -> None:
    until(lambda: found(hub, "hardanger", people["sven"]), seconds=20, what="the app to be found")
    (record,) = call(hub, "GET", "search?q=hardang&typing=1", people["sven"])["records"]
    assert (record["title"], record["type"], record["tags"]) == ("Fjord temperatures", "app", ["ocean"])
    assert record["url"] == app["url"] and "text" not in record
    assert found(hub, "hardanger", people["tove"]) == found(hub, "hardanger") == []
    call(hub, "PUT", f"apps/{app['slug']}/grants/user:tove", people["sven"], {"access": "VIEW"})
    until(lambda: found(hub, "hardanger", people["tove"]), seconds=20, what="it to be found by whom it is shared with")
    call(hub, "DELETE", f"apps/{app['slug']}/grants/user:tove", people["sven"])
    until(lambda: not found(hub, "hardanger", people["tove"]), seconds=20, what="it to be hidden again")


def test_what_is_asked_wrongly_is_said(hub: RunningPortal) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 1000).decode()
    wrong = (
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        (f"limit=1{'0' * 5000}", "limit"),
        ("cursor=" + "W10" * 1000, "cursor"),
    )
    for query, word in (*wrong, *((f"cursor={cursor}", "Search again") for cursor in ("x", deep))):
        answer = hub.get(f"/services/vaas/api/search?q=a&{query}")
        assert answer.status_code == 400 and word in answer.json()["error"]["message"]
    far = base64.urlsafe_b64encode(b'{"here": "1000000000000"}').decode()
    assert "So many hits" in call(hub, "GET", f"search?q=a&cursor={far}", "")["silent"]["This portal"]
    answer = call(hub, "GET", "search?q=after:yesterday", "")
    assert "is no date" in answer["notes"][0]


def test_from_the_command_line(hub: RunningPortal, people: dict[str, str], app: dict[str, Any]) -> None:
    until(lambda: found(hub, "hardanger", people["sven"]), seconds=20, what="the app to be found")
    url = f"http://127.0.0.1:{hub.settings.port}/services/vaas/"

    def vaas(*words: str, token: str) -> subprocess.CompletedProcess[str]:
        environ = {"VAAS_URL": url, "VAAS_TOKEN": token, "COLUMNS": "80"}
        command = [sys.executable, "-m", "vaas", "search", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)

    told = vaas("fjord", "type:app", token=people["sven"])
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("1 hit\n\nFjord temperatures  (app by sven)\n") and app["slug"] in told.stdout
    assert vaas("fjord", "-hardanger", token=people["sven"]).returncode == 1
    assert "no option --jsn" in vaas("fjord", "--jsn", token=people["sven"]).stderr
    asked = vaas("fjord", "--json", token=people["sven"])
    assert json.loads(asked.stdout)["total"] == 1
    nothing = vaas("fjord", token=people["tove"])
    assert (nothing.returncode, nothing.stdout) == (1, "Nothing is found.\n")
    anybody = vaas("fjord", token="")
    assert (anybody.returncode, anybody.stdout) == (1, "Nothing is found.\n") and "as anybody" in anybody.stderr
    refused = vaas("fjord", token="wrong")
    assert refused.returncode == 2 and "not known or has expired" in refused.stderr and "/hub/token" in refused.stderr
