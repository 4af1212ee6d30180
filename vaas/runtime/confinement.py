"""How the kernels of one app are confined: sandbox, bounds, what they see, and their way to the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from vaas.runtime.gate import Gate
from vaas.runtime.manifest import Manifest
from vaas.runtime.python import HERE, KernelPython, find_python
from vaas.runtime.sandbox import Bounds, Isolation, Sandbox, View

__all__ = ["Confinement", "confine"]


@dataclass(frozen=True)
class Confinement:
    """What is the same for all kernels of an app.

    ``isolation`` says in words whether there is a sandbox; ``copies`` are put into a kernel's home (path in it →
    path here).
    """

    sandbox: Sandbox | None = None
    isolation: Isolation = Isolation(False)
    bounds: Bounds = Bounds()
    view: View = View()
    gate: Gate | None = None
    copies: Mapping[str, str] = field(default_factory=dict)
    #: The Python that they are; what it takes to run is in ``view``.
    python: KernelPython = HERE

    @property
    def open_gate(self) -> Gate | None:
        """The gate, if a kernel that starts now is to have a way to it."""
        gate = self.gate if self.sandbox is not None else None
        return gate if gate is not None and (gate.allowed or gate.window is not None) else None


def confine(
    manifest: Manifest, sandbox: Sandbox | None, isolation: Isolation, environ: Mapping[str, str] = os.environ
) -> Confinement:
    """Return the confinement that the portal asks for. Raises Unavailable when its environment is not here."""
    limits = manifest.limits
    bounds = Bounds(
        memory=limits.kernel_memory,
        disk=limits.kernel_disk,
        file=limits.kernel_file,
        processes=limits.kernel_processes,
        open_files=limits.kernel_open_files,
        cpu=limits.kernel_cpu,
    )
    gate = Gate(manifest.network, trusted=manifest.network_trusted)
    python = find_python(manifest.environment, environ, site=manifest.site)
    return Confinement(sandbox, isolation, bounds, View(read=python.folders), gate=gate, python=python)
