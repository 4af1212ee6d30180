"""What an operator has to do so that people can launch and run: what is missing, and what to write."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain, count

from hub_service.offered import Able, connected, gaps
from hub_service.settings import Settings
from vaas.launching import Offering
from vaas.portal.offering import CONTAINERS

__all__ = ["Advice", "advice"]

_LAUNCHES = "Nobody can launch anything here, and the portal offers it nowhere."
_ADD, _NEW = (
    "To offer it, add this to {file}, and start the portal again.",
    ("To offer it, write this into a file, name that file in VAAS_FACILITIES, and start the portal again."),
)
_SIZE = """[[size]]
id = "small"
title = "Small"
cores = 1
memory = "2 GB"
"""
_APPS = """
[[environment]]
id = "{id}"
title = "As in apps"
kind = "python"
"""
#: A comment beside what only the site knows.
_PYTHON = """
[[environment]]
id = "{id}"
title = "As in apps"
kind = "python"
path = "{python}"   # a Python with ipykernel that the nodes have
probe = false
"""
_IMAGE = """
[[environment]]
id = "{id}"
title = "JupyterLab"
kind = "image"
image = "registry.example.org/vaas-lab:1"   # your image: docs/facilities.md says what is in it
"""
_FACILITY = """
[[facility]]
id = "{id}"
title = "{title}"
kind = "{kind}"
environments = [{environments}]
sizes = [{sizes}]
batch = {batch}
"""
_STORES = 'stores = ["home", "shared"]\n'
_TITLES = {
    "slurm": "The cluster",
    "htcondor": "The pool",
    "docker": "In containers",
    "kubernetes": "In the cluster",
    "local": "This machine",
}


@dataclass(frozen=True)
class Advice:
    """What is missing, a sentence each, and what is to be written into the file of facilities ("": nothing)."""

    missing: tuple[str, ...] = ()
    write: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it, for the log."""
        return (*self.missing, *self.write.splitlines())


def advice(offering: Offering, can: Able, settings: Settings) -> Advice:
    """Return what is to be done about this offering, as the site wrote it or as it is without a word of the site."""
    missing = gaps(offering, can)
    open_to = [each for each in connected(offering, can).facilities if each.about.get("status") != "down"]
    if not can.launches or any(each.interactive for each in open_to):
        return Advice(tuple(missing))
    kind = next(each for each in _TITLES if each in can.launches)
    there = offering if settings.facilities else Offering()
    write = written(kind, there, python=str(settings.app_python), jobs=kind in can.runs)
    how = _ADD.format(file=settings.facilities) if settings.facilities else _NEW
    return Advice((*missing, f"{_LAUNCHES} {how}"), write)


def written(kind: str, there: Offering, *, python: str, jobs: bool) -> str:
    """Return the least that a file of facilities has to say besides what is there already, so that people can launch.

    Parameters
    ----------
    kind:
        Of the facility at which they can.
    there:
        What the file says: its sizes, and its environments that fit, are taken.
    """
    contained = kind in CONTAINERS
    sizes = [each.id for each in there.sizes]
    environments = [each.id for each in there.environments if (each.kind == "image") is contained]
    text = "" if sizes else _SIZE
    if not environments:
        environment = _IMAGE if contained else _APPS if kind == "local" else _PYTHON
        environments = [_free("lab" if contained else "apps", [each.id for each in there.environments])]
        text += environment.format(id=environments[0], python=python)
    said = {"title": _TITLES[kind], "kind": kind, "batch": str(jobs).lower()}
    said |= {"environments": _listed(environments), "sizes": _listed(sizes or ["small"])}
    text += _FACILITY.format(id=_free(kind, [each.id for each in there.facilities]), **said)
    return (text + (_STORES if contained or kind == "local" else "")).lstrip()


def _free(id: str, taken: Collection[str]) -> str:
    return next(each for each in chain([id], (f"{id}-{number}" for number in count(2))) if each not in taken)


def _listed(ids: Collection[str]) -> str:
    return ", ".join(f'"{each}"' for each in ids)
