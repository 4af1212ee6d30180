"""The portal's own rights in the Hub are a list, and each of its entries is needed and none is missing."""

from __future__ import annotations

import pytest

from hub_service.hub_config import PORTAL_SCOPES, USER_SCOPES
from tests.portal_fixture import RunningPortal

pytestmark = pytest.mark.hub
#: What "list:…" and "read:servers" hold by themselves.
IMPLIED = {"read:users:name", "read:groups:name", "read:users:name!group=vaas-apps"}


def test_the_portals_token_holds_its_list_and_nothing_else(hub: RunningPortal) -> None:
    held = set(hub.hub("GET", "/user", token=hub.portal_token).json()["scopes"])
    own = {scope for scope in held if scope.endswith("!service=vaas")}
    assert held - own - IMPLIED == set(PORTAL_SCOPES)
    assert all(scope.startswith("read:services:name") for scope in own), own


@pytest.mark.parametrize("path", ["/users", "/users/ada", "/groups"])
def test_it_looks_people_and_groups_up(hub: RunningPortal, path: str) -> None:
    assert hub.hub("GET", path, token=hub.portal_token).status_code == 200


def test_it_sees_of_a_person_who_they_are_and_no_more(hub: RunningPortal) -> None:
    model = hub.hub("GET", "/users/sam", token=hub.portal_token).json()
    assert model.keys() <= {"kind", "name", "admin", "groups", "user_info"}
    assert set(model["groups"]) == {"physics", "students"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users/ada/server", {}),
        ("DELETE", "/users/ada/server", None),
        ("POST", "/users/ada/servers/lab", {}),
        ("PUT", "/users/ada/servers/lab", {}),
        ("DELETE", "/users/ada/servers/lab", None),
        ("GET", "/users/ada/tokens", None),
        ("POST", "/users/ada/tokens", {}),
        ("POST", "/users/vaas/tokens", {}),
        ("PATCH", "/users/ada", {"admin": True}),
        ("POST", "/users/eve", {}),
        ("DELETE", "/users/ada", None),
        ("POST", "/groups/vaas-apps/users", {"users": ["ada"]}),
        ("DELETE", "/groups/vaas-apps", None),
        ("POST", "/groups/eve", {}),
        ("GET", "/shares/ada/lab", None),
        ("GET", "/services", None),
        ("GET", "/proxy", None),
        ("POST", "/shutdown", {}),
    ],
)
def test_it_reaches_nothing_of_people_and_nothing_of_the_hub(
    hub: RunningPortal, method: str, path: str, body: dict[str, object] | None
) -> None:
    answer = hub.hub(method, path, token=hub.portal_token, json=body)
    assert answer.status_code in {403, 404}, answer.text
    assert hub.answers()
    assert hub.hub("GET", "/users/ada").json()["groups"] == ["physics"]


def test_it_starts_watches_and_stops_the_servers_of_apps(hub: RunningPortal) -> None:
    account, server, token = "/vaas/accounts/app-scopes000001", "/users/app-scopes000001/servers/v1", hub.portal_token
    assert hub.hub("PUT", account, token=token).status_code == 201
    assert hub.hub("POST", server, token=token, json={}).status_code in {201, 202}
    progress = hub.hub("GET", f"{server}/progress", token=token)
    assert progress.status_code == 200
    # Nothing was published there, and the real app server says so before it ends.
    assert "The app could not be started" in progress.text
    assert hub.hub("DELETE", server, token=token).status_code in {202, 204}
    assert hub.hub("DELETE", account, token=token).status_code == 204


def test_a_person_holds_the_portals_scopes_and_may_lend_them(hub: RunningPortal) -> None:
    held = set(hub.hub("GET", "/user", token=hub.token_for("ada")).json()["scopes"])
    assert set(USER_SCOPES) <= held
    assert "custom:vaas:accounts" not in held
    assert "custom:vaas:accounts" not in hub.hub("GET", "/user", token=hub.token_for("root-admin")).json()["scopes"]


ACCOUNT = "app-scopes000002"
#: scope → a request of the portal's that needs it, and what its answer holds.
NEEDED: dict[str, tuple[str, str, str]] = {
    "custom:vaas:accounts": ("PUT", f"/vaas/accounts/{ACCOUNT}", '"name"'),
    "start:servers!group=vaas-apps": ("POST", f"/users/{ACCOUNT}/servers/v1", ""),
    "read:servers!group=vaas-apps": ("GET", f"/users/{ACCOUNT}", '"servers"'),
    "delete:servers!group=vaas-apps": ("DELETE", f"/users/{ACCOUNT}/servers/v1", ""),
    "list:groups": ("GET", "/groups", '"physics"'),
    "list:users": ("GET", "/users", '"ada"'),
    "read:users:groups": ("GET", "/users/sam", '"students"'),
}


def test_a_scope_more_has_to_say_what_it_is_for() -> None:
    assert set(PORTAL_SCOPES) == set(NEEDED)


@pytest.mark.parametrize("scope", NEEDED)
def test_without_a_scope_the_portal_could_not_do_its_work(hub: RunningPortal, scope: str) -> None:
    method, path, holds = NEEDED[scope]

    def works(token: str) -> bool:
        answer = hub.hub(method, path, token=token, json={} if method in {"POST", "PUT"} else None)
        return answer.status_code < 300 and holds in answer.text

    hub.hub("PUT", f"/vaas/accounts/{ACCOUNT}", token=hub.portal_token)
    if scope.startswith("delete:"):
        hub.hub("POST", f"/users/{ACCOUNT}/servers/v1", token=hub.portal_token, json={})
    assert not works(hub.tokens_without[scope])
    assert works(hub.portal_token)
    hub.hub("DELETE", f"/vaas/accounts/{ACCOUNT}", token=hub.portal_token)
