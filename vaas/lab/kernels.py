"""The kernels of a launch: that of the chosen environment, and none that else is on the machine."""

from __future__ import annotations

import os

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from vaas.lab.kernelspec import FOLDER
from vaas.lab.sockets import Sockets

__all__ = ["OwnKernel", "OwnKernels"]


class OwnKernels(KernelSpecManager):
    """Knows the kernels in one folder."""

    def _kernel_dirs_default(self) -> list[str]:
        return [os.environ[FOLDER]]

    def _ensure_native_kernel_default(self) -> bool:
        return False


class OwnKernel(Sockets, ServerKernelManager):
    """One of them that runs, without ports of the machine where it can be."""
