"""The servers that are compared, each started as its documentation says, with a door for visitors.

All but Panel run in the app environment. Voilà runs as shipped: none of the settings that our kernels get, and with its
own template. Panel has an environment of its own (requirements/bench.in), which `make bench` builds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import aiohttp

from bench.apps import App
from bench.visiting import Door, PanelDoor, PortalDoor, VoilaDoor, client
from tests.portal_fixture import app_python, free_ports
from tests.service.portal_stub import AppProcess, PortalStub, running

__all__ = ["PANEL", "SIDES", "Side", "app_server", "ours", "panel", "preheated", "voila", "voila_url"]

PANEL = Path(__file__).resolve().parent.parent / ".venvs" / "bench" / "bin" / "panel"
#: How many kernels Voilà keeps ready when it does.
POOL = 3
_START = 60.0
#: A class comes; how it is let in is what is measured, not the default limit on visits. All else is as the portal has
#: it, where the stub for tests has it otherwise.
_LIMITS = {"heartbeat": 5.0, "visits": 1000, "ahead": 1}


class Side(Protocol):
    """Serves an app while the context lasts."""

    def __call__(self, app: App, *, folder: Path) -> AbstractAsyncContextManager[Door]:
        """Start the server, with its files in the folder."""


@asynccontextmanager
async def ours(app: App, *, folder: Path) -> AsyncIterator[PortalDoor]:
    """Start this portal's app server, with a stub for the portal."""
    async with app_server(app, folder=folder, limits=_LIMITS) as (door, _):
        yield door


@asynccontextmanager
async def app_server(
    app: App, *, folder: Path, limits: Mapping[str, float]
) -> AsyncIterator[tuple[PortalDoor, AppProcess]]:
    """Start this portal's app server, which keeps all its files in the folder."""
    name = f"{app.name}.ipynb"
    stub = PortalStub({name: app.notebook}, notebook=name, title="Measured", limits=limits)
    environ = {"TMPDIR": str(folder)}
    async with stub.served() as portal, running(portal, folder=folder, environ=environ) as server, client() as http:
        yield PortalDoor(http, portal=portal, url=server.url), server


@asynccontextmanager
async def voila(app: App, *, folder: Path) -> AsyncIterator[VoilaDoor]:
    """Start Voilà as it is."""
    async with voila_url(app.notebook, folder=folder) as url, client() as http:
        yield VoilaDoor(http, url=url)


@asynccontextmanager
async def preheated(app: App, *, folder: Path) -> AsyncIterator[VoilaDoor]:
    """Start Voilà with kernels that ran the notebook ahead of their visitors."""
    async with voila_url(app.notebook, folder=folder, pool=POOL) as url, client() as http:
        yield VoilaDoor(http, url=url)


@asynccontextmanager
async def panel(app: App, *, folder: Path) -> AsyncIterator[PanelDoor]:
    """Start Panel with the same app."""
    path, (port,) = folder / f"{app.name}.py", free_ports(1)
    path.write_text(app.panel)
    command = [str(PANEL), "serve", str(path), f"--port={port}", "--address=127.0.0.1"]
    url = f"http://127.0.0.1:{port}/{app.name}"
    async with _process(command, folder=folder, url=url), client() as http:
        yield PanelDoor(http, url=url)


#: In the order in which they are measured.
SIDES: Mapping[str, Side] = {"vaas": ours, "voila": voila, "voila_preheated": preheated, "panel": panel}


@asynccontextmanager
async def voila_url(notebook: bytes, *, folder: Path, pool: int = 0) -> AsyncIterator[str]:
    """Start Voilà and give its address; with a ``pool``, it keeps so many kernels ready."""
    path, (port,) = folder / "measured.ipynb", free_ports(1)
    path.write_bytes(notebook)
    options = [f"--port={port}", "--no-browser", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1"]
    if pool:
        options += ["--preheat_kernel=True", f"--pool_size={pool}"]
    url = f"http://127.0.0.1:{port}/"
    command = [str(app_python()), "-m", "voila", str(path), *options]
    async with _process(command, folder=folder, url=f"{url}voila/static/voila.js"):
        yield url


@asynccontextmanager
async def _process(command: list[str], *, folder: Path, url: str) -> AsyncIterator[None]:
    """Run a server until the end of the context; begin when ``url`` answers."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("VAAS_", "JUPYTER"))}
    environ |= {"HOME": str(folder), "TMPDIR": str(folder)}  # so that no settings of whoever measures count
    log = folder / "server.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environ, stdout=out, stderr=out)
    try:
        await _until_it_answers(url, process=process, log=log)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_it_answers(url: str, *, process: asyncio.subprocess.Process, log: Path) -> None:
    async with client() as http, asyncio.timeout(_START):
        while process.returncode is None:
            try:
                async with http.get(url) as answer:
                    await answer.read()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.1)
            else:
                return
    raise RuntimeError(f"The server ended: {log.read_text(errors='replace')[-2000:]}")
