"""``python -m vaas.lab.server``: JupyterLab with the Hub's sign-in, as quick to start as it can be.

What every start would import or ask for and nobody needs here is left out: of the Hub its database, its log and its
older kind of server; of JupyterLab the question to yarn, its news, and extensions that are not named.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["arguments", "main", "without_ballast"]

#: The extensions that are loaded, besides the Hub's sign-in.
_EXTENSIONS = ("jupyterlab", "jupyter_server_terminals")
#: What of the Hub's package only the Hub needs: its tables, and an older kind of server.
_BALLAST = ("orm", "singleuser.mixins")


class _Unused:
    """Stands for what nobody uses here."""


def without_ballast() -> None:
    """Put stand-ins where the Hub's package imports what only the Hub needs; its database is a fifth of a start."""
    importlib.import_module("jupyterhub")
    for name in _BALLAST:
        module = types.ModuleType(f"jupyterhub.{name}")
        module.__dict__["__getattr__"] = lambda _name: _Unused
        sys.modules[module.__name__] = module
    log = types.ModuleType("jupyterhub.log")
    log.__dict__["log_request"] = _log_request
    sys.modules[log.__name__] = log


def _log_request(handler: Any) -> None:
    """Log what went wrong, without the query: it may hold what is secret."""
    if (status := handler.get_status()) >= 500:
        request = handler.request
        handler.log.error("%d %s %s", status, request.method, urlsplit(request.uri).path)


def arguments(home: Path, *, labextensions: str = "") -> list[str]:
    """Return how JupyterLab is set up for a launch."""
    more = [f"--LabApp.extra_labextensions_path={labextensions}"] if labextensions else []
    return [
        f"--ServerApp.root_dir={home}",
        "--ServerApp.default_url=/lab",
        "--ServerApp.kernel_spec_manager_class=vaas.lab.kernels.OwnKernels",
        "--ServerApp.log_level=WARN",
        "--JupyterHubSingleUser.hub_activity_interval=60",
        "--LabApp.cache_files=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None",
        *more,
    ]


def main() -> None:
    """Serve until a signal comes."""
    # Nothing of what is imported is garbage.
    gc.disable()
    without_ballast()
    commands: Any = importlib.import_module("jupyterlab.commands")
    # Each start would run Node.js twice, to learn from where extensions are built, which nobody does here.
    commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}
    from jupyterhub.singleuser.extension import JupyterHubSingleUser

    JupyterHubSingleUser.serverapp_config = {"jpserver_extensions": dict.fromkeys(_EXTENSIONS, True)}
    said = arguments(Path.home(), labextensions=os.environ.get("VAAS_LABEXTENSIONS", ""))
    server = JupyterHubSingleUser.initialize_server(argv=said)
    gc.freeze()
    gc.enable()
    server.start()


if __name__ == "__main__":
    main()
