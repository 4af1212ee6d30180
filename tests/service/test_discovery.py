"""The portal's own app on the real portal: everybody opens it, and it finds what they may see and nothing else."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.notebooks import markdown, notebook
from tests.portal_fixture import RunningPortal, until
from tests.service.visiting import Visiting
from vaas.client.client import Client
from vaas.client.errors import PortalError
from vaas.client.wires import Rest

pytestmark = pytest.mark.hub


class Opened(Visiting):
    """The app, opened by somebody through the portal's door, without a browser."""

    async def found(self, text: str) -> str:
        """Type something, and return what is shown."""
        (page,) = [comm for comm, made in (await self.states()).items() if "answer" in made["state"]]
        said = {"event": "search", "data": {"q": text, "typing": True, "n": 2}}
        await self.send("comm_msg", {"comm_id": page, "data": {"method": "custom", "content": said}})
        return await self.shown()

    async def shown(self) -> str:
        """Return what is shown."""
        (answer,) = [made["state"]["answer"] for made in (await self.states()).values() if "answer" in made["state"]]
        titles = [card["title"] for card in answer.get("records", ())]
        return f"{answer.get('total')} found {titles} {answer.get('why', '')}"


async def opened(portal: RunningPortal, token: str = "") -> Opened:
    """Open the app, waiting until it is up."""
    address, host = f"http://127.0.0.1:{portal.settings.port}", f"{portal.settings.domain}:{portal.settings.port}"
    headers = {"Host": host} | ({"Authorization": f"token {token}"} if token else {})
    async with httpx.AsyncClient(timeout=60) as http:
        until_then = time.monotonic() + 90
        while not (
            form := re.search(
                r'action="(http://[^"]+/visit)".*?name="ticket" value="([^"]+)"',
                (await http.get(f"{address}/services/vaas/apps/discover/open", headers=headers)).text,
                re.DOTALL,
            )
        ):
            assert time.monotonic() < until_then, portal.log()
            await asyncio.sleep(0.3)
        action, ticket = map(html.unescape, form.groups())
        there = re.match(r"http://([^/]+)(/.*/)visit", action)
        assert there
        own, path = there.groups()
        said = {"Host": own, "Origin": f"http://{host}"}
        came = await http.post(f"{address}{path}visit", headers=said, data={"ticket": ticket})
        assert came.status_code == 303, came.text
        cookie = came.headers["Set-Cookie"].split(";")[0]
        page = await http.get(f"{address}{path}", headers={"Host": own, "Cookie": cookie})
        assert page.status_code == 200, page.text
    kernel = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page.text, re.DOTALL)[1])["kernelId"]  # type: ignore[index]
    request = HTTPRequest(
        f"ws://127.0.0.1:{portal.settings.port}{path}api/kernels/{kernel}/channels?session_id=x",
        headers={"Host": own, "Origin": f"http://{own}", "Cookie": cookie},
    )
    return Opened(None, None, await websocket_connect(request))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def people(hub: RunningPortal) -> dict[str, str]:
    for name in ("kari", "liv"):
        hub.hub("POST", f"/users/{name}")
    return {name: hub.token_for(name) for name in ("kari", "liv")} | {"nobody": ""}


@pytest.fixture(scope="module")
def apps(hub: RunningPortal, people: dict[str, str]) -> Iterator[dict[str, str]]:
    """Return two apps of kari's: one for herself, one for everyone; both can be found."""
    made = {}
    for title, subjects in (("Glacier private", []), ("Glacier public", ["everyone"])):
        files = {"a.ipynb": base64.b64encode(notebook(markdown(f"# {title}"), "1 + 1")).decode()}
        draft = call(hub, "POST", "uploads", people["kari"], {"files": files})["id"]
        done = lambda draft=draft: call(hub, "GET", f"drafts/{draft}", people["kari"])["state"] == "done"  # noqa: E731
        until(done, seconds=90, what="the check")
        made[title] = call(hub, "POST", f"drafts/{draft}/publish", people["kari"], {"subjects": subjects})["slug"]
    until(lambda: len(titles(hub, people["kari"])) == 2, seconds=30, what="the apps to be found")
    yield made
    for slug in made.values():
        call(hub, "DELETE", f"apps/{slug}", people["kari"])


