"""The portal as a service of the Hub: the only file that names concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import jinja2
from tornado.httpserver import HTTPServer

from hub_service import demo_content, discovery, openapi, routes
from hub_service.advice import advice
from hub_service.batch import batch
from hub_service.bodies import SizedApplication
from hub_service.catalog_file import Elsewhere, read_catalogs
from hub_service.common import Common
from hub_service.database import open_database
from hub_service.environments import environments_folder, make_maker
from hub_service.facilities_file import declared
from hub_service.handlers.base import filters, masked
from hub_service.hub_cookies import PortalOAuth, xsrf_cookie
from hub_service.isolation import KernelIsolation, sandbox_environ, warning
from hub_service.logs import Records
from hub_service.offered import able, connected
from hub_service.portals import OtherPortals
from hub_service.probing import Probe, Probing
from hub_service.settings import ROOT, Settings
from hub_service.site import allowed_private, bounds, frame_ancestors, limits, picture_sources
from vaas.backends.hub import HubApi, HubBackend, HubDirectory
from vaas.backends.hub_people import HubOwnServers
from vaas.catalogs.base import Catalog
from vaas.catalogs.ckan import CkanCatalog
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.looking import AppLooker
from vaas.catalogs.own import Index, OwnCatalog
from vaas.catalogs.sparing import Sparing
from vaas.catalogs.stac import StacCatalog
from vaas.content import Content
from vaas.db.seal import Seal, ensure_secret
from vaas.db.sql import SqlDatabase
from vaas.errors import VaasError
from vaas.http import Http, internal_http
from vaas.launching import Offering
from vaas.portal import Core, Harvesting, Indexing, Portal, Sweeping
from vaas.portal.facilities import Facilities
from vaas.portal.outlines import Outlines
from vaas.portal.unused import Unused
from vaas.slug import slugify
from vaas.stores.lending import remove_leftovers
from vaas.stores.mounted import MountedStores, SharedFolder

__all__ = ["log_to", "main", "make_application", "make_core", "make_index", "make_portal", "shared_ids"]

_log = logging.getLogger("vaas")
_SWEEP_SECONDS = 3600
_LOOK_SECONDS = 600
#: What is copied and untouched for so long has nobody any more who copies it.
_BEGUN_SECONDS = 86_400
#: What is written at once into the index may take so many bytes.
_INDEX_MEMORY = 64_000_000
#: So many previews are made at once: one person, who has one at a time, holds up nobody else alone.
_PREVIEWS = 2
#: kind of a catalog elsewhere → how it is made.
_CATALOGS: Mapping[str, Callable[[Elsewhere, Http], Catalog]] = {
    "ckan": lambda at, http: CkanCatalog(at.id, at.title, at.url, http=http, patience=at.patience),
    "invenio": lambda at, http: InvenioCatalog(
        at.id, at.title, at.url, http=http, token=at.token, patience=at.patience
    ),
    "stac": lambda at, http: StacCatalog(at.id, at.title, at.url, http=http, patience=at.patience),
}


def make_core(settings: Settings, environ: Mapping[str, str]) -> Core:
    """Put together what the verbs stand on; brings the database to the newest schema."""
    data = settings.data
    database = open_database(settings, environ, seal=Seal(ensure_secret(settings.secrets / "seal")))
    database.upgrade()
    hub_url = environ["JUPYTERHUB_API_URL"]
    proxy = settings.proxy_address
    inside = internal_http(hub_url, proxy, seconds=20.0)
    api = HubApi(hub_url, environ["JUPYTERHUB_API_TOKEN"], http=inside)
    backend = HubBackend(api, http=inside, origin=lambda account: app_origin(settings.public_url, account), proxy=proxy)
    stores = _stores(data, database, _http(environ))
    return Core(
        database=database,
        content=Content(data / "content"),
        outlines=Outlines(data / "outlines"),
        backend=backend,
        directory=HubDirectory(api),
        stores=stores,
        master_key=ensure_secret(settings.secrets / "tickets"),
        limits=limits(environ),
        offering=_offering(settings, environ),
        maker=make_maker(settings, environ, limits(environ)),
        own_servers=HubOwnServers(hub_url, http=inside),
        folders=stores.folders,
        public_url=settings.portal_url,
        network=settings.network,
        picture_sources=picture_sources(environ),
        frame_ancestors=frame_ancestors(environ, public_url=settings.public_url),
        poke=backend.poke,
        log_of=lambda server: last_lines(settings.logs / "apps" / server.account / f"{server.name}.log"),
    )


def _offering(settings: Settings, environ: Mapping[str, str]) -> Offering:
    """Return what the site offers, of that what something leads to."""
    said = declared(settings, allowed=allowed_private(environ))
    return connected(said.offering, able(settings, environ))


def make_portal(settings: Settings, environ: Mapping[str, str]) -> Portal:
    """Put the portal together from its adapters."""
    core, index = make_core(settings, environ), make_index(settings, environ)
    indexing = Indexing(core, index)
    catalogs: list[Catalog] = [OwnCatalog(index, is_fresh=lambda: indexing.is_fresh)]
    catalogs += _catalogs(settings, environ)
    # One apart: who wants a preview does not wait until all files of a store were looked into.
    said = {**environ, **sandbox_environ(settings, environ)}
    looker, *beside = (AppLooker(settings.app_python, environ=said) for _ in range(1 + _PREVIEWS))
    harvesting = Harvesting(core, looker, bounds=bounds(environ))
    said_of_site = declared(settings, allowed=allowed_private(environ))
    todo = advice(said_of_site.offering, able(settings, environ), settings)
    for line in todo.lines:
        _log.warning("%s", line)
    neighbours = OtherPortals(said_of_site.portals, _http(environ))
    facilities = Facilities(core, said_of_site.site, neighbours, missing=todo.missing, write=todo.write)
    return Portal(
        core,
        catalogs=catalogs,
        indexing=indexing,
        harvesting=harvesting,
        lookers=beside,
        facilities=facilities,
        running=batch(settings, environ),
    )


def make_index(settings: Settings, environ: Mapping[str, str]) -> Index:
    """Open the index: each portal process has one of its own, which is made from the database."""
    return Index(Path(environ.get("VAAS_INDEX") or settings.data / "index"), memory=_INDEX_MEMORY)


def _http(environ: Mapping[str, str]) -> Http:
    """Return what reaches addresses that others gave."""
    return Http(allowed_private=allowed_private(environ), seconds=60.0)


def _catalogs(settings: Settings, environ: Mapping[str, str]) -> list[Catalog]:
    """Return the catalogs elsewhere that the site names. Raises Invalid, with the line that is wrong."""
    named, http = read_catalogs(settings.catalogs, allowed=allowed_private(environ)), _http(environ)
    made = [_CATALOGS[each.kind](each, http) for each in named]
    return [Sparing(each) if each.same_for_all else each for each in made]


def _stores(data: Path, database: SqlDatabase, http: Http) -> MountedStores:
    # What is lent lies on the disk of the homes, so that nothing from there has to be copied.
    lent = data / "lent"
    remove_leftovers(lent)
    return MountedStores(homes=data / "homes", shared=_shared(data), database=database, http=http, aside=lent)


def app_origin(public_url: str, account: str) -> str:
    """Return the origin of an app account's servers: one label below the portal's host."""
    parts = urlsplit(public_url)
    return f"{parts.scheme}://{account}.{parts.netloc}"


def last_lines(path: Path, *, count: int = 200) -> str:
    """Return the end of a text file; "" when there is none, as where the servers run on other machines."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""


