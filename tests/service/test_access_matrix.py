"""Every route as anonymous, stranger, viewer, reader, writer, owner, admin, service and app server."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hub_service.routes import API, LAUNCHED, PAGES, RUNTIME, slashes
from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal, until

pytestmark = pytest.mark.hub

#: Everyone who asks, and the access that they hold on the app (OWNER is 4).
RANK = {"anonymous": 0, "stranger": 0, "viewer": 1, "reader": 2, "writer": 3, "owner": 4, "admin": 4}
PEOPLE = {
    "stranger": "stan",
    "viewer": "vera",
    "reader": "rita",
    "writer": "wim",
    "owner": "ada",
    "admin": "root-admin",
}
VIEW, READ, WRITE, OWNER = 1, 2, 3, 4
#: For rows that are about nobody's app: anyone, and anyone who is signed in.
ANY, PERSON = -1, 0


@dataclass(frozen=True)
class Row:
    """A request, the access that it needs, and the status of a yes; ``mine`` is for what only its owner sees."""

    method: str
    path: str
    needs: int
    yes: int
    body: Any = None
    form: dict[str, str] | None = None
    at: str = ""
    mine: bool = False


MATRIX = (
    Row("get", "", ANY, 200),
    Row("get", "apps/{slug}/", VIEW, 200),
    Row("get", "apps/{slug}/cover", VIEW, 200),
    Row("get", "apps/{slug}/open", VIEW, 200),
    Row("get", "apps/{slug}/events", VIEW, 200),
    Row("post", "apps/{slug}/hand", VIEW, 400, form={}),
    Row("get", "apps/{slug}/launch", READ, 200),
    Row("post", "apps/{slug}/launch", READ, 400, form={"do": "copy", "store": "home", "folder": "a/../b"}),
    Row("get", "apps/{slug}/source.zip", READ, 200),
    Row("get", "apps/{slug}/share", WRITE, 200),
    Row("post", "apps/{slug}/share", WRITE, 303, form={"do": "revoke", "subject": "user:nobody"}),
    Row("get", "apps/{slug}/versions", READ, 200),
    Row("post", "apps/{slug}/versions", WRITE, 303, form={"hash": "{hash}"}),
    Row("get", "apps/{slug}/compare", READ, 200, at="?from=1&to=1"),
    Row("get", "apps/{slug}/log", WRITE, 200),
    Row("get", "apps/{slug}/settings", WRITE, 200),
    Row("post", "apps/{slug}/settings", WRITE, 303, form={"do": "save", "title": "Matrix"}),
    Row("post", "apps/{slug}/ask", VIEW, 400, form={"access": "NONSENSE"}),
    Row("get", "basket/{basket}", OWNER, 200, mine=True),
    Row("post", "basket/{basket}", OWNER, 303, form={"do": "rename", "name": "Matrix {basket}"}, mine=True),
    Row("get", "basket/{basket}/apps", OWNER, 200, mine=True),
    Row("get", "requests", PERSON, 200),
    Row("post", "requests", PERSON, 404, form={"do": "grant", "request": "{request}"}),
    Row("get", "launch", PERSON, 400),
    Row("post", "launch", PERSON, 404, form={"store": "home", "path": "none.ipynb"}),
    Row("get", "launches/{launch}/", PERSON, 404),
    Row("post", "launches/{launch}/", PERSON, 404, form={"do": "stop"}),
    Row("get", "launches/{launch}/events", PERSON, 404),
    Row("get", "servers", PERSON, 200),
    Row("get", "files/", PERSON, 200),
    Row("get", "files/{store}/{path}", PERSON, 200),
    Row("post", "upload", PERSON, 400, form={}),
    Row("get", "stores/", PERSON, 200),
    Row("post", "stores/", PERSON, 400, form={"do": "connect"}),
    Row("post", "drafts/", PERSON, 404, form={"store": "home", "path": "none.ipynb"}),
    Row("get", "drafts/{draft}/", OWNER, 200, mine=True),
    Row("get", "drafts/{draft}/events", OWNER, 200, mine=True),
    Row("get", "drafts/{draft}/publish", OWNER, 200, mine=True),
    Row("post", "drafts/{draft}/publish", OWNER, 400, form={"slug": "NO"}, mine=True),
    Row("get", "drafts/{draft}/check", OWNER, 200, mine=True),
    Row("post", "drafts/{draft}/check", OWNER, 303, form={}, mine=True),
    Row("post", "drafts/{draft}/discard", OWNER, 303, form={}, mine=True),
    Row("get", "runs/", PERSON, 200),
    Row("get", "runs/new", PERSON, 400),
    Row("post", "runs/new", READ, 400, form={"app": "{slug}", "how": "schedule", "every": "never"}),
    Row("get", "runs/series/{series}", OWNER, 200, mine=True),
    Row("post", "runs/series/{series}", OWNER, 400, form={"do": "nothing"}, mine=True),
    Row("get", "runs/{run}/", OWNER, 200, mine=True),
    Row("post", "runs/{run}/", OWNER, 303, form={"do": "cancel"}, mine=True),
    Row("get", "runs/{run}/events", OWNER, 200, mine=True),
    Row("get", "runs/{run}/log", OWNER, 200, mine=True),
    Row("get", "runs/{run}/result", OWNER, 404, mine=True),
    Row("get", "runs/{run}/notebook", OWNER, 404, mine=True),
    Row("post", "schedules/{schedule}", OWNER, 303, form={}, mine=True),
    Row("get", "l/{token}", ANY, 302),
    Row("get", "wake/{account}", VIEW, 302),
    Row("get", "proxy-errors/{status}", ANY, 404),
    Row("get", "login", ANY, 302),
    Row("get", "logout", ANY, 200),
    Row("post", "logout", ANY, 303, form={}),
    Row("get", "favicon.ico", ANY, 302),
    Row("get", "health", ANY, 200),
    Row("get", "facilities", ANY, 200),
    Row("get", "api/facilities", ANY, 200, at="?all=1"),
    Row("get", "api/facilities/schema.json", ANY, 200),
    Row("get", "api/openapi.json", ANY, 200),
    Row("get", "api/health", ANY, 200),
    Row("get", "api/me", ANY, 200),
    Row("get", "api/apps", ANY, 200),
    Row("get", "api/apps/{slug}", VIEW, 200),
    Row("patch", "api/apps/{slug}", WRITE, 200, body={"title": "Matrix"}),
    Row("get", "api/apps/{slug}/opening", VIEW, 200),
    Row("post", "api/apps/{slug}/opening", VIEW, 200, body={}),
    Row("get", "api/apps/{slug}/versions", READ, 200),
    Row("put", "api/apps/{slug}/versions/current", WRITE, 200, body={"hash": "{hash}"}),
    Row("get", "api/apps/{slug}/grants", WRITE, 200),
    Row("put", "api/apps/{slug}/grants/{subject}", WRITE, 200, body={"access": "VIEW"}),
    Row("delete", "api/apps/{slug}/grants/{subject}", WRITE, 204),
    Row("get", "api/apps/{slug}/incidents", WRITE, 200),
    Row("get", "api/apps/{slug}/links", WRITE, 200),
    Row("post", "api/apps/{slug}/links", WRITE, 201, body={"days": 1}),
    Row("delete", "api/apps/{slug}/links/{link}", WRITE, 204),
    Row("post", "api/drafts", PERSON, 404, body={"store": "home", "path": "none.ipynb"}),
    Row("post", "api/uploads", PERSON, 400, body={}),
    Row("get", "api/drafts/{draft}", OWNER, 200, mine=True),
    Row("post", "api/drafts/{draft}/check", OWNER, 200, body={}, mine=True),
    Row("post", "api/drafts/{draft}/publish", OWNER, 400, body={"slug": "NO"}, mine=True),
    Row("delete", "api/drafts/{draft}", OWNER, 204, mine=True),
    Row("get", "api/stores", PERSON, 200),
    Row("post", "api/stores", PERSON, 400, body={}),
    Row("delete", "api/stores/{store}", PERSON, 204),
    Row("get", "api/stores/{store}/files/{path}", PERSON, 200),
    Row("put", "api/stores/{store}/files/{path}", PERSON, 400),
    Row("get", "api/people", PERSON, 200),
    Row("get", "api/search", ANY, 200),
    Row("get", "api/search/suggest", ANY, 200, at="?q=a"),
    Row("get", "api/records/{catalog}/{record}", VIEW, 200),
    Row("get", "api/previews/{catalog}/{record}", VIEW, 200),
    Row("post", "api/ask", PERSON, 200, body={"verb": "me"}),
    Row("get", "api/baskets", PERSON, 200),
    Row("post", "api/baskets", PERSON, 400, body={"name": ""}),
    Row("get", "api/baskets/{basket}", OWNER, 200, mine=True),
    Row("patch", "api/baskets/{basket}", OWNER, 200, body={"name": "Matrix {basket}"}, mine=True),
    Row("post", "api/baskets/{basket}/things", OWNER, 404, body={"record": "none"}, mine=True),
    Row("delete", "api/baskets/{basket}/things/{thing}", OWNER, 204, mine=True),
    Row("delete", "api/baskets/{basket}", OWNER, 204, mine=True),
    Row("get", "api/saved", PERSON, 200),
    Row("post", "api/saved", PERSON, 400, body={"q": ""}),
    Row("delete", "api/saved/{search}", PERSON, 204),
    Row("put", "api/saved/{search}/seen", PERSON, 404),
    Row("get", "api/requests", PERSON, 200),
    Row("post", "api/requests", VIEW, 400, body={"slug": "{slug}", "access": "NONSENSE"}),
    Row("put", "api/requests/{request}", PERSON, 404, body={"grant": True}),
    Row("delete", "api/requests/{request}", PERSON, 404),
    Row("get", "api/launches", PERSON, 200),
    Row("post", "api/launches", READ, 400, body={"app": "{slug}", "facility": "moon"}),
    Row("get", "api/launches/{launch}", PERSON, 404),
    Row("delete", "api/launches/{launch}", PERSON, 404),
    Row("post", "api/launches/{launch}/stop", PERSON, 404),
    Row("post", "api/launches/{launch}/start", PERSON, 404),
    Row("get", "api/runs", PERSON, 200),
    Row("post", "api/runs", READ, 400, body={"app": "{slug}", "size": "none"}),
    Row("get", "api/runs/form", READ, 200, at="?app={slug}"),
    Row("post", "api/runs/series", READ, 400, body={"app": "{slug}", "table": [{}], "size": "none"}),
    Row("get", "api/runs/{run}", OWNER, 200, mine=True),
    Row("get", "api/runs/{run}/log", OWNER, 200, mine=True),
    Row("patch", "api/runs/{run}", OWNER, 200, body={"shared_with": []}, mine=True),
    Row("post", "api/runs/{run}/cancel", OWNER, 200, body={}, mine=True),
    Row("post", "api/runs/{run}/repeat", OWNER, 400, body={"values": {"none": 1}}, mine=True),
    Row("delete", "api/runs/{run}", OWNER, 204, mine=True),
    Row("get", "api/schedules", PERSON, 200),
    Row("post", "api/schedules", READ, 400, body={"app": "{slug}", "cron": "never", "until": "2100-01-01"}),
    Row("delete", "api/schedules/{schedule}", OWNER, 204, mine=True),
    Row("delete", "api/apps/{slug}", OWNER, 204),
)


@dataclass
class World:
    """A published app, people who hold something on it, and their tokens."""

    portal: RunningPortal
    tokens: dict[str, str]
    slug: str
    app_id: str
    hash: str
    files: dict[str, str]

    def draft(self) -> str:
        """Return a new draft of the owner, checked."""
        return _draft(self.portal, self.tokens["owner"], self.files)

    def basket(self) -> str:
        """Return a new basket of the owner."""
        made = _call(self.portal, "POST", "baskets", self.tokens["owner"], {"name": secrets.token_hex(8)})
        return str(made["id"])

    def run(self) -> dict[str, str]:
        """Return a new run of the owner, which was cancelled, and the series that it is of."""
        asked = {"app": self.slug, "table": [{}]}
        made = _call(self.portal, "POST", "runs/series", self.tokens["owner"], asked)
        run = made["runs"][0]["id"]
        _call(self.portal, "POST", f"runs/{run}/cancel", self.tokens["owner"], {})
        return {"run": run, "series": made["series"]}

    def schedule(self) -> str:
        """Return a new schedule of the owner."""
        asked = {"app": self.slug, "cron": "0 0 1 1 *", "until": _next_year()}
        return str(_call(self.portal, "POST", "schedules", self.tokens["owner"], asked)["id"])

    def ask(self, who: str, row: Row, names: dict[str, str]) -> int:
        """Send the row's request and return the status."""
        path = "/services/vaas/" + row.path.format(**names) + row.at.format(**names)
        settings = self.portal.settings
        headers = {"Host": f"{settings.domain}:{settings.port}"}
        if token := self.tokens.get(who):
            headers["Authorization"] = f"token {token}"
        said: dict[str, Any] = {}
        if row.form is not None:
            said["data"] = {key: value.format(**names) for key, value in row.form.items()} or {"none": "1"}
        elif row.body is not None:
            said["json"] = {k: v.format(**names) if isinstance(v, str) else v for k, v in row.body.items()}
        url = f"http://127.0.0.1:{settings.port}{path}"
        with httpx.stream(row.method.upper(), url, headers=headers, timeout=30, verify=False, **said) as answer:
            return answer.status_code


