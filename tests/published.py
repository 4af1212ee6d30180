"""What tests of a running portal do over and over: publish by REST, and come as a browser does."""

from __future__ import annotations

import base64
import re
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal, until

__all__ = ["Browser", "call", "publish"]

_SECURE = ("http", "https")


def call(portal: RunningPortal, method: str, path: str, token: str, body: Any = None) -> Any:
    """Ask the portal's REST and return what it says; anything but a yes is a failure."""
    answer = portal.request(method, f"/services/vaas/api/{path}", token=token, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def publish(portal: RunningPortal, token: str, *cells: Any, title: str, to: str = "") -> dict[str, Any]:
    """Check and publish a notebook, for ``to`` (a subject) if it is given, and return the app."""
    files = {"lesson.ipynb": base64.b64encode(notebook(*(cells or ("1 + 1",)))).decode()}
    draft = call(portal, "POST", "uploads", token, {"files": files})["id"]
    until(lambda: call(portal, "GET", f"drafts/{draft}", token)["state"] == "done", seconds=90, what="the check")
    app: dict[str, Any] = call(portal, "POST", f"drafts/{draft}/publish", token, {"title": title})
    if to:
        call(portal, "PUT", f"apps/{app['slug']}/grants/{to}", token, {"access": "VIEW"})
    return app


class _Loopback(httpx.HTTPTransport):
    """Takes every host to this machine, as browsers do for names under localhost."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it with its own Host header."""
        url = request.url.copy_with(host="127.0.0.1")
        moved = httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        return super().handle_request(moved)


class Browser(httpx.Client):
    """A client with a browser's cookies: Secure ones go to localhost over http too."""

    def __init__(self, portal: RunningPortal) -> None:
        self.portal = portal
        jar = CookieJar(policy=DefaultCookiePolicy(secure_protocols=_SECURE))
        self._held = httpx.Cookies(jar)
        super().__init__(
            base_url=portal.settings.public_url,
            cookies=jar,
            transport=_Loopback(),
            timeout=30,
            follow_redirects=True,
            headers={"User-Agent": "tests", "Sec-Fetch-Mode": "navigate"},
            event_hooks={"request": [self._bring_cookies]},
        )

    def _bring_cookies(self, request: httpx.Request) -> None:
        """Send what the jar's own policy says: the client copies cookies into a jar that has none."""
        request.headers.pop("Cookie", None)
        self._held.set_cookie_header(request)

    @property
    def origin(self) -> str:
        """The portal's origin."""
        return self.portal.settings.origin

    def sign_in(self, name: str) -> Browser:
        """Sign in at the Hub's page."""
        page = self.get("/services/vaas/login?next=/services/vaas/")
        form = {"username": name, "password": self.portal.settings.demo_password, "_xsrf": token_of(page)}
        self.post(str(page.url), data=form, headers={"Origin": self.origin}).raise_for_status()
        assert self.name == name
        return self

    @property
    def name(self) -> str:
        """Who the portal thinks that this is, "" for nobody."""
        answer = self.get("/services/vaas/api/me", headers={"Sec-Fetch-Site": "same-origin"})
        return str(answer.json()["name"])

    def way_in(self, slug: str) -> tuple[str, str]:
        """Return where the app's door leads and the ticket for it, once the app is up."""
        found: list[re.Match[str] | None] = [None, None]

        def ready() -> bool:
            page = self.get(f"/services/vaas/apps/{slug}/open").text
            found[:] = [re.search(p, page) for p in (r'action="(http[^"]+/visit)"', r'name="ticket" value="([^"]+)"')]
            return all(found)

        until(ready, seconds=60, what=f"{slug} to open")
        action, ticket = found
        assert action and ticket
        return action[1], ticket[1]

    def enters(self, slug: str) -> str:
        """Open the app and return its page's address."""
        action, ticket = self.way_in(slug)
        parts = urlsplit(action)
        form = {"ticket": ticket, "query": ""}
        answer = self.post(action, data=form, headers={"Origin": self.origin}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return f"{parts.scheme}://{parts.netloc}{answer.headers['Location']}"


def token_of(page: httpx.Response) -> str:
    """Return the forgery token of a page's form."""
    found = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]
