"""Kernels that talk by sockets in a folder, where only their own person comes; by ports only where they cannot."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_client.localinterfaces import localhost
from jupyter_client.manager import AsyncKernelManager

__all__ = ["Sockets"]

#: So long (seconds) a kernel may take to listen; and the pause between two looks.
_PATIENCE, _LOOK = 60.0, 0.02
_PORTS = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")


class Sockets(AsyncKernelManager):
    """Starts a kernel by sockets; one that ends or does not listen is started once more, by ports.

    Python's kernels are known to take sockets. Another may say in the metadata of its kernelspec what it takes, as by
    ``"transports": ["tcp"]``; nobody waits then for what would not come.
    """

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        """Start it. It is this that jupyter_client calls when it starts or restarts a kernel."""
        trying = self.transport == "ipc" and str(self.kernel_spec.language).lower() != "python"
        if trying and not self._may_take_sockets():
            trying = False
            self._take_ports()
        if trying:
            self._lead_there()
        await super()._async_launch_kernel(kernel_cmd, **kw)
        if trying and not await self._listens():
            said = f"The kernel “{self.kernel_name}” does not listen by sockets in a folder."
            print(
                f"{said} It is started by ports, which others on this machine can reach.", file=sys.stderr, flush=True
            )
            await self.provisioner.kill()
            await self.provisioner.wait()
            self._take_ports()
            await super()._async_launch_kernel(kernel_cmd, **kw)

    def _may_take_sockets(self) -> bool:
        said = (self.kernel_spec.metadata or {}).get("transports")
        return not isinstance(said, list) or "ipc" in said

    def _lead_there(self) -> None:
        """Let each socket be found where Jupyter looks, also when the kernel writes its number as that of a port.

        A kernel that writes it as Jupyter does puts its socket in the place of the link.
        """
        for path, number in self._places():
            if not path.exists():
                path.unlink(missing_ok=True)
                path.symlink_to(f"{os.path.basename(self.ip)}:{number}")

    async def _listens(self) -> bool:
        """Tell whether all sockets come to be there; not those of a kernel that has ended."""
        until = time.monotonic() + _PATIENCE
        while not all(path.exists() for path, _ in self._places()):
            if time.monotonic() > until or await self.provisioner.poll() is not None:
                return False
            await asyncio.sleep(_LOOK)
        return True

    def _take_ports(self) -> None:
        """Choose ports and write down anew how the kernel is found."""
        for path, _ in self._places():
            path.unlink(missing_ok=True)
        self.transport, self.ip = "tcp", localhost()
        for name in _PORTS:
            setattr(self, name, 0)
        self._connection_file_written = False
        self.write_connection_file()
        self.provisioner.connection_info = self.get_connection_info()

    def _places(self) -> list[tuple[Path, int]]:
        """Return where Jupyter looks for each socket, and its number."""
        return [(Path(f"{self.ip}-{number}"), number) for number in (getattr(self, name) for name in _PORTS)]
