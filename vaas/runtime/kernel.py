"""The kernel of apps, ``python -m vaas.runtime.kernel -f CONNECTION_FILE``: ipykernel without what no page needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vaas.runtime import asking, sources, voila_stand_in

__all__ = ["AUDIT_FILE", "AUDIT_FOLDER", "main"]

#: Where to write what the notebook reads and connects to, and the folder that is its own; unset: nowhere.
AUDIT_FILE = "VAAS_AUDIT_FILE"
AUDIT_FOLDER = "VAAS_AUDIT_FOLDER"


def main() -> None:
    """Run an IPython kernel until it is told to stop."""
    audit_file, audit_folder = os.environ.pop(AUDIT_FILE, ""), os.environ.pop(AUDIT_FOLDER, "")
    _forget_working_folder()
    # vois and plotly come to jsonschema, and this extra of it takes seconds to import, to check what no notebook has.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    with _absent("debugpy"):
        import ipykernel.debugger  # noqa: F401 (imported here, where it finds no debugpy)
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    class App(IPKernelApp):
        def init_iopub(self, context: Any) -> None:
            # What nobody has read yet waits here, however much it is. By default the thousandth message and all
            # that come after it are thrown away, and with them the one that says that the cell has ended.
            # And each who begins to listen is welcomed, not only the first.
            context.sndhwm, context.xpub_verbose = 0, 1
            super().init_iopub(context)

    # Nobody types into this kernel: no history to keep, and no thread that writes it.
    app = App.instance(config=Config({"HistoryManager": {"enabled": False}}))
    app.initialize()
    from vaas.runtime import forking

    side = forking.Side.from_environment(app)
    # Before the notebook's own modules can be found.
    asking.install(template=side is not None)
    if side is not None:
        sources.watch()
    voila_stand_in.install()
    _add_working_folder()
    if audit_file:
        from vaas.runtime import audit

        audit.install(audit_file, folder=audit_folder or os.getcwd())
    if side is None:
        app.start()
    else:
        side.serve()


def _forget_working_folder() -> None:
    """Keep a ``json.py`` beside the notebook from breaking the kernel's own imports; a no-op under ``python -P``."""
    if not sys.flags.safe_path and sys.path and Path(sys.path[0] or ".").resolve() == Path.cwd():
        del sys.path[0]


def _add_working_folder() -> None:
    """Let the notebook import modules that lie beside it, after the standard library; IPython does not under ``-P``."""
    if "" not in sys.path:
        places = (i for i, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages")))
        sys.path.insert(next(places, len(sys.path)), "")


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Make a module look absent: importing debugpy is more than half of a kernel's start."""
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


if __name__ == "__main__":
    main()
