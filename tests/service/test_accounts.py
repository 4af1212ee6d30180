"""App accounts: made over an API of their own that cannot touch people, and nobody signs in as one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import pytest

from hub_service.running import app_servers
from tests.portal_fixture import RunningPortal, until
from tests.published import Browser, token_of

pytestmark = pytest.mark.hub
ACCOUNT = "app-abcdefgh1234"


@pytest.fixture
def account(hub_with_stand_ins: RunningPortal) -> Iterator[str]:
    """Return an account that is there, and remove it afterwards."""
    portal = hub_with_stand_ins
    assert portal.hub("PUT", f"/vaas/accounts/{ACCOUNT}", token=portal.portal_token).status_code == 201
    yield ACCOUNT
    portal.hub("DELETE", f"/vaas/accounts/{ACCOUNT}", token=portal.portal_token)


def _start(portal: RunningPortal, account: str, server: str = "v1") -> None:
    path = f"/users/{account}/servers/{server}"
    portal.hub("POST", path, token=portal.portal_token, json={"user_options": {"cmd": "sh"}}).raise_for_status()
    until(lambda: portal.hub("GET", path).json()["ready"], seconds=20, what=path)


def _address(account: str, server: str = "v1") -> tuple[str, str]:
    return f"{account}.vaas.localhost", f"/user/{account}/{server}/"


def test_the_portal_makes_an_account_once_and_removes_it_once(hub_with_stand_ins: RunningPortal) -> None:
    token, path = hub_with_stand_ins.portal_token, f"/vaas/accounts/{ACCOUNT}"
    codes = [hub_with_stand_ins.hub(m, path, token=token).status_code for m in ("PUT", "PUT", "DELETE", "DELETE")]
    assert codes == [201, 200, 204, 204]
    assert hub_with_stand_ins.hub("GET", f"/users/{ACCOUNT}").status_code == 404


def test_an_account_is_an_apps_by_its_group(hub_with_stand_ins: RunningPortal, account: str) -> None:
    assert hub_with_stand_ins.hub("GET", f"/users/{account}").json()["groups"] == ["vaas-apps"]


@pytest.mark.parametrize("person", ["ada", "root-admin"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_people_can_neither_make_nor_remove_accounts(
    hub_with_stand_ins: RunningPortal, account: str, person: str, method: str
) -> None:
    token = hub_with_stand_ins.token_for(person)
    assert hub_with_stand_ins.hub(method, f"/vaas/accounts/{account}", token=token).status_code == 403
    assert hub_with_stand_ins.hub("GET", f"/users/{account}").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nobody_at_all_can_neither(hub_with_stand_ins: RunningPortal, account: str, method: str) -> None:
    answer = httpx.request(method, f"{hub_with_stand_ins.hub_api}/vaas/accounts/{account}", timeout=10)
    assert answer.status_code == 403
    assert hub_with_stand_ins.hub("GET", f"/users/{account}").status_code == 200


@pytest.mark.parametrize("name", ["ada", "app-short", "app-ABCDEFGH1234", "app-abcdefgh12345", "app-abcdefgh1234%2Fx"])
def test_the_api_knows_no_names_but_those_of_apps(hub_with_stand_ins: RunningPortal, name: str) -> None:
    token = hub_with_stand_ins.portal_token
    for method in ("PUT", "DELETE"):
        assert hub_with_stand_ins.hub(method, f"/vaas/accounts/{name}", token=token).status_code == 404


def test_a_person_who_is_called_like_an_app_stays_a_person(hub_with_stand_ins: RunningPortal) -> None:
    name = "app-person000001"
    hub_with_stand_ins.hub("POST", f"/users/{name}").raise_for_status()
    token = hub_with_stand_ins.portal_token
    for method in ("PUT", "DELETE"):
        assert hub_with_stand_ins.hub(method, f"/vaas/accounts/{name}", token=token).status_code == 409
    assert hub_with_stand_ins.hub("GET", f"/users/{name}").json()["groups"] == []


@pytest.mark.parametrize(("name", "enters"), [("ada", True), (ACCOUNT, False), ("mallory", False)])
def test_nobody_signs_in_as_an_app(hub_with_stand_ins: RunningPortal, account: str, name: str, enters: bool) -> None:
    # As browsers do: the form's token counts only with its cookie.
    with Browser(hub_with_stand_ins) as browser:
        form = {"username": name, "password": "demo", "_xsrf": token_of(browser.get("/hub/login"))}
        answer = browser.post("/hub/login", data=form, headers={"Origin": browser.origin}, follow_redirects=False)
    assert ("__Host-jupyterhub-hub-login" in answer.cookies) is enters
    assert answer.status_code == (302 if enters else 403)


def test_removing_an_account_stops_its_servers(hub_with_stand_ins: RunningPortal, account: str) -> None:
    _start(hub_with_stand_ins, account, "v1")
    _start(hub_with_stand_ins, account, "d0123abcd")
    inside = hub_with_stand_ins.settings
    assert len(app_servers(inside)) == 2
    token = hub_with_stand_ins.portal_token
    assert hub_with_stand_ins.hub("DELETE", f"/vaas/accounts/{account}", token=token).status_code == 204
    assert app_servers(inside) == []
    assert not (hub_with_stand_ins.settings.run / "apps" / account).exists()


def test_removing_an_account_waits_for_a_server_that_is_stopping_already(
    hub_with_stand_ins: RunningPortal, account: str
) -> None:
    portal = hub_with_stand_ins
    _start(portal, account)
    server = f"/users/{account}/servers/v1"
    (process,) = app_servers(portal.settings)
    # It cannot end before it goes on, so that the removal comes while it stops.
    process.suspend()
    with ThreadPoolExecutor() as pool:
        stopping = pool.submit(portal.hub, "DELETE", server, token=portal.portal_token)
        until(lambda: portal.hub("GET", server).json()["pending"] == "stop", seconds=10, what="the stop")
        removing = pool.submit(portal.hub, "DELETE", f"/vaas/accounts/{account}", token=portal.portal_token)
        assert not wait([removing], timeout=1).done
        process.resume()
        assert (stopping.result().status_code, removing.result().status_code) == (204, 204)
    assert portal.hub("GET", f"/users/{account}").status_code == 404
    assert app_servers(portal.settings) == []


def test_an_app_server_knows_little_and_what_the_caller_asks_for_does_not_count(
    hub_with_stand_ins: RunningPortal, account: str
) -> None:
    _start(hub_with_stand_ins, account)
    host, path = _address(account)
    told = hub_with_stand_ins.get(path, host=host).json()
    assert {name for name in told if name.startswith(("JUPYTERHUB_", "JPY_", "VAAS_", "CONFIGPROXY"))} == {
        "JUPYTERHUB_API_TOKEN",
        "JUPYTERHUB_API_URL",
        "JUPYTERHUB_SERVER_NAME",
        "JUPYTERHUB_SERVICE_PREFIX",
        "JUPYTERHUB_SERVICE_URL",
        "JUPYTERHUB_USER",
        "VAAS_PORTAL_URL",
        "VAAS_ENVIRONMENTS",
        "VAAS_ENVIRONMENTS_FOLDER",
        "VAAS_SANDBOX",
    }
    assert told["HOME"] == str(hub_with_stand_ins.settings.run / "apps" / account / "v1")
    assert told["VAAS_PORTAL_URL"] == hub_with_stand_ins.settings.portal_internal_url


def test_an_apps_token_says_which_server_it_is_and_opens_nothing(
    hub_with_stand_ins: RunningPortal, account: str
) -> None:
    _start(hub_with_stand_ins, account)
    host, path = _address(account)
    token = hub_with_stand_ins.get(path, host=host).json()["JUPYTERHUB_API_TOKEN"]
    assert f"access:servers!server={account}/v1" in hub_with_stand_ins.hub("GET", "/user", token=token).json()["scopes"]
    refused = [("GET", "/users"), ("GET", "/users/ada"), ("GET", f"/users/{account}/tokens")]
    refused += [("POST", f"/users/{account}/tokens"), ("POST", f"/users/{account}/servers/v2"), ("GET", "/proxy")]
    refused += [("PUT", f"/vaas/accounts/{account}"), ("DELETE", f"/vaas/accounts/{account}")]
    codes = {call: hub_with_stand_ins.hub(*call, token=token).status_code for call in refused}
    assert set(codes.values()) <= {403, 404}, codes


@pytest.mark.parametrize("path", ["/hub/login", "/hub/api/", "/hub/home", "/", "/services/vaas/"])
def test_an_apps_host_serves_nothing_but_the_app(hub_with_stand_ins: RunningPortal, account: str, path: str) -> None:
    host, own = _address(account)
    _start(hub_with_stand_ins, account)
    assert hub_with_stand_ins.get(own, host=host).status_code == 200
    assert hub_with_stand_ins.get(path, host=host).status_code == 404


@pytest.mark.parametrize("server", ["", "lab", "v0", "dxyz"])
def test_an_account_runs_versions_and_drafts_only(hub_with_stand_ins: RunningPortal, account: str, server: str) -> None:
    path = f"/users/{account}/servers/{server}" if server else f"/users/{account}/server"
    hub_with_stand_ins.hub("POST", path, token=hub_with_stand_ins.portal_token)
    progress = hub_with_stand_ins.hub("GET", f"{path}/progress").text
    assert "An app's server is called after its version." in progress
    assert app_servers(hub_with_stand_ins.settings) == []


@pytest.mark.parametrize("server", ["", "mine"])
def test_people_get_no_servers_but_from_the_portal(hub_with_stand_ins: RunningPortal, server: str) -> None:
    token = hub_with_stand_ins.token_for("ada")
    path = f"/users/ada/servers/{server}" if server else "/users/ada/server"
    hub_with_stand_ins.hub("POST", path, token=token)
    progress = hub_with_stand_ins.hub("GET", f"{path}/progress", token=token).text
    assert "people's servers begin there" in progress
