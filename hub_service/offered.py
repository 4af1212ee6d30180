"""What the site offers for launches and runs, where it configures nothing: this machine, with the apps' environment."""

from __future__ import annotations

import os
import platform

import psutil

from hub_service.settings import Settings
from vaas.launching import Environment, Facility, Offering, Size

__all__ = ["default_offering"]

_GB = 1_000_000_000


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
