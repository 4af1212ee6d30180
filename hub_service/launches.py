"""How the Hub's spawner starts a person's own server: what a signed plan says, and nothing that anybody asks for."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from jupyterhub.spawner import LocalProcessSpawner, SpawnException
from jupyterhub.traitlets import Command
from traitlets import Dict, Integer, Unicode
from traitlets.config import LoggingConfigurable

from vaas.db.seal import ensure_secret
from vaas.errors import Forbidden
from vaas.launching import Environment
from vaas.model import ServerName
from vaas.orders import ORDER, Order, write_order
from vaas.plans import Plan, read_plan

__all__ = ["Launches", "launch_kinds", "launch_scopes"]

_NAME = re.compile(r"l[a-z0-9]{12}")
#: What of the Hub's own variables a JupyterLab needs; the rest of its environment is none of its business.
_TOLD = re.compile(r"JUPYTERHUB_\w+|LANG|LC_ALL|TZ|PATH|HOME|USER|SHELL")
_ONLY_FROM_HERE = "Start it from the portal: people's servers begin there."
#: The launcher builds walls for this kind alone; elsewhere the batch system or the container is the wall.
_WALLED = ("local",)
_ELSEWHERE = "JupyterLab cannot be started there: this portal starts it on its own machine. Choose another place."


class Launches(LoggingConfigurable):
    """A mixin for any spawner: people's servers are launches, each with a plan that the portal signed.

    A spawner of another kind overrides :meth:`prepare_launch`, which sets what is started, and calls ours in it.
    """

    lab_cmd = Command(["python3", "-m", "vaas.lab"], help="The command that starts a launch.").tag(config=True)
    lab_environment = Dict(help="Variables that every launch gets.").tag(config=True)
    launch_timeout = Integer(120, help="Seconds that the start of a launch may take.").tag(config=True)
    #: The file rather than the key: whoever prints the configuration prints no secret.
    plan_key_file = Unicode(help="The file with the key by which the portal signs plans.").tag(config=True)
    homes_root = Unicode(help="The folder of people's homes.").tag(config=True)
    shared_root = Unicode(help="The folder of shared folders.").tag(config=True)
    image_python = Unicode("python3", help="The Python of kernels in images of containers.").tag(config=True)
    made_root = Unicode(help="The folder of environments that were made from locks, by digest.").tag(config=True)

    #: The kinds of facilities whose launches it starts; none: it takes all.
    kinds: ClassVar[tuple[str, ...]] = ()

    # What a spawner has.
    name: str
    user: Any
    user_options: dict[str, Any]
    environment: Mapping[str, Any]
    start_timeout: int

    #: What runs or starts now; None for an app server and for a launch that a Hub from before has started.
    plan: Plan | None = None

    def admit_launch(self) -> Plan:
        """Return the plan in ``user_options``, all else of which does not count.

        Raises
        ------
        SpawnException
            There is none for this server, it has expired, or it is for a place where this spawner starts nothing.
        """
        if not _NAME.fullmatch(self.name):
            raise SpawnException(_ONLY_FROM_HERE, reason="server-name", status_code=403)
        try:
            server = ServerName(self.user.name, self.name)
            master = ensure_secret(Path(self.plan_key_file))
            plan = read_plan(self.user_options.get("plan"), master=master, server=server, now=time.time())
        except Forbidden as error:
            raise SpawnException(error.message, reason="no-plan", status_code=403) from error
        if isinstance(self, LocalProcessSpawner) and plan.kind not in launch_kinds(type(self)):
            raise SpawnException(_ELSEWHERE, reason="no-walls", status_code=403)
        return plan

    def prepare_launch(self, plan: Plan) -> None:
        """Set what is started for this plan: command and size; :meth:`order_of` is what the command is told."""
        self.plan = plan
        self.cmd = self.lab_cmd
        self.mem_limit, self.cpu_limit = plan.size.memory, plan.size.cores

    def allow_time(self) -> None:
        """Give the start of a launch as long as the site says, where that is longer than for an app."""
        self.start_timeout = max(int(self.start_timeout), int(self.launch_timeout))

    def order_of(self, plan: Plan) -> Order:
        """Return what the launcher is told to start."""
        # Names, not paths: a plan leads nowhere but into our own folders.
        home = str(Path(self.homes_root) / Path(plan.home).name) if plan.home and self.homes_root else ""
        folders = {Path(name).name for name in plan.shared if self.shared_root}
        shared = {name: str(Path(self.shared_root) / name) for name in sorted(folders - {""})}
        return Order(plan.kind, self._made(plan.environment), plan.size, home, shared)

    def launch_env(self, env: dict[str, str]) -> dict[str, str]:
        """Return the variables of a launch out of all that the spawner would give it."""
        assert self.plan is not None
        told = {name: value for name, value in env.items() if _TOLD.fullmatch(name) or name in self.environment}
        return told | dict(self.lab_environment) | {ORDER: write_order(self.order_of(self.plan))}

    def _made(self, environment: Environment) -> Environment:
        """Return the environment with the interpreter that was made from its lock, or that is in its image."""
        if environment.kind == "image" and environment.language == "python":
            return replace(environment, kind="python", where=str(self.image_python))
        if environment.kind != "lock" or not self.made_root:
            return environment
        python = Path(self.made_root) / Path(environment.where).name / "bin" / "python"
        return replace(environment, kind="python", where=str(python))


def launch_kinds(spawner: type[Any]) -> tuple[str, ...]:
    """Return the kinds of facilities whose launches a spawner of this class starts; none: it takes all."""
    if issubclass(spawner, LocalProcessSpawner):
        return _WALLED
    return tuple(getattr(spawner, "kinds", ()))


def launch_scopes(spawner: Any) -> list[str]:
    """Return the scopes of a launch's token: it says which launch it is, and that somebody works there."""
    return ["users:activity!user", f"access:servers!server={spawner.user.name}/{spawner.name}"]
