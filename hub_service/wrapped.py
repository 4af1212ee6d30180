"""Which of our mixins makes a site's spawner run app servers and launches."""

from __future__ import annotations

from typing import Any

from hub_service.cluster_servers import BatchServers, SlurmServers
from hub_service.condor_servers import CondorServers
from hub_service.containers import Containers
from hub_service.spawner import AppServers

__all__ = ["mixin_for"]

#: Packages of spawners for which there is more to do.
_WRAPPED = ("batchspawner", "dockerspawner")
#: The first that is among a spawner's classes counts.
_MIXINS: dict[str, type[AppServers]] = {
    "SlurmSpawner": SlurmServers,
    "CondorSpawner": CondorServers,
    "DockerSpawner": Containers,
    "BatchSpawnerBase": BatchServers,
}


def mixin_for(cls: type[Any]) -> type[AppServers]:
    """Return what makes this spawner run app servers; the spawner's own package is imported by who names it."""
    named = {base.__name__ for base in cls.__mro__ if base.__module__.partition(".")[0] in _WRAPPED}
    return next((mixin for name, mixin in _MIXINS.items() if name in named), AppServers)
