"""Who makes the environments that notebooks ask for, and whether the site wants any, by environment variables."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from hub_service.settings import ROOT, Settings
from vaas.environments.base import Bounds, Maker
from vaas.environments.uv import WAY, UvMaker
from vaas.errors import Invalid
from vaas.portal import Limits

__all__ = [
    *("ensure_enterable", "environments_folder", "find_uv", "for_app_servers", "make_maker", "makes_environments"),
    *("package_index", "way_to_index"),
]

_log = logging.getLogger("vaas")
_WISHES = ("on", "off")


def environments_folder(settings: Settings) -> Path:
    """Return where environments are. They can be lost: each is made again of its lock."""
    return settings.environments or settings.data / "environments"


def ensure_enterable(folder: Path, *, why: str) -> None:
    """Raise Invalid where others than the portal's own account cannot enter the folder; ``why`` they have to."""
    if not folder.is_dir() or not folder.stat().st_mode & 0o001:
        raise Invalid(
            f"“{why}”: {folder} cannot be entered by those whose jobs run there. Make a folder that the nodes have "
            "under the same path (mkdir -m 711 FOLDER), and name it in VAAS_ENVIRONMENTS_FOLDER."
        )


def make_maker(settings: Settings, environ: Mapping[str, str], limits: Limits) -> Maker | None:
    """Return who makes environments; None where the site wants none, or has no uv. Raises Invalid."""
    index, uv = package_index(environ), find_uv(environ)
    if not makes_environments(environ) or uv is None:
        if makes_environments(environ):
            _log.warning("There is no uv here, so that no notebook can bring packages of its own.")
        return None
    bounds = Bounds(
        seconds=limits.environment_seconds,
        bytes=limits.environment_bytes,
        kept_bytes=limits.environments_bytes,
        kept_days=limits.environment_days,
    )
    core, known = (ROOT / "requirements" / name for name in ("core.in", "app.lock"))
    return UvMaker(
        environments_folder(settings),
        uv=uv,
        python=settings.app_python,
        core=core.read_text(encoding="utf-8"),
        known=known.read_text(encoding="utf-8"),
        index=index,
        environ={**environ, "VAAS_SANDBOX": settings.sandbox},
        bounds=bounds,
    )


def package_index(environ: Mapping[str, str]) -> str:
    """Return the address of the site's index of packages, "" for the public one. Raises Invalid for none."""
    text = environ.get("VAAS_PACKAGE_INDEX", "")
    parts = urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        # It may hold a password, which is for no screen.
        raise Invalid("VAAS_PACKAGE_INDEX is no address: write it like https://pypi.example.org/simple")
    makes_environments(environ)
    return text


def for_app_servers(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which app servers find environments, and say what to do where a module is missing."""
    makes = makes_environments(environ) and find_uv(environ) is not None
    folder = str(environments_folder(settings))
    return {"VAAS_ENVIRONMENTS_FOLDER": folder, "VAAS_ENVIRONMENTS": "on" if makes else "off"}


def way_to_index(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which the portal reaches an index; the Hub hands its services few by itself."""
    return {name: environ[name] for name in WAY if name in environ}


def makes_environments(environ: Mapping[str, str]) -> bool:
    """Return whether the site wants notebooks to bring packages of their own. Raises Invalid."""
    wish = environ.get("VAAS_ENVIRONMENTS") or "on"
    if wish not in _WISHES:
        raise Invalid(f"VAAS_ENVIRONMENTS={wish} is none of {', '.join(_WISHES)}.")
    return wish == "on"


def find_uv(environ: Mapping[str, str]) -> Path | None:
    """Return the uv that is installed beside us, else the system's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    found = shutil.which("uv", path=path)
    return Path(found) if found else None
