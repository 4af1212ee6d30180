"""``python -m vaas.lab.server``: JupyterLab with the Hub's sign-in, as quick to start as it can be.

What every start would import or ask for and nobody needs here is left out: of the Hub its database, its log and its
older kind of server; of JupyterLab the question to yarn, its news, what installs extensions, and those not named.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vaas.errors import VaasError
from vaas.lab.kernelspec import FOLDER, check_kernel, write_kernel
from vaas.orders import ENDS, ORDER, Order, read_order

__all__ = ["arguments", "main", "prepare", "without_ballast"]

#: The extensions that are loaded, besides the Hub's sign-in.
_EXTENSIONS = ("jupyterlab", "jupyter_server_terminals")
#: Parts of JupyterLab's page that ask for what is not served here, Voilà's button among them.
_WITHOUT = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/fileeditor-extension:language-server",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:language-server",
    "@voila-dashboards/jupyterlab-preview",
)
#: What says in JupyterLab that the launch ends soon, and why it does not answer any more; and what that stands for.
_EXTENSION, _INSTEAD_OF = Path(__file__).parent / "extension", "@jupyterlab/hub-extension:connectionlost"
#: How JupyterLab is set where nobody has set it: the file that says where everything is has links to press.
_SETTINGS = {"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}}}
#: What of the Hub's package only the Hub needs: its tables, and an older kind of server.
_BALLAST_OF_HUB = ("orm", "singleuser.mixins")
#: What tables are made of; what installs extensions of JupyterLab, and fetches lists of forbidden ones.
_BALLAST = ("sqlalchemy", "sqlalchemy.exc", "jupyterlab.extensions.pypi", "requests")
#: Checks of formats that no schema here names, and another way to find the Hub's address than the system's.
_MISSED = ("aiodns", "isoduration", "rfc3986_validator", "rfc3987_syntax")


class _Unused(Exception):
    """Stands for what nobody uses here, also where errors are named."""


def _unused(name: str) -> type[_Unused]:
    """Return what stands for anything that such a module holds; where it lies, nobody can say."""
    if name.startswith("__"):
        raise AttributeError(name)
    return _Unused


def without_ballast() -> None:
    """Put stand-ins where things are imported that nobody needs here: together they are a third of a start."""
    importlib.import_module("jupyterhub")
    for name in (*(f"jupyterhub.{each}" for each in _BALLAST_OF_HUB), *_BALLAST):
        module = types.ModuleType(name)
        module.__dict__["__getattr__"] = _unused
        sys.modules[name] = module
    for name in _MISSED:
        sys.modules[name] = None  # type: ignore[assignment]
    log = types.ModuleType("jupyterhub.log")
    log.__dict__["log_request"] = _log_request
    sys.modules[log.__name__] = log


def _log_request(handler: Any) -> None:
    """Log what went wrong, without the query: it may hold what is secret."""
    if (status := handler.get_status()) >= 500:
        request = handler.request
        handler.log.error("%d %s %s", status, request.method, urlsplit(request.uri).path)


def prepare(order: Order, own: Path) -> dict[str, str]:
    """Make what JupyterLab reads, in a folder that goes with the launch; return the variables that say where."""
    check_kernel(own / "kernels" / write_kernel(own / "kernels", order.environment))
    config = own / "config"
    (config / "labconfig").mkdir(parents=True)
    page = {"disabledExtensions": dict.fromkeys((*_WITHOUT, _INSTEAD_OF), True), **_told(order)}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(page))
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(_SETTINGS))
    return {
        FOLDER: str(own / "kernels"),
        "JUPYTERHUB_DISABLE_USER_CONFIG": "1",
        "JUPYTER_CONFIG_PATH": str(config),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        # Which tabs are open is of this launch: another's notebooks may be gone, or not to be read.
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
    }


def _told(order: Order) -> dict[str, Any]:
    """Return what JupyterLab's page is told of the launch: its page, where its files are, its end and its memory."""
    portal, name = os.environ.get("VAAS_PORTAL_PUBLIC_URL", ""), os.environ.get("JUPYTERHUB_SERVER_NAME", "")
    return {
        "vaasPage": f"{portal}launches/{name[1:]}/" if portal and name else "",
        "vaasFiles": f"{portal}files/" if portal else "",
        # The home is one of the portal's stores, or it is none of ours; the folders below "Shared" are others.
        "vaasStore": "home" if order.home else "",
        "vaasShared": sorted(order.shared),
        "vaasMemory": order.size.memory,
        "vaasEnds": int(os.environ.get(ENDS, "0")),
    }


def arguments(home: Path, order: Order) -> list[str]:
    """Return how JupyterLab is set up for a launch."""
    # What the environment's widgets need of JupyterLab comes from the environment, in its versions.
    parts = Path(order.environment.where).parent.parent / "share" / "jupyter" / "labextensions"
    folders = [_EXTENSION, parts] if order.environment.kind == "python" else [_EXTENSION]
    more = [f"--LabApp.extra_labextensions_path={folder}" for folder in folders]
    return [
        f"--ServerApp.root_dir={home}",
        "--ServerApp.default_url=/lab",
        "--ServerApp.kernel_spec_manager_class=vaas.lab.kernels.OwnKernels",
        "--MappingKernelManager.kernel_manager_class=vaas.lab.kernels.OwnKernel",
        # No ports of the machine: who else is on it could hear there all that a kernel puts out.
        "--KernelManager.transport=ipc",
        "--ServerApp.log_level=WARN",
        "--JupyterHubSingleUser.hub_activity_interval=60",
        "--LabApp.cache_files=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=None",
        *more,
    ]


def main() -> int:
    """Serve until a signal comes."""
    # Nothing of what is imported is garbage.
    gc.disable()
    try:
        order = read_order(os.environ.pop(ORDER, ""))
        # Sockets of kernels lie in it, and the system takes no long paths for these.
        own = Path(tempfile.mkdtemp(prefix="launch-", dir="/tmp"))
        os.environ.update(prepare(order, own))
    except (VaasError, OSError, ValueError, LookupError) as error:
        print(f"The environment cannot be used: {error}", file=sys.stderr, flush=True)
        return 1
    try:
        _serve(order)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return 0


def _serve(order: Order) -> None:
    without_ballast()
    commands: Any = importlib.import_module("jupyterlab.commands")
    # Each start would run Node.js twice, to learn from where extensions are built, which nobody does here.
    commands._yarn_config = lambda logger: {"yarn config": {}, "npm config": {}}
    from jupyterhub.singleuser.extension import JupyterHubSingleUser

    JupyterHubSingleUser.serverapp_config = {"jpserver_extensions": dict.fromkeys(_EXTENSIONS, True)}
    server = JupyterHubSingleUser.initialize_server(argv=arguments(Path.home(), order))
    gc.freeze()
    gc.enable()
    server.start()


if __name__ == "__main__":
    sys.exit(main())
