"""The ways to a kernel's sockets in its sandbox: each is looked at once and held, and no path is followed later.

A kernel may put a link in its socket's place, and the server, which follows links by its own root and rights, would
talk to whatever it points at: another app's kernel, say. So what is connected to is an open handle of the socket.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["Doors"]


class Doors:
    """Handles of a kernel's sockets, by the names that ZeroMQ can be given.

    Parameters
    ----------
    folder:
        A new private folder for links to the handles.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self._folder = folder
        self._handles = [os.open(folder, os.O_PATH | os.O_DIRECTORY)]

    @property
    def prefix(self) -> str:
        """What the names have in common; after it come a hyphen and the number. Short, wherever the folder lies."""
        return f"/proc/self/fd/{self._handles[0]}/s"

    def find(self, candidates: Iterable[int], *, sockets: str, numbers: Sequence[int]) -> int:
        """Look for all the sockets, by their path without the number, where one of the processes sees them.

        Returns
        -------
        int
            The process; 0 while one of the sockets is not there.
        """
        for init in candidates:
            held: list[int] = []
            try:
                held = self._hold(init, Path(sockets), numbers)
                for number, handle in zip(numbers, held, strict=True):
                    (self._folder / f"s-{number}").symlink_to(f"/proc/self/fd/{handle}")
            except OSError:
                for handle in held:
                    os.close(handle)
                continue
            self._handles += held
            return init
        return 0

    def close(self) -> None:
        """Let go of everything; no-op when that is done."""
        while self._handles:
            os.close(self._handles.pop())
        for path in self._folder.glob("s-*"):
            path.unlink(missing_ok=True)
        if self._folder.exists():
            self._folder.rmdir()

    def _hold(self, init: int, sockets: Path, numbers: Sequence[int]) -> list[int]:
        """Return handles of all sockets. Raises OSError when one is not there, or is something else."""
        place = os.open(f"/proc/{init}/root{sockets.parent}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        held: list[int] = []
        try:
            if os.path.samestat(os.fstat(place), os.stat(sockets.parent)):
                raise FileNotFoundError("The sandbox is not there yet: this is our own folder.")
            for number in numbers:
                held.append(os.open(f"{sockets.name}-{number}", os.O_PATH | os.O_NOFOLLOW, dir_fd=place))
                if not stat.S_ISSOCK(os.fstat(held[-1]).st_mode):
                    raise FileNotFoundError("This is no socket.")
        except OSError:
            for handle in held:
                os.close(handle)
            raise
        finally:
            os.close(place)
        return held
