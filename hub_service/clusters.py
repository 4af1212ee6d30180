"""The Slurm cluster of a site, from variables that begin with ``VAAS_SLURM_``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from hub_service.settings import Settings
from vaas.errors import Invalid
from vaas.executors.slurm import Cluster, SlurmExecutor

__all__ = ["runs_folder", "slurm_of"]

_VARIABLES = ("FOLDER", "PYTHON", "PREFIX", "GIVE", "PARTITION", "ACCOUNT", "QOS", "OPTIONS")
#: Names of partitions and accounts, as Slurm writes them; several with commas.
_NAMES = re.compile(r"[A-Za-z0-9_.,@-]*")


def runs_folder(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return where folders of runs are: one that the cluster's nodes have, too, or one of the portal's own."""
    said = _said(environ)
    return _folder(said["FOLDER"]) if "FOLDER" in said else settings.data / "runs"


def slurm_of(settings: Settings, environ: Mapping[str, str]) -> SlurmExecutor | None:
    """Return what runs jobs on the site's cluster; None where it has none.

    Raises
    ------
    Invalid
        A variable is not known, or what it says cannot be used.
    """
    said = _said(environ)
    if not said:
        return None
    if "FOLDER" not in said:
        raise Invalid("VAAS_SLURM_FOLDER is missing: name a folder that the nodes of the cluster have, too.")
    words = {name: _words(said, name) for name in ("PREFIX", "GIVE", "OPTIONS") if name in said}
    cluster = Cluster(
        folder=_folder(said["FOLDER"]),
        python=Path(said.get("PYTHON") or settings.lab_python),
        prefix=words.get("PREFIX", Cluster.prefix),
        give=words.get("GIVE", ()),
        options=words.get("OPTIONS", ()),
        partition=_name(said, "PARTITION"),
        account=_name(said, "ACCOUNT"),
        qos=_name(said, "QOS"),
    )
    return SlurmExecutor(cluster, settings.run / "slurm")


def _said(environ: Mapping[str, str]) -> dict[str, str]:
    begin = "VAAS_SLURM_"
    said = {name.removeprefix(begin): value for name, value in environ.items() if name.startswith(begin) and value}
    unknown = sorted(said.keys() - set(_VARIABLES))
    if unknown:
        known = ", ".join(begin + name for name in _VARIABLES)
        raise Invalid(f"{begin}{unknown[0]} is not known. There are {known}.")
    return said


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or not path.is_dir():
        raise Invalid(f"VAAS_SLURM_FOLDER={text} is no folder. Make one that people can enter: mkdir -m 711 {text}")
    if not path.stat().st_mode & 0o001:
        raise Invalid(f"VAAS_SLURM_FOLDER={text} cannot be entered by those whose jobs run there: chmod 711 {text}")
    return path


def _name(said: Mapping[str, str], key: str) -> str:
    value = said.get(key, "")
    if not _NAMES.fullmatch(value):
        raise Invalid(f"VAAS_SLURM_{key}={value} is no name that Slurm knows.")
    return value


def _words(said: Mapping[str, str], key: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(said[key]))
    except ValueError as error:
        raise Invalid(f"VAAS_SLURM_{key}={said[key]} cannot be read as a command: {error}.") from error
