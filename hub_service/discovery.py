"""The portal's own app, by which people find what there is: the portal alone makes it, and it asks as its visitors."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from hub_service.settings import ROOT
from vaas import notebook
from vaas.content import snapshot_of
from vaas.db.base import Records
from vaas.errors import Conflict, VaasError
from vaas.model import EVERYONE, Access, App, File, Grant, Snapshot, Version
from vaas.portal import Portal

__all__ = ["DISCOVERY", "ensure_discovery"]

#: Its id, by which it is known again: other apps' are drawn by chance, so that nobody's is taken for it.
DISCOVERY = "discovery000"
_SLUG, _TITLE, _OWNER = "discover", "Discover", "This portal"
_ABOUT = "Find apps, notebooks and data, here and elsewhere, as far as you may see them."
_NOTEBOOK, _FOLDER = "discovery.ipynb", "discovery"
_NOT_CONTENT = {"__pycache__"}
_log = logging.getLogger("vaas")


def ensure_discovery(portal: Portal, *, folder: Path = ROOT / "dashboards") -> None:
    """Publish it, or a new version of it if its files have changed; no-op when neither is so.

    What goes wrong is for the log: the portal is there without it, or with the one from before.
    """
    try:
        snapshot = _snapshot(portal, folder)
        with portal.core.database.begin() as records:
            app = records.apps.by_id(DISCOVERY)
            if app is not None and app.version == snapshot.hash:
                return
            app = _publish(portal, records, app, snapshot)
    except Conflict:
        _log.info("Another process of the portal publishes “%s”.", _TITLE)
    except (OSError, VaasError):
        _log.exception("“%s” could not be published", _TITLE)
    else:
        _log.info("“%s” is at %s.", app.title, app.slug)


def _snapshot(portal: Portal, folder: Path) -> Snapshot:
    beside = [path for path in sorted((folder / _FOLDER).rglob("*")) if path.is_file() and _travels(path, folder)]
    paths = [folder / _NOTEBOOK, *beside]
    notebook.parse(paths[0].read_bytes())
    core = portal.core
    files = [File(path.relative_to(folder).as_posix(), *core.content.add(path.read_bytes())) for path in paths]
    return snapshot_of(_NOTEBOOK, files)


def _publish(portal: Portal, records: Records, app: App | None, snapshot: Snapshot) -> App:
    now = portal.core.now()
    if app is None:
        app = App(DISCOVERY, _free_slug(records), _TITLE, _OWNER, "", now, now, description=_ABOUT, speaks=True)
    app = replace(app, version=snapshot.hash, updated=now)
    records.apps.save(app)
    versions = records.versions.of(app.id)
    if all(version.snapshot.hash != snapshot.hash for version in versions):
        number = versions[0].number + 1 if versions else 1
        records.versions.add(Version(app.id, number, snapshot, app.owner, now, "As it comes with the portal"))
    # Its source, too: it is the package's own.
    records.grants.save(Grant(app.id, EVERYONE, Access.READ, app.owner, now))
    return app


def _free_slug(records: Records) -> str:
    """Return an address that is nobody's: an app that somebody has there already stays what it is."""
    slug, number = _SLUG, 1
    while records.apps.get(slug) is not None:
        number += 1
        slug = f"{_SLUG}-{number}"
    return slug


def _travels(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return not _NOT_CONTENT & set(parts) and not any(part.startswith(".") for part in parts)
