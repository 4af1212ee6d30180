"""``python -m vaas.lab.inside``: the first process of a launch, which starts JupyterLab at once and places the rest."""

# JupyterLab waits for what is imported here, so it is next to nothing; the rest is imported beside it.
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from vaas.lab.becoming import UID, become

__all__ = ["main"]

#: Where shared folders are seen, and the link to it in the home.
_SHARED, _LINK = "/shared", "Shared"


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


def main() -> int:
    """Run JupyterLab in the person's home."""
    become(int(os.environ.get(UID, "0")))
    os.umask(0o077)
    try:
        os.chdir(os.environ["HOME"])
        if os.path.isdir(_SHARED) and not os.path.lexists(_LINK):
            os.symlink(_SHARED, _LINK)
        return Inside().run()
    except OSError as error:
        print(f"JupyterLab cannot be started: {error.strerror}.", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
