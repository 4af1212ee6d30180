"""What apps may reach, what went wrong and how kernels are isolated: a whole portal, with stand-ins for app servers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal, until

pytestmark = pytest.mark.hub


class Talk:
    """A person and the app servers of what they publish, each with its own token."""

    def __init__(self, portal: RunningPortal, name: str) -> None:
        self.portal, self.token = portal, portal.token_for(name)

    def rest(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the portal as the person."""
        answer = self.portal.request(method, f"/services/vaas/api/{path}", token=self.token, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def server(self, method: str, path: str, server: str, body: Any = None) -> Any:
        """Ask the portal as an app server ("app-…/v1"); the stand-in tells its environment."""
        account, found = server.partition("/")[0], dict[str, str]()

        def up() -> bool:
            answer = self.portal.get(f"/user/{server}/", host=f"{account}.{self.portal.settings.domain}")
            found.update(answer.json() if answer.headers.get("Content-Type") == "application/json" else {})
            return bool(found)

        until(up, seconds=30, what=f"the server {server}")
        assert found["VAAS_SANDBOX"] == "auto"
        token = found["JUPYTERHUB_API_TOKEN"]
        answer = self.portal.request(method, f"/services/vaas/api/runtime/{path}", token=token, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def beats(self, server: str, **said: object) -> Any:
        """Send a heartbeat of the server."""
        return self.server("POST", "heartbeat", server, {"visits": [], "idle_seconds": 0, **said})

    def health(self, token: str = "") -> tuple[int, str]:
        """Return the health page's status and text."""
        answer = self.portal.get("/services/vaas/health", token=token)
        return answer.status_code, answer.text


@pytest.fixture
def ada(hub_with_stand_ins: RunningPortal) -> Talk:
    return Talk(hub_with_stand_ins, "ada")


def published(ada: Talk, network: str) -> dict[str, Any]:
    files = {"lesson.ipynb": base64.b64encode(notebook("x = 1")).decode()}
    draft = ada.rest("POST", "uploads", {"files": files, "network": network})
    checker = f"app-{draft['app_id']}/d{draft['id']}"
    assert ada.server("GET", "manifest", checker)["network"] == network.split()
    ada.server("POST", "check", checker, {"report": {"ok": True, "errors": [], "problems": []}})
    app: dict[str, Any] = ada.rest("POST", f"drafts/{draft['id']}/publish", {"title": "Reach"})
    ada.rest("POST", f"apps/{app['slug']}/opening", {})
    return app


def test_a_change_of_what_an_app_may_reach_comes_with_the_next_heartbeat(ada: Talk) -> None:
    app = published(ada, "a.example b.example:443")
    server = f"app-{app['id']}/v1"
    manifest = ada.server("GET", "manifest", server)
    assert manifest["network"] == ["a.example", "b.example:443"] == app["network"]
    assert manifest["limits"]["kernel_memory"] == 2_000_000_000
    for said, told in (("none", []), ("all", ["*"]), ("c.example", ["c.example"])):
        ada.rest("PATCH", f"apps/{app['slug']}", {"network": said})
        assert ada.beats(server) == {"revoked": [], "stop": False, "network": told, "knows_visitor": False}


def test_what_went_wrong_is_on_the_apps_page_for_those_who_may_read_its_log(ada: Talk) -> None:
    app = published(ada, "")
    text = "A kernel used more than 2 GB <and> was ended."
    for _ in range(2):
        ada.beats(f"app-{app['id']}/v1", incidents=[{"kind": "memory", "text": text}, {"kind": "odd", "text": "x"}])
    found = ada.rest("GET", f"apps/{app['slug']}/incidents")
    assert [(one["kind"], one["text"], one["version"]) for one in found] == [("memory", text, 1)]
    ada.rest("PUT", f"apps/{app['slug']}/grants/signed-in", {"access": "READ"})
    page = f"/services/vaas/apps/{app['slug']}/"
    mine, theirs = (ada.portal.get(page, token=token).text for token in (ada.token, ada.portal.token_for("sam")))
    assert "What went wrong lately" in mine and "Out of memory" in mine and "&lt;and&gt;" in mine
    assert "What went wrong" not in theirs and "2 GB" not in theirs


def test_where_kernels_are_not_isolated_publishers_operators_and_the_log_say_so(ada: Talk) -> None:
    # The stand-in for the app environment knows no sandbox.
    until(lambda: "not isolated" in ada.health()[1], seconds=30, what="the portal's look at this machine")
    status, page = ada.health()
    assert status == 200 and "apps are not kept apart from the machine" in page and "On this machine:" not in page
    assert "On this machine: The app environment does not say" in ada.health(ada.portal.token_for("root-admin"))[1]
    assert "not kept apart from this machine" in ada.portal.get("/services/vaas/files/", token=ada.token).text
    assert "Kernels are not isolated" in (ada.portal.settings.logs / "hub.log").read_text()
    app = published(ada, "")
    ada.beats(f"app-{app['id']}/v1", isolation={"sandbox": False, "why": "No bubblewrap there."})
    assert f"app-{app['id']}/v1: No bubblewrap there." in ada.health(ada.portal.token_for("root-admin"))[1]
    assert "No bubblewrap there." not in ada.health(ada.token)[1]
