"""Containers of app servers and launches: what each of them may do, and what it is given of the data folder."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SpawnException
from traitlets import Dict, Unicode

from hub_service.spawner import AppServers
from vaas.plans import Plan

__all__ = ["Containers"]

_ELSEWHERE = "Launches run in containers here. Choose such a place, or tell those who run this site."
_ROOT = "JupyterLab would be root in its container. Tell those who run this site: docs/isolation.md says what to do."
#: What the container of a launch may do: nothing. Each is said, so that nothing of what apps may remains.
_STRICT = {
    "cap_add": [],
    "cap_drop": ["ALL"],
    "devices": [],
    "pids_limit": 4096,
    "privileged": False,
    "security_opt": ["no-new-privileges:true"],
}


class Containers(AppServers):
    """A mixin for DockerSpawner: an app's container is as the site says, a launch's has its person's folders, no right.

    What the site sets for all containers (``extra_host_config``) holds for both, in this order.
    """

    kinds = ("docker",)

    data_source = Unicode(help="Where the engine's machine has the data folder; empty: where the Hub has it.").tag(
        config=True
    )
    app_host = Dict(help="What the host configuration of an app's container has more.").tag(config=True)
    app_create = Dict(help="What an app's container is made with besides, such as its user.").tag(config=True)
    launch_host = Dict(help="What the host configuration of a launch's container has more.").tag(config=True)
    launch_image = Unicode(help="The image of launches whose environment names none; the site's image without.").tag(
        config=True
    )

    # What a DockerSpawner has.
    image: str
    remove: bool
    volumes: dict[str, Any]
    read_only_volumes: dict[str, Any]
    extra_host_config: dict[str, Any]
    extra_create_kwargs: dict[str, Any]

    #: As the site set it, before anything was added for what is started now.
    _site: dict[str, Any] | None = None

    async def start(self) -> Any:
        """Start the container; of the one before nothing counts."""
        if self._site is None:
            names = ("image", "volumes", "read_only_volumes", "extra_host_config", "extra_create_kwargs")
            self._site = {name: getattr(self, name) for name in names}
        for name, value in self._site.items():
            setattr(self, name, value)
        # One that is there already was made for another plan.
        self.remove = True
        self.extra_host_config = await self._said("extra_host_config")
        self.extra_create_kwargs = await self._said("extra_create_kwargs")
        if self.for_app:
            self.extra_host_config |= self.app_host
            self.extra_create_kwargs |= self.app_create
        return await super().start()

    async def stop(self, now: bool = False) -> Any:
        """Stop it as the spawner does; the Hub wants the three verbs in each class."""
        return await super().stop(now=now)

    async def poll(self) -> Any:
        """Tell how it ended as the spawner does."""
        return await super().poll()

    def prepare_launch(self, plan: Plan) -> None:
        """Set what is started for this plan, with the person's home, what is shared with them, and no right."""
        if plan.kind not in self.kinds:
            raise SpawnException(_ELSEWHERE, reason="facility", status_code=400)
        super().prepare_launch(plan)
        if named := plan.environment.where if plan.environment.kind == "image" else str(self.launch_image):
            self.image = named
        gpus = {"device_requests": [_gpus(plan.size.gpus)]} if plan.size.gpus else {}
        self.extra_host_config |= {**_STRICT, **gpus, **self.launch_host}
        order = self.order_of(plan)
        if order.home:
            self.extra_create_kwargs |= {"user": _owner(Path(order.home))}
            self.volumes = {**self.volumes, **self._volume(order.home, mode="rw")}
        for folder in order.shared.values():
            self.read_only_volumes = {**self.read_only_volumes, **self._volume(folder, mode="ro")}

    async def _said(self, name: str) -> dict[str, Any]:
        """Return what the site says, which may be a function of its own."""
        said = getattr(self, name)
        said = said(self) if callable(said) else said
        return dict(await said if inspect.isawaitable(said) else said)

    def _volume(self, folder: str, *, mode: str) -> dict[str, dict[str, str]]:
        """Return the volume of one folder of the data folder: where the engine finds it, and where the launch does."""
        data = Path(self.homes_root).parent
        source = Path(self.data_source or data) / Path(folder).relative_to(data)
        # Braces would be filled in.
        there, here = (str(path).replace("{", "{{").replace("}", "}}") for path in (source, folder))
        return {there: {"bind": here, "mode": mode}}


def _gpus(count: int) -> dict[str, Any]:
    """Return how an engine is asked for so many graphics processors."""
    return {"Driver": "", "Count": count, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}


def _owner(home: Path) -> str:
    """Return whom the home belongs to, as whom its launch runs; root would be root of what is mounted, too."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = home.stat()
    if status.st_uid == 0:
        raise SpawnException(_ROOT, reason="root", status_code=500)
    return f"{status.st_uid}:{status.st_gid}"
