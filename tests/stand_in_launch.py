"""A stand-in for what a launch runs, and for the spawner that starts it: a small web server on the person's host.

What it does is in ``launch.json`` of the data folder, looked up at each start: "delay" seconds until it listens, or
"fail" with these words.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.spawner import SimpleLocalProcessSpawner, SpawnException

from hub_service.spawner import AppProcess
from vaas.db.seal import ensure_secret
from vaas.model import ServerName
from vaas.plans import read_plan

__all__ = ["LaunchProcess"]


class LaunchProcess(AppProcess):
    """Starts app servers as ever, and for people what their plan says, as a stand-in."""

    async def start(self) -> Any:
        """Start the server, if its plan is the portal's."""
        if self.for_app:
            return await super().start()
        data = Path(self.home_root).parents[1]
        server = ServerName(self.user.name, self.name)
        master = ensure_secret(data / "secrets" / "tickets")
        plan = read_plan(self.user_options.get("plan"), master=master, server=server, now=time.time())
        found = data / "launch.json"
        told = json.loads(found.read_text()) if found.exists() else {}
        if told.get("fail"):
            raise SpawnException(told["fail"], reason="told-so", status_code=500)
        await asyncio.sleep(told.get("before", 0))
        self.environment = {
            "VAAS_DELAY": str(told.get("delay", 0)),
            "VAAS_PLAN": json.dumps({"facility": plan.facility, "size": plan.size.id, "home": plan.home}),
        }
        self.cmd = [sys.executable, "-P", __file__]
        self.popen_kwargs = {"cwd": str(data)}
        return await SimpleLocalProcessSpawner.start(self)


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers with a page that says where it is."""

    def do_GET(self) -> None:
        """Answer."""
        body = f"<!doctype html><title>JupyterLab</title><h1>JupyterLab</h1><p id=at>{self.path}</p>".encode()
        body += f"<p id=plan>{os.environ['VAAS_PLAN']}</p>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    place = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    time.sleep(float(os.environ["VAAS_DELAY"]))
    http.server.ThreadingHTTPServer((place.hostname or "", place.port or 0), Answer).serve_forever()
