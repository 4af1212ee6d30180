"""How the kernel of a launch's environment is described to JupyterLab."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from vaas.errors import Invalid
from vaas.launching import Environment

__all__ = ["FOLDER", "NAME", "check_kernel", "kernel_name", "write_kernel"]

#: The variable that says where the kernels of a launch are described.
FOLDER = "VAAS_KERNELS"
#: What Python's is called in nearly every notebook, so that they open without a question.
NAME = "python3"
_GONE = "“{title}” is not there any more. Launch with another environment, and tell those who run this site."
#: Where a system's kernels are described, in an image, too.
_SYSTEMS = (Path("/usr/local/share/jupyter/kernels"), Path("/usr/share/jupyter/kernels"))


def write_kernel(folder: Path, environment: Environment, *, systems: Sequence[Path] = _SYSTEMS) -> str:
    """Describe the environment's kernel in the folder, and return its name.

    Raises Invalid where it is gone, or an image has none for its language; ``systems`` is where it is looked for.
    """
    where = Path(environment.where)
    if environment.kind == "image":
        where = _in_image(environment.language, systems)
    name = kernel_name(environment.kind, environment.language, str(where))
    place = folder / name
    place.mkdir(parents=True)
    if environment.kind in ("kernelspec", "image"):
        try:
            spec = json.loads((where / "kernel.json").read_bytes())
        except OSError as error:
            raise Invalid(_GONE.format(title=environment.title), log_message=str(error)) from error
        spec["argv"] = [str(word).replace("{resource_dir}", str(where)) for word in spec["argv"]]
    else:
        argv = [str(where), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "language": environment.language}
    # A debugger listens on a port of the machine and runs what anybody there sends to it.
    spec["metadata"] = {**(spec.get("metadata") or {}), "debugger": False}
    (place / "kernel.json").write_text(json.dumps(spec | {"display_name": environment.title}))
    return name


def kernel_name(kind: str, language: str, where: str) -> str:
    """Return what the kernel of an environment is called: Python's as everywhere, others as their folder ``where``."""
    return NAME if language == "python" or kind == "python" else Path(where).name.lower()


def check_kernel(place: Path) -> None:
    """Raise Invalid where the program of the kernel that is described there is gone: JupyterLab would tell its path."""
    spec = json.loads((place / "kernel.json").read_bytes())
    program = Path(spec["argv"][0])
    if program.is_absolute() and not os.access(program, os.X_OK):
        raise Invalid(_GONE.format(title=spec["display_name"]), log_message=f"{program} cannot be executed")


def _in_image(language: str, systems: Sequence[Path]) -> Path:
    """Return the folder of the image's own kernel for the language. Raises Invalid where it has none."""
    for place in (folder for system in systems for folder in sorted(system.glob("*/kernel.json"))):
        if str(json.loads(place.read_bytes()).get("language", "")).lower() == language:
            return place.parent
    raise Invalid(f"The image of this environment has no kernel for {language}. Tell those who run this site.")
