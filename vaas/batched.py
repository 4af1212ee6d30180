"""``python -m vaas.batched COMMAND …``: in a batch job, find a free port, tell the Hub, and become the server.

The Hub learns where the job runs from the batch system; which port is free there only the job can know.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

__all__ = ["main", "placed", "reserve", "tell"]

_SECONDS = 30.0


def reserve(host: str) -> socket.socket:
    """Return a socket that keeps a free port on the address where the server is going to listen.

    It never listens, and the server takes it along: until the server does, the system gives the port to nobody else.
    Servers, which set ``SO_REUSEADDR``, can listen beside it.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind((host, 0))
    kept.set_inheritable(True)
    return kept


def tell(environ: Mapping[str, str], port: int) -> None:
    """Tell the Hub the port, as the server whose token this is; OSError when it does not take it."""
    headers = {"Authorization": f"token {environ['JUPYTERHUB_API_TOKEN']}", "Content-Type": "application/json"}
    url = f"{environ['JUPYTERHUB_API_URL']}/batchspawner"
    request = urllib.request.Request(url, json.dumps({"port": port}).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=_SECONDS):
        pass


def placed(environ: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the environment of the server, which says where it listens."""
    parts = urlsplit(environ["JUPYTERHUB_SERVICE_URL"])
    url = urlunsplit(parts._replace(netloc=f"{parts.hostname}:{port}"))
    return {**environ, "JUPYTERHUB_SERVICE_URL": url}


def main(argv: list[str]) -> int:
    """Become the command; the result is an exit code when that cannot be."""
    try:
        kept = reserve(urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).hostname or "")
        port = kept.getsockname()[1]
        tell(os.environ, port)
        os.execvpe(argv[0], argv, placed(os.environ, port))
    except KeyError as error:
        print(f"This is started by the Hub, which sets {error}.", file=sys.stderr)
    except urllib.error.HTTPError as error:
        print(f"The Hub does not take the port of this server: {error.code}.", file=sys.stderr)
    except OSError as error:
        print(f"The server cannot be started from this node: {error}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
