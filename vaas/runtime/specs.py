"""Kernel specs of the app environment, where the Python of the notebook starts our kernel."""

from __future__ import annotations

import sys
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from traitlets import Any as AnyTrait

from vaas.runtime.python import HERE, kernel_command

__all__ = ["AppSpecs"]

#: What Python's kernel is called in nearly every notebook.
_PYTHON = "python3"


class AppSpecs(KernelSpecManager):
    """Jupyter's kernel specs, save that this environment's own starts our kernel.

    Where the site's environment was chosen there is that one, whatever the notebook calls its kernel.
    """

    python = AnyTrait(HERE, help="The Python in which notebooks in Python run, or the site's environment.")

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the spec; jupyter_client's NoSuchKernel for a name that is not known."""
        if self.python.spec:
            spec = KernelSpec(**self.python.spec)
            if spec.language == "python":
                # In its sandbox a kernel cannot be sent a signal.
                spec.interrupt_mode = "message"
            return spec
        spec = super().get_kernel_spec(kernel_name)
        if spec.language == "python" and spec.argv and spec.argv[0] in {sys.executable, "python", "python3"}:
            spec.argv = kernel_command(self.python.executable)
            spec.interrupt_mode = "message"
        return spec

    def find_kernel_specs(self) -> dict[str, str]:
        """Return name → folder of each."""
        return {self._chosen: ""} if self.python.spec else super().find_kernel_specs()

    @property
    def _chosen(self) -> str:
        language = str(self.python.spec["language"])
        return _PYTHON if language == "python" else language.lower()

    def is_ours(self, kernel_name: str) -> bool:
        """Tell whether the spec starts our kernel, which can be frozen and forked."""
        if self.python.spec:
            return bool(self.python.ours)
        return self.get_kernel_spec(kernel_name).argv == kernel_command(self.python.executable)

    def name_for(self, name: str, *, language: str) -> str | None:
        """Return the kernel to run a notebook with, as Voilà does: the named one, else one of the same language."""
        specs: dict[str, dict[str, Any]] = {found: spec["spec"] for found, spec in self.get_all_specs().items()}
        if (name or _PYTHON) in specs:
            return name or _PYTHON
        alike = [found for found, spec in specs.items() if spec.get("language", "").lower() == language.lower()]
        return min(alike, key=lambda found: str(specs[found].get("display_name", "")), default=None)
