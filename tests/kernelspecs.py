"""Kernels that Jupyter takes for another language's: programs around ipykernel, each to be reached in its own way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.portal_fixture import app_python

__all__ = ["COLONS", "PORTS", "WAY", "kernelspec"]

#: Prints how the kernel is reached.
WAY = "import ipykernel.connect as connect, json; print(json.loads(connect.get_connection_info())['transport'])"
_BEGIN = """
import json, sys
from ipykernel import kernelapp
at = sys.argv[1]
said = json.load(open(at))
"""
_END = "kernelapp.launch_new_instance(['-f', at])"
#: Knows ports alone, and ends with anything else.
PORTS = f"""{_BEGIN}
if said["transport"] != "tcp":
    sys.exit("this kernel has ports")
{_END}
"""
#: Writes the number of a socket as that of a port.
COLONS = f"""{_BEGIN}
class App(kernelapp.IPKernelApp):
    def _try_bind_socket(self, socket, port):
        socket.bind("%s://%s:%i" % (self.transport, self.ip, port))
        return port

App.launch_instance(["-f", at])
"""


def kernelspec(folder: Path, program: str, **metadata: Any) -> Path:
    """Describe a kernel of that program in a folder of its own, and return that."""
    folder.mkdir(parents=True)
    (folder / "kernel.py").write_text(program)
    argv = [str(app_python()), f"{folder}/kernel.py", "{connection_file}"]
    said = {"argv": argv, "language": "tides", "display_name": "Tides", "metadata": metadata}
    (folder / "kernel.json").write_text(json.dumps(said))
    return folder
