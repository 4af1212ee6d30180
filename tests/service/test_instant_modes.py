"""Real notebooks look the same however they open, and as in plain Voilà: the same cells, widgets and values."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.service.portal_stub import REPOSITORY, PortalStub, app_python, running
from tests.service.visiting import Site, Visiting, joined, soon

pytestmark = pytest.mark.app

EXAMPLES = REPOSITORY / "dashboards/examples"
NAMES = {"climate-explorer": "climate", "lesson-sampling": "sampling", "penguins": "penguins", "world-map": "world-map"}
#: What is drawn by lot for each object, and says nothing.
_RANDOM = re.compile(r'"(uid|_uid|random_id)": "[^"]*"')
#: The last digits of a fit are rounded as the linear algebra has threads, of which a template has one.
_LONG = re.compile(r"-?\d+\.\d{12,}(?:e-?\d+)?")


def content(example: str, *, warm: bool = False) -> dict[str, bytes]:
    """Return the example's files; what is left open in an added last cell makes it ``warm``."""
    files = {path.name: path.read_bytes() for path in (EXAMPLES / example).iterdir() if path.is_file()}
    if warm:
        name = f"{NAMES[example]}.ipynb"
        document = json.loads(files[name])
        cell = {"cell_type": "code", "id": "last", "metadata": {}, "outputs": [], "execution_count": None}
        document["cells"].append({**cell, "source": "import os; left_open = os.pipe()"})
        files[name] = json.dumps(document).encode()
    return files


class Packed:
    """A websocket to Voilà, which reads binary messages in none but the newer form."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket

    async def write_message(self, frame: str, *, binary: bool) -> None:
        """Send a message without buffers."""
        assert not binary
        message = json.loads(frame)
        sent = ("header", "parent_header", "metadata", "content")
        parts = [message["channel"].encode(), *(json.dumps(message[part]).encode() for part in sent)]
        offsets = [8 * (len(parts) + 2)]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        head = struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets)
        await self._socket.write_message(head + b"".join(parts), binary=True)

    async def read_message(self) -> bytes | None:
        """Return the next message in the older form."""
        frame = await self._socket.read_message()
        if not isinstance(frame, bytes):
            return None
        (count,) = struct.unpack_from("<Q", frame)
        offsets = struct.unpack_from(f"<{count}Q", frame, 8)
        channel, *parts = (frame[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False))
        header, parent, metadata, content = map(json.loads, parts[:4])
        message = {"channel": channel.decode(), "header": header, "msg_type": header["msg_type"]}
        message |= {"parent_header": parent, "metadata": metadata, "content": content}
        return joined([json.dumps(message).encode(), *parts[4:]])


@asynccontextmanager
async def voila(folder: Path, example: str) -> AsyncIterator[Visiting]:
    """Open the example in plain Voilà."""
    for name, data in content(example).items():
        (folder / name).write_bytes(data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "voila.log"
    environ = {**os.environ, "HOME": str(folder), "PLOTLY_RENDERER": "plotly_mimetype", "JUPYTER_PLATFORM_DIRS": "1"}
    with log.open("wb") as out:
        command = (app_python(), "-m", "voila", f"{NAMES[example]}.ipynb", "--no-browser", f"--port={port}")
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environ, stdout=out, stderr=out)
    try:
        assert await soon(lambda: b"running at" in log.read_bytes(), within=40), log.read_text()
        address = f"http://127.0.0.1:{port}/"
        answer = await AsyncHTTPClient(force_instance=True).fetch(address, request_timeout=90)
        html = answer.body.decode()
        kernel = json.loads(
            html.partition('id="jupyter-config-data" type="application/json">')[2].partition("</script>")[0]
        )["kernelId"]
        channels = f"{address.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id=a"
        connected = await websocket_connect(channels, subprotocols=["v1.kernel.websocket.jupyter.org"])
        page = SimpleNamespace(html=html, kernel=kernel)
        yield Visiting(SimpleNamespace(), page, Packed(connected))  # type: ignore[arg-type]
        connected.close()
    finally:
        # It may take longer to end than anybody would wait.
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            each.kill()
        await process.wait()


@asynccontextmanager
async def ours(folder: Path, example: str, *, ahead: int, warm: bool = False) -> AsyncIterator[Visiting]:
    """Open the example in an app server of ours."""
    files = content(example, warm=warm)
    stub = PortalStub(files, notebook=f"{NAMES[example]}.ipynb", limits={"ahead": ahead, "cell_seconds": 120})
    async with stub.served() as portal, running(portal, folder=folder, environ={"TMPDIR": str(folder)}) as app:
        site = Site(portal, app)
        # The second: the first may come before it is known how the app opens.
        await site.visit()
        visit = await site.visit(user="eve")
        if ahead:
            said = "Visits are no forks: Pipes are open" if warm else "The app opens at once"
            assert said in app.text(), app.text()
        yield visit


async def shown(visit: Visiting) -> dict[str, Any]:
    """Return what a visitor has: the widgets in the order in which they were made, and the outputs of cells."""
    states = await visit.states()
    ids = {comm: f"#{number}" for number, comm in enumerate(states)}
    buffers = [part for message in visit.heard for part in message["buffers"]]

    def plain(text: str) -> str:
        for comm, number in ids.items():
            text = text.replace(comm, number)
        return _LONG.sub(lambda found: f"{float(found[0]):.12g}", _RANDOM.sub("", text))

    views = re.findall(r'"?model_id"?: ?"([0-9a-f]{32})"', visit.html)
    return {
        "models": [
            (each["model_module"], each["model_name"], plain(json.dumps(each["state"], sort_keys=True)))
            for each in states.values()
        ],
        "buffers": buffers,
        "views": list(dict.fromkeys(ids.get(view, "?") for view in views)),
        "texts": _texts(visit.html),
    }


def _texts(html: str) -> list[str]:
    return re.findall(r'<div class="jp-RenderedText[^>]*>\s*<pre>(.*?)</pre>', html, re.DOTALL)


@pytest.mark.parametrize("example", NAMES)
async def test_a_real_app_is_the_same_in_every_mode_and_in_voila(tmp_path: Path, example: str) -> None:
    found: dict[str, dict[str, Any]] = {}
    for mode, opened in {
        "voila": voila(_made(tmp_path / "voila"), example),
        "cold": ours(_made(tmp_path / "cold"), example, ahead=0),
        "warm": ours(_made(tmp_path / "warm"), example, ahead=1, warm=True),
        "instant": ours(_made(tmp_path / "instant"), example, ahead=1),
    }.items():
        async with opened as visit:
            found[mode] = await shown(visit)
    first = found["voila"]
    assert len(first["models"]) > 10 and first["views"] and "?" not in first["views"]
    for mode in ("cold", "warm", "instant"):
        for what, wanted in first.items():
            got = found[mode][what]
            different = [(a, b) for a, b in zip(wanted, got, strict=False) if a != b]
            assert (len(got), different[:1]) == (len(wanted), []), f"{mode}: {what}"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
