"""Visitors as cheap as they can be: the page's HTML, a session of one's own behind it, a slider, and the farewell.

An opening is done when the page's HTML has come completely *and* what computes for this visitor has answered over the
websocket: the page's kernel to ``kernel_info_request``, and Panel's session with its document (``PULL-DOC-REQ``). What
a browser does beyond that (scripts, paint) is in bench/interactive.py. A visit is left as a closing page leaves it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
import struct
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from tests.service.portal_stub import COOKIE, ORIGIN, PortalStub
from vaas.runtime.frames import V1

__all__ = [
    "PATIENCE",
    "Door",
    "Failed",
    "JupyterPage",
    "Opened",
    "PanelDoor",
    "PortalDoor",
    "VoilaDoor",
    "Wrong",
    "client",
    "move",
]

#: Seconds that a visitor waits for anything.
PATIENCE = 300.0
_KERNEL = re.compile(rb'"kernelId": ?"([0-9a-f-]{36})"')
_TOKEN = re.compile(rb'id="vaas-page">.*?"token": ?"([^"]+)"', re.DOTALL)
_SESSION = re.compile(rb'"token":"([^"]+)"')
_WIDGETS = b"application/vnd.jupyter.widget-view+json"
_STATE = re.compile(rb'<script type="application/vnd\.jupyter\.widget-state\+json"[^>]*>(.*?)</script>', re.DOTALL)


class Failed(Exception):
    """A visitor did not get what they came for."""


class Wrong(Failed):
    """The slider's answer is another visitor's, or none of anybody's."""


class Opened(Protocol):
    """A visit that is open."""

    async def moves(self, row: int) -> str:
        """Move the slider, and return what the label says then."""

    async def leaves(self) -> None:
        """Close the page."""


class Door(Protocol):
    """Where visitors come in."""

    async def open(self) -> Opened:
        """Open the app once; raises Failed."""


def client() -> aiohttp.ClientSession:
    """Return what speaks HTTP for many visitors: without cookies of its own, and pages may come compressed."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
    )


async def move(opened: Opened, *, row: int) -> None:
    """Move the slider, and raise Wrong where the label says something else."""
    said = await opened.moves(row)
    if said.partition(":")[0] != f"row {row}":
        raise Wrong(f"The slider was moved to {row}, and the label says {said!r}.")


@asynccontextmanager
async def _telling(what: str) -> Any:
    """Turn everything that can go wrong between two machines into Failed."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{what}: {type(error).__name__} {error}") from error


@dataclass
class _Way:
    """How one visitor's page is reached, and how it says farewell."""

    http: aiohttp.ClientSession
    base: str
    headers: dict[str, str]
    farewell: Callable[[bytes, str], tuple[str, bytes]]

    async def page(self) -> bytes:
        """Return the page's complete HTML."""
        async with self.http.get(self.base, headers=self.headers, allow_redirects=False) as answer:
            page = await answer.read()
        if answer.status != 200 or not page.rstrip().endswith(b"</html>") or _WIDGETS not in page:
            raise Failed(f"The page is not complete: {answer.status}, {page[-300:].decode(errors='replace')!r}")
        return page


