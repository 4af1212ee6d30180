"""The Hub's configuration in a Kubernetes cluster, on top of what the chart of Zero to JupyterHub has set.

There the Hub, its database, the proxy and their keys are the chart's. What is left is ours: names, sign-in, the portal
beside the Hub in its pod, and app servers and launches in pods of their own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath

from jupyterhub.auth import DummyAuthenticator
from traitlets.config import Config

from hub_service import hub_config
from hub_service.pods import with_pods
from hub_service.settings import Settings
from vaas.errors import Invalid

__all__ = ["configure_in_cluster"]

#: Where homes and shared folders lie in the pod of a launch: those that its plan names, and no others.
_HOMES, _SHARED = PurePosixPath("/srv/vaas/homes"), PurePosixPath("/srv/vaas/shared")
#: A node may have to fetch an image first.
_START_SECONDS, _LAUNCH_SECONDS = 300, 600


def configure_in_cluster(c: Config, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Configure the Hub of the chart for VaaS; call it last.

    Raises
    ------
    Invalid
        Anybody could sign in as anybody, or the portal would not be found.
    """
    _check(c, settings)
    # A pod has the packages of its image: what notebooks bring of their own does not lie there.
    environ = {"VAAS_ENVIRONMENTS": "off", **environ}
    c.Spawner.start_timeout = c.Spawner.get("start_timeout") or _START_SECONDS
    c.Launches.launch_timeout = c.Launches.get("launch_timeout") or _LAUNCH_SECONDS
    hub_config.names(c, settings)
    hub_config.sign_in(c, settings)
    _servers(c, settings, environ)
    hub_config.portal(c, settings, environ)


def _check(c: Config, settings: Settings) -> None:
    named = c.JupyterHub.get("authenticator_class", "")
    if settings.demo or named in ("dummy", DummyAuthenticator) or str(named).endswith("DummyAuthenticator"):
        raise Invalid(
            "Anybody could sign in as anybody: set hub.config.JupyterHub.authenticator_class in the chart's values."
        )
    for name, value in (("VAAS_PORTAL_INSIDE", settings.portal_inside), ("VAAS_PROXY_INSIDE", settings.proxy_inside)):
        if not value:
            raise Invalid(f"{name} is not set. Give the address of the service in the cluster under hub.extraEnv.")


def _servers(c: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    """Set how pods are made, and what the chart does otherwise than a Hub on one machine."""
    keep = {"cleanup_servers": c.JupyterHub.get("cleanup_servers", False)}
    hub_config.app_servers(c, settings, environ)
    c.JupyterHub.update(keep)  # pods outlive the Hub's
    c.JupyterHub.spawner_class = with_pods(c.JupyterHub.spawner_class)
    # In their image, not in this one.
    path = "/opt/vaas/app/bin:/usr/local/bin:/usr/bin:/bin"
    c.AppServers.app_environment = {**c.AppServers.app_environment, "PATH": path}
    c.Launches.homes_root, c.Launches.shared_root = str(_HOMES), str(_SHARED)
    # No such pod speaks with the cluster, and none keeps anything but what a plan names.
    c.KubeSpawner.automount_service_account_token = False
    c.KubeSpawner.storage_pvc_ensure = False
