"""Demo content: the example dashboards published by the demo people, and notebooks in their folders."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from hub_service.settings import ROOT
from vaas import notebook
from vaas.content import snapshot_of
from vaas.errors import VaasError
from vaas.model import EVERYONE, SIGNED_IN, Access, App, File, Grant, Version
from vaas.portal import Portal
from vaas.portal.publishing import said_of_code
from vaas.slug import slugify

__all__ = ["ensure_demo", "ensure_open_data"]

_log = logging.getLogger("vaas")
_EXAMPLES = ROOT / "dashboards" / "examples"
_OPEN_DATA = ROOT / "dashboards" / "data"
_NOT_CONTENT = {"app.json", "cover.png", "__pycache__"}


def ensure_demo(portal: Portal, data: Path) -> None:
    """Publish each example that is not there yet; what people changed or withdrew stays as they left it."""
    marker = data / "demo.json"
    done = set(json.loads(marker.read_text())) if marker.exists() else set()
    found = {path.parent.name: path for path in sorted(_EXAMPLES.glob("*/app.json"))}
    for name in sorted(found.keys() - done):
        try:
            said = json.loads(found[name].read_text())
            _publish(portal, said, found[name].parent)
            _place_copy(said, found[name].parent, data / "homes")
            done.add(name)
        except (OSError, KeyError, ValueError, VaasError):
            _log.exception("The example %s could not be published", name)
    marker.write_text(json.dumps(sorted(done)))


def ensure_open_data(data: Path) -> None:
    """Put small open data sets into the folder that is shared with everybody; never over what is there."""
    target = data / "shared" / "everyone"
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o755)
        target.chmod(0o755)
        for folder in sorted(path for path in _OPEN_DATA.iterdir() if path.is_dir()):
            if not (target / folder.name).exists():
                _copy(folder, target / folder.name)
                _let_read(target / folder.name)
    except OSError:
        _log.exception("The open data of the demo could not be placed")


def _publish(portal: Portal, said: dict[str, Any], folder: Path) -> None:
    core, now = portal.core, portal.core.now()
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _travels(path, folder)]
    files = [File(path.relative_to(folder).as_posix(), *core.content.add(path.read_bytes())) for path in paths]
    snapshot = snapshot_of(said["notebook"], files)
    notebook.parse((folder / said["notebook"]).read_bytes())
    cover = core.content.add((folder / said["cover"]).read_bytes())[0] if said.get("cover") else ""
    slug = slugify(folder.name)
    app = App(
        id=core.new_id(),
        slug=slug,
        title=said["title"],
        owner=said["author"],
        version=snapshot.hash,
        created=now,
        updated=now,
        description=said["description"],
        category=said["category"],
        tags=tuple(said["tags"]),
        cover=cover,
        origin_store="home",
        origin_path=f"examples/{folder.name}/{said['notebook']}",
    )
    subject = {"everyone": EVERYONE, "signed-in": SIGNED_IN}.get(said["audience"], said["audience"])
    with core.database.begin() as records:
        if records.apps.get(slug) is not None:
            return
        records.apps.save(app)
        said_by = said_of_code(core.content, snapshot)
        records.versions.add(Version(app.id, 1, snapshot, app.owner, now, "The example as it comes", said_by))
        records.grants.save(Grant(app.id, subject, Access.READ, app.owner, now))


def _place_copy(said: dict[str, Any], folder: Path, homes: Path) -> None:
    """Put the notebook and its files into the author's own folder; never over what is there."""
    target = homes / said["author"] / "examples" / folder.name
    if not target.exists():
        (homes / said["author"]).mkdir(parents=True, exist_ok=True, mode=0o700)
        _copy(folder, target)


def _copy(folder: Path, target: Path) -> None:
    """Copy the folder without the modes that the files have in the checkout: whose folder it is, is known there."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*_NOT_CONTENT), copy_function=shutil.copyfile)


def _let_read(folder: Path) -> None:
    """Let everybody read it: launches may be other system users. The folder of all data keeps strangers out."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _travels(path: Path, folder: Path) -> bool:
    return not _NOT_CONTENT & set(path.relative_to(folder).parts) and not path.name.startswith(".")
