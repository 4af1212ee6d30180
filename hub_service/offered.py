"""What the site offers for launches and runs, where it configures nothing: this machine, with the apps' environment."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from hub_service.clusters import run_kinds
from hub_service.settings import NOWHERE, Settings
from vaas.launching import Environment, Facility, Offering, Size

__all__ = ["Able", "able", "connected", "default_offering", "gaps", "lacking_here", "room_here"]

_GB = 1_000_000_000
_HERE = "local"
#: The memory that a container may use, where the portal is in one.
_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_TOO_SMALL = "This machine is smaller than each size that is offered here."
_NOT_YET = "It is not connected to this portal yet."
_NOTHING_HERE = "Nothing can be started on this machine. The people who run this portal know more."
#: Where launches are, as is said of why they are not elsewhere.
_AT = {"local": "on its own machine"}
_APPS_ALONE = "the Hub's spawner runs app servers alone. Of batchspawner's, Slurm's and HTCondor's start launches."


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


@dataclass(frozen=True)
class Able:
    """What can be started by this portal.

    Parameters
    ----------
    launches:
        The kinds of facilities at which the Hub's spawner starts launches; None: it takes all.
    runs:
        Those at which notebooks are run.
    here:
        Why nothing can be started on this machine by us, with what to do about it; "" where it can.
    room:
        The cores and bytes of memory of this machine; None: they are not looked at.
    apps_alone:
        Whether the Hub's spawner starts no launches anywhere.
    """

    launches: frozenset[str] | None
    runs: frozenset[str]
    here: str = ""
    room: tuple[int, int] | None = None
    apps_alone: bool = False


def able(settings: Settings, environ: Mapping[str, str]) -> Able:
    """Return what can be started, by what the Hub's configuration says and by what is installed here."""
    launches = frozenset(settings.launch_kinds) - {NOWHERE} if settings.launch_kinds else None
    runs, here = run_kinds(environ), lacking_here(settings, environ)
    if here:
        runs -= {_HERE}
        launches = launches - {_HERE} if launches is not None and settings.local_apps else launches
    # A spawner that takes all may start them on another machine.
    room = room_here() if settings.local_apps or launches is not None else None
    return Able(launches, runs, here, room, apps_alone=NOWHERE in settings.launch_kinds)


def lacking_here(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return what is missing on this machine for launches and runs, and what to do; "" for nothing."""
    if not os.access(settings.lab_python, os.X_OK):
        return (
            f"The launch environment is missing: there is no {settings.lab_python}. "
            "Run “make up”, which installs it, or set VAAS_LAB_PYTHON."
        )
    if settings.sandbox != "off" and shutil.which("bwrap", path=environ.get("PATH", os.defpath)) is None:
        return (
            "bubblewrap is missing, so that people would not be kept apart from each other. Install it (Debian, "
            "Ubuntu: apt install bubblewrap), or set VAAS_SANDBOX=off where everybody trusts everybody."
        )
    return ""


def connected(offering: Offering, can: Able) -> Offering:
    """Return the offering without what nothing here can do: a facility that is only written down is closed."""
    if can.room is not None:
        fitting = tuple(_fitting(each, offering, can.room) for each in offering.facilities)
        offering = replace(offering, facilities=fitting)
    return replace(offering, facilities=tuple(_connected(each, can) for each in offering.facilities))


def gaps(offering: Offering, can: Able) -> list[str]:
    """Return what of the offering nothing here can do, a sentence for each, with why."""
    found = []
    for each in offering.facilities:
        if can.room is not None:
            found += _too_large(each, offering, can.room)
        launches, jobs = _can(each, can)
        if each.interactive and not launches:
            found.append(f"Facility “{each.id}” takes no launches: {_why_no_launches(each, can)}")
        if each.batch and not jobs:
            why = can.here if each.kind == _HERE else f"nothing here hands them to {each.kind}."
            found.append(f"Facility “{each.id}” takes no jobs: {why}")
    return found


def _too_large(facility: Facility, offering: Offering, room: tuple[int, int]) -> list[str]:
    if facility.kind != _HERE:
        return []
    sizes = [size for size in map(offering.size, facility.sizes) if size and not _fits(size, room)]
    whys = {size.id: _why_too_large(size, room) for size in sizes}
    return [f"Size “{id}” is not offered at “{facility.id}”: {why[0].lower()}{why[1:]}" for id, why in whys.items()]


def _why_too_large(size: Size, room: tuple[int, int]) -> str:
    if size.gpus:
        return "What runs on this machine gets no GPU."
    return f"This machine has {room[0]} cores and {room[1] / _GB:.1f} GB of memory."


def _fits(size: Size, room: tuple[int, int]) -> bool:
    return size.cores <= room[0] and size.memory <= room[1] and not size.gpus


def _fitting(facility: Facility, offering: Offering, room: tuple[int, int]) -> Facility:
    """Return the facility without the sizes that this machine does not have; closed, where it has none of them."""
    if facility.kind != _HERE:
        return facility
    sizes = [size for size in map(offering.size, facility.sizes) if size]
    fitting = tuple(size.id for size in sizes if _fits(size, room))
    if fitting or not sizes:
        lacks = {size.id: _why_too_large(size, room) for size in sizes if size.id not in fitting}
        return replace(facility, sizes=fitting, lacks_sizes=lacks)
    return replace(facility, about={**facility.about, "status": "down", "note": _TOO_SMALL})


def _can(facility: Facility, can: Able) -> tuple[bool, bool]:
    """Return whether launches can be there, and whether runs can."""
    return can.launches is None or facility.kind in can.launches, facility.kind in can.runs


def _why_no_launches(facility: Facility, can: Able) -> str:
    if can.apps_alone:
        return _APPS_ALONE
    if not can.launches:
        return can.here
    there = " or ".join(sorted(can.launches))
    return f"the Hub's spawner starts them {_AT.get(there, f'at facilities of kind {there}')}."


def _connected(facility: Facility, can: Able) -> Facility:
    launches, jobs = _can(facility, can)
    found = replace(facility, interactive=facility.interactive and launches, batch=facility.batch and jobs)
    if found.interactive or found.batch:
        return found
    if facility.about.get("status") == "down":  # that it is closed has been written down, and perhaps why
        return facility
    note = _NOTHING_HERE if facility.kind == _HERE else _NOT_YET
    return replace(facility, about={**facility.about, "status": "down", "note": note})