def _next_year() -> str:
    return (datetime.now(UTC) + timedelta(days=300)).isoformat()


def _call(portal: RunningPortal, method: str, path: str, token: str, body: Any = None) -> Any:
    answer = portal.request(method, f"/services/vaas/api/{path}", token=token, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def _draft(portal: RunningPortal, token: str, files: dict[str, str]) -> str:
    made = _call(portal, "POST", "uploads", token, {"files": files})
    deadline = time.monotonic() + 90
    while _call(portal, "GET", f"drafts/{made['id']}", token)["state"] != "done":
        assert time.monotonic() < deadline, "the check takes too long"
        time.sleep(0.2)
    return str(made["id"])


@pytest.fixture(scope="module")
def world(hub: RunningPortal) -> Iterator[World]:
    """Return the world that the matrix is about."""
    for name in {*PEOPLE.values()} - {"ada", "root-admin"}:
        hub.hub("POST", f"/users/{name}")
    tokens = {role: hub.token_for(name) for role, name in PEOPLE.items()}
    tokens["service"] = hub.admin_token
    files = {"matrix.ipynb": base64.b64encode(notebook("1 + 1")).decode()}
    draft = _draft(hub, tokens["owner"], files)
    app = _call(hub, "POST", f"drafts/{draft}/publish", tokens["owner"], {"title": "Matrix"})
    for role, access in (("viewer", "VIEW"), ("reader", "READ"), ("writer", "WRITE")):
        _call(hub, "PUT", f"apps/{app['slug']}/grants/user:{PEOPLE[role]}", tokens["owner"], {"access": access})
    # The index follows.
    shown = f"/services/vaas/api/records/here/app:{app['id']}"
    until(lambda: hub.get(shown, token=tokens["writer"]).status_code == 200, seconds=30, what="the app to be indexed")
    yield World(hub, tokens, app["slug"], app["id"], app["version"], files)


def _expected(row: Row, who: str) -> int:
    """Say what the rules of the design say; a stranger may not learn that there is something."""
    if who == "service":
        return 403
    rank, page = RANK[who], not row.path.startswith("api/")
    signed_in_only = next(r.access for r in PAGES + API if r.path == row.path) == "signed-in"
    if who == "anonymous" and signed_in_only:
        return 302 if page and row.method == "get" else 401
    if row.mine:
        return row.yes if who == "owner" else 404
    if row.needs > 0 and rank == 0:
        return 404
    if rank < row.needs:
        return 403
    return row.yes


def test_every_route_is_in_the_matrix() -> None:
    routes = {(method, route.path) for route in PAGES + API for method in route.methods}
    rows = {(row.method, row.path) for row in MATRIX}
    assert routes == rows


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: f"{row.method} {row.path}")
def test_a_route_answers_as_the_rules_say(world: World, row: Row) -> None:
    token = _call(world.portal, "POST", f"apps/{world.slug}/links", world.tokens["owner"], {"days": 1})["url"]
    names = {
        "slug": world.slug,
        "account": f"app-{world.app_id}",
        "status": "404",
        "hash": world.hash,
        "store": "home",
        "path": "",
        "subject": "user:nobody" if row.method == "delete" else "group:students",
        "link": "aaaaaaaaaaaa",
        "token": token.rpartition("/")[2],
        "catalog": "here",
        "record": f"app:{world.app_id}",
        "draft": world.draft() if row.mine and "{draft}" in row.path else "00000000",
        "basket": world.basket() if "{basket}" in row.path else "",
        "thing": "0" * 16,
        "search": "aaaaaaaaaaaa",
        "request": "aaaaaaaaaaaa",
        "launch": "aaaaaaaaaaaa",
        "schedule": world.schedule() if "{schedule}" in row.path else "",
        **(world.run() if re.search(r"\{(run|series)\}", row.path) else {"run": "", "series": ""}),
    }
    asked = [who for who in (*RANK, "service") if who != "owner"] + ["owner"]  # the owner's yes may end the thing
    if row.path == "api/apps/{slug}" and row.method == "delete":
        asked.remove("admin")
    found = {who: world.ask(who, row, names) for who in asked}
    assert found == {who: _expected(row, who) for who in asked}


