"""How the kernel of a launch's environment is described to JupyterLab."""

from __future__ import annotations

import json
from pathlib import Path

from vaas.launching import Environment

__all__ = ["FOLDER", "NAME", "takes_sockets", "write_kernel"]

#: The variable that says where the kernels of a launch are described.
FOLDER = "VAAS_KERNELS"
#: What Python's is called in nearly every notebook, so that they open without a question.
NAME = "python3"


def takes_sockets(environment: Environment) -> bool:
    """Tell whether the environment's kernel talks by sockets in a folder, too: Python's does; others say so.

    A kernel says so by ``"transports": ["ipc"]`` in the metadata of its kernelspec; there is no other word for it yet.
    """
    if "python" in {environment.kind, environment.language}:
        return True
    if environment.kind != "kernelspec":
        return False
    spec = json.loads((Path(environment.where) / "kernel.json").read_bytes())
    said = (spec.get("metadata") or {}).get("transports")
    return isinstance(said, list) and "ipc" in said


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
