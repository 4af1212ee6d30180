"""What a visitor is told of a page that goes on although something in it failed, and what its owner is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tornado.websocket import WebSocketClientConnection

from tests.service.visiting import Site, serving, soon
from tests.unit.test_frames import message, v1
from vaas.runtime.frames import V1

pytestmark = pytest.mark.app
#: A slider that wants more than there is as soon as it is moved.
HUNGRY = """
slider = ipywidgets.IntSlider(description="hungry")
slider.observe(lambda _: bytearray(50_000_000_000), "value")
"""


async def notice(socket: WebSocketClientConnection) -> str:
    """Return what the visitor is told next."""
    while not isinstance(heard := await asyncio.wait_for(socket.read_message(), 30), str):
        assert heard is not None, "the websocket was closed"
    return str(json.loads(heard)["notice"])


def incidents(site: Site) -> list[str]:
    return [told["text"] for beat in site.portal.heartbeats for told in beat["incidents"]]


async def test_a_function_that_fails_when_a_visit_begins_is_said_to_all(tmp_path: Path) -> None:
    hook = "import vaas\n@vaas.on_visit\ndef fails(who):\n    raise ConnectionError('db.example.org')"
    async with serving(tmp_path, hook) as site:
        visit = await site.visit()
        socket = await visit.page.connect(protocol=V1)
        assert await notice(socket) == "unprepared"
        text = "A function given to vaas.on_visit failed with ConnectionError."
        assert await soon(lambda: text in incidents(site)), site.app.text()
        lines = site.app.text().splitlines()
        said = next(at for at, line in enumerate(lines) if "A function given to vaas.on_visit failed:" in line)
        assert "WARNING" in lines[said] or "[W" in lines[said], lines[said]
        assert "in fails" in "".join(lines[said:]) and "db.example.org" in "".join(lines[said:])
        assert "db.example.org" not in visit.html + "".join(incidents(site))
        # Who loads the page again gets another kernel, which begins anew.
        await visit.visitor.leave(visit.page.token)
        assert (await visit.visitor.page()).kernel != visit.page.kernel


async def test_a_visit_that_wants_too_much_memory_is_told_and_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path, HUNGRY, limits={"kernel_memory": 900_000_000}) as site:
        visit = await site.visit()
        socket = await visit.page.connect(protocol=V1)
        data = {"method": "update", "state": {"value": 4}, "buffer_paths": []}
        moved = message("comm_msg", {"comm_id": await visit.model("hungry"), "data": data})
        await socket.write_message(v1(moved), binary=True)
        assert await notice(socket) == "memory"
        text = "A callback failed with MemoryError. A kernel may use 900 MB of memory (VAAS_LIMIT_KERNEL_MEMORY)."
        assert await soon(lambda: text in incidents(site)), site.app.text()
        assert await visit.do("result = 1") == 1
