"""Launches and runs as frozen values: a full server for a person, a notebook run once, and where both can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vaas.model import Snapshot

__all__ = [
    "ENDED",
    "LAUNCH_ENDS",
    "LAUNCH_STATES",
    "RUN_STATES",
    "Environment",
    "Facility",
    "Launch",
    "Offering",
    "Run",
    "Schedule",
    "Size",
    "launch_server",
]

#: How a launch can be doing, in the order in which it goes.
LAUNCH_STATES = ("asked", "queued", "starting", "placing", "ready", "stopped", "failed")
#: Why a launch that ran does not run any more, as the launch itself can tell: its time was up, its memory was full, it
#: was stopped from outside, it was shut down in JupyterLab, or JupyterLab ended with an error.
LAUNCH_ENDS = ("time", "memory", "outside", "closed", "crashed")
#: How a run can be doing.
RUN_STATES = ("queued", "running", "done", "failed", "cancelled")
#: The states of a run in which nothing happens any more.
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class Size:
    """How much a launch or a run gets: cores, bytes of memory, GPUs, and seconds until it must end (0: none)."""

    id: str
    title: str
    cores: float = 1
    memory: int = 2_000_000_000
    gpus: int = 0
    seconds: int = 0


@dataclass(frozen=True)
class Environment:
    """An allowed runtime, named in the site's configuration or made from a lock that travels with a notebook.

    Parameters
    ----------
    kind:
        "python" (an interpreter with ipykernel), "kernelspec" (a folder with a kernel.json), "lock" (made from
        requirements, ``where`` is its digest) or "image" (of a container).
    where:
        The interpreter, the folder, the digest or the image's name, as the site wrote it.
    packages:
        What is in it, distribution → version; empty while that is not known.
    state:
        "ready", "building", "broken" (``why`` says what is wrong) or "unknown", while nobody has looked.
    version:
        Of its language, "" while that is not known.
    modules:
        What can be imported in it, module → the distribution that brings it ("" where that is not known).
    """

    id: str
    title: str
    kind: str
    where: str
    language: str = "python"
    packages: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    state: str = "unknown"
    why: str = ""
    version: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Facility:
    """A place of the site where launches and runs can be, and what it has.

    Parameters
    ----------
    kind:
        "local", "slurm", "htcondor", "docker" or "kubernetes".
    environments, sizes:
        What may be chosen there, by id; the first is what is suggested.
    groups:
        Who may use it; empty: everybody who can sign in.
    stores:
        Which stores lie there already, so that nothing of them is copied: "home", "shared".
    interactive, batch:
        Whether it takes launches, and whether it takes runs.
    about:
        What else there is to know: "description", "hardware", "technology", "storage", "status" and "note" are told;
        "profile" is what its spawner or batch system calls it (Slurm: the partition), and is not.
    environments_shared:
        Whether what is made of notebooks' own packages lies there at the same path, though it is another machine.
    silent:
        Why it does not answer at this moment, in words; "" where it does, or nobody asks.
    lacks_environments, lacks_sizes:
        What people may expect there and cannot choose, by id: why, in a sentence. Nothing of it is in the lists above.
    """

    id: str
    title: str
    kind: str
    environments: tuple[str, ...]
    sizes: tuple[str, ...]
    groups: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    interactive: bool = True
    batch: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)
    environments_shared: bool = False
    silent: str = ""
    lacks_environments: Mapping[str, str] = field(default_factory=dict)
    lacks_sizes: Mapping[str, str] = field(default_factory=dict)

    @property
    def profile(self) -> str:
        """What its spawner or batch system calls it, "" for nothing of its own."""
        return str(self.about.get("profile", ""))


@dataclass(frozen=True)
class Offering:
    """What the site offers: places, and what can be chosen there, each with an id of its own."""

    facilities: tuple[Facility, ...] = ()
    environments: tuple[Environment, ...] = ()
    sizes: tuple[Size, ...] = ()

    def facility(self, id: str) -> Facility | None:
        """Return the facility, or None."""
        return next((each for each in self.facilities if each.id == id), None)

    def environment(self, id: str) -> Environment | None:
        """Return the environment, or None."""
        return next((each for each in self.environments if each.id == id), None)

    def size(self, id: str) -> Size | None:
        """Return the size, or None."""
        return next((each for each in self.sizes if each.id == id), None)


@dataclass(frozen=True)
class Launch:
    """A full server asked for by a person, with content and data placed in it.

    Parameters
    ----------
    asked:
        Of what: "app" and "version" (slug and hash), "store" and "path" (and "copy", where what lies in the home is not
        worked on itself), or "run" with the "files" that belong to its result, and "basket"; "given" is what travels
        along from a running app. What is not asked for is not in it.
    folder, notebook:
        Where the working copy lies in the person's home there, and the notebook in it that is opened.
    state:
        One of :data:`LAUNCH_STATES`; ``progress`` has "percent", "step" and "message", what is staged, "notice" (what
        went wrong while it ran), and once it was stopped "ended": one of :data:`LAUNCH_ENDS`, or "asked" by its person.
    """

    id: str
    owner: str
    title: str
    asked: Mapping[str, Any]
    environment: str
    size: str
    facility: str
    created: datetime
    changed: datetime
    folder: str = ""
    notebook: str = ""
    state: str = "asked"
    progress: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Run:
    """A notebook run once, with these values for its parameters.

    Parameters
    ----------
    asked:
        Where the notebook is from and which things fill its slots, as a launch's.
    state:
        One of :data:`RUN_STATES`; ``progress`` has "cell", "of" and "message".
    ref:
        What its executor calls it; "" while it was not handed over.
    result_store, result_path:
        The folder with the executed notebook, its outputs and a page of the result; "" until they are there.
    series, schedule:
        The ids of the table of values and of the schedule that it is one of, or "".
    shared_with:
        Who else may see the result: people, groups, everyone who can sign in.
    """

    id: str
    owner: str
    title: str
    snapshot: Snapshot
    parameters: Mapping[str, Any]
    environment: str
    size: str
    facility: str
    created: datetime
    asked: Mapping[str, Any] = field(default_factory=dict)
    state: str = "queued"
    progress: Mapping[str, Any] = field(default_factory=dict)
    ref: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    result_store: str = ""
    result_path: str = ""
    series: str = ""
    schedule: str = ""
    shared_with: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.state in ENDED

    @property
    def executed(self) -> str:
        """The path of the executed notebook, in the store of the result."""
        return f"{self.result_path}/{self.snapshot.notebook.rpartition('/')[2]}"

    @property
    def things(self) -> dict[str, str]:
        """What fills its slots: parameter → what it is called."""
        return {name: str(thing["title"]) for name, thing in self.asked.get("things", {}).items()}

    @property
    def series_title(self) -> str:
        """The title that the runs over one table share: without the number of the run."""
        return re.sub(r" \([0-9]+\)$", "", self.title) if self.series else self.title


@dataclass(frozen=True)
class Schedule:
    """When a run is repeated: ``cron`` in ``zone``, ``until`` at the latest; ``due`` is the next time, or None."""

    id: str
    owner: str
    title: str
    cron: str
    snapshot: Snapshot
    parameters: Mapping[str, Any]
    environment: str
    size: str
    facility: str
    created: datetime
    until: datetime
    asked: Mapping[str, Any] = field(default_factory=dict)
    due: datetime | None = None
    #: The name of the time zone, as IANA has it.
    zone: str = "UTC"


def launch_server(launch_id: str) -> str:
    """Return the name of the Hub server of a launch."""
    return f"l{launch_id}"