def make_application(portal: Portal, settings: Settings, isolation: KernelIsolation) -> SizedApplication:
    """Return the web application of the portal."""
    prefix = urlsplit(settings.portal_url).path
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader([ROOT / "templates" / folder for folder in ("portal", "frame")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters.update(filters())
    parts = urlsplit(settings.public_url)
    application = SizedApplication(
        routes.elsewhere(),
        portal=portal,
        prefix=prefix,
        public_url=settings.portal_url,
        templates=templates,
        openapi=openapi.document(settings.portal_url),
        app_origins=f"{parts.scheme}://*.{parts.netloc}",
        isolation=isolation,
        environments_folder=environments_folder(settings),
        frame_ancestors=portal.core.frame_ancestors,
        static_url_prefix=f"{prefix}static/",
        cookie_secret=ensure_secret(settings.secrets / "cookies"),
        **xsrf_cookie(settings),
        log_function=_log_request,
    )
    # Set last: tornado would serve the files on every host, those of apps included.
    application.settings["static_path"] = str(ROOT / "static")
    # The proxy sends us what no server answers, of every host: our pages are for our own, and for app servers.
    own = rf"^(?:{re.escape(settings.domain)}|127\.0\.0\.1)$"
    application.add_handlers(own, routes.rules(prefix, str(ROOT / "static")))
    return application


async def serve(portal: Portal, settings: Settings, *, with_demo: bool) -> None:
    """Answer until a signal comes, or the Hub that started us is gone."""
    isolation = KernelIsolation(settings, portal.servers.isolation)
    server = HTTPServer(make_application(portal, settings, isolation), xheaders=True)
    server.listen(settings.portal_port, address=settings.portal_bind)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    common = Common(portal.core, settings.app_python, _probe(portal.core, settings))
    discovery.ensure_discovery(portal)
    if with_demo:
        demo_content.ensure_demo(portal, settings.data)
    assert portal.indexing is not None and portal.harvesting is not None
    sweeping = Sweeping(portal.core, portal.harvesting)
    offered = (_probing(portal.core, settings).follow(), portal.facilities.neighbours.follow())
    works = (
        _until_orphaned(stop),
        _sweep(portal),
        _look_at_isolation(isolation),
        _as_published(portal, common),
        *offered,
    )
    following = (portal.indexing.follow(), sweeping.keep_up(), portal.running.follow())
    background = [asyncio.create_task(work) for work in (*works, *following)]
    _log.info("The portal answers at %s", settings.portal_url)
    await stop.wait()
    server.stop()
    for task in background:
        task.cancel()
    # What they hold is given back.
    await asyncio.gather(*background, return_exceptions=True)
    await portal.close()


def _probing(core: Core, settings: Settings) -> Probing:
    """Return what keeps the offering as the environments are."""
    return Probing(core, core.offering, settings.data / "probed.json", settings.lab_python, _probe(core, settings))


def _probe(core: Core, settings: Settings) -> Probe:
    return Probe(seconds=core.limits.probe_seconds, sandbox=settings.sandbox, hidden=(settings.data,))


async def _as_published(portal: Portal, common: Common) -> None:
    """Look at what apps share, and have ready what they were published with, before anybody waits for it."""
    await common.look()
    try:
        await portal.environments.restore()
    except VaasError as error:
        _log.warning("What apps were published with could not be looked at: %s", error.log_message)


async def _until_orphaned(stop: asyncio.Event) -> None:
    """End with the Hub: the next one starts a portal of its own on the same port."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    _log.info("The Hub is gone.")
    stop.set()


async def _sweep(portal: Portal) -> None:
    unused = Unused(portal.core)
    while True:
        try:
            portal.drafts.sweep()
        except VaasError as error:
            _log.warning("Old drafts could not be thrown away: %s", error.log_message)
        try:
            await asyncio.to_thread(portal.environments.sweep)
            await asyncio.to_thread(portal.core.content.remove_leftovers, seconds=_BEGUN_SECONDS)
        except (VaasError, OSError) as error:
            _log.warning("What nobody uses any more could not be removed: %s", error)
        try:
            await asyncio.to_thread(unused.sweep)
        except (VaasError, OSError) as error:
            _log.warning("Content that nothing uses was not removed: %s", getattr(error, "log_message", error))
        await asyncio.sleep(_SWEEP_SECONDS)


async def _look_at_isolation(isolation: KernelIsolation) -> None:
    """Look in a thread, now and again: the portal answers meanwhile, and bubblewrap may be installed later."""
    while True:
        if await asyncio.to_thread(isolation.look) and isolation.here:
            said = warning(isolation.here)
            _log.log(logging.WARNING if said else logging.INFO, "%s", said or "Kernels are isolated.")
        await asyncio.sleep(_LOOK_SECONDS)


def _log_request(handler: Any) -> None:
    """Log without query and without what a link's address holds."""
    request = handler.request
    path = masked(request.path)
    level = logging.ERROR if handler.get_status() >= 500 else logging.INFO
    _log.log(level, "%d %s %s %.0f ms", handler.get_status(), request.method, path, 1000 * request.request_time())


def log_to(stream: TextIO) -> None:
    """Write what happens to the stream, one record a line, without what nobody else is to know."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Records("[%(levelname).1s %(asctime)s %(name)s] %(message)s"))
    handler.addFilter(_mask)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _mask(record: logging.LogRecord) -> bool:
    """Take the tokens of links out of whatever any library logs."""
    record.msg, record.args = masked(record.getMessage()), ()
    return True


def _shared(data: Path) -> tuple[SharedFolder, ...]:
    """Return the shared folders: each folder under ``shared/``, for the group it is named after, or "everyone"."""
    root = data / "shared"
    root.mkdir(parents=True, exist_ok=True)
    found = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    ids = shared_ids([path.name for path in found])
    return tuple(
        SharedFolder(ids[path.name], f"Shared: {path.name}", path, "" if path.name == "everyone" else path.name)
        for path in found
    )


def shared_ids(names: Sequence[str]) -> dict[str, str]:
    """Return what each shared folder is called in addresses: of names that look alike there, one as it is written."""
    ids: dict[str, str] = {}
    for name in sorted(names, key=lambda each: (slugify(each) != each, each)):
        plain = f"shared-{slugify(name)}"
        told = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
        ids[name] = f"{plain}-{told}" if plain in ids.values() else plain
    return ids


def main() -> int:
    """Run the service that the Hub manages; settings come from VAAS_ variables, the rest from the Hub."""
    log_to(sys.stderr)
    os.umask(0o077)
    try:
        settings = Settings.from_environ(os.environ)
        PortalOAuth.instance(
            cache_max_age=10, cookie_host_prefix_enabled=settings.secure, cookie_options={"secure": settings.secure}
        )
        if settings.demo:
            demo_content.ensure_open_data(settings.data)
        portal = make_portal(settings, os.environ)
    except VaasError as error:
        _log.error("The portal cannot start: %s", error.log_message)
        return 1
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(portal, settings, with_demo=settings.demo))
    return 0
