"""A notebook as a visitor has it: in plain Voilà and, by each mode, in an app server of ours; and what differs.

By hand, for notebooks that nobody here wrote (a line for each, and how often what was found):

    .venvs/test/bin/python -m tests.service.comparing FOLDER/NOTEBOOK.ipynb ...
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from tornado.httpclient import AsyncHTTPClient
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.ports import free_ports
from tests.service.portal_stub import PortalStub, app_python, running
from tests.service.visiting import Site, Visiting, joined, soon

__all__ = ["MODES", "Shown", "different", "files_beside", "in_mode"]

Shown = dict[str, list[Any]]

MODES = ("voila", "cold", "warm", "instant")
#: A cell that leaves something open, so that visits are no forks.
_LEAVES_OPEN = "import os; left_open = os.pipe()"
#: What is drawn by lot for each object, and says nothing.
_RANDOM = re.compile(r'"(uid|_uid|random_id)": "[^"]*"')
#: The last digits of a fit are rounded as the linear algebra has threads, of which a template has one.
_LONG = re.compile(r"-?\d+\.\d{12,}(?:e-?\d+)?")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_MOST = 20_000_000
#: How long (seconds) Voilà may take for a page, some of which never come; and how often one is asked for.
_PATIENCE, _TRIES = 60.0, 3


def files_beside(notebook: Path) -> dict[str, bytes]:
    """Return the notebook and what lies beside it that may be its data, up to 20 MB."""
    files, size = {notebook.name: notebook.read_bytes()}, 0
    for path in sorted(notebook.parent.rglob("*")):
        if path.is_file() and path.suffix != ".ipynb" and size + path.stat().st_size < _MOST:
            size += path.stat().st_size
            files[str(path.relative_to(notebook.parent))] = path.read_bytes()
    return files


def _opened(mode: str, folder: Path, files: Mapping[str, bytes], name: str) -> AbstractAsyncContextManager[Visiting]:
    """Open the notebook of this name; ``folder`` is an empty one."""
    if mode == "voila":
        return _voila(folder, files, name)
    if mode == "warm":
        document = json.loads(files[name])
        cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": _LEAVES_OPEN}
        document["cells"].append(cell | ({"id": "last"} if document.get("nbformat_minor", 0) >= 5 else {}))
        files = {**files, name: json.dumps(document).encode()}
    return _ours(folder, files, name, mode=mode)


@asynccontextmanager
async def _voila(folder: Path, files: Mapping[str, bytes], name: str) -> AsyncIterator[Visiting]:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (port,) = free_ports(1)
    log = folder / "voila.log"
    environ = {**os.environ, "HOME": str(folder), "PLOTLY_RENDERER": "plotly_mimetype", "JUPYTER_PLATFORM_DIRS": "1"}
    with log.open("wb") as out:
        command = (app_python(), "-m", "voila", name, "--no-browser", f"--port={port}")
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environ, stdout=out, stderr=out)
    try:
        assert await soon(lambda: b"running at" in log.read_bytes(), within=40), log.read_text()
        address = f"http://127.0.0.1:{port}/"
        answer = await AsyncHTTPClient(force_instance=True).fetch(address, request_timeout=_PATIENCE)
        html = answer.body.decode()
        said = html.partition('id="jupyter-config-data" type="application/json">')[2].partition("</script>")[0]
        kernel = json.loads(said)["kernelId"]
        channels = f"{address.replace('http', 'ws')}api/kernels/{kernel}/channels?session_id=a"
        connected = await websocket_connect(
            channels, subprotocols=["v1.kernel.websocket.jupyter.org"], max_message_size=100_000_000
        )
        page = SimpleNamespace(html=html, kernel=kernel)
        yield Visiting(SimpleNamespace(), page, _Packed(connected))  # type: ignore[arg-type]
        connected.close()
    finally:
        # It may take longer to end than anybody would wait.
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            each.kill()
        await process.wait()


class _Packed:
    """A websocket to Voilà, which reads binary messages in none but the newer form."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket
        self.close_code, self.close_reason = None, None

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
async def _ours(folder: Path, files: Mapping[str, bytes], name: str, *, mode: str) -> AsyncIterator[Visiting]:
    limits = {"ahead": int(mode != "cold"), "cell_seconds": 120}
    stub = PortalStub(files, notebook=name, limits=limits)
    async with stub.served() as portal, running(portal, folder=folder, environ={"TMPDIR": str(folder)}) as app:
        site = Site(portal, app)
        # The second: the first may come before it is known how the app opens.
        await site.visit()
        visit = await site.visit(user="eve")
        visit.log = app.text
        yield visit


