"""An app's page, or any other, acts at portal and Hub with its visitor's cookies; and plants cookies for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from hub_service.routes import API, PAGES
from tests.portal_fixture import RunningPortal
from tests.published import Browser, call, publish, token_of

pytestmark = [pytest.mark.attack, pytest.mark.hub]
PREFIX = "/services/vaas/"
APP_HOST = "app-abcdefgh1234.vaas.localhost"
ADDRESS = {
    "slug": "none",
    "draft": "00000000",
    "store": "home",
    "path": "",
    "subject": "user:eve",
    "link": "aaaaaaaaaaaa",
    "basket": "current",
    "thing": "0" * 16,
    "search": "aaaaaaaaaaaa",
    "request": "aaaaaaaaaaaa",
    "launch": "aaaaaaaaaaaa",
    "run": "aaaaaaaaaaaa",
    "series": "aaaaaaaaaaaa",
    "schedule": "aaaaaaaaaaaa",
}
#: Every request that changes something, as method and path.
CHANGES = sorted(
    (method.upper(), PREFIX + re.sub(r"\{(\w+)\}", lambda m: ADDRESS[m[1]], route.path))
    for route in PAGES + API
    for method in route.methods
    if method != "get"
)


@pytest.fixture(scope="module")
def ada(hub: RunningPortal) -> Iterator[Browser]:
    """Return somebody who is signed in and visits a malicious app."""
    with Browser(hub) as browser:
        yield browser.sign_in("ada")


@pytest.fixture(scope="module")
def token(ada: Browser) -> str:
    """Return a forgery token that is hers: the worst that a page could have."""
    return token_of(ada.get(PREFIX + "files/"))


def _elsewhere(ada: Browser) -> dict[str, dict[str, str]]:
    """Return what browsers say of requests from other pages than ours."""
    port = ada.portal.settings.port
    return {
        "an app's page": {"Origin": f"http://{APP_HOST}:{port}"},
        "another site": {"Origin": "http://evil.example"},
        "a sandboxed frame": {"Origin": "null"},
        "another port": {"Origin": "http://vaas.localhost:1"},
        "another scheme": {"Origin": ada.origin.replace("http:", "https:")},
        "a page of the same site that hides its origin": {"Sec-Fetch-Site": "same-site"},
        "a page of another site that hides its origin": {"Sec-Fetch-Site": "cross-site"},
    }


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_an_apps_page_changes_nothing_at_the_portal_whatever_its_form_holds(
    ada: Browser, token: str, method: str, path: str
) -> None:
    def send(said: dict[str, str]) -> int:
        headers = {**said, "X-XSRFToken": token, "Content-Type": "application/json"}
        return ada.request(method, path, headers=headers, content=b"{}", follow_redirects=False).status_code

    assert {page: send(said) for page, said in _elsewhere(ada).items()} == dict.fromkeys(_elsewhere(ada), 403)
    if not path.endswith("/logout"):
        assert send({"Origin": ada.origin, "Sec-Fetch-Site": "same-origin"}) != 403  # refused for its origin alone


def test_a_form_without_our_token_changes_nothing(ada: Browser) -> None:
    for headers in ({"Origin": ada.origin}, {"Origin": ada.origin, "X-XSRFToken": "2|" + "0" * 60}):
        assert ada.post(PREFIX + "stores/", data={"do": "connect"}, headers=headers).status_code == 401


def test_a_planted_forgery_token_of_somebody_else_changes_nothing(hub: RunningPortal, ada: Browser) -> None:
    with Browser(hub) as mallory:
        stolen = token_of(mallory.sign_in("sam").get(PREFIX + "files/"))
    with Browser(hub) as victim:
        victim.sign_in("emil")
        victim.cookies.set("_xsrf", stolen, domain="vaas.localhost", path=PREFIX + "stores/")
        headers = {"Origin": victim.origin, "X-XSRFToken": stolen}
        assert victim.post(PREFIX + "stores/", data={"do": "connect"}, headers=headers).status_code == 401
        assert victim.name == "emil"


def test_an_apps_page_cannot_sign_its_visitor_in_as_somebody_else(hub: RunningPortal) -> None:
    with Browser(hub) as victim:
        page = victim.get("/hub/login")
        form = {"username": "sam", "password": hub.settings.demo_password, "_xsrf": token_of(page)}
        for said in _elsewhere(victim).values():
            answer = victim.post("/hub/login", data=form, headers=said, follow_redirects=False)
            assert answer.status_code == 403
            assert not [name for name in victim.cookies if "login" in name]
        answer = victim.post("/hub/login", data=form, headers={"Origin": victim.origin}, follow_redirects=False)
        assert answer.status_code == 302


def test_a_page_without_any_cookies_takes_none_away(hub: RunningPortal, ada: Browser) -> None:
    with Browser(hub) as cookieless:
        for said in _elsewhere(ada).values():
            answer = cookieless.post(PREFIX + "logout", headers=said, follow_redirects=False)
            assert (answer.status_code, "__Host-" in answer.headers.get("Set-Cookie", "")) == (403, False)


def test_no_page_can_sign_its_visitor_out(ada: Browser, token: str) -> None:
    for said in _elsewhere(ada).values():
        for path in ("/hub/logout", PREFIX + "logout"):
            site = {"Sec-Fetch-Site": "same-site", **said}
            assert ada.get(path, headers=site).status_code == 200  # it asks
            assert ada.get(path, headers={**site, "Sec-Fetch-Mode": "no-cors"}).status_code == 200
        hub_token = token_of(ada.get("/hub/logout"))
        assert ada.post("/hub/logout", data={"_xsrf": hub_token}, headers=said).status_code == 403
        assert ada.post(PREFIX + "logout", data={"_xsrf": token}, headers=said).status_code == 403
    assert ada.get("/hub/logout", headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}).is_success
    assert ada.name == "ada"


def test_an_apps_page_makes_no_token_in_the_hub(ada: Browser) -> None:
    before = ada.portal.hub("GET", "/users/ada/tokens").json()
    hub_token = token_of(ada.get("/hub/logout"))
    for said in _elsewhere(ada).values():
        for planted in ("", hub_token[:-4] + "AAAA", "2|x"):
            headers = {**said, "X-XSRFToken": planted, "Sec-Fetch-Mode": "cors"}
            answer = ada.post("/hub/api/users/ada/tokens", json={}, headers=headers)
            assert answer.status_code == 403
    known = {entry["id"] for entry in before["api_tokens"]}
    assert {entry["id"] for entry in ada.portal.hub("GET", "/users/ada/tokens").json()["api_tokens"]} == known


def test_accounts_of_apps_are_made_by_no_page(ada: Browser) -> None:
    for said in _elsewhere(ada).values():
        answer = ada.put("/hub/api/vaas/accounts/app-abcdefgh9999", headers=said)
        assert answer.status_code == 403


# ---- cookies


def test_every_cookie_of_a_signed_in_visitor_is_one_that_no_other_host_can_plant(hub: RunningPortal) -> None:
    with Browser(hub) as browser:
        app = publish(hub, hub.token_for("ada"), title="Cookies", to="signed-in")
        browser.sign_in("sam").enters(app["slug"])
        jar = list(browser.cookies.jar)
    kinds = {"hub-login": 0, "session-id": 0, "service-vaas": 0, "vaas-visit": 0}
    for cookie in jar:
        if cookie.name == "_xsrf":  # signed for one session, and not enough by itself
            assert cookie.domain == "vaas.localhost" and not cookie.domain_specified
            continue
        assert cookie.name.startswith("__Host-"), cookie.name
        assert cookie.secure and cookie.path == "/" and not cookie.domain_specified
        assert cookie.has_nonstandard_attr("HttpOnly"), cookie.name
        for kind in kinds:
            kinds[kind] += kind in cookie.name
    assert all(kinds.values()), kinds


def test_planted_cookies_of_somebody_else_make_nobody_of_a_visitor(hub: RunningPortal) -> None:
    with Browser(hub) as mallory, Browser(hub) as victim:
        mallory.sign_in("sam")
        for cookie in list(mallory.cookies.jar):
            for path in ("/", "/hub/", PREFIX):
                victim.cookies.set(cookie.name.removeprefix("__Host-"), cookie.value or "", "vaas.localhost", path)
        assert victim.name == ""
        assert "login" in str(victim.get("/hub/home").url)


def test_of_two_links_cookies_neither_is_believed(hub: RunningPortal) -> None:
    owner = hub.token_for("ada")
    app = publish(hub, owner, title="By link")
    links = [call(hub, "POST", f"apps/{app['slug']}/links", owner, {"days": 1})["url"] for _ in range(2)]
    held = []
    for link in links:
        with Browser(hub) as comer:
            assert comer.get(link).status_code == 200
            held += [cookie.value for cookie in comer.cookies.jar if cookie.name == "__Host-vaas-links"]
    host = {"Host": f"vaas.localhost:{hub.settings.port}"}
    url = f"http://127.0.0.1:{hub.settings.port}{PREFIX}apps/{app['slug']}/"
    one, both = f"__Host-vaas-links={held[0]}", "; ".join(f"__Host-vaas-links={value}" for value in held)
    assert httpx.get(url, headers={**host, "Cookie": one}).status_code == 200
    assert httpx.get(url, headers={**host, "Cookie": both}).status_code == 404


# ---- what lies on an app's origin


@pytest.mark.parametrize(
    "path",
    ["static/js/menu.js", "static/js/opening.js", "static/css/portal.css", "", "api/me", "login", "logout", "health"],
)
def test_nothing_of_the_portal_is_on_an_apps_origin(hub: RunningPortal, path: str) -> None:
    assert hub.get(PREFIX + path).status_code in {200, 302}
    assert hub.get(PREFIX + path, host=APP_HOST).status_code == 404


@pytest.mark.parametrize("path", ["/favicon.ico", "/robots.txt", "/hub/api/", "/hub/login", "/hub/static/js/home.js"])
def test_nothing_of_the_hub_is_on_an_apps_origin(hub: RunningPortal, path: str) -> None:
    answer = hub.get(path, host=APP_HOST)
    assert answer.status_code == 404
    assert "script-src" in answer.headers["Content-Security-Policy"] or answer.headers["Content-Type"].startswith(
        "text"
    )


def test_windows_of_hub_and_portal_give_no_handle_to_others(hub: RunningPortal) -> None:
    for path in ("/hub/login", PREFIX, PREFIX + "logout", PREFIX + "api/me"):
        headers = hub.get(path).headers
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
