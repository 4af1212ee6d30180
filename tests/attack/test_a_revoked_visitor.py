"""Somebody whose access is taken away stays on the page, keeps the websocket, and comes again by the cookie."""

from __future__ import annotations

import asyncio
import json
import re
import time
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.portal_fixture import RunningPortal
from tests.published import Browser, call, publish

pytestmark = [pytest.mark.attack, pytest.mark.hub, pytest.mark.app]
#: Seconds that the issue grants.
PATIENCE = 30.0


def _socket(browser: Browser, page: str, kernel: str) -> HTTPRequest:
    """Return the request for the websocket of a page's kernel."""
    parts = urlsplit(page)
    cookie = "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar if c.domain == parts.hostname)
    origin = f"{parts.scheme}://{parts.netloc}"
    return HTTPRequest(
        f"ws://127.0.0.1:{parts.port}{parts.path}api/kernels/{kernel}/channels?session_id=a",
        headers={"Host": parts.netloc, "Origin": origin, "Cookie": cookie},
    )


async def _end(socket: WebSocketClientConnection) -> int | None:
    while await socket.read_message() is not None:
        pass
    return socket.close_code


async def test_a_revoked_visitors_page_and_open_websocket_are_shut_within_30_seconds(hub: RunningPortal) -> None:
    owner = hub.token_for("ada")
    app = publish(hub, owner, "import ipywidgets; ipywidgets.IntSlider()", title="Revoked", to="user:sam")
    with Browser(hub) as sam:
        page = sam.sign_in("sam").enters(app["slug"])
        html = sam.get(page).text
        kernel = json.loads(
            re.findall(r'id="jupyter-config-data" type="application/json">(.*?)</script>', html, re.S)[0]
        )
        asked = _socket(sam, page, kernel["kernelId"])
        socket = await websocket_connect(asked)
        call(hub, "DELETE", f"apps/{app['slug']}/grants/user:sam", owner)
        began = time.monotonic()
        assert await asyncio.wait_for(_end(socket), PATIENCE) == 4403
        assert time.monotonic() - began < PATIENCE
        with pytest.raises(HTTPClientError, match="404"):
            await websocket_connect(asked)
        assert sam.get(page, follow_redirects=False).status_code == 303  # to the door, which is shut
        assert sam.get(page).status_code == 404


async def test_a_visitor_who_left_the_group_is_out_too(hub: RunningPortal) -> None:
    owner = hub.token_for("ada")
    app = publish(hub, owner, title="Left the group", to="group:physics")
    hub.hub("POST", "/users/gus").raise_for_status()
    hub.hub("POST", "/groups/physics/users", json={"users": ["gus"]}).raise_for_status()
    token = hub.token_for("gus")
    slug = app["slug"]
    assert hub.get(f"/services/vaas/apps/{slug}/", token=token).status_code == 200
    hub.hub("DELETE", "/groups/physics/users", json={"users": ["gus"]}).raise_for_status()
    deadline = time.monotonic() + PATIENCE
    while hub.get(f"/services/vaas/apps/{slug}/", token=token).status_code != 404:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
