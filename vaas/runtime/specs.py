"""Kernel specs of the app environment, where the Python of the notebook starts our kernel."""

from __future__ import annotations

import sys

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from traitlets import Unicode

__all__ = ["AppSpecs", "kernel_command"]


def kernel_command(python: str = sys.executable) -> list[str]:
    """Return the command of our kernel; ``-P``: a file beside the notebook can take no module's place."""
    return [python, "-P", "-m", "vaas.runtime.kernel", "-f", "{connection_file}"]


class AppSpecs(KernelSpecManager):
    """Jupyter's kernel specs, save that this environment's own is started by :func:`kernel_command`."""

    python = Unicode(sys.executable, help="The Python in which notebooks in Python run.")

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the spec; jupyter_client's NoSuchKernel for a name that is not known."""
        spec = super().get_kernel_spec(kernel_name)
        if spec.language == "python" and spec.argv and spec.argv[0] in {sys.executable, "python", "python3"}:
            spec.argv = kernel_command(self.python)
            # In its sandbox a kernel cannot be sent a signal.
            spec.interrupt_mode = "message"
        return spec

    def is_ours(self, kernel_name: str) -> bool:
        """Tell whether the spec starts our kernel, which can be frozen and forked."""
        return self.get_kernel_spec(kernel_name).argv == kernel_command(self.python)

    def name_for(self, name: str, *, language: str) -> str | None:
        """Return the kernel to run a notebook with, as Voilà does: the named one, else one of the same language."""
        specs = {found: spec["spec"] for found, spec in self.get_all_specs().items()}
        if (name or "python3") in specs:
            return name or "python3"
        alike = [found for found, spec in specs.items() if spec.get("language", "").lower() == language.lower()]
        return min(alike, key=lambda found: str(specs[found].get("display_name", "")), default=None)