@pytest.mark.attack
@pytest.mark.parametrize("who", ["anonymous", "stranger", "owner"])
def test_a_slash_too_few_or_too_many_tells_nothing_of_whether_there_is_a_page(world: World, who: str) -> None:
    nobodys = {"slug": "none", "draft": "00000000", "run": "a" * 12, "launch": "a" * 12, "account": "app-aaaaaaaaaaaa"}
    more = {"basket": "current", "series": "a" * 12, "store": "home", "token": "a" * 32, "status": "404"}
    for route in slashes():
        row = Row("get", route.path, ANY, 302)
        there = world.ask(who, row, {**nobodys, **more, "slug": world.slug, "account": f"app-{world.app_id}"})
        assert world.ask(who, row, {**nobodys, **more}) == there == 302, route.path


@pytest.mark.parametrize("route", RUNTIME + LAUNCHED, ids=lambda route: route.path)
@pytest.mark.parametrize("who", ["anonymous", "stranger", "owner", "admin", "service"])
def test_what_servers_ask_is_for_servers_alone(world: World, route: Any, who: str) -> None:
    for method in route.methods:
        answer = world.portal.request(
            method.upper(),
            f"/services/vaas/{route.path.format(thing='0' * 16)}",
            token=world.tokens.get(who, ""),
            json={},
        )
        assert answer.status_code == 403
