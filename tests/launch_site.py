"""A portal at a real Hub that starts a small web server for each launch, and what tests do with it over REST."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.notebooks import write_notebook
from tests.portal_fixture import RunningPortal, app_python, running, until
from tests.stand_in_launch import SITE
from vaas.launching import launch_server

__all__ = ["PORTAL", "Launches", "launch_portal", "launches"]

PORTAL = "/services/vaas/"


@dataclass
class Launches:
    """The launches of people on one portal."""

    portal: RunningPortal
    tokens: dict[str, str]

    def told(self, **said: Any) -> None:
        """Say how the next starts go."""
        (self.portal.data / "launch.json").write_text(json.dumps(said))

    def rest(self, method: str, path: str, body: Any = None, *, who: str = "ada") -> Any:
        """Ask over REST what is answered well."""
        answer = self.portal.request(method, f"{PORTAL}api/{path}", token=self.tokens[who], json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def launch(self, **asked: str) -> str:
        """Launch that, or a notebook of ada's; return the launch's id."""
        return str(self.rest("POST", "launches", asked or {"store": "home", "path": "a b.ipynb"})["id"])

    def state(self, launch: str) -> str:
        """Return how the launch is."""
        return str(self.rest("GET", f"launches/{launch}")["state"])

    def until(self, launch: str, state: str, *, seconds: float = 20) -> None:
        """Wait until it is so."""
        until(lambda: self.state(launch) == state, seconds=seconds, what=f"the launch to be {state}")

    def at_hub(self, launch: str) -> dict[str, Any] | None:
        """Return what the Hub knows of the launch's server."""
        servers = self.portal.hub("GET", "/users/ada?include_stopped_servers").json()["servers"]
        found: dict[str, Any] | None = servers.get(launch_server(launch))
        return found

    def processes(self, launch: str) -> int:
        """Return how many processes there are of the launch's server."""
        assert self.portal.process is not None
        below = psutil.Process(self.portal.process.pid).children(recursive=True)
        return sum(_server(child) == launch_server(launch) for child in below)


def _server(process: psutil.Process) -> str:
    """Return of which server it is; "" for others, and for one that has just ended."""
    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
        return "" if ended else process.environ().get("JUPYTERHUB_SERVER_NAME", "")
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def launch_portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launches]:
    """Return the portal; ada has a notebook in her home."""
    folder = tmp_path_factory.mktemp("launches")
    with running(folder / "data", app_python=app_python(), more_site=SITE) as portal:
        write_notebook(portal.data / "homes" / "ada" / "a b.ipynb", "x = 1")
        yield Launches(portal, {name: portal.token_for(name) for name in ("ada", "sam", "emil")})


@pytest.fixture
def launches(launch_portal: Launches) -> Iterator[Launches]:
    """Return that portal, on which nothing runs, where starts work, and from which all that is launched goes."""
    launch_portal.told()
    yield launch_portal
    for launch in launch_portal.rest("GET", "launches")["launches"]:
        launch_portal.rest("DELETE", f"launches/{launch['id']}")
