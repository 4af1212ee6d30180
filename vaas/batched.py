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

__all__ = ["free_port", "main", "placed", "tell"]

_SECONDS = 30.0


def free_port(host: str) -> int:
    """Return a port that is free on the address where the server is going to listen."""
    with socket.socket() as trial:
        trial.bind((host, 0))
        return int(trial.getsockname()[1])


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
        port = free_port(urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).hostname or "")
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
