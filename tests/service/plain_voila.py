"""Plain Voilà as a process with the one option that makes it instant, and its visitors."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.ports import free_ports
from tests.service.portal_stub import REPOSITORY, app_python

__all__ = ["OPTION", "Live", "PlainVoila", "plain_voila", "until"]

OPTION = "--VoilaConfiguration.multi_kernel_manager_class=vaas.runtime.plain.InstantKernels"


async def until(condition: Any, *, seconds: float = 20.0) -> bool:
    """Wait until the condition holds; tell whether it does."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return True
        await asyncio.sleep(0.05)
    return bool(condition())


@dataclass
class PlainVoila:
    """The server."""

    process: asyncio.subprocess.Process
    url: str
    log: Path

    async def ask(self, path: str = "", *, method: str = "GET") -> HTTPResponse:
        """Send one request; errors and redirects are answers like others."""
        http = AsyncHTTPClient(force_instance=True)
        # As a page's own scripts do, who read the cookie.
        body, cookie = ("_xsrf=2", {"Cookie": "_xsrf=2"}) if method == "POST" else (None, {})
        request = HTTPRequest(
            self.url + path, method=method, body=body, headers=cookie, follow_redirects=False, request_timeout=60
        )
        return await http.fetch(request, raise_error=False)

    async def page(self, path: str = "") -> str:
        """Load a page completely."""
        answer = await self.ask(path)
        assert answer.code == 200, self.log.read_text()
        return answer.body.decode()

    async def open(self, path: str = "") -> Live:
        """Load a page and connect to its kernel, as its scripts do."""
        html = await self.page(path)
        found = re.search(r'"kernelId": "([^"]+)"', html)
        assert found is not None
        address = (
            f"{self.url.replace('http', 'ws', 1)}api/kernels/{found[1]}/channels?session_id={secrets.token_hex(4)}"
        )
        return Live(html, found[1], await websocket_connect(address))

    async def says(self, text: str, *, seconds: float = 30.0) -> bool:
        """Wait until its log says so."""
        return await until(lambda: text in self.log.read_text(), seconds=seconds)

    @property
    def processes(self) -> list[psutil.Process]:
        """All that it has started and that runs now."""
        return psutil.Process(self.process.pid).children(recursive=True)


@dataclass
class Live:
    """A page that is connected."""

    html: str
    kernel: str
    socket: WebSocketClientConnection

    async def ask(self, kind: str, content: dict[str, Any], *, answer: str) -> dict[str, Any]:
        """Send a message and return the first of the kind ``answer`` that follows."""
        header = {"msg_id": secrets.token_hex(8), "msg_type": kind, "session": "s", "username": "", "version": "5.3"}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await self.socket.write_message(json.dumps({**message, "buffers": []}))
        return await self.hear(answer)

    async def hear(self, kind: str) -> dict[str, Any]:
        """Return the first message of a kind."""
        async with asyncio.timeout(20):
            while True:
                said = await self.socket.read_message()
                assert said is not None
                message: dict[str, Any] = json.loads(said)
                if message["msg_type"] == kind:
                    return message

    async def models(self) -> list[str]:
        """Return the ids of its widgets."""
        asked = {"target_name": "jupyter.widget"}
        return list((await self.ask("comm_info_request", asked, answer="comm_info_reply"))["content"]["comms"])

    async def set(self, model: str, value: object) -> str:
        """Set a widget's value; return the text that some widget has in answer to it."""
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        header: dict[str, Any] = await self.ask("comm_msg", {"comm_id": model, "data": data}, answer="comm_msg")
        while not isinstance(header["content"]["data"].get("state", {}).get("value"), str):
            header = await self.hear("comm_msg")
        return str(header["content"]["data"]["state"]["value"])


@asynccontextmanager
async def plain_voila(target: Path, *options: str, folder: Path) -> AsyncIterator[PlainVoila]:
    """Serve a notebook, or a folder of them, until the end of the block; ``folder`` is for all that is written."""
    (port,) = free_ports(1)
    log = folder / "voila.log"
    temporary = folder / "tmp"
    temporary.mkdir()
    words = [str(target), "--no-browser", f"--port={port}", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1", OPTION]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            app_python(), "-m", "voila", *words, *options, cwd=folder, env=environ, stdout=out, stderr=out
        )
    server = PlainVoila(process, f"http://127.0.0.1:{port}/", log)
    try:
        assert await server.says("Voilà is running at"), log.read_text()
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise AssertionError("It did not end: " + log.read_text()) from None