async def _shown(visit: Visiting) -> Shown:
    """Return what a visitor has: the widgets in the order in which they were made, and what the cells show."""
    await visit.send("comm_info_request", {"target_name": "jupyter.widget"})
    while not (replies := [message for message in visit.heard if message["msg_type"] == "comm_info_reply"]):
        await visit.next()
    states = await visit.states() if replies[0]["content"]["comms"] else {}
    ids = {comm: f"#{number}" for number, comm in enumerate(states)}

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
        "buffers": [part for message in visit.heard for part in message["buffers"]],
        "views": list(dict.fromkeys(ids.get(view, "?") for view in views)),
        "cells": _Cells(visit.html).found,
    }


class _Cells(HTMLParser):
    """What the cells show: their texts, and their pictures by hash."""

    _SHOW = ("jp-OutputArea-output", "jp-MarkdownOutput")
    _VOID = frozenset(
        ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
    )

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a cell's output begins, and its pictures."""
        said = dict(attrs)
        if not self._depth and any(name in (said.get("class") or "") for name in self._SHOW):
            self.found.append("")
            self._depth = 1
        elif self._depth:
            self._depth += tag not in self._VOID
            self._hidden += tag in {"script", "style"}
            if tag == "img":
                self.found[-1] += f" [{hashlib.sha256((said.get('src') or '').encode()).hexdigest()[:12]}]"

    def handle_endtag(self, tag: str) -> None:
        """Note where it ends."""
        if self._depth and tag not in self._VOID:
            self._depth -= 1
            self._hidden -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        """Take its text."""
        if self._depth and not self._hidden and data.strip():
            self.found[-1] += " " + _ADDRESS.sub("0x", " ".join(data.split()))


def different(wanted: Shown, got: Shown, *, again: Shown | None = None) -> list[str]:
    """Return a line for each kind of thing in which the two differ; what differs ``again`` is drawn by lot."""
    lines = []
    for what in wanted:
        thrice = zip(wanted[what], got[what], (again or wanted)[what], strict=False)
        pairs = [(a, b) for a, b, other in thrice if a != b and a == other]
        if pairs or len(wanted[what]) != len(got[what]):
            first = f"; first {_where(*pairs[0])}" if pairs else ""
            lines.append(f"{what}: {len(wanted[what])} and {len(got[what])}, {len(pairs)} differ{first}")
    return lines


def _where(wanted: Any, got: Any) -> str:
    a, b = str(wanted), str(got)
    start = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    return f"{a[:60]!r}… at {start}: {a[start : start + 200]!r} ≠ {b[start : start + 200]!r}"


async def _compare(notebook: Path) -> dict[str, Any]:
    """Open it twice in Voilà and once in each mode: what two pages of Voilà have not in common is left out.

    Where no page of Voilà ever comes, two that run for their visits are the measure.
    """
    files = files_beside(notebook)
    # What pip says depends on the network.
    files[notebook.name] = re.sub(rb'"[%!] ?pip [^"\\]*(\\n)?"', b'""', files[notebook.name])
    told = {mode: await in_mode(mode, files, notebook.name) for mode in MODES[1:]}
    found = {mode: shown for mode, (shown, _) in told.items()}
    by = "voila"
    try:
        first, again = [(await in_mode(by, files, notebook.name))[0] for _ in range(2)]
    except HTTPTimeoutError:
        by = "cold"
        first, again = found[by], (await in_mode(by, files, notebook.name))[0]
    opens = [line for line in told["instant"][1].splitlines() if re.search("Visits are|at once|run ahead", line)]
    counts = {what: len(each) for what, each in first.items()}
    said = {"notebook": str(notebook), "measure": by, "opens": opens, **counts, "by lot": different(first, again)}
    return said | {mode: different(first, shown, again=again) for mode, shown in found.items()}


async def in_mode(mode: str, files: Mapping[str, bytes], name: str) -> tuple[Shown, str]:
    """Return what a visitor has in this mode, and what the server has logged; some pages of Voilà need a second try."""
    tries = _TRIES if mode == "voila" else 1
    while True:
        tries -= 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                async with _opened(mode, Path(folder), files, name) as visit:
                    return await _shown(visit), visit.log()
            except HTTPTimeoutError:
                if not tries:
                    raise


def main() -> None:
    """Compare each notebook that is named."""
    for name in sys.argv[1:]:
        try:
            print(json.dumps(asyncio.run(_compare(Path(name))), ensure_ascii=False), flush=True)
        except Exception as error:
            print(json.dumps({"notebook": name, "failed": f"{type(error).__name__}: {error}"[:600]}), flush=True)


if __name__ == "__main__":
    main()
