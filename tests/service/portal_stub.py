"""A small real portal for tests of the app server, and the app server itself as a process of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.simple_httpclient import HTTPStreamClosedError
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.ports import free_ports
from tests.processes import command_of, runs
from tests.tars import tar_of
from vaas import tickets
from vaas.model import ServerName
from vaas.tickets import Ticket

__all__ = ["AppProcess", "PortalStub", "Visitor", "app_python", "running"]

REPOSITORY = Path(__file__).parents[2]
SERVER = ServerName("app-0123456789ab", "v3")
ORIGIN = "http://portal.localhost"
#: The cookie of a visit: browsers take Secure cookies from localhost.
COOKIE = f"__Host-vaas-visit-{SERVER.name}"


def app_python() -> str:
    """Return the Python of the app environment."""
    return os.environ.get("VAAS_APP_PYTHON") or str(REPOSITORY / ".venvs/app/bin/python")


@dataclass
class PortalStub:
    """What the portal says to one app server, and what it heard from it."""

    files: Mapping[str, bytes]
    notebook: str = "lesson.ipynb"
    limits: Mapping[str, float] = field(default_factory=dict)
    check: Mapping[str, int] | None = None
    title: str = "Waves & <tides>"
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    #: Makes the tar; tests of damaged content replace it.
    tar: bytes | None = None
    revoked: set[str] = field(default_factory=set)
    stop: bool = False
    #: What kernels may reach, and what of it the site itself names.
    network: tuple[str, ...] = ()
    network_trusted: tuple[str, ...] = ()
    knows_visitor: bool = False
    #: Whether kernels may ask as their visitor; by what, and what is answered to it.
    speaks: bool = False
    #: Whether they may ask for a basket that a ticket hands over.
    takes_basket: bool = False
    #: The digest of the environment in which the notebook runs.
    environment: str = ""
    proofs: str = "proof-of"
    asked: list[dict[str, Any]] = field(default_factory=list)
    #: What visits gave to the launches of their visitors.
    given: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], tuple[int, Any]] = lambda asked: (200, asked)
    #: What the server may have of what the whole site may, by the names of the protocol.
    shares: dict[str, int] = field(default_factory=dict)
    #: How the app's page looked last, in HTML.
    picture: str = ""
    away: bool = False
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    outlines: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[PortalStub]:
        """Listen on a free port."""
        routes = [(rf"/portal/api/runtime/{name}", _Api, {"portal": self, "name": name}) for name in _ANSWERS]
        server = HTTPServer(Application(routes))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/portal/"
        try:
            yield self
        finally:
            server.stop()

    def ticket(
        self,
        *,
        purpose: str = "visit",
        user: str = "bob",
        server: ServerName = SERVER,
        access: int = 1,
        expires: float = 60,
        known: bool = False,
        groups: tuple[str, ...] = (),
        basket: str = "",
    ) -> str:
        """Return a new ticket of this portal."""
        nonce = secrets.token_hex(8)
        until = time.time() + expires
        proof = f"{self.proofs}-{user}" if self.speaks else basket and f"{basket}-of-{user}"
        made = Ticket(purpose, server.path, user, ("link-1",), access, nonce, until, known, groups, proof)
        if made.may_read and user:
            made = replace(made, launch=f"launch-of-{user}")
        return tickets.sign(made, key=self.key)

    def manifest(self) -> dict[str, Any]:
        """Return what the app server asks for first."""
        # Most tests are about a kernel of their own, and count kernels; those about templates say so.
        limits = {"heartbeat": 1, "lost_after": 60, "visits": 200, "cell_seconds": 60, "ahead": 0}
        limits |= {"leave_after": 0, **self.limits}
        listed = [
            {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for path, data in self.files.items()
        ]
        app = {"id": "0123456789ab", "slug": "waves", "title": self.title, "owner": "ada", "description": ""}
        return {
            "server": SERVER.path,
            "app": app,
            "version": "3",
            "hash": "00",
            "notebook": self.notebook,
            "files": listed,
            "ticket_key": base64.urlsafe_b64encode(self.key).rstrip(b"=").decode(),
            "portal": f"{ORIGIN}/services/vaas/",
            "about": f"{ORIGIN}/services/vaas/apps/waves/about",
            "launch": f"{ORIGIN}/services/vaas/apps/waves/launch",
            "open": f"{ORIGIN}/services/vaas/apps/waves/?from=app",
            "check": self.check,
            "limits": limits,
            "frame_ancestors": ["'none'"],
            "network": list(self.network),
            "network_trusted": list(self.network_trusted),
            "knows_visitor": self.knows_visitor,
            "speaks": self.speaks,
            "takes_basket": self.takes_basket,
            "environment": self.environment,
            **self.shares,
        }

    def content(self) -> bytes:
        """Return the tar of the files."""
        if self.tar is not None:
            return self.tar
        return tar_of(self.files)


_ANSWERS = ("manifest", "content", "heartbeat", "check", "outline", "picture", "ask", "given")


class _Api(RequestHandler):
    def initialize(self, *, portal: PortalStub, name: str) -> None:
        self.portal, self.name = portal, name

    def prepare(self) -> None:
        if self.portal.away:
            raise HTTPError(502)
        if self.request.headers.get("Authorization") != f"token {self.portal.token}":
            raise HTTPError(403)

    def get(self) -> None:
        answers = {"manifest": self.portal.manifest, "content": self.portal.content}
        self.write(answers[self.name]() if self.name in answers else self.portal.picture)

    def post(self) -> None:
        heard = json.loads(self.request.body)
        if self.name == "heartbeat":
            self.portal.heartbeats.append(heard)
            present = {visit["id"] for visit in heard["visits"]}
            revoked, network = sorted(present & self.portal.revoked), list(self.portal.network)
            told = {"network": network, "knows_visitor": self.portal.knows_visitor, **self.portal.shares}
            self.write({"revoked": revoked, "stop": self.portal.stop, **told})
        elif self.name == "ask":
            self.portal.asked.append(heard)
            status, said = self.portal.answer(heard)
            self.set_status(status)
            self.set_header("Content-Type", "application/json")
            self.finish(said if isinstance(said, bytes) else json.dumps(said))
        elif self.name == "given":
            self.portal.given.append(heard)
            self.write({"id": f"given-{len(self.portal.given)}"})
        elif self.name == "outline":
            self.portal.outlines.append(heard)
            self.write({})
        else:
            self.portal.checks.append(heard)
            self.write({})


class Visitor:
    """A browser's cookie jar, for one app server."""

    def __init__(self, app: AppProcess, *, portal: PortalStub) -> None:
        self.app, self.portal, self.cookie = app, portal, ""
        self._http = AsyncHTTPClient(force_instance=True, max_clients=30)

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    async def ask(
        self, path: str = "", *, method: str = "GET", body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> HTTPResponse:
        """Send one request below the server's path; errors and redirects are answers like others."""
        request = HTTPRequest(
            self.app.url + path,
            method=method,
            body=body if body is not None else ("" if method in {"POST", "PUT", "PATCH"} else None),
            headers={**({"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}), **(headers or {})},
            follow_redirects=False,
            request_timeout=60,
            allow_nonstandard_methods=True,
        )
        return await self._http.fetch(request, raise_error=False)

    async def enter(self, ticket: str | None = None, *, query: str = "", origin: str | None = ORIGIN) -> HTTPResponse:
        """Come with a ticket, as the portal's page makes a browser do."""
        body = urlencode({"ticket": self.portal.ticket() if ticket is None else ticket, "query": query})
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"Origin": origin} if origin else {})
        answer = await self.ask("visit", method="POST", body=body, headers=headers)
        for line in answer.headers.get_list("Set-Cookie"):
            if line.startswith(f"{COOKIE}="):
                self.cookie = line.split(";")[0].partition("=")[2]
        return answer

    async def page(self, query: str = "") -> LoadedPage:
        """Load the page completely."""
        answer = await self.ask(f"?{query}" if query else "")
        assert answer.code == 200, answer.body
        return LoadedPage(self, answer)

    async def leave(self, token: str) -> int:
        """Say farewell as a closing page does."""
        return (await self.ask("vaas/farewell", method="POST", body=token)).code


class LoadedPage:
    """What a browser knows after it has loaded the page."""

    def __init__(self, visitor: Visitor, answer: HTTPResponse) -> None:
        self.visitor = visitor
        self.html = answer.body.decode()
        self.headers = answer.headers
        self.facts = json.loads(_between(self.html, 'id="vaas-page">', "</script>"))
        self.config = json.loads(_between(self.html, 'id="jupyter-config-data" type="application/json">', "</script>"))
        self.kernel: str = self.config["kernelId"]
        self.token: str = self.facts["token"]

    async def connect(
        self, *, protocol: str | None = None, origin: str | None = None, cookie: str | None = None
    ) -> WebSocketClientConnection:
        """Open the websocket of the page's kernel."""
        app = self.visitor.app
        headers = {
            "Cookie": f"{COOKIE}={self.visitor.cookie if cookie is None else cookie}",
            "Origin": app.origin if origin is None else origin,
        }
        request = HTTPRequest(
            f"{app.url.replace('http', 'ws', 1)}api/kernels/{self.kernel}/channels?session_id={secrets.token_hex(4)}",
            headers={name: value for name, value in headers.items() if value},
        )
        return await websocket_connect(request, subprotocols=[protocol] if protocol else None)


def _between(text: str, start: str, stop: str) -> str:
    return text.partition(start)[2].partition(stop)[0]


@dataclass
class AppProcess:
    """The app server as a process."""

    process: asyncio.subprocess.Process
    origin: str
    log: Path

    @property
    def url(self) -> str:
        """Its address, with a slash at the end."""
        return f"{self.origin}{SERVER.path}"

    @property
    def processes(self) -> list[psutil.Process]:
        """All that it has started and that runs now."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child for child in children if runs(child)]

    @property
    def kernels(self) -> list[psutil.Process]:
        """The kernels that run now."""
        return self.running("vaas.runtime.kernel")

    def running(self, word: str) -> list[psutil.Process]:
        """Those that run now and have the word in their command; one that ends meanwhile is none of them."""
        return [process for process in self.processes if word in command_of(process)]

    def text(self) -> str:
        """What it has written to its log."""
        return self.log.read_text()


@asynccontextmanager
async def running(
    portal: PortalStub, *, folder: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[AppProcess]:
    """Start the app server as the Hub would, wait until it answers, and stop it in the end."""
    (port,) = free_ports(1)
    log = folder / f"app-{port}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            app_python(),
            "-m",
            "vaas.runtime",
            cwd=folder,
            env=_environment(portal, port=port, folder=folder) | dict(environ or {}),
            stdout=out,
            stderr=out,
        )
    app = AppProcess(process, f"http://127.0.0.1:{port}", log)
    try:
        await _wait_until_up(app)
        yield app
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)


def _environment(portal: PortalStub, *, port: int, folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY),
        "JUPYTERHUB_API_TOKEN": portal.token,
        "JUPYTERHUB_SERVICE_PREFIX": SERVER.path,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}{SERVER.path}",
        "JUPYTERHUB_USER": SERVER.account,
        "JUPYTERHUB_SERVER_NAME": SERVER.name,
        "VAAS_PORTAL_URL": portal.url,
    }


async def _wait_until_up(app: AppProcess) -> None:
    http = AsyncHTTPClient(force_instance=True)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if app.process.returncode is not None:
            raise AssertionError(f"the app server ended: {app.text()}")
        try:
            await http.fetch(app.url + "api")
        except (OSError, HTTPStreamClosedError):
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError(f"the app server does not answer: {app.text()}")


async def _by_hand(path: Path) -> None:
    """Serve one notebook and print a cookie for it: ``python -m tests.service.portal_stub lesson.ipynb``."""
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    stub = PortalStub({path.name: path.read_bytes()}, notebook=path.name, title=path.stem)
    async with stub.served(), running(stub, folder=folder) as app:
        visitor = Visitor(app, portal=stub)
        await visitor.enter(stub.ticket(access=2))
        print(app.url, visitor.cookie, app.process.pid, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_by_hand(Path(sys.argv[1])))
