"""Runs of notebooks as this portal has them: executors by kind of facility, and what they need of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hub_service.clusters import htcondor_of, runs_folder, slurm_of
from hub_service.environments import environments_folder
from hub_service.post import post
from hub_service.settings import Settings
from hub_service.site import limits, runs_network
from hub_service.timetable import next_time, site_zone
from vaas.executors.base import Executor
from vaas.executors.inspecting import Inspector
from vaas.executors.local import Bounds, LocalExecutor
from vaas.portal import Core, Running
from vaas.portal.baskets import Baskets
from vaas.portal.run_folders import kernel_of

__all__ = ["batch", "executors"]


def executors(settings: Settings, environ: Mapping[str, str]) -> dict[str, Executor]:
    """Return by kind of facility what runs jobs there."""
    said = limits(environ)
    local = LocalExecutor(
        settings.lab_python,
        settings.run / "jobs",
        sandbox=settings.sandbox,
        network=runs_network(settings, environ),
        paths=[Path(path) for path in environ.get("VAAS_SANDBOX_PATHS", "").split(",") if path.strip()],
        environ=_told(environ),
        bounds=Bounds(bytes=said.run_disk, seconds=said.run_seconds),
    )
    clusters = {"slurm": slurm_of(settings, environ), "htcondor": htcondor_of(settings, environ)}
    return {"local": local, **{kind: cluster for kind, cluster in clusters.items() if cluster}}


def batch(settings: Settings, environ: Mapping[str, str]) -> Callable[[Core, Baskets], Running]:
    """Return what makes the portal's runs. Raises Invalid for what the site says of them."""
    known, sends = executors(settings, environ), post(environ)
    folder, zone = runs_folder(settings, environ), site_zone(environ)
    inspector = Inspector(settings.lab_python, environ=_told(environ))

    kernel = partial(kernel_of, made=environments_folder(settings))

    def made(core: Core, baskets: Baskets) -> Running:
        more: dict[str, Any] = {"inspect": inspector, "next_time": next_time, "post": sends, "kernel": kernel}
        more["zone"] = zone
        core.silent = lambda kind: kind in known and known[kind].silent
        return Running(core, known, folder, baskets=baskets, **more)

    return made


def _told(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the little of our environment that is told."""
    return {name: environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in environ}
