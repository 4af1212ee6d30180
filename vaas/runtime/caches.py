"""What is costly to make anew in each kernel's empty home: matplotlib's list of the system's fonts takes seconds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["FontCache"]

#: On Linux it ends with its server (PR_SET_PDEATHSIG), even one that was killed.
_SCRIPT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != {server}:
        sys.exit()
os.umask(0o022)
import matplotlib.font_manager
os.rename(os.environ["MPLCONFIGDIR"], {to!r})
"""


class FontCache:
    """Makes the list once for all kernels of a server, in the background, by the library alone.

    Kernels get copies: one that they could write would let one visit's kernel change what another's reads.
    """

    #: The folder that matplotlib looks in, below a kernel's home.
    PLACE = ".config/matplotlib"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def copies(self) -> dict[str, str]:
        """Return what to copy into a kernel's home; nothing while it is not made yet, which the first call begins."""
        if self._process is not None:
            self._process.poll()  # else it would stay as a zombie when it is done
        elif importlib.util.find_spec("matplotlib") is not None:
            self._begin()
        try:
            names = [name for name in os.listdir(self._folder) if name.startswith("fontlist-")]
        except FileNotFoundError:
            return {}
        return {f"{self.PLACE}/{name}": str(self._folder / name) for name in names}

    def close(self) -> None:
        """Stop making it; no-op when it is made."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _begin(self) -> None:
        making = self._folder.with_name(f"{self._folder.name}.new")
        making.mkdir(exist_ok=True)
        making.chmod(0o755)
        self._process = subprocess.Popen(
            ["nice", "-n", "10", sys.executable, "-I", "-c", _SCRIPT.format(to=str(self._folder), server=os.getpid())],
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(making), "MPLCONFIGDIR": str(making)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
