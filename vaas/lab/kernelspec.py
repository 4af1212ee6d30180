"""How the kernel of a launch's environment is described to JupyterLab."""

from __future__ import annotations

import json
from pathlib import Path

from vaas.launching import Environment

__all__ = ["FOLDER", "NAME", "write_kernel"]

#: The variable that says where the kernels of a launch are described.
FOLDER = "VAAS_KERNELS"
#: What Python's is called in nearly every notebook, so that they open without a question.
NAME = "python3"


def write_kernel(folder: Path, environment: Environment) -> str:
    """Describe the environment's kernel in the folder, and return its name."""
    where = Path(environment.where)
    name = NAME if environment.language == "python" or environment.kind == "python" else where.name.lower()
    place = folder / name
    place.mkdir(parents=True)
    if environment.kind == "kernelspec":
        spec = json.loads((where / "kernel.json").read_bytes())
        spec["argv"] = [str(word).replace("{resource_dir}", str(where)) for word in spec["argv"]]
    else:
        argv = [str(where), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "language": environment.language}
    # A debugger listens on a port of the machine and runs what anybody there sends to it.
    spec["metadata"] = {**(spec.get("metadata") or {}), "debugger": False}
    (place / "kernel.json").write_text(json.dumps(spec | {"display_name": environment.title}))
    return name
