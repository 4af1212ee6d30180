"""A whole running portal for tests: our supervisor with the real Hub, the real proxy, on free loopback ports."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from hub_service.hub_config import PORTAL_SCOPES
from hub_service.running import Note, portals
from hub_service.settings import ROOT, Settings
from tests.ports import free_ports

__all__ = ["RunningPortal", "app_python", "chromium", "free_ports", "lab_python", "running", "stand_in_app", "until"]

#: A second authority in the Hub, for tests: makes people, tokens for them, and looks at everything.
_SITE = """
c = get_config()
c.JupyterHub.services = [{{"name": "tests", "api_token": "{token}"}}, *{more_services}]
c.JupyterHub.load_roles = [{{"name": "tests", "services": ["tests"], "scopes": {scopes}}}, *{more_roles}]
"""
#: All is plain http on loopback: to read whom https trusts would take ten times as long as each request does.
_PLAIN = False
_SCOPES = [
    "admin:users",
    "admin:groups",
    "admin:servers",
    "tokens",
    "list:services",
    "read:services",
    "proxy",
    "read:hub",
]


class RunningPortal:
    """Hub, proxy and portal for a data folder, until :meth:`stop`.

    ``url`` is the portal's public address, ``hub_api`` the Hub's REST API, ``admin_token`` may do everything there.
    """

    def __init__(
        self, data: Path, *, app_python: Path, environ: dict[str, str] | None = None, more_site: str = ""
    ) -> None:
        self.data = data
        self.admin_token = secrets.token_hex(16)
        site = data.parent / f"{data.name}_site.py"
        #: scope → a token with all scopes of the portal but that one.
        self.tokens_without = {scope: secrets.token_hex(16) for scope in PORTAL_SCOPES}
        names = {scope: f"without-{number}" for number, scope in enumerate(PORTAL_SCOPES)}
        services = [{"name": names[scope], "api_token": token} for scope, token in self.tokens_without.items()]
        roles = [
            {"name": name, "services": [name], "scopes": [other for other in PORTAL_SCOPES if other != scope]}
            for scope, name in names.items()
        ]
        said_by = {"token": self.admin_token, "scopes": _SCOPES, "more_services": services, "more_roles": roles}
        site.write_text(_SITE.format(**said_by) + more_site)
        ports = dict(zip(("PORT", "HUB_PORT", "PORTAL_PORT", "PROXY_PORT"), map(str, free_ports(4)), strict=True))
        said = {f"VAAS_{name}": port for name, port in ports.items()}
        said |= {"VAAS_DATA": str(data), "VAAS_APP_PYTHON": str(app_python), "VAAS_DEMO": "1"}
        said |= {"VAAS_LAB_PYTHON": str(lab_python())}
        self.settings = Settings.from_environ({**said, "VAAS_SITE_CONFIG": str(site)})
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAAS_", "JUPYTERHUB_"))}
        kept |= {"PYTHONPATH": str(ROOT)} | (environ or {})
        if "VAAS_NODE" in os.environ:
            kept["VAAS_NODE"] = os.environ["VAAS_NODE"]
        self.environ = kept | self.settings.to_environ()
        self.url = self.settings.portal_url
        self.hub_api = f"http://127.0.0.1:{self.settings.hub_port}/hub/api"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, text: str) -> None:
        """Add to the site's configuration; what runs does not notice."""
        assert self.settings.site_config is not None
        with self.settings.site_config.open("a") as file:
            file.write(text)

    def start(self, *, seconds: float = 60.0) -> RunningPortal:
        """Start it, and return when the portal's page answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", "hub_service.supervisor"]
            self.process = subprocess.Popen(command, env=self.environ, cwd=self.data, stdout=log, stderr=log)
        try:
            self.wait(seconds=seconds)
        except TimeoutError:
            self.stop()
            raise
        return self

    def wait(self, *, seconds: float = 60.0) -> None:
        """Return when the portal's page answers through the proxy."""
        until(self.answers, seconds=seconds, what=lambda: f"the portal's page\n{self.log()}")

    def answers(self) -> bool:
        """Tell whether the portal's page answers through the proxy now."""
        with contextlib.suppress(httpx.HTTPError):
            # The portal gets what has no route, too: only the Hub's own page tells that the routes are set.
            return all(self.get(path).status_code == 200 for path in ("/hub/api/", "/services/vaas/"))
        return False

    def get(self, path: str, *, host: str = "", token: str = "") -> httpx.Response:
        """GET a path through the proxy, of the portal's host or another one below it."""
        return self.request("GET", path, host=host, token=token)

    def request(self, method: str, path: str, *, host: str = "", token: str = "", json: Any = None) -> httpx.Response:
        """Send a request through the proxy; ``token`` is one of the Hub's API."""
        headers = {"Host": f"{host or self.settings.domain}:{self.settings.port}"}
        if token:
            headers["Authorization"] = f"token {token}"
        address = f"http://127.0.0.1:{self.settings.port}{path}"
        return httpx.request(method, address, headers=headers, json=json, timeout=30, verify=_PLAIN)

    def form(self, path: str, body: str, *, token: str = "") -> httpx.Response:
        """Send a form of the portal's through the proxy."""
        headers = {"Host": f"{self.settings.domain}:{self.settings.port}"}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        if token:
            headers["Authorization"] = f"token {token}"
        address = f"http://127.0.0.1:{self.settings.port}{path}"
        return httpx.post(address, headers=headers, content=body, timeout=30, verify=_PLAIN)

    def hub(self, method: str, path: str, *, token: str = "", json: Any = None) -> httpx.Response:
        """Send a request to the Hub's REST API, as the tests' own authority unless ``token`` says who."""
        headers = {"Authorization": f"token {token or self.admin_token}"}
        return httpx.request(method, self.hub_api + path, headers=headers, json=json, timeout=30, verify=_PLAIN)

    def token_for(self, user: str) -> str:
        """Return a new Hub token with all that the person may do."""
        answer = self.hub("POST", f"/users/{user}/tokens", json={"note": "test"})
        answer.raise_for_status()
        return str(answer.json()["token"])

    @property
    def portal_token(self) -> str:
        """The Hub token that the portal itself holds now."""
        return str(portals(self.settings)[0].environ()["JUPYTERHUB_API_TOKEN"])

    @property
    def note(self) -> Note:
        """What runs, as the supervisor wrote it down."""
        note = Note.read(self.settings.run)
        assert note is not None, "nothing is noted"
        return note

    def log(self, lines: int = 40) -> str:
        """Return the end of the Hub's log, which holds the portal's too."""
        path = self.settings.logs / "hub.log"
        own = self.data.parent / f"{self.data.name}.log"
        found = path if path.exists() else own
        return "\n".join(found.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Stop everything; no-op when it does not run."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


def until(true: Callable[[], object], *, seconds: float, what: Callable[[], str] | str = "it") -> None:
    """Return when ``true()`` is; TimeoutError that says ``what`` was waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"After {seconds:.0f} s still waiting for {what if isinstance(what, str) else what()}")
        time.sleep(0.1)


def app_python() -> Path:
    """Return the app environment's python."""
    return Path(os.environ.get("VAAS_APP_PYTHON") or ROOT / ".venvs" / "app" / "bin" / "python")


def lab_python() -> Path:
    """Return the launch environment's python."""
    return Path(os.environ.get("VAAS_LAB_PYTHON") or ROOT / ".venvs" / "lab" / "bin" / "python")


def stand_in_app(folder: Path) -> Path:
    """Return a "python" that runs a stand-in for the app server: it answers with its own environment."""
    program = folder / "stand-in"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -P {Path(__file__).with_name('stand_in_app.py')}\n")
    program.chmod(0o755)
    return program


#: With these, a Chromium that is measured does nothing by itself.
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


def chromium() -> str:
    """Return the path of a Chromium: where there is one, that without a window, which takes half the computing time."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("VAAS_CHROMIUM") or next((path for name in names if (path := shutil.which(name))), "")
    assert found, "There is no Chromium here: run make test, or set VAAS_CHROMIUM."
    return found


@contextlib.contextmanager
def running(
    data: Path, *, app_python: Path, environ: dict[str, str] | None = None, more_site: str = ""
) -> Iterator[RunningPortal]:
    """Start a portal and stop it at the end.

    ``environ`` is added to its environment, ``more_site`` to the site's own configuration of the Hub.
    """
    portal = RunningPortal(data, app_python=app_python, environ=environ, more_site=more_site).start()
    try:
        yield portal
    finally:
        portal.stop()
