"""A stand-in for what a launch runs, and for the spawner that starts it: a small web server on the person's host.

What it does is in ``launch.json`` of the data folder, looked up at each start: "before" seconds until there is a
process, "delay" seconds until that listens, for which the Hub has "patience" seconds, "fail" with these words, "late"
after "delay" with these words, or "die" with that code.
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
from vaas.errors import VaasError
from vaas.model import ServerName
from vaas.plans import read_plan

__all__ = ["SITE", "LaunchProcess"]

#: What a Hub is told that starts launches so.
SITE = 'c.JupyterHub.spawner_class = "tests.stand_in_launch.LaunchProcess"\n'


class LaunchProcess(AppProcess):
    """Starts app servers as ever, and for people what their plan says, as a stand-in."""

    async def start(self) -> Any:
        """Start the server, if its plan is the portal's."""
        if self.for_app:
            return await super().start()
        data = Path(self.home_root).parents[1]
        told = _told(data)
        try:
            plan = read_plan(
                self.user_options.get("plan"),
                master=ensure_secret(data / "secrets" / "tickets"),
                server=ServerName(self.user.name, self.name),
                now=time.time(),
            )
        except VaasError as error:
            raise SpawnException(error.message, reason="no-plan", status_code=403) from error
        if told.get("fail"):
            raise SpawnException(told["fail"], reason="told-so", status_code=500)
        await asyncio.sleep(told.get("delay" if told.get("late") else "before", 0))
        if told.get("late"):
            raise SpawnException(told["late"], reason="told-so", status_code=500)
        said = {"facility": plan.facility, "size": plan.size.id, "home": plan.home, "shared": plan.shared}
        self.environment = {
            "VAAS_DELAY": str(told.get("delay", 0)),
            "VAAS_DIE": str(told.get("die", 0)),
            "VAAS_PLAN": json.dumps(said),
        }
        self.http_timeout = told.get("patience", 30)
        self.cmd = [sys.executable, "-P", __file__]
        self.popen_kwargs = {"cwd": str(data)}
        return await SimpleLocalProcessSpawner.start(self)

    def get_env(self) -> dict[str, str]:
        """Return for a person's server what any spawner would give it."""
        env: dict[str, str] = super().get_env() if self.for_app else SimpleLocalProcessSpawner.get_env(self)
        return env


def _told(data: Path) -> dict[str, Any]:
    found = data / "launch.json"
    said: dict[str, Any] = json.loads(found.read_text()) if found.exists() else {}
    return said


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
    if code := int(os.environ["VAAS_DIE"]):
        sys.exit(code)
    time.sleep(float(os.environ["VAAS_DELAY"]))
    http.server.ThreadingHTTPServer((place.hostname or "", place.port or 0), Answer).serve_forever()
