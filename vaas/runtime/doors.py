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
        Where to make a private folder for links to the handles, when names that are alike are asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[int, int] = {}
        self._listed = -1

    @property
    def prefix(self) -> str:
        """What the names have in common; after it come a hyphen and the number. Short, wherever the folder lies."""
        if self._listed < 0:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._listed = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
            self._link()
        return f"/proc/self/fd/{self._listed}/s"

    def path(self, number: int) -> str:
        """Return the name of one socket that was found."""
        return f"/proc/self/fd/{self._held[number]}"

    def find(self, candidates: Iterable[int], *, sockets: str, numbers: Sequence[int]) -> int:
        """Look for all the sockets, by their path without the number, where one of the processes sees them.

        Returns
        -------
        int
            The process; 0 while one of the sockets is not there.
        """
        for init in candidates:
            try:
                self._held = dict(zip(numbers, self._hold(init, Path(sockets), numbers), strict=True))
                if self._listed >= 0:
                    self._link()
                return init
            except OSError:
                self._let_go()
        return 0

    def _link(self) -> None:
        for number in self._held:
            link = self._folder / f"s-{number}"
            link.unlink(missing_ok=True)
            link.symlink_to(self.path(number))

    def _let_go(self) -> None:
        held, self._held = self._held, {}
        for handle in held.values():
            os.close(handle)

    def close(self) -> None:
        """Let go of everything; no-op when that is done."""
        self._let_go()
        if self._listed < 0:
            return
        os.close(self._listed)
        self._listed = -1
        for link in self._folder.iterdir():
            link.unlink()
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
