"""A visit as a browser makes it (page, websocket, widgets), and a notebook that does what a visit tells it."""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection

from tests.notebooks import code, notebook
from tests.service.portal_stub import AppProcess, LoadedPage, PortalStub, Visitor, running

__all__ = ["DO", "INSTANT", "Site", "Visiting", "joined", "serving", "soon"]

#: Limits of an app server that runs notebooks ahead.
INSTANT = {"ahead": 1}
#: How long anything may take, in seconds: the machine may be busy.
PATIENCE = 45.0
#: A cell with which a visit can run code in its own kernel, as a callback.
DO = """
import ipywidgets, json, os, uuid
RAN = [os.getpid(), uuid.uuid4().hex]
_do, _said = ipywidgets.Text(description="do"), ipywidgets.Text(description="said")
def _obey(change):
    scope = globals()
    scope["result"] = None
    exec(json.loads(change["new"])[1], scope)
    _said.value = json.dumps([json.loads(change["new"])[0], scope["result"]])
_do.observe(_obey, "value")
"""


async def soon(true: Any, *, within: float = 30.0) -> bool:
    """Tell whether it becomes true in time."""
    for _ in range(int(within / 0.05)):
        if true():
            return True
        await asyncio.sleep(0.05)
    return bool(true())


class Visiting:
    """One visit: a loaded page and what its front end knows."""

    def __init__(self, visitor: Visitor, page: LoadedPage, socket: WebSocketClientConnection) -> None:
        self.visitor, self.page, self.socket = visitor, page, socket
        #: All messages that came, in order.
        self.heard: list[dict[str, Any]] = []
        self._session = secrets.token_hex(8)
        self._ids: dict[str, str] = {}
        #: What its server has logged.
        self.log: Callable[[], str] = str

    @property
    def html(self) -> str:
        """The page as it came."""
        return self.page.html

    async def send(
        self, kind: str, content: Mapping[str, Any], *buffers: bytes, wait: bool = True
    ) -> list[dict[str, Any]]:
        """Send a message, and return what came until the kernel was done with it."""
        header = {"msg_id": secrets.token_hex(8), "msg_type": kind, "username": "", "session": self._session}
        header |= {"date": "2026-01-01T00:00:00Z", "version": "5.3"}
        made = {"channel": "shell", "header": header, "parent_header": {}, "content": dict(content)}
        made["metadata"] = {"version": "1.0.0"} if kind == "comm_open" else {}
        frame: str | bytes = json.dumps({**made, "buffers": []})
        if buffers:
            frame = joined([json.dumps(made).encode(), *buffers])
        await self.socket.write_message(frame, binary=bool(buffers))
        return await self.until_idle(header["msg_id"]) if wait else []

    async def until_idle(self, request: str) -> list[dict[str, Any]]:
        """Return what comes until the kernel says that it is done with this request."""
        came: list[dict[str, Any]] = []
        while True:
            message = await self.next()
            came.append(message)
            ours = message["parent_header"].get("msg_id") == request
            if ours and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return came

    async def next(self) -> dict[str, Any]:
        """Return the next message."""
        frame = await asyncio.wait_for(self.socket.read_message(), PATIENCE)
        if frame is None:
            raise AssertionError(f"the websocket was closed: {self.socket.close_code} {self.socket.close_reason}")
        message = _split(frame) if isinstance(frame, bytes) else json.loads(frame)
        self.heard.append(message)
        return dict(message)

    async def states(self) -> dict[str, dict[str, Any]]:
        """Ask for the state of all widgets, as a new page does: id → state, with its model's name."""
        comm = secrets.token_hex(16)
        opened = {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}}
        await self.send("comm_open", opened)
        for message in await self.send("comm_msg", {"comm_id": comm, "data": {"method": "request_states"}}):
            if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == comm:
                states: dict[str, dict[str, Any]] = message["content"]["data"]["states"]
                return states
        raise AssertionError("no states came")

    async def model(self, description: str) -> str:
        """Return the id of the widget with this description."""
        if description not in self._ids:
            self._ids |= {
                str(made["state"]["description"]): comm
                for comm, made in (await self.states()).items()
                if made["state"].get("description")
            }
        return self._ids[description]

    async def set(self, description: str, *buffers: bytes, paths: Any = (), **state: Any) -> list[dict[str, Any]]:
        """Change a widget as its user does, and return what came of it."""
        data = {"method": "update", "state": state, "buffer_paths": list(paths)}
        return await self.send("comm_msg", {"comm_id": await self.model(description), "data": data}, *buffers)

    async def do(self, source: str) -> Any:
        """Run code in the visit's kernel, as a callback, and return what it gave to ``result``."""
        number = secrets.token_hex(4)
        said = await self.model("said")
        came = await self.set("do", value=json.dumps([number, source]))
        for values in self.changes(came, said):
            if "value" in values and json.loads(values["value"])[0] == number:
                return json.loads(values["value"])[1]
        raise AssertionError(f"no answer: {came}")

    @staticmethod
    def changes(came: list[dict[str, Any]], comm: str) -> list[dict[str, Any]]:
        """Return what the kernel changed of a widget."""
        contents = [message["content"] for message in came if message["msg_type"] == "comm_msg"]
        return [each["data"]["state"] for each in contents if each["comm_id"] == comm and "state" in each["data"]]

    async def leave(self) -> None:
        """Go away for good."""
        self.socket.close()
        await self.visitor.leave(f"{self.page.token} over")


class Site:
    """A portal's stub and an app server."""

    def __init__(self, portal: PortalStub, app: AppProcess) -> None:
        self.portal, self.app = portal, app

    async def visitor(self, user: str = "bob", **ticket: Any) -> Visitor:
        """Come in as somebody."""
        visitor = Visitor(self.app, portal=self.portal)
        await visitor.enter(self.portal.ticket(user=user, **ticket))
        return visitor

    async def visit(self, query: str = "", *, user: str = "bob", **ticket: Any) -> Visiting:
        """Open the app as somebody new."""
        visitor = await self.visitor(user, **ticket)
        page = await visitor.page(query)
        return Visiting(visitor, page, await page.connect())


@asynccontextmanager
async def serving(
    folder: Path, *cells: Any, files: Mapping[str, bytes] | None = None, **stub: Any
) -> AsyncIterator[Site]:
    """Serve a notebook of these cells, and of :data:`DO` before them."""
    limits = {**INSTANT, **stub.pop("limits", {})}
    environ = {"TMPDIR": str(folder), **stub.pop("environ", {})}
    document = notebook(*(code(cell) if isinstance(cell, str) else cell for cell in (DO, *cells)))
    portal = PortalStub({"lesson.ipynb": document, **(files or {})}, limits=limits, **stub)
    async with portal.served(), running(portal, folder=folder, environ=environ) as app:
        yield Site(portal, app)


def joined(parts: list[bytes]) -> bytes:
    """Return a binary message in the older form: JSON and its buffers."""
    offsets = [4 * (len(parts) + 1)]
    for part in parts[:-1]:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"!{len(parts) + 1}I", len(parts), *offsets) + b"".join(parts)


def _split(frame: bytes) -> dict[str, Any]:
    (count,) = struct.unpack_from("!I", frame)
    offsets = [*struct.unpack_from(f"!{count}I", frame, 4), len(frame)]
    parts = [frame[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False)]
    return {**json.loads(parts[0]), "buffers": parts[1:]}