class JupyterPage:
    """A page whose widgets live in a kernel."""

    def __init__(self, way: _Way, page: bytes) -> None:
        self._way, self._page = way, page
        found = _KERNEL.search(page)
        if found is None:
            raise Failed("The page names no kernel.")
        self.kernel = found[1].decode()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._session = secrets.token_hex(8)
        self._slider = self._label = ""

    async def connect(self) -> None:
        """Connect to the kernel, and return when it has answered."""
        address = f"{self._way.base}api/kernels/{self.kernel}/channels?session_id={self._session}"
        self._socket = await self._way.http.ws_connect(
            address, headers=self._way.headers, protocols=(V1,), max_msg_size=0
        )
        asked = await self._say("kernel_info_request", {})
        await self._hear(lambda told: told["header"]["msg_type"] == "kernel_info_reply" and _replies(told, asked))

    async def moves(self, row: int) -> str:
        """Move the slider, and return what the label says then."""
        async with _telling("The slider"):
            if not self._slider:
                self._find(await self._states())
            data = {"method": "update", "state": {"value": row}, "buffer_paths": []}
            await self._say("comm_msg", {"comm_id": self._slider, "data": data})
            told = await self._hear(self._is_label)
            return str(told["content"]["data"]["state"]["value"])

    async def leaves(self) -> None:
        """Say farewell and hang up, in a browser's order."""
        path, body = self._way.farewell(self._page, self.kernel)
        headers = {**self._way.headers, "Content-Type": "application/x-www-form-urlencoded"}
        try:
            async with self._way.http.post(self._way.base + path, data=body, headers=headers) as answer:
                if answer.status not in (204, 404):  # it may have ended before
                    raise Failed(f"The farewell was refused: {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Failed(f"The farewell: {type(error).__name__} {error}") from error
        finally:
            await self.hangs_up()

    async def hangs_up(self) -> None:
        """Go without a word, as a machine does that falls asleep."""
        if self._socket is not None:
            await self._socket.close()

    async def _states(self) -> dict[str, Any]:
        """Return all widgets as a browser gets them: with the page, or else by asking the kernel."""
        if delivered := _STATE.search(self._page):
            return dict(json.loads(delivered[1])["state"])
        comm = secrets.token_hex(16)
        opening = {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}}
        await self._say("comm_open", opening, version="1.0.0")
        data = {"method": "request_states"}
        await self._say("comm_msg", {"comm_id": comm, "data": data})
        told = await self._hear(
            lambda told: told["content"].get("comm_id") == comm and _method(told) == "update_states"
        )
        return dict(told["content"]["data"]["states"])

    def _find(self, states: dict[str, Any]) -> None:
        named = {_model(state): key for key, state in states.items()}
        self._slider, self._label = named["IntSliderModel"], named["LabelModel"]

    def _is_label(self, told: dict[str, Any]) -> bool:
        here = _is_from(told, self._label) and _method(told) == "update"
        return here and "value" in told["content"]["data"]["state"]

    async def _say(self, kind: str, content: dict[str, Any], *, version: str = "2.1.0") -> str:
        assert self._socket is not None
        number = secrets.token_hex(16)
        header = {
            "msg_id": number,
            "msg_type": kind,
            "username": "",
            "session": self._session,
            "date": "2026-01-01T00:00:00Z",
            "version": "5.4",
        }
        parts: tuple[dict[str, Any], ...] = (header, {}, {"version": version}, content)
        await self._socket.send_bytes(_packed([b"shell", *(json.dumps(part).encode() for part in parts)]))
        return number

    async def _hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        assert self._socket is not None
        while True:
            frame = await self._socket.receive(PATIENCE)
            if frame.type is not aiohttp.WSMsgType.BINARY:
                raise Failed(f"The websocket was closed: {self._socket.close_code}")
            told = _unpacked(frame.data)
            if wanted(told):
                return told


def _packed(parts: list[bytes]) -> bytes:
    """Return a frame of Jupyter's binary protocol, which browsers speak. Voilà cannot count frames of the other."""
    count = len(parts) + 1
    ends = list(itertools.accumulate(map(len, parts), initial=8 * (count + 1)))
    return struct.pack(f"<{count + 1}Q", count, *ends) + b"".join(parts)


def _unpacked(frame: bytes) -> dict[str, Any]:
    """Return the part of a frame that a visitor reads."""
    (count,) = struct.unpack_from("<Q", frame)
    ends = struct.unpack_from(f"<{count}Q", frame, 8)
    header, parent, _, content = (json.loads(frame[start:stop]) for start, stop in itertools.pairwise(ends[1:6]))
    return {"header": header, "parent_header": parent, "content": content}


def _replies(told: dict[str, Any], number: str) -> bool:
    return bool(told["parent_header"].get("msg_id") == number)


def _is_from(told: dict[str, Any], comm: str) -> bool:
    return bool(told["content"].get("comm_id") == comm)


def _method(told: dict[str, Any]) -> str:
    return str(told["content"].get("data", {}).get("method", ""))


def _model(state: dict[str, Any]) -> str:
    return str(state.get("model_name") or state.get("state", {}).get("_model_name"))


class PortalDoor:
    """An app server of this portal: in with a ticket, and then the page."""

    def __init__(self, http: aiohttp.ClientSession, *, portal: PortalStub, url: str) -> None:
        self._http, self._portal, self._url = http, portal, url

    async def open(self) -> JupyterPage:
        """Open the app once, as a new visit."""
        return await self.load(await self.enter())

    async def enter(self) -> str:
        """Come in, and return the visit's cookie."""
        async with _telling("The way in"):
            form = {"ticket": self._portal.ticket(), "query": ""}
            asked = self._http.post(self._url + "visit", data=form, headers={"Origin": ORIGIN}, allow_redirects=False)
            async with asked as answer:
                cookies = [line.partition(";")[0] for line in answer.headers.getall("Set-Cookie", [])]
        found = [cookie for cookie in cookies if cookie.startswith(f"{COOKIE}=")]
        if answer.status != 303 or not found:
            raise Failed(f"No way in: {answer.status}")
        return found[0]

    async def load(self, cookie: str) -> JupyterPage:
        """Load the page once, within a visit."""
        way = _Way(self._http, self._url, {"Cookie": cookie, "Origin": _origin(self._url)}, _say_token)
        return await _open_page(way)


