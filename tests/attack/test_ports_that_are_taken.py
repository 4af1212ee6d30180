"""Who is on the machine takes the port of another's server before it does, and wants its visitors."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.spawner import SpawnException

from hub_service.spawner import AppProcess

pytestmark = pytest.mark.attack
#: A server that answers, as JupyterLab and app servers do; it cannot where somebody does already.
SERVES = """
import http.server, sys
address = ("127.0.0.1", int(sys.argv[1]))
http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""


class _Named:
    name, escaped_name, url = "app-abcdefghijkl", "app-abcdefghijkl", "/user/app-abcdefghijkl/"


class Served(AppProcess):
    """The server of an app, outside of a Hub."""

    name = "v1"

    def get_env(self) -> dict[str, str]:
        """Tell it nothing."""
        return {}

    async def start(self) -> Any:
        """Start it on the port that it was given."""
        self.app_cmd = [sys.executable, "-c", SERVES, str(self.port)]
        return await super().start()

    async def stop(self, now: bool = False) -> Any:
        """Stop it."""
        return await super().stop(now=now)

    async def poll(self) -> Any:
        """Tell how it ended."""
        return await super().poll()


async def test_a_port_that_somebody_took_gets_no_visitors(tmp_path: Path) -> None:
    made: Any = Served(user=_Named(), home_root=str(tmp_path / "homes"), log_root=str(tmp_path / "logs"))
    made.start_timeout = 20
    taker = await asyncio.start_server(_answer, "127.0.0.1", 0)
    made.port = taker.sockets[0].getsockname()[1]
    try:
        async with taker:
            with pytest.raises(SpawnException, match="Address already in use"):
                await made.start()
        assert await made.start() == ("127.0.0.1", made.port)
    finally:
        await made.stop(now=True)


def _answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    writer.close()
