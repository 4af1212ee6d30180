"""What an operator has to do so that people can launch and run: what is missing, and what to write."""

from __future__ import annotations

from dataclasses import dataclass

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
#: A comment beside what only the site knows.
_PYTHON = """
[[environment]]
id = "apps"
title = "As in apps"
kind = "python"
path = "{python}"   # a Python with ipykernel that the nodes have
probe = false
"""
_IMAGE = """
[[environment]]
id = "lab"
title = "JupyterLab"
kind = "image"
image = "registry.example.org/vaas-lab:1"   # your image: docs/kubernetes.md and docs/isolation.md say what is in it
"""
_FACILITY = """
[[facility]]
id = "{kind}"
title = "{title}"
kind = "{kind}"
environments = ["{environment}"]
sizes = ["small"]
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
    how = _ADD.format(file=settings.facilities) if settings.facilities else _NEW
    return Advice(
        (*missing, f"{_LAUNCHES} {how}"), written(kind, python=str(settings.app_python), jobs=kind in can.runs)
    )


def written(kind: str, *, python: str, jobs: bool) -> str:
    """Return the least that a file of facilities has to say, so that people can launch at a facility of that kind."""
    contained = kind in CONTAINERS
    environment, told = ("lab", _IMAGE) if contained else ("apps", _PYTHON.format(python=python))
    facility = _FACILITY.format(kind=kind, title=_TITLES[kind], environment=environment, batch=str(jobs).lower()) + (
        _STORES if contained or kind == "local" else ""
    )
    return _SIZE + told + facility
