"""What the site offers for launches and runs, where it configures nothing: this machine, with the apps' environment."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import psutil

from hub_service.settings import Settings
from vaas.launching import Environment, Facility, Offering, Size

__all__ = ["connected", "default_offering", "room_here"]

_log = logging.getLogger("vaas")
_GB = 1_000_000_000
_HERE = "local"
#: The memory that a container may use, where the portal is in one.
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_TOO_SMALL = "This machine is smaller than each size that is offered here."
_NOT_YET = "It is not connected to this portal yet."


def default_offering(settings: Settings, *, room: tuple[int, int] | None = None) -> Offering:
    """Return this machine with sizes that fit it, and the environment in which apps run; ``room`` is what it has."""
    cores, memory = room or room_here()
    small = Size("small", "Small", 1, min(2 * _GB, memory // 2))
    # Of two cores a half would be no more than small.
    large = Size("large", "Large", cores // 2 if cores > 3 else cores, min(16 * _GB, memory // 2))
    sizes = (small, large) if (large.cores, large.memory) != (small.cores, small.memory) else (small,)
    apps = Environment("apps", "As in apps", "python", str(settings.app_python))
    about = {"hardware": {"cores": cores, "memory": memory, "architecture": platform.machine()}}
    chosen = (apps.id,), tuple(size.id for size in sizes)
    here = Facility("here", "This machine", "local", *chosen, stores=("home", "shared"), about=about)
    return Offering((here,), (apps,), sizes)


def room_here() -> tuple[int, int]:
    """Return the cores and the bytes of memory that the portal may use of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # of a container; "max" is no limit
        memory = min(memory, int(_CONTAINER.read_text()))
    return cores, memory


def connected(
    offering: Offering, *, everywhere: bool, runs: Collection[str], room: tuple[int, int] | None = None
) -> Offering:
    """Return the offering without what nothing here can do: a facility that is only written down is closed.

    Parameters
    ----------
    everywhere:
        Whether the Hub's spawner starts servers elsewhere than on its own machine.
    runs:
        The kinds of facilities at which notebooks are run.
    room:
        The cores and bytes of memory of this machine; None: they are not looked at.
    """
    if room is not None:
        offering = replace(offering, facilities=tuple(_fitting(each, offering, room) for each in offering.facilities))
    facilities = tuple(_connected(each, everywhere=everywhere, runs=runs) for each in offering.facilities)
    return replace(offering, facilities=facilities)


def _fitting(facility: Facility, offering: Offering, room: tuple[int, int]) -> Facility:
    """Return the facility without the sizes that this machine does not have; closed, where it has none of them."""
    if facility.kind != _HERE:
        return facility
    sizes = [size for size in map(offering.size, facility.sizes) if size]
    fitting = tuple(size.id for size in sizes if size.cores <= room[0] and size.memory <= room[1])
    for size in (size for size in sizes if size.id not in fitting):
        _log.warning(
            "Size “%s” is not offered at “%s”: this machine has %d cores and %.1f GB of memory.",
            *(size.id, facility.id, room[0], room[1] / _GB),
        )
    if fitting or not sizes:
        return replace(facility, sizes=fitting)
    return replace(facility, about={**facility.about, "status": "down", "note": _TOO_SMALL})


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
