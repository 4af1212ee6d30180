"""Endless output harms the page that it comes from: the server's memory is bounded, and other pages still come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psutil
import pytest
from tornado.websocket import WebSocketClosedError

from tests.service.portal_stub import COOKIE, AppProcess, LoadedPage, Visitor
from tests.service.test_app_server_life import Start, soon, start
from tests.service.test_app_server_stalls import incidents
from tests.unit.test_frames import message

__all__ = ["start"]

pytestmark = pytest.mark.app
MB = 1_000_000
#: What an app may cost the server beyond what it has anyway, whatever it puts out.
MOST = 400 * MB
#: Only visitors who ask for it get the flood, so that others can come to the same app meanwhile.
GATE = "import os\nfrom IPython.display import display, HTML, Image\nFLOOD = 'flood' in os.environ['QUERY_STRING']"


class Peak:
    """The most memory that the server had."""

    def __init__(self, app: AppProcess) -> None:
        self._process = psutil.Process(app.process.pid)
        self.before = self.most = self._process.memory_info().rss

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, self._process.memory_info().rss)
            await asyncio.sleep(0.05)

    @property
    def growth(self) -> int:
        return self.most - self.before


@asynccontextmanager
async def measured(app: AppProcess) -> AsyncIterator[Peak]:
    peak = Peak(app)
    watching = asyncio.ensure_future(peak.watch())
    yield peak
    watching.cancel()


@pytest.mark.parametrize(
    "flood",
    [
        "while FLOOD: print('x' * 1000)",
        "while FLOOD: display(HTML('x' * 10**6))",
        "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    while FLOOD: print('x' * 1000)",
        "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    while FLOOD: display(HTML('x' * 10**5))",
        "import ipywidgets\nbox = ipywidgets.Text()\nwhile FLOOD: box.value = str(os.urandom(10**5))",
        "handle = display('', display_id=True)\nwhile FLOOD: handle.update(HTML('x' * 10**5))",
        "import sys\nwhile FLOOD: print('x' * 1000, file=sys.stderr)",
    ],
    ids=[
        "prints",
        "displays",
        "prints inside an Output widget",
        "displays inside an Output widget",
        "widget state",
        "updates",
        "standard error",
    ],
)
async def test_output_without_end_ends_its_page_and_nothing_else(start: Start, flood: str) -> None:
    portal, app, visitor = await start(GATE, flood, "print('the end')", cell_seconds=60)
    other = Visitor(app, portal=portal)
    await other.enter()
    await other.page()
    async with measured(app) as peak:
        flooding = asyncio.ensure_future(visitor.ask("?flood"))
        while not flooding.done():
            began = time.monotonic()
            page = await other.page()
            assert "the end" in page.html
            assert time.monotonic() - began < 15
            await other.leave(page.token)
        answer = flooding.result()
    assert b'end("flooded")' in answer.body
    assert await soon(lambda: incidents(portal))
    (told,) = incidents(portal)
    assert told["kind"] == "output"
    assert "50 MB until cell 2" in told["text"]
    assert peak.growth < MOST, f"{peak.growth / MB:.0f} MB"


async def test_one_piece_of_output_that_is_far_too_large_is_not_read(start: Start) -> None:
    portal, app, visitor = await start(GATE, "display(HTML('x' * 300_000_000))", "print('the end')", cell_seconds=60)
    async with measured(app) as peak:
        answer = await asyncio.wait_for(visitor.ask("?flood"), 30)
    assert b'end("flooded")' in answer.body
    assert await soon(lambda: incidents(portal))
    assert "in one piece" in incidents(portal)[0]["text"]
    assert peak.growth < MOST, f"{peak.growth / MB:.0f} MB"


async def test_ten_thousand_outputs_in_a_row_are_all_there(start: Start) -> None:
    """A kernel publishes faster than the server reads; what waits is not thrown away."""
    cell = f"{GATE}\nfor i in range(10_000): display(HTML(f'<i>mark-{{i}}-</i>'))"
    _, _, visitor = await start(cell, "print('the end')", cell_seconds=60)
    page = await visitor.page()
    assert "the end" in page.html
    assert len(set(re.findall(r"mark-(\d+)-", page.html))) == 10_000


async def test_much_output_within_the_budget_is_a_page(start: Start) -> None:
    _, _, visitor = await start("for i in range(100): print('x' * 99_999)", "print('the end')", cell_seconds=60)
    page = await visitor.page()
    assert "the end" in page.html
    assert len(page.html) > 10 * MB


TALKS = """
import threading, time, ipywidgets
box = ipywidgets.Text()
text = str(os.urandom(10**5))
def talk():
    time.sleep(1)
    while FLOOD:
        box.value = text
        box.value = ''
