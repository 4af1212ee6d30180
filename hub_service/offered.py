"""What the site offers for launches and runs, where it configures nothing: this machine, with the apps' environment."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Collection
from dataclasses import replace

import psutil

from hub_service.settings import Settings
from vaas.launching import Environment, Facility, Offering, Size

__all__ = ["connected", "default_offering"]

_log = logging.getLogger("vaas")
_GB = 1_000_000_000
_HERE = "local"
_NOT_YET = "It is not connected to this portal yet."


def default_offering(settings: Settings) -> Offering:
    """Return this machine with two sizes that fit it, and the environment in which apps run."""
    cores, memory = os.cpu_count() or 1, psutil.virtual_memory().total
    small = Size("small", "Small", 1, min(2 * _GB, memory // 2))
    large = Size("large", "Large", max(1, cores // 2), max(small.memory, min(16 * _GB, memory // 2)))
    apps = Environment("apps", "As in apps", "python", str(settings.app_python))
    about = {"hardware": {"cores": cores, "memory": memory, "architecture": platform.machine()}}
    chosen = (apps.id,), (small.id, large.id)
    here = Facility("here", "This machine", "local", *chosen, stores=("home", "shared"), about=about)
    return Offering((here,), (apps,), (small, large))


def connected(offering: Offering, *, everywhere: bool, runs: Collection[str]) -> Offering:
    """Return the offering without what nothing here can do: a facility that is only written down is closed.

    Parameters
    ----------
    everywhere:
        Whether the Hub's spawner starts servers elsewhere than on its own machine.
    runs:
        The kinds of facilities at which notebooks are run.
    """
    facilities = tuple(_connected(each, everywhere=everywhere, runs=runs) for each in offering.facilities)
    return replace(offering, facilities=facilities)


def _connected(facility: Facility, *, everywhere: bool, runs: Collection[str]) -> Facility:
    launches, jobs = everywhere or facility.kind == _HERE, facility.kind in runs
    if facility.interactive and not launches:
        _log.warning("Facility “%s” takes no launches: the Hub's spawner starts them on its own machine.", facility.id)
    if facility.batch and not jobs:
        _log.warning("Facility “%s” takes no jobs: nothing here hands them to %s.", facility.id, facility.kind)
    found = replace(facility, interactive=facility.interactive and launches, batch=facility.batch and jobs)
    if found.interactive or found.batch:
        return found
    if facility.about.get("status") == "down":  # that it is closed has been written down, and perhaps why
        return facility
    return replace(facility, about={**facility.about, "status": "down", "note": _NOT_YET})
