"""The clusters of a site, from variables that begin with ``VAAS_SLURM_`` and ``VAAS_HTCONDOR_``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_service.settings import Settings
from vaas.errors import Invalid
from vaas.executors.clusters import Shared
from vaas.executors.htcondor import HtcondorExecutor, Pool
from vaas.executors.slurm import Cluster, SlurmExecutor

__all__ = ["htcondor_of", "run_kinds", "runs_folder", "slurm_of"]

#: What each batch system is told, by what its variables begin with.
_SLURM, _CONDOR = "VAAS_SLURM_", "VAAS_HTCONDOR_"
_SHARED = ("FOLDER", "PYTHON", "PREFIX", "GIVE")
_VARIABLES = {_SLURM: (*_SHARED, "PARTITION", "ACCOUNT", "QOS", "OPTIONS"), _CONDOR: (*_SHARED, "LINES")}
#: Names of partitions and accounts, as Slurm writes them; several with commas.
_NAMES = re.compile(r"[A-Za-z0-9_.,@-]*")


def run_kinds(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the kinds of facilities at which notebooks are run: this machine, and clusters that the site names."""
    clusters = {"slurm": _SLURM, "htcondor": _CONDOR}
    return frozenset({"local", *(kind for kind, begin in clusters.items() if _said(environ, begin))})


def runs_folder(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return where folders of runs are: one that the cluster's nodes have, too, or one of the portal's own.

    Raises
    ------
    Invalid
        Two batch systems have folders of their own.
    """
    found = {_folder(said["FOLDER"], begin) for begin in _VARIABLES if "FOLDER" in (said := _said(environ, begin))}
    if len(found) > 1:
        raise Invalid(f"{_SLURM}FOLDER and {_CONDOR}FOLDER differ: all runs lie in one folder.")
    return found.pop() if found else settings.data / "runs"


def slurm_of(settings: Settings, environ: Mapping[str, str]) -> SlurmExecutor | None:
    """Return what runs jobs on the site's Slurm; None where it has none.

    Raises
    ------
    Invalid
        A variable is not known, or what it says cannot be used.
    """
    said = _said(environ, _SLURM)
    if not said:
        return None
    cluster = Cluster(
        **_shared(said, _SLURM, settings),
        options=_words(said, "OPTIONS", _SLURM),
        partition=_name(said, "PARTITION"),
        account=_name(said, "ACCOUNT"),
        qos=_name(said, "QOS"),
    )
    return SlurmExecutor(cluster, settings.run / "slurm")


def htcondor_of(settings: Settings, environ: Mapping[str, str]) -> HtcondorExecutor | None:
    """Return what runs jobs on the site's HTCondor; None where it has none. Raises Invalid as :func:`slurm_of` does."""
    said = _said(environ, _CONDOR)
    if not said:
        return None
    lines = tuple(line.strip() for line in said.get("LINES", "").splitlines() if line.strip())
    return HtcondorExecutor(Pool(**_shared(said, _CONDOR, settings), lines=lines), settings.run / "htcondor")


def _shared(said: Mapping[str, str], begin: str, settings: Settings) -> dict[str, Any]:
    if "FOLDER" not in said:
        raise Invalid(f"{begin}FOLDER is missing: name a folder that the nodes of the cluster have, too.")
    return {
        "folder": _folder(said["FOLDER"], begin),
        "python": Path(said.get("PYTHON") or settings.lab_python),
        "prefix": _words(said, "PREFIX", begin) or Shared.prefix,
        "give": _words(said, "GIVE", begin),
    }


def _said(environ: Mapping[str, str], begin: str) -> dict[str, str]:
    said = {name.removeprefix(begin): value for name, value in environ.items() if name.startswith(begin) and value}
    unknown = sorted(said.keys() - set(_VARIABLES[begin]))
    if unknown:
        known = ", ".join(begin + name for name in _VARIABLES[begin])
        raise Invalid(f"{begin}{unknown[0]} is not known. There are {known}.")
    return said


def _folder(text: str, begin: str) -> Path:
    path, name = Path(text), f"{begin}FOLDER"
    if not path.is_absolute() or not path.is_dir():
        raise Invalid(f"{name}={text} is no folder. Make one that people can enter: mkdir -m 711 {text}")
    if not path.stat().st_mode & 0o001:
        raise Invalid(f"{name}={text} cannot be entered by those whose jobs run there: chmod 711 {text}")
    return path


def _name(said: Mapping[str, str], key: str) -> str:
    value = said.get(key, "")
    if not _NAMES.fullmatch(value):
        raise Invalid(f"VAAS_SLURM_{key}={value} is no name that Slurm knows.")
    return value


def _words(said: Mapping[str, str], key: str, begin: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(said.get(key, "")))
    except ValueError as error:
        raise Invalid(f"{begin}{key}={said[key]} cannot be read as a command: {error}.") from error
