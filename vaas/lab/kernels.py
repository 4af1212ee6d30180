"""The kernels of a launch: that of the chosen environment, and none that else is on the machine."""

from __future__ import annotations

import os

from jupyter_client.kernelspec import KernelSpecManager

from vaas.lab.kernelspec import FOLDER

__all__ = ["OwnKernels"]


class OwnKernels(KernelSpecManager):
    """Knows the kernels in one folder."""

    def _kernel_dirs_default(self) -> list[str]:
        return [os.environ[FOLDER]]

    def _ensure_native_kernel_default(self) -> bool:
        return False