threading.Thread(target=talk, daemon=True).start()
"""


async def test_a_browser_that_does_not_read_costs_little(start: Start) -> None:
    portal, app, visitor = await start(GATE, TALKS, cell_seconds=60, connect_within=60)
    page = LoadedPage(visitor, await visitor.ask("?flood"))
    async with measured(app) as peak:
        deaf = await connect_and_never_read(page)
        assert await soon(lambda: incidents(portal), within=60)
        assert await soon(lambda: not app.kernels)
    assert incidents(portal)[0]["kind"] == "output"
    assert "browser reads" in incidents(portal)[0]["text"]
    assert peak.growth < MOST, f"{peak.growth / MB:.0f} MB"
    deaf.close()
    other = Visitor(app, portal=portal)
    await other.enter()
    await other.page()


async def test_what_is_kept_for_a_visitor_who_is_away_has_an_end(start: Start) -> None:
    portal, app, visitor = await start(GATE, TALKS, cell_seconds=60, connect_within=60, lost_after=120)
    page = LoadedPage(visitor, await visitor.ask("?flood"))
    async with measured(app) as peak:
        (await page.connect()).close()
        assert await soon(lambda: incidents(portal), within=60)
        assert await soon(lambda: not app.kernels)
    assert "nobody was connected" in incidents(portal)[0]["text"]
    assert peak.growth < MOST, f"{peak.growth / MB:.0f} MB"


async def test_what_waits_for_a_kernel_that_is_busy_has_an_end(start: Start) -> None:
    portal, app, visitor = await start(connect_within=60)
    page = await visitor.page()
    socket = await page.connect()
    await socket.write_message(json.dumps(message("kernel_info_request", {})))
    while "kernel_info_reply" not in str(await asyncio.wait_for(socket.read_message(), 20)):
        pass
    for process in app.kernels:
        process.suspend()
    frame = message("comm_msg", {"comm_id": "x", "data": {"text": "x" * MB}})
    async with measured(app) as peak:
        with contextlib.suppress(WebSocketClosedError):
            for _ in range(300):
                await socket.write_message(json.dumps(frame))
        assert await soon(lambda: incidents(portal), within=20)
        assert await soon(lambda: not app.kernels)
    assert "than the kernel takes" in incidents(portal)[0]["text"]
    assert peak.growth < MOST, f"{peak.growth / MB:.0f} MB"


async def test_standard_error_without_end_does_not_fill_the_log(start: Start) -> None:
    talks = (
        "import threading, sys, time\n"
        "def talk():\n    while True:\n        print('x' * 1000, file=sys.stderr); time.sleep(0.001)\n"
        "threading.Thread(target=talk, daemon=True).start()"
    )
    _, app, visitor = await start(talks, connect_within=60)
    socket = await (await visitor.page()).connect()
    assert await soon(lambda: "left out of this log" in app.text(), within=30)
    size = len(app.text())
    await asyncio.sleep(1)
    assert len(app.text()) - size < 10_000
    assert socket.close_code is None


async def test_an_error_as_long_as_a_book_does_not_fill_the_log(start: Start) -> None:
    _, app, visitor = await start("raise ValueError('x' * 5_000_000 + 'its end')", cell_seconds=60)
    assert "could not be shown" in (await visitor.page()).html
    assert "its end" in app.text()
    assert len(app.text()) < 100_000


async def test_a_visitor_who_does_not_read_the_page_is_not_there(start: Start) -> None:
    _, app, visitor = await start("print('x' * 20_000_000)", cell_seconds=60, lost_after=2)
    host, port = urlsplit(app.url).netloc.split(":")
    lines = [f"GET {urlsplit(app.url).path} HTTP/1.1", f"Host: {host}", f"Cookie: {COOKIE}={visitor.cookie}"]
    with socket.create_connection((host, int(port))) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall("\r\n".join([*lines, "", ""]).encode())
        assert await soon(lambda: app.kernels)
        assert await soon(lambda: not app.kernels, within=20)


async def connect_and_never_read(page: LoadedPage) -> socket.socket:
    """Open the websocket by hand and stop reading; return the connection."""
    app = page.visitor.app
    address = urlsplit(app.url)
    head = [
        f"GET {address.path}api/kernels/{page.kernel}/channels?session_id=deaf HTTP/1.1",
        f"Host: {address.netloc}",
        f"Origin: {app.origin}",
        f"Cookie: {COOKIE}={page.visitor.cookie}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    deaf = socket.create_connection((address.hostname or "", address.port or 0))
    deaf.sendall("\r\n".join([*head, "", ""]).encode())
    await asyncio.sleep(0)
    return deaf
