"""Launches on a running portal: noted as the portal does it, started with its key, and worked in over the websocket."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from hub_service.offered import default_offering
from tests.portal_fixture import RunningPortal, until
from vaas.db.seal import Seal, ensure_secret
from vaas.db.sql import SqlDatabase
from vaas.launching import Launch, launch_server
from vaas.model import ServerName
from vaas.plans import Plan, sign_plan

__all__ = ["Launches"]

_START = 40.0


class Launches:
    """Launches of one person."""

    def __init__(self, portal: RunningPortal, owner: str) -> None:
        self.portal, self.owner, self.token = portal, owner, portal.token_for(owner)
        settings = portal.settings
        seal = Seal(ensure_secret(settings.secrets / "seal"))
        self._database = SqlDatabase(f"sqlite:///{settings.data / 'portal.sqlite'}", seal=seal)
        self.home = settings.data / "homes" / owner

    def put(self, name: str, data: bytes) -> None:
        """Lay a file into the home, as its owner's."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / name).write_bytes(data)
        owner = self.home.stat()
        os.chown(self.home / name, owner.st_uid, owner.st_gid)

    def new(self, **asked: Any) -> Launch:
        """Note a launch that is asked for."""
        now, title = datetime.now(UTC), asked.pop("title", "Waves & tides")
        made = Launch(uuid.uuid4().hex[:12], self.owner, title, asked, "apps", "small", "here", now, now)
        self.save(made)
        return made

    def save(self, launch: Launch) -> None:
        """Keep it."""
        with self._database.begin() as records:
            records.launches.save(launch)

    def get(self, launch: Launch) -> Launch:
        """Return what the portal knows of it now."""
        return self.known(launch.id)

    def known(self, launch_id: str) -> Launch:
        """Return the launch that was asked for elsewhere."""
        with self._database.begin() as records:
            found = records.launches.get(launch_id)
        assert found is not None
        return found

    def remove(self, launch: Launch) -> None:
        """Forget it."""
        with self._database.begin() as records:
            records.launches.remove(launch.id)

    def plan(self, launch: Launch, *, master: bytes = b"", **changed: Any) -> str:
        """Return a plan for it, as the portal signs one."""
        offering = default_offering(self.portal.settings)
        environment, size = offering.environment(launch.environment), offering.size(launch.size)
        assert environment is not None and size is not None
        server, expires = ServerName(self.owner, launch_server(launch.id)), time.time() + 60
        plan = Plan(server.path, expires, "here", "local", environment, size, self.owner, ("everyone",))
        key = master or ensure_secret(self.portal.settings.secrets / "tickets")
        return sign_plan(replace(plan, **changed), master=key)

    def path(self, launch: Launch) -> str:
        """Return the launch's server in the Hub's REST API."""
        return f"/users/{self.owner}/servers/{launch_server(launch.id)}"

    def ask(self, launch: Launch, options: Mapping[str, Any], *, token: str = "") -> httpx.Response:
        """Ask the Hub for its server."""
        return self.portal.hub("POST", self.path(launch), token=token or self.token, json={"user_options": options})

    def start(self, launch: Launch, **changed: Any) -> None:
        """Start it with a plan, and return when JupyterLab answers and everything is placed."""
        self.ask(launch, {"plan": self.plan(launch, **changed)}).raise_for_status()
        until(lambda: self.ready(launch), seconds=_START, what=lambda: f"the launch\n{self.said(launch)}")

    def ready(self, launch: Launch) -> bool:
        """Tell whether Hub and portal say that it is ready."""
        return self.get(launch).state == "ready" and bool(self.portal.hub("GET", self.path(launch)).json()["ready"])

    def said(self, launch: Launch) -> str:
        """Return what the Hub tells of its start, and the end of its log."""
        log = self.portal.settings.logs / "launches" / self.owner / f"{launch_server(launch.id)}.log"
        written = log.read_text()[-3000:] if log.exists() else "(no log)"
        return self.portal.hub("GET", f"{self.path(launch)}/progress", token=self.token).text + written

    def stop(self, launch: Launch) -> None:
        """Stop it, and wait for its end."""
        self.portal.hub("DELETE", self.path(launch))
        until(lambda: not self.processes(launch), seconds=20, what="the end of the launch")

    def processes(self, launch: Launch) -> list[psutil.Process]:
        """Return the launcher's process and all below it."""
        found = []
        for process in psutil.process_iter():
            try:
                env = process.environ()
                if env.get("JUPYTERHUB_SERVER_NAME") == launch_server(launch.id) and env["VAAS_PORTAL_URL"]:
                    found.append(process)
            except (psutil.Error, KeyError):
                continue
        return found

    def own_token(self, launch: Launch) -> str:
        """Return the Hub token that the launch itself holds."""
        return str(self.processes(launch)[0].environ()["JUPYTERHUB_API_TOKEN"])

    def lab(self, method: str, launch: Launch, path: str, *, token: str = "", json: Any = None) -> httpx.Response:
        """Send a request to its JupyterLab through the proxy."""
        whole = f"/user/{self.owner}/{launch_server(launch.id)}/{path}"
        return self.portal.request(
            method, whole, host=f"{self.owner}.vaas.localhost", token=token or self.token, json=json
        )

    def asks(self, launch: Launch, path: str, *, token: str = "", json: Any = None) -> httpx.Response:
        """Send a request to the portal's routes for launches, as the launch."""
        method = "GET" if json is None else "POST"
        return self.portal.request(
            method, f"/services/vaas/api/launched/{path}", token=token or self.own_token(launch), json=json
        )

    async def run(self, launch: Launch, code: str, *, kernel: str = "python3") -> str:
        """Run code in a new kernel of the launch, and return what it printed or the error that it ended with."""
        made = self.lab("POST", launch, "api/kernels", json={"name": kernel, "path": self.get(launch).folder})
        made.raise_for_status()
        id, settings = made.json()["id"], self.portal.settings
        url = f"ws://127.0.0.1:{settings.port}/user/{self.owner}/{launch_server(launch.id)}/api/kernels/{id}/channels"
        headers = {"Host": f"{self.owner}.vaas.localhost:{settings.port}", "Authorization": f"token {self.token}"}
        socket = await websocket_connect(HTTPRequest(url, headers=headers))
        try:
            asked = _execute(code)
            await socket.write_message(json.dumps(asked))
            async with asyncio.timeout(60):
                return await _printed(socket, asked["header"]["msg_id"])
        finally:
            socket.close()
            self.lab("DELETE", launch, f"api/kernels/{id}")


def _execute(code: str) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "s", "username": "", "version": "5"}
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}


async def _printed(socket: Any, asked: str) -> str:
    """Return what was printed once the kernel has answered and is idle again: the two come in any order."""
    text, awaited = "", {"reply", "idle"}
    while awaited and (said := await socket.read_message()) is not None:
        message = json.loads(said)
        kind, content = message["header"]["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != asked:
            continue
        if kind == "stream":
            text += content["text"]
        if kind == "error":
            return f"{content['ename']}: {content['evalue']}"
        if kind == "execute_reply":
            awaited.discard("reply")
        if kind == "status" and content["execution_state"] == "idle":
            awaited.discard("idle")
    return text
