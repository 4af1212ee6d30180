"""``python -m vaas.lab.inside``: the first process of a launch, which starts JupyterLab at once and places the rest."""

# JupyterLab waits for what is imported here, so it is next to nothing; the rest is imported beside it.
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from vaas.lab.becoming import SHARED_AT, UID, become

__all__ = ["link", "main"]

#: What leads to the shared folders, in the home.
_LINK = "Shared"


class Inside:
    """JupyterLab, and beside it a thread that places what belongs to the launch."""

    def __init__(self) -> None:
        self._failed, self._ending = "", False

    def run(self) -> int:
        """Stay until JupyterLab ends; where the notebook could not be placed, say why at the end."""
        command = [sys.executable, "-P", "-s", "-m", "vaas.lab.server"]
        server = subprocess.Popen(command, env={name: value for name, value in os.environ.items() if name != UID})

        def end(*_: object) -> None:
            self._ending = True
            server.terminate()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, end)
        threading.Thread(target=self._place, args=(server,), daemon=True).start()
        server.wait()
        if self._failed:
            print(self._failed, file=sys.stderr, flush=True)
            return 1
        code = server.returncode
        return code if code >= 0 else 0 if self._ending else 128 - code

    def _place(self, server: subprocess.Popen[bytes]) -> None:
        """Place everything; a launch without its notebook is none, and ends."""
        from vaas.lab.placing import place_launch

        self._failed = place_launch(os.environ, runs=lambda: server.poll() is None, ends=lambda: self._ending)
        if self._failed:
            server.terminate()


def link(shared: str) -> None:
    """Have a link to the shared folders in the home we are in, over nothing that is there.

    One from a launch elsewhere, where they are seen by another path, leads nowhere here, and is made anew.
    """
    if not shared or not os.path.isdir(shared):
        return
    try:
        if os.path.islink(_LINK) and not os.path.exists(_LINK) and _is_ours(os.readlink(_LINK)):
            os.unlink(_LINK)
        os.symlink(shared, _LINK)
    except FileExistsError:
        return
    except OSError as error:  # a full disk, say: the launch is as good without
        print(f"There is no link to the shared folders: {error.strerror}.", file=sys.stderr, flush=True)


def _is_ours(target: str) -> bool:
    return os.path.isabs(target) and os.path.basename(target) == "shared"


def main() -> int:
    """Run JupyterLab in the person's home."""
    become(int(os.environ.get(UID, "0")))
    os.umask(0o077)
    try:
        os.chdir(os.environ["HOME"])
        link(os.environ.get(SHARED_AT, ""))
        return Inside().run()
    except OSError as error:
        print(f"JupyterLab cannot be started: {error.strerror}.", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
