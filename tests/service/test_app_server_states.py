"""The state of a page's widgets, which comes with the page as long as the kernel has said nothing since."""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.notebooks import notebook
from tests.service.portal_stub import COOKIE, LoadedPage, PortalStub, Visitor, running
from tests.unit.test_frames import message, v1
from vaas.runtime.frames import V1

pytestmark = [pytest.mark.app, pytest.mark.slow]
SLIDER = "import ipywidgets as widgets\nslider = widgets.IntSlider(value=3, description='waves')\nslider"
PICTURE = "widgets.Image(value=bytes(range(256)), format='png')"
Opened = Callable[..., AbstractAsyncContextManager[LoadedPage]]


@pytest.fixture(params=[0, 1], ids=["own kernel", "ahead"])
def ahead(request: pytest.FixtureRequest) -> int:
    """Return whether the notebook is run ahead of its visits."""
    return int(request.param)


@pytest.fixture
def opened(tmp_path: Path, ahead: int) -> Opened:
    """Return what serves a notebook and loads its page."""

    @asynccontextmanager
    async def opened(*cells: str) -> AsyncIterator[LoadedPage]:
        portal = PortalStub({"lesson.ipynb": notebook(*cells)}, limits={"ahead": ahead})
        async with portal.served() as stub, running(stub, folder=tmp_path) as app:
            visitor = Visitor(app, portal=stub)
            await visitor.enter()
            yield await visitor.page()

    return opened


def address(page: LoadedPage) -> str:
    """Return where the page finds its state, from the server's path; "" if it is to ask its kernel."""
    begins = re.search(r'begin\(\{ kernel: "(.+?)", state: "(.*?)" \}', page.html)
    assert begins is not None
    assert begins[1] == page.kernel
    return begins[2].rpartition("/v3/")[2]


async def state_of(page: LoadedPage) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Return what the state says: of the kernel, of the widgets, and their buffers."""
    answer = await page.visitor.ask(address(page))
    assert answer.code == 200
    (count,) = struct.unpack_from("<Q", answer.body)
    offsets = struct.unpack_from(f"<{count}Q", answer.body, 8)
    parts = [answer.body[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False)]
    return json.loads(parts[0]), json.loads(parts[1]), parts[2:]


async def connect(page: LoadedPage) -> tuple[WebSocketClientConnection, str]:
    """Open the websocket as the page does; return it and the state that the server says is the kernel's."""
    url = f"{page.visitor.app.url.replace('http', 'ws', 1)}api/kernels/{page.kernel}/channels?session_id=1&vaas=state"
    headers = {"Cookie": f"{COOKIE}={page.visitor.cookie}", "Origin": page.visitor.app.origin}
    socket = await websocket_connect(HTTPRequest(url, headers=headers), subprotocols=[V1])
    while not isinstance(heard := await asyncio.wait_for(socket.read_message(), 20), str):
        assert heard is not None
    return socket, json.loads(heard)["state"]


async def test_the_state_has_all_widgets_and_their_bytes(opened: Opened) -> None:
    async with opened(SLIDER, PICTURE) as page:
        about, told, buffers = await state_of(page)
    assert about["info"]["language_info"]["name"] == "python"
    assert about["session"]
    models = {widget["state"]["_model_name"]: widget["state"] for widget in told["states"].values()}
    assert models["IntSliderModel"]["value"] == 3
    assert "ImageModel" in models
    assert buffers == [bytes(range(256))]
    assert [path[1:] for path in told["buffer_paths"]] == [["state", "value"]]


async def test_a_page_without_widgets_has_a_state_too_and_its_kernel_does_not_complain(opened: Opened) -> None:
    async with opened("1 + 1") as page:
        _, told, _ = await state_of(page)
        assert told["states"] == {}
        assert "No such comm" not in page.visitor.app.text()


