"""What a notebook runs with: the Python of all apps, an environment made for its version, or one of the site's.

The app server itself always runs in the apps' own: what is in the other one was chosen by the notebook's author, and is
as foreign as the notebook. Nothing here starts it or imports from it; kernels do, in their sandbox.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import vaas
from vaas.errors import Unavailable
from vaas.locks import python_in
from vaas.pythons import folders_of, teaching

__all__ = ["HERE", "FOLDER", "KernelPython", "Site", "find_python", "kernel_command"]

#: The variable that says where environments are.
FOLDER = "VAAS_ENVIRONMENTS_FOLDER"


#: Starts our kernel in a Python that does not know our package.
_TAUGHT = "{teaching}import runpy; runpy.run_module('vaas.runtime.kernel', run_name='__main__', alter_sys=True)"
_MOST = 1_000_000


def kernel_command(python: str = sys.executable) -> list[str]:
    """Return the command of our kernel; ``-P``: a file beside the notebook can take no module's place."""
    return [python, "-P", "-m", "vaas.runtime.kernel", "-f", "{connection_file}"]


@dataclass(frozen=True)
class Site:
    """An environment of the site's, as its configuration names it and the portal tells it.

    Parameters
    ----------
    kind, where:
        "python" and the interpreter, or "kernelspec" and the folder with its kernel.json.
    version:
        Of its language, "" where that is not known.
    ours:
        Whether it has what our kernel needs, in the versions that can be frozen and forked.
    """

    title: str
    kind: str
    where: str
    language: str = "python"
    version: str = ""
    ours: bool = False

    def spec(self) -> dict[str, Any]:
        """Return how its kernel is started, as a kernel.json says it. Raises Unavailable where it cannot be read."""
        if self.ours:
            argv = [self.where, "-P", "-c", _TAUGHT.format(teaching=teaching(Path(vaas.__file__).parent.parent))]
            return {"argv": [*argv, "-f", "{connection_file}"], "display_name": self.title, "language": "python"}
        if self.kind == "python":
            argv = [self.where, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return {"argv": argv, "display_name": self.title, "language": self.language}
        try:
            with (Path(self.where) / "kernel.json").open("rb") as file:
                said = json.loads(file.read(_MOST))
            argv = [str(word).replace("{resource_dir}", self.where) for word in said["argv"]]
            env = {str(name): str(value) for name, value in dict(said.get("env") or {}).items()}
            language = str(said.get("language") or self.language)
            # The other way is a signal, as it is where nothing is said.
            way = {"interrupt_mode": "message"} if said.get("interrupt_mode") == "message" else {}
            return {"argv": argv, "env": env, "display_name": self.title, "language": language, **way}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            told = f"The environment “{self.title}” of this app cannot be read on this machine."
            raise Unavailable(told, log_message=f"{self.where}: {error!r}") from error


@dataclass(frozen=True)
class KernelPython:
    """What kernels are started with.

    Parameters
    ----------
    made:
        The folder of its environment, None for the apps' own.
    title, spec:
        Of the site's environment that it is: what people call it, and its kernel as a kernel.json says it; "" and
        nothing for all others.
    ours:
        Whether it starts our kernel.
    version:
        Of Python, "" where that is not known, or it is another language.
    """

    executable: str = sys.executable
    made: Path | None = None
    title: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    seen: tuple[Path, ...] = ()
    ours: bool = True
    version: str = platform.python_version()

    @property
    def folders(self) -> tuple[Path, ...]:
        """What a kernel has to see of the machine besides what it sees of the apps' own."""
        if self.title:
            return self.seen
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


def find_python(digest: str, environ: Mapping[str, str], *, site: Site | None = None) -> KernelPython:
    """Return the Python of the environment with this digest, or what the ``site`` has; the apps' own for neither.

    Raises
    ------
    Unavailable
        It is not on this machine.
    """
    if site is not None:
        return _of_site(site)
    if not digest:
        return HERE
    folder = Path(environ.get(FOLDER) or os.devnull)
    python = python_in(folder, digest)
    if python is None:
        problem = f"no environment {digest} in {folder}"
        raise Unavailable("The environment of this app is not on this machine.", log_message=problem)
    return KernelPython(str(python), folder / digest)


def _of_site(site: Site) -> KernelPython:
    spec = site.spec()
    program = Path(site.where if site.kind == "python" else str(spec["argv"][0]) if spec["argv"] else "")
    if site.kind == "python" and not os.access(program, os.X_OK):
        told = f"The environment “{site.title}” of this app is not on this machine."
        raise Unavailable(told, log_message=f"no program {program}")
    own = (Path(site.where),) if site.kind == "kernelspec" else ()
    made = program.parent.parent if program.is_absolute() else None
    version = site.version if site.language == "python" else ""
    return KernelPython(str(program), made, site.title, spec, (*own, *folders_of(program)), site.ours, version)
