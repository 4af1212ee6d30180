"""``python -m vaas.lab.inside``: the first process of a launch, which starts JupyterLab at once and places the rest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from vaas.errors import Unavailable, VaasError
from vaas.lab.becoming import become
from vaas.lab.kernelspec import FOLDER, write_kernel
from vaas.lab.placing import Placing
from vaas.lab.portal import PortalClient
from vaas.lab.sandbox import SHARED
from vaas.orders import ORDER, Order, read_order

__all__ = ["lab_environ", "main"]

#: Parts of JupyterLab's page that ask for what is not served here.
_WITHOUT = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/lsp-extension",
)
#: The variables that only our own processes need.
_OURS = (ORDER, "VAAS_LAUNCH_UID")
#: So long (seconds) JupyterLab may take until it answers.
_START = 60.0


def lab_environ(order: Order, environ: Mapping[str, str], own: Path) -> dict[str, str]:
    """Return JupyterLab's variables, and make what they name in the folder ``own``, which goes with the launch."""
    name = write_kernel(own / "kernels", order.environment)
    config = own / "config"
    (config / "labconfig").mkdir(parents=True)
    page = {"disabledExtensions": dict.fromkeys(_WITHOUT, True)}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(page))
    kept = {key: value for key, value in environ.items() if key not in _OURS}
    return kept | {
        FOLDER: str(own / "kernels"),
        "JUPYTERHUB_DISABLE_USER_CONFIG": "1",
        "JUPYTER_CONFIG_PATH": str(config),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "VAAS_KERNEL": name,
        "VAAS_LABEXTENSIONS": _labextensions(order),
    }


def _labextensions(order: Order) -> str:
    """Return where the environment has the parts of JupyterLab that its widgets need; "" where it has none."""
    folder = Path(order.environment.where).parent.parent / "share" / "jupyter" / "labextensions"
    return str(folder) if order.environment.kind == "python" and folder.is_dir() else ""


class Inside:
    """JupyterLab, and beside it a thread that places what belongs to the launch."""

    def __init__(self, order: Order, environ: Mapping[str, str]) -> None:
        self._order, self._environ = order, environ
        self._failed = ""

    def run(self) -> int:
        """Stay until JupyterLab ends."""
        with tempfile.TemporaryDirectory(prefix="launch-") as own:
            environ = lab_environ(self._order, self._environ, Path(own))
            command = [sys.executable, "-P", "-s", "-m", "vaas.lab.server"]
            server = subprocess.Popen(command, env=environ, cwd=environ["HOME"])
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: server.terminate())
            threading.Thread(target=self._place, args=(server,), daemon=True).start()
            server.wait()
        if self._failed:
            print(self._failed, file=sys.stderr, flush=True)
            return 1
        return server.returncode if server.returncode >= 0 else 0

    def _place(self, server: subprocess.Popen[bytes]) -> None:
        """Place everything; a launch without its notebook is none, and ends."""
        portal = PortalClient(self._environ["VAAS_PORTAL_URL"], token=self._environ["JUPYTERHUB_API_TOKEN"])
        placing = Placing(portal, home=Path(self._environ["HOME"]), shared=SHARED)
        try:
            placing.copy()
            _wait(self._environ["JUPYTERHUB_SERVICE_URL"], server)
            placing.ready()
            placing.fetch()
        except (VaasError, OSError) as error:
            self._failed = error.message if isinstance(error, VaasError) else "The notebook could not be placed."
            print(f"Placing failed: {error!r}", file=sys.stderr, flush=True)
            placing.fail(self._failed)
            server.terminate()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until JupyterLab listens. Raises Unavailable when it ends before, or takes too long."""
    parts, deadline = urlsplit(url), time.monotonic() + _START
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((parts.hostname or "", parts.port or 80), 1):
            return
        time.sleep(0.05)
    raise Unavailable("JupyterLab did not start. Try again, or choose another size or environment.")


def main() -> int:
    """Run JupyterLab in the person's home."""
    become(int(os.environ.get("VAAS_LAUNCH_UID", "0")))
    os.umask(0o077)
    os.chdir(os.environ["HOME"])
    if SHARED.is_dir() and not os.path.lexists("Shared"):
        with contextlib.suppress(OSError):
            os.symlink(SHARED, "Shared")
    try:
        return Inside(read_order(os.environ.get(ORDER, "")), os.environ).run()
    except VaasError as error:
        print(error.message, file=sys.stderr, flush=True)
    except OSError as error:
        print(f"JupyterLab cannot be started: {error.strerror}.", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