async def test_the_state_is_for_the_visit_alone_and_kept_where_it_is_that_of_all(opened: Opened, ahead: int) -> None:
    async with opened(SLIDER) as page:
        path, visitor = address(page), page.visitor
        answer = await visitor.ask(path, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Cache-Control"] == ("private, max-age=31536000, immutable" if ahead else "no-store")
        assert answer.code == 200
        assert (await visitor.ask(path[:-1] + ("0" if path[-1] != "0" else "1"))).code == 404
        stranger = Visitor(visitor.app, portal=visitor.portal)
        assert (await stranger.ask(path)).code == 404
        await stranger.enter(visitor.portal.ticket(user="mallory"))
        assert (await stranger.ask(path)).code == 404
        await visitor.leave(page.token)
        async with asyncio.timeout(30):  # the page ends with the next sweep
            while (await visitor.ask(path)).code != 404:
                await asyncio.sleep(0.2)


async def test_the_server_says_that_the_state_is_current_until_a_widget_moves(opened: Opened) -> None:
    async with opened(SLIDER) as page:
        digest = address(page).rpartition("/")[2]
        _, told, _ = await state_of(page)
        slider = next(name for name, of in told["states"].items() if of["state"]["_model_name"] == "IntSliderModel")
        socket, state = await connect(page)
        assert state == digest
        socket.close()
        socket, state = await connect(page)
        assert state == digest
        moved = {"comm_id": slider, "data": {"method": "update", "state": {"value": 7}, "buffer_paths": []}}
        await socket.write_message(v1(message("comm_msg", moved)), binary=True)
        # The kernel has to hear of it first.
        async with asyncio.timeout(30):
            while state:
                socket.close()
                await asyncio.sleep(0.2)
                socket, state = await connect(page)


async def test_a_state_that_changes_by_itself_is_not_taken_for_current(opened: Opened) -> None:
    later = (
        "import threading, time\ndef move():\n    time.sleep(1.5)\n    slider.value = 9\n"
        "threading.Thread(target=move).start()"
    )
    async with opened(SLIDER, later) as page:
        assert address(page)
        async with asyncio.timeout(30):
            while (await connect(page))[1]:
                await asyncio.sleep(0.5)


async def test_a_kernel_that_never_rests_is_asked_by_its_page(opened: Opened) -> None:
    always = (
        "import threading, time\ndef move():\n    while True:\n        time.sleep(0.001)\n        slider.value += 1\n"
        "threading.Thread(target=move, daemon=True).start()"
    )
    async with opened(SLIDER.replace("value=3", "value=3, max=10**9"), always) as page:
        assert address(page) == ""
        assert (await connect(page))[1] == ""


async def test_who_does_not_ask_for_the_state_hears_jupyters_frames_alone(opened: Opened) -> None:
    async with opened(SLIDER) as page:
        socket = await page.connect(protocol=V1)
        await socket.write_message(v1(message("kernel_info_request", {})), binary=True)
        heard = [await asyncio.wait_for(socket.read_message(), 20) for _ in range(3)]
        assert all(isinstance(frame, bytes) for frame in heard)


@pytest.mark.parametrize("ahead", [1], indirect=True)
async def test_all_visits_of_a_template_have_one_state_until_they_move(opened: Opened) -> None:
    async with opened(SLIDER) as page:
        other = Visitor(page.visitor.app, portal=page.visitor.portal)
        await other.enter(page.visitor.portal.ticket(user="eve"))
        second = await other.page()
        digest = address(page).rpartition("/")[2]
        assert second.kernel != page.kernel
        assert address(second) == address(page)
        assert second.facts["state"] == page.facts.get("state", second.facts["state"])
        assert second.facts["kernel"] == second.kernel
        assert [(await connect(each))[1] for each in (page, second)] == [digest, digest]


@pytest.mark.parametrize("ahead", [1], indirect=True)
async def test_where_something_runs_when_a_visit_begins_its_page_asks_its_kernel(opened: Opened) -> None:
    hook = "import vaas\n@vaas.on_visit\ndef begin(visitor):\n    slider.value = 8"
    async with opened(SLIDER, hook) as page:
        second = await page.visitor.page()
        assert address(second) == ""
        assert (await connect(second))[1] == ""
