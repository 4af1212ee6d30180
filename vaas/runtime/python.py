"""The Python in which a notebook runs: that of all apps, or of an environment that was made for its version.

The app server itself always runs in the apps' own: what is in the other one was chosen by the notebook's author, and is
as foreign as the notebook. Nothing here starts it or imports from it; kernels do, in their sandbox.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from vaas.errors import Unavailable
from vaas.locks import python_in

__all__ = ["HERE", "FOLDER", "KernelPython", "find_python"]

#: The variable that says where environments are.
FOLDER = "VAAS_ENVIRONMENTS_FOLDER"


@dataclass(frozen=True)
class KernelPython:
    """A Python for kernels; ``made`` is the folder of its environment, None for the apps' own."""

    executable: str = sys.executable
    made: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """What a kernel has to see of the machine besides what it sees of the apps' own."""
        if self.made is None:
            return ()
        base = Path(os.path.realpath(self.executable)).parent.parent
        return (self.made, base) if not base.is_relative_to("/usr") else (self.made,)

    @property
    def extensions(self) -> Path | None:
        """The folder of the scripts that its widgets have in browsers."""
        found = self.made / "share" / "jupyter" / "labextensions" if self.made else None
        return found if found is not None and found.is_dir() else None

    def environ(self, source: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a server, of which kernels get a little, as it is with this Python."""
        if self.made is None:
            return dict(source)
        path = os.pathsep.join([str(self.made / "bin"), source.get("PATH", os.defpath)])
        # Where the server's own packages are: in front of those of the notebook they would take their place.
        others = {name: value for name, value in source.items() if name != "PYTHONPATH"}
        return {**others, "PATH": path, "VIRTUAL_ENV": str(self.made)}

    def is_missing(self, module: str) -> bool:
        """Tell whether a top-level module cannot be imported."""
        if module in sys.builtin_module_names or module in sys.stdlib_module_names or module == "vaas":
            return False
        importlib.invalidate_caches()
        if self.made is not None:
            places = [str(path) for path in self.made.glob("lib/python3.*/site-packages")]
            return PathFinder.find_spec(module, places) is None
        try:
            return importlib.util.find_spec(module) is None
        except (ImportError, ValueError):
            # It is loaded already, in a way that tells no origin.
            return module not in sys.modules


#: The Python of all apps.
HERE = KernelPython()


def find_python(digest: str, environ: Mapping[str, str]) -> KernelPython:
    """Return the Python of the environment with this digest; the apps' own for "".

    Raises
    ------
    Unavailable
        It is not on this machine.
    """
    if not digest:
        return HERE
    folder = Path(environ.get(FOLDER) or os.devnull)
    python = python_in(folder, digest)
    if python is None:
        problem = f"no environment {digest} in {folder}"
        raise Unavailable("The environment of this app is not on this machine.", log_message=problem)
    return KernelPython(str(python), folder / digest)