class VoilaDoor:
    """Plain Voilà. Its beacon is refused as shipped (no page sets the cookie that it needs): ours brings one."""

    def __init__(self, http: aiohttp.ClientSession, *, url: str) -> None:
        self._http, self._url = http, url

    async def open(self) -> JupyterPage:
        """Open the app once."""
        headers = {"Cookie": "_xsrf=abcd", "Origin": _origin(self._url)}
        return await _open_page(_Way(self._http, self._url, headers, _say_shutdown))


async def _open_page(way: _Way) -> JupyterPage:
    async with _telling("The page"):
        opened = JupyterPage(way, await way.page())
        try:
            await opened.connect()
        except BaseException:
            await opened.hangs_up()
            raise
        return opened


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _say_token(page: bytes, kernel: str) -> tuple[str, bytes]:
    found = _TOKEN.search(page)
    if found is None:
        raise Failed(f"The page of {kernel} has no token.")
    return "vaas/farewell", found[1]


def _say_shutdown(page: bytes, kernel: str) -> tuple[str, bytes]:
    return f"voila/api/shutdown/{kernel}", b"_xsrf=abcd"


class PanelDoor:
    """A Panel server."""

    def __init__(self, http: aiohttp.ClientSession, *, url: str) -> None:
        self._http, self._url = http, url

    async def open(self) -> _PanelPage:
        """Open the app once."""
        async with _telling("The page"):
            async with self._http.get(self._url) as answer:
                page = await answer.read()
            found = _SESSION.search(page)
            if answer.status != 200 or not page.rstrip().endswith(b"</html>") or found is None:
                raise Failed(f"The page is not complete: {answer.status}")
            headers, session = {"Origin": _origin(self._url)}, ("bokeh", found[1].decode())
            socket = await self._http.ws_connect(f"{self._url}/ws", headers=headers, protocols=session, max_msg_size=0)
            opened = _PanelPage(socket)
            await opened.pull()
            return opened


class _PanelPage:
    """A page whose widgets live in a session of the server itself."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._document = b""

    async def pull(self) -> None:
        """Fetch the session's document."""
        await self._hear(lambda header, _: header["msgtype"] == "ACK")
        await self._say("PULL-DOC-REQ", {})
        self._document = await self._hear(lambda header, _: header["msgtype"] == "PULL-DOC-REPLY")

    async def moves(self, row: int) -> str:
        """Move the slider, and return what the label says then."""
        async with _telling("The slider"):
            slider = next(iter(_find_all(json.loads(self._document), name="Slider")))["id"]
            event = {"kind": "ModelChanged", "model": {"id": slider}, "attr": "value", "new": row}
            await self._say("PATCH-DOC", {"events": [event]})
            said = await self._hear(lambda header, body: header["msgtype"] == "PATCH-DOC" and b'"text"' in body)
            return next(str(told["new"]) for told in json.loads(said)["events"] if told["attr"] == "text")

    async def leaves(self) -> None:
        """Hang up; the server forgets the session by itself."""
        await self._socket.close()

    async def _say(self, kind: str, content: dict[str, Any]) -> None:
        for part in ({"msgid": secrets.token_hex(8), "msgtype": kind}, {}, content):
            await self._socket.send_str(json.dumps(part))

    async def _hear(self, wanted: Callable[[dict[str, Any], bytes], bool]) -> bytes:
        while True:
            header = json.loads(await self._part())
            await self._part()
            body = await self._part()
            for _ in range(2 * header.get("num_buffers", 0)):
                await self._part()
            if wanted(header, body):
                return body

    async def _part(self) -> bytes:
        frame = await self._socket.receive(PATIENCE)
        if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            raise Failed("The websocket was closed.")
        return frame.data.encode() if isinstance(frame.data, str) else bytes(frame.data)


def _find_all(document: Any, *, name: str) -> list[dict[str, Any]]:
    """Return all models of this name in a document, wherever they are."""
    if isinstance(document, dict):
        here = [document] if document.get("name") == name and "id" in document else []
        return here + [each for value in document.values() for each in _find_all(value, name=name)]
    if isinstance(document, list):
        return [each for value in document for each in _find_all(value, name=name)]
    return []
