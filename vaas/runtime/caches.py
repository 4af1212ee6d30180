"""What is costly to make anew in each kernel's empty home: matplotlib's list of the system's fonts."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["FontCache", "draws"]

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

#: Who draws with matplotlib names one of them. Where a library does it unseen, each kernel makes the list for itself.
_DRAWS = re.compile(rb"matplotlib|pylab|pyplot|seaborn|cartopy|plotnine|\.(?:plot|hist|boxplot)\b")
#: So much is looked through, in bytes and in entries of a folder.
_MOST_READ, _MOST_FILES = 8_000_000, 1000


class FontCache:
    """Makes the list once for all kernels of a server, in the background, by the library alone.

    It takes most of a second of a processor, which apps that draw with something else do not spend.

    Kernels get copies: one that they could write would let one visit's kernel change what another's reads.
    """

    #: The folder that matplotlib looks in, below a kernel's home.
    PLACE = ".config/matplotlib"

    def __init__(self, folder: Path, *, code: Path) -> None:
        self._folder, self._code = folder, code
        self._asked = False
        self._process: subprocess.Popen[bytes] | None = None

    def copies(self) -> dict[str, str]:
        """Return what to copy into a kernel's home; nothing while it is not made, which the first call may begin."""
        if self._process is not None:
            self._process.poll()  # else it would stay as a zombie when it is done
        elif not self._asked:
            self._asked = True
            if importlib.util.find_spec("matplotlib") is not None and draws(self._code):
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


def draws(folder: Path) -> bool:
    """Tell whether a notebook or module that lies there names matplotlib, or a library that draws with it.

    Where that is too much to look through, or nobody may, it may do so.
    """
    left = _MOST_READ
    try:
        for number, path in enumerate(folder.iterdir()):
            if number == _MOST_FILES:
                return True
            if path.suffix in {".ipynb", ".py"} and path.is_file():
                with path.open("rb") as file:
                    text = file.read(left + 1)
                left -= len(text)
                if left < 0 or _DRAWS.search(text):
                    return True
    except OSError:
        return True
    return False
