"""How a job's notebook is executed: papermill, with the kernel of the chosen environment, and kept as it goes on."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager

from vaas.lab.family import end_children
from vaas.lab.sockets import Sockets

__all__ = ["INJECTED", "Keeper", "Watched", "kernel_manager"]

#: The tag of the cell with the values.
INJECTED = "injected-parameters"
#: Bytes of output of one notebook.
_MOST_OUTPUT = 50_000_000
#: Seconds between two times that the notebook is kept; and what keeping it may take of the time.
_KEPT_EVERY, _SHARE = 1.0, 5
#: The longest path of a socket, without the number at its end.
_SOCKET = 90
_DONE = {"", "0", "None"}
_OUTPUTS = {"stream", "display_data", "execute_result", "update_display_data", "error"}


class Keeper(NotebookExecutionManager):
    """Keeps the executed notebook and says at which cell it is; cells count from 1, as they are in the notebook."""

    def __init__(self, nb: Any, path: Path, *, cells: int, tell: Callable[..., None]) -> None:
        super().__init__(nb, output_path=None, progress_bar=False)
        self._path, self._cells, self._tell = path, cells, tell
        places = [i for i, cell in enumerate(nb.cells) if INJECTED in cell.metadata.get("tags", [])]
        self._injected = places[0] if places and len(nb.cells) > cells else len(nb.cells)
        self._again = 0.0
        #: The cell that runs, 0 before the first.
        self.cell = 0
        #: What went wrong in a cell, in words.
        self.failure = ""

    def cell_start(self, cell: Any, cell_index: int | None = None, **named: Any) -> None:
        """Say that it begins."""
        number = self._number(cell_index or 0)
        if cell.cell_type == "code":
            self.cell = max(1, number)
            message = f"Cell {self.cell} of {self._cells} is running."
            self._tell(cell=self.cell, of=self._cells, message=message)
        super().cell_start(cell, cell_index, **named)

    def cell_exception(self, cell: Any, cell_index: int | None = None, **named: Any) -> None:
        """Keep in words what went wrong."""
        super().cell_exception(cell, cell_index, **named)
        errors = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        name, value = (errors[-1].ename, errors[-1].evalue) if errors else ("", "")
        if name == "SystemExit" and value.strip() in _DONE:
            return
        said = ": ".join(filter(None, (name, value.strip().split("\n")[0])))
        if cell_index == self._injected:
            self.failure = f"The values cannot be set: {said}"
        else:
            self.failure = f"Cell {self._number(cell_index or 0)} failed: {said or 'it was ended.'}"

    def save(self, **_named: Any) -> None:
        """Keep the notebook, unless it was kept a moment ago."""
        began = time.monotonic()
        if began >= self._again:
            self._write()
            self._again = time.monotonic() + max(_KEPT_EVERY, _SHARE * (time.monotonic() - began))

    def finish(self) -> None:
        """Keep it as it is at the end."""
        self.end_time = self.now()
        self._write()

    def _number(self, index: int) -> int:
        return index + 1 - (index >= self._injected)

    def _write(self) -> None:
        new = self._path.with_name(f".{self._path.name}")
        new.write_text(nbformat.writes(self.nb), encoding="utf-8")
        os.replace(new, self._path)


class Watched(PapermillNotebookClient):
    """Writes what cells print as it comes, and ends what puts out without end."""

    _left = _MOST_OUTPUT

    def process_message(self, msg: Mapping[str, Any], *args: Any, **named: Any) -> Any:
        """Take what the kernel says."""
        if msg["msg_type"] in _OUTPUTS:
            if self._left < 0:
                return None  # what was on its way
            self._left -= len(str(msg["content"]))
            if self._left < 0:
                # Nothing that is raised here would end the cell; without its kernel it is over.
                most = _MOST_OUTPUT // 1_000_000
                self.nb_man.failure = f"Cell {self.nb_man.cell} was ended: the notebook put out more than {most} MB."
                end_children()
                return None
        return super().process_message(msg, *args, **named)


class _Chosen(KernelSpecManager):
    """Knows one kernel: the one that was chosen."""

    spec: KernelSpec

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return it, whatever the notebook calls its own."""
        return self.spec


class _Manager(Sockets):
    """Asks the kernel to end when all is done, and interrupts nothing for that: it would complain in the log."""

    async def _async_interrupt_kernel(self) -> None:
        """Do nothing. It is this that jupyter_client calls when it ends a kernel, not the public name for it."""

    interrupt_kernel = _async_interrupt_kernel


def kernel_manager(said: Mapping[str, Any]) -> Sockets:
    """Return what starts the chosen kernel: {"argv": […]}, or {"folder": where its kernel.json lies}."""
    specs = _Chosen()
    if said.get("folder"):
        specs.spec = KernelSpec.from_resource_dir(str(said["folder"]))
    else:
        specs.spec = KernelSpec(argv=list(said["argv"]), language=str(said.get("language") or "python"))
    made = _Manager(kernel_name="chosen", kernel_spec_manager=specs)
    sockets = str(Path(tempfile.mkdtemp(prefix="k")) / "s")
    if len(sockets) < _SOCKET:
        # No port of the machine; elsewhere the path of a socket is too long.
        made.transport, made.ip = "ipc", sockets
    return made
