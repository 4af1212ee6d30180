"""Kernels of visits: how they are started, what they may see, and how they end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets.config import Config

from vaas.runtime.activity import WatchedKernels
from vaas.runtime.content import discard
from vaas.runtime.environment import kernel_environment
from vaas.runtime.specs import AppSpecs

__all__ = ["HIDDEN_ERROR", "Kernels"]

#: What a visitor reads in place of a traceback that comes up after the page was shown.
HIDDEN_ERROR = "This part could not be computed. The owner of this page finds the reason in its log."
#: How long a kernel may take to say goodbye (exit hooks of the notebook run) before it is killed.
_GOODBYE = 1.5
_LONGEST_SOCKET = 107


class _Mapping(WatchedKernels):
    """Jupyter's kernels, none of which is ever restarted: a restarted kernel is empty behind a page full of widgets."""

    def cwd_for_path(self, path: str, **kwargs: Any) -> str:
        return str(path)


class Kernels:
    """Start and stop kernels in the folder of the notebook, each with a private home that goes when it goes."""

    def __init__(self, *, folder: Path, notebook: str, environ: Mapping[str, str]) -> None:
        self._cwd = (folder / "content" / notebook).parent
        self._homes = folder / "homes"
        self._shared = folder / "shared"
        self._environ = environ
        connections = folder / "connections"
        for made in (self._homes, self._shared, connections):
            made.mkdir(mode=0o700)
        config = Config(
            {
                "KernelManager": {
                    "autorestart": False,
                    "shutdown_wait_time": _GOODBYE,
                    "transport": _transport(connections),
                }
            }
        )
        self.specs = AppSpecs(config=config)
        self.mapping = _Mapping(
            config=config,
            connection_dir=str(connections),
            kernel_spec_manager=self.specs,
            allow_tracebacks=False,
            traceback_replacement_message=HIDDEN_ERROR,
        )

    async def start(self, name: str, *, request: Mapping[str, str]) -> str:
        """Start a kernel and return its id."""
        kernel_id = str(self.mapping.new_kernel_id())
        home = self._homes / kernel_id
        (home / "tmp").mkdir(mode=0o700, parents=True)
        env = kernel_environment(self._environ, home=home, shared=self._shared, request=request)
        env["VOILA_KERNEL_ID"] = kernel_id
        try:
            await self.mapping.start_kernel(kernel_id=kernel_id, kernel_name=name, path=str(self._cwd), env=env)
        except BaseException:
            discard(home)
            raise
        return kernel_id

    async def stop(self, kernel_id: str, *, now: bool = False) -> None:
        """End the kernel and remove its home; no-op when it has ended."""
        if kernel_id in self.mapping:
            await self.mapping.shutdown_kernel(kernel_id, now=now)
        await asyncio.get_running_loop().run_in_executor(None, discard, self._homes / kernel_id)

    async def stop_all(self) -> None:
        """Kill every kernel at once."""
        ids = list(self.mapping.list_kernel_ids())
        await asyncio.gather(*(self.stop(kernel_id, now=True) for kernel_id in ids), return_exceptions=True)

    async def dead(self) -> list[str]:
        """Return the kernels whose process has ended by itself."""
        found = []
        for kernel_id in list(self.mapping.list_kernel_ids()):
            kernel = self.mapping.get_kernel(kernel_id)
            if kernel.has_kernel and not await kernel.is_alive():
                found.append(kernel_id)
        return found

    def model(self, kernel_id: str) -> dict[str, Any]:
        """Return what Jupyter's API says of a kernel."""
        return dict(self.mapping.kernel_model(kernel_id))


def _transport(connections: Path) -> str:
    """Prefer sockets in a private folder: a TCP port of a kernel publishes its output to every account of the machine.

    The system allows only short names for such sockets, so a deep temporary folder falls back to TCP.
    """
    longest = connections / f"kernel-{'0' * 36}-ipc-5"
    return "ipc" if sys.platform == "linux" and len(str(longest).encode()) < _LONGEST_SOCKET else "tcp"
