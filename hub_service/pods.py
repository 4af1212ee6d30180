"""Pods of app servers and launches: what each of them is given of the data folder, and how they are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyterhub.spawner import Spawner, SpawnException
from traitlets import Dict, Unicode

from vaas.plans import Plan
from vaas.slug import is_account

__all__ = ["KIND", "Pods", "with_pods"]

#: The label that says what runs in a pod, for rules of the network: "app" or "launch".
KIND = "vaas/kind"
_VOLUME = "vaas-data"
_ELSEWHERE = "Launches run in the cluster here. Choose it, or tell those who run this site."
#: What every container gets: no right that it was not given.
_STRICT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsUser": 1000, "runAsGroup": 1000}
#: What it takes to make a sandbox for each kernel, in a pod that has its users for itself.
_SANDBOXES = {**_STRICT, "procMount": "Unmasked", "seccompProfile": {"type": "Unconfined"}}


class Pods(Spawner):
    """A mixin for KubeSpawner: an app's pod is given no volume, a launch's the folders that its plan names."""

    #: Those of facilities whose launches are pods.
    kinds = ("kubernetes",)

    data_claim = Unicode("vaas-data", help="The claim of the volume that holds the data folder.").tag(config=True)
    app_pod = Dict({"hostUsers": False}, help="What the specification of an app's pod has more.").tag(config=True)
    app_container = Dict(_SANDBOXES, help="The security context of an app server's container.").tag(config=True)
    launch_container = Dict(
        {**_STRICT, "seccompProfile": {"type": "RuntimeDefault"}},
        help="The security context of a launch's container.",
    ).tag(config=True)
    gpu_resource = Unicode("nvidia.com/gpu", help="What the cluster calls a graphics processor.").tag(config=True)
    launch_image = Unicode(help="The image of launches whose environment names none; the site's image without.").tag(
        config=True
    )

    async def start(self) -> Any:
        """Start the pod, with a label that says what for."""
        self.fit()
        return await super().start()

    def fit(self) -> None:
        """Set what an app's pod has otherwise than a launch's."""
        is_app = is_account(self.user.name)
        self.extra_labels: dict[str, str] = {**self.extra_labels, KIND: "app" if is_app else "launch"}
        self.extra_pod_config: dict[str, Any] = {**self.extra_pod_config, **(self.app_pod if is_app else {})}
        self.container_security_context = dict(self.app_container if is_app else self.launch_container)
        self.volumes: list[dict[str, Any]] = []
        self.volume_mounts: list[dict[str, Any]] = []

    async def stop(self, now: bool = False) -> Any:
        """Stop it as the spawner does; the Hub wants the three verbs in each class."""
        return await super().stop(now=now)

    async def poll(self) -> Any:
        """Tell how it ended as the spawner does."""
        return await super().poll()

    def prepare_launch(self, plan: Plan) -> None:
        """Set what is started for this plan, and mount the person's home and the folders that are shared with them."""
        if plan.kind not in self.kinds:
            raise SpawnException(_ELSEWHERE, reason="facility", status_code=400)
        super().prepare_launch(plan)
        named = plan.environment.where if plan.environment.kind == "image" else self.launch_image
        if named:
            self.image = named
        # Pods that ask for one get one: the name is that of NVIDIA's plugin for the cluster, and of others by setting.
        self.extra_resource_limits = {self.gpu_resource: str(plan.size.gpus)} if plan.size.gpus else {}
        mounts = [self._mount("homes", plan.home, read_only=False)] if plan.home else []
        mounts += [self._mount("shared", name, read_only=True) for name in plan.shared]
        self.volumes = [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": self.data_claim}}] if mounts else []
        self.volume_mounts = mounts

    def _mount(self, folder: str, name: str, *, read_only: bool) -> dict[str, Any]:
        """Return the mount of one folder of the data folder, where the launch is told that it lies."""
        # Names, not paths: a plan leads nowhere but into our own folders. And braces would be filled in.
        name = Path(name).name
        root = self.homes_root if folder == "homes" else self.shared_root
        words = {"mountPath": f"{root}/{name}", "subPath": f"{folder}/{name}"}
        kept = {key: word.replace("{", "{{").replace("}", "}}") for key, word in words.items()}
        return {"name": _VOLUME, "readOnly": read_only, **kept}


def with_pods(cls: type[Any]) -> type[Any]:
    """Return ``cls`` so that it makes such pods; ``cls`` itself when it does already."""
    if issubclass(cls, Pods):
        return cls
    return type(cls.__name__, (Pods, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})
