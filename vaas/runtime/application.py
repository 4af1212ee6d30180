"""Start the app server: ask the portal what to serve, fetch it, serve it, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from vaas.errors import Invalid, Unavailable, VaasError
from vaas.runtime import patches
from vaas.runtime.confinement import confine
from vaas.runtime.content import discard, unpack
from vaas.runtime.manifest import Manifest
from vaas.runtime.outline import Outline
from vaas.runtime.portal_client import PortalClient
from vaas.runtime.sandbox import find_isolation

__all__ = ["Place", "main"]

_MOST_IN_A_BODY = 1 << 20
_PATIENCE_AT_START = 10
#: How often what goes on by itself is asked to end.
_ASKED = 10
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where the Hub wants this server, and how it finds its portal."""

    host: str
    port: int
    base_url: str
    portal: str
    token: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Place:
        """Read what the Hub's spawner sets; Invalid names what is missing."""
        needed = ("VAAS_PORTAL_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_SERVICE_URL")
        missing = [name for name in needed if not environ.get(name)]
        if missing:
            raise Invalid(f"This is started by the Hub, which sets {', '.join(missing)}.")
        address = urlsplit(environ["JUPYTERHUB_SERVICE_URL"])
        return cls(
            host=address.hostname or "127.0.0.1",
            port=address.port or 0,
            base_url=environ["JUPYTERHUB_SERVICE_PREFIX"],
            portal=environ["VAAS_PORTAL_URL"],
            token=environ["JUPYTERHUB_API_TOKEN"],
        )


def main() -> int:
    """Run until told to stop; the result is the process's exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="vaas-"))
    try:
        return asyncio.run(_run(Place.from_environment(os.environ), folder=folder))
    except VaasError as error:
        log.error("%s", error.message if error.message == error.log_message else f"{error.message} {error.log_message}")
        return 1
    finally:
        discard(folder)


async def _run(place: Place, *, folder: Path) -> int:
    work = asyncio.ensure_future(_serve(place, folder=folder))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log.info("Stopped")
    return 0


async def _serve(place: Place, *, folder: Path) -> None:
    portal = PortalClient(place.portal, token=place.token)
    # The slow imports go on in a thread while the portal answers.
    imports = asyncio.get_running_loop().run_in_executor(None, _import_server)
    trial = asyncio.get_running_loop().run_in_executor(None, find_isolation, os.environ)
    manifest = await _manifest(portal)
    _set_limits(memory=manifest.limits.server_memory)
    await _fetch(manifest, portal=portal, folder=folder)
    make = await imports
    sandbox, isolation = await trial
    if sandbox is None:
        log.warning("Kernels are not isolated from this machine: %s", isolation.why)
    server = make(
        manifest,
        portal=portal,
        folder=folder,
        base_url=place.base_url,
        environ=dict(os.environ),
        confinement=confine(manifest, sandbox, isolation),
    )
    http = HTTPServer(server.application(), xheaders=True, max_body_size=_MOST_IN_A_BODY)
    sockets = bind_sockets(place.port, address=place.host)
    http.add_sockets(sockets)
    address = f"http://{place.host}:{sockets[0].getsockname()[1]}{place.base_url}"
    log.info("Serving %r, version %s, at %s", manifest.title, manifest.version, address)
    # What was imported stays: there is no need to look through it again and again for what does not.
    gc.freeze()
    works = (server.beat(), server.sweep(), _prepare(server, portal=portal), _tell_mode(server))
    chores = [asyncio.ensure_future(work) for work in works]
    for chore in chores:
        chore.add_done_callback(_say_how_it_ended)
    try:
        await server.stopped.wait()
    finally:
        http.stop()
        await _end(chores)
        await server.close()
        portal.close()


def _set_limits(*, memory: int) -> None:
    # A visit takes about twenty open files, and what a system gives at first is made for programs of one user.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, most))


def _say_how_it_ended(chore: asyncio.Future[Any]) -> None:
    """Nobody waits for a chore: what ends it has to be in the log."""
    if not chore.cancelled() and (error := chore.exception()):
        log.error("The server looks after something no more", exc_info=error)


async def _end(chores: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel until they have ended: what they wait for may take it for something else, as jupyter_client does."""
    for _ in range(_ASKED):
        for chore in chores:
            chore.cancel()
        _, left = await asyncio.wait(chores, timeout=1)
        if not left:
            return


def _import_server() -> Any:
    patches.skip_slow_imports()
    patches.apply()
    from vaas.runtime.server import AppServer

    return AppServer


async def _manifest(portal: PortalClient) -> Manifest:
    """Ask for the manifest, patiently: Hub, portal and servers may all be starting at once."""
    for _ in range(_PATIENCE_AT_START):
        try:
            return await portal.manifest()
        except Unavailable as error:
            log.warning("%s (%s)", error.message, error.log_message)
            await asyncio.sleep(1)
    return await portal.manifest()


async def _fetch(manifest: Manifest, *, portal: PortalClient, folder: Path) -> None:
    content = folder / "content"
    content.mkdir(mode=0o700)
    with tempfile.TemporaryFile(dir=folder) as archive:
        await portal.content(archive)
        archive.seek(0)
        await asyncio.to_thread(unpack, archive, content, files=manifest.files)


async def _prepare(server: Any, *, portal: PortalClient) -> None:
    """Check the notebook, if the portal asks for it, and keep it ready for visits."""
    report = await _check(server, portal=portal)
    await asyncio.gather(_hand_over(report, of=server.manifest.hash, portal=portal), server.stock.tend())


async def _hand_over(report: Mapping[str, Any] | None, *, of: str, portal: PortalClient) -> None:
    """Tell the portal what a check found, however long it is away."""
    pause = 1.0
    while report is not None:
        try:
            await portal.check({"report": report}, of=of)
            return
        except VaasError as error:
            log.warning("The report of the check: %s; next try in %.0f s", error.log_message, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 30.0)


async def _tell_mode(server: Any) -> None:
    """Tell the portal how the app opens as soon as that is known: its publisher looks at the draft now."""
    await server.stock.settled()
    if server.told != server.stock.opens:
        server.poked.set()


async def _check(server: Any, *, portal: PortalClient) -> Mapping[str, Any] | None:
    """Run the notebook once for its publisher, if the portal asks for it, and return the report."""
    seconds = server.manifest.check_seconds
    if seconds is None:
        return None

    async def report_progress(progress: dict[str, Any]) -> None:
        try:
            await portal.check({"progress": progress}, of=server.manifest.hash)
        except VaasError as error:
            log.warning("Progress of the check: %s", error.log_message)

    try:
        from vaas.runtime.check import run_check

        report = await run_check(
            server.content,
            server.manifest.notebook,
            seconds=seconds,
            report_progress=report_progress,
            confinement=server.confinement,
        )
    except Exception:
        log.exception("The check broke")
        problem = {"kind": "died", "text": "The check itself broke.", "fix": "Check again; the server's log says more."}
        report = {"ok": False, "errors": [], "problems": [problem]}
    try:
        # First, since a report ends the check. No visitor had a part in this run, so that anybody may see it.
        await portal.outline(Outline(tuple((report.pop("outline", None) or {"blocks": ()})["blocks"])))
    except VaasError as error:
        log.warning("The outline of the page: %s", error.log_message)
    return report