def call(portal: RunningPortal, method: str, path: str, token: str, body: Any = None) -> Any:
    answer = portal.request(method, f"/services/vaas/api/{path}", token=token, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def titles(portal: RunningPortal, token: str) -> list[str]:
    return sorted(r["title"] for r in call(portal, "GET", "search?q=glacier", token)["records"])


async def test_each_visitor_finds_what_they_may_see(
    hub: RunningPortal, people: dict[str, str], apps: dict[str, str]
) -> None:
    visits = {name: await opened(hub, token) for name, token in people.items()}
    shown = {name: await visit.found("glacier") for name, visit in visits.items()}
    assert "Glacier private" in shown["kari"] and "Glacier public" in shown["kari"]
    for name in ("liv", "nobody"):
        assert "Glacier private" not in shown[name] and "Glacier public" in shown[name]
        assert "1 found" in shown[name]
    # A grant and its end count for who is in already.
    call(hub, "PUT", f"apps/{apps['Glacier private']}/grants/user:liv", people["kari"], {"access": "VIEW"})
    await shows(visits["liv"], "Glacier private", True)
    call(hub, "DELETE", f"apps/{apps['Glacier private']}/grants/user:liv", people["kari"])
    await shows(visits["liv"], "Glacier private", False)
    for visit in visits.values():
        visit.socket.close()


async def shows(visit: Opened, title: str, there: bool) -> None:
    until_then, number = time.monotonic() + 30, 0
    while (title in await visit.found(f"glacier {'*' * (number % 2)}".strip())) is not there:
        assert time.monotonic() < until_then
        number += 1
        await asyncio.sleep(0.2)


def test_the_same_client_asks_with_a_token(hub: RunningPortal, people: dict[str, str], apps: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{hub.settings.port}/services/vaas/"
    kari, nobody = Client(Rest(url, people["kari"])), Client(Rest(url, ""))
    assert kari.me() == {"name": "kari", "signed_in": True, "launch": True}
    assert nobody.me() == {"name": None, "signed_in": False, "launch": False}
    page = kari.search("glacier", limit=1, typing=True)
    assert page["total"] == 2 and len(page["records"]) == 1
    more = kari.search("glacier", limit=1, cursor=page["cursor"])["records"]
    assert {r["title"] for r in page["records"] + more} == set(apps)
    assert kari.suggest("glac") == {"suggestions": ["glacier"]}
    (record,) = kari.search("private glacier")["records"]
    assert kari.record("here", record["id"])["title"] == "Glacier private"
    assert kari.preview("here", record["id"])["kind"] == "none"
    with pytest.raises(PortalError, match="nothing like that") as refused:
        nobody.record("here", record["id"])
    assert refused.value.kind == "NotFound"
    with pytest.raises(PortalError):
        Client(Rest(url, "wrong")).basket()


def test_who_finds_no_app_in_the_gallery_is_offered_to_look_everywhere(hub: RunningPortal) -> None:
    gallery = "/services/vaas/"
    found = hub.get(f"{gallery}?q=%3Cb%3Exyzzy%20%26%20q", token=hub.token_for("ada")).text
    assert f'href="{gallery}apps/discover/open?q=%3Cb%3Exyzzy%20%26%20q"' in found
    assert "Search everything for “&lt;b&gt;xyzzy &amp; q” in Discover" in found
    assert "Search everything for “xyzzy”" in hub.get(f"{gallery}?q=xyzzy&show=mine").text
    # Not where apps are found, or nothing was looked for.
    assert "Search everything" not in hub.get(f"{gallery}?q=discover").text
    assert "Search everything" not in hub.get(f"{gallery}?category=xyzzy").text
