"""``/hub/api/batchspawner``: where the server of a batch job says which port it has, and can say nothing else.

batchspawner's own handler sets every attribute that it is sent, commands that the Hub runs included. This one stands
before it, whether batchspawner is there or not.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from tornado import web

__all__ = ["PATH", "PortHandler"]

PATH = "/api/batchspawner"
#: Below are ports of the system's own services.
_LEAST, _MOST = 1024, 65535


class PortHandler(APIHandler):
    """Takes the port of a server that is just being started, once, with that server's own token."""

    async def post(self) -> None:
        """Take ``{"port": number}``."""
        spawner = self._spawner()
        if spawner is None:
            raise web.HTTPError(403, "Only the server that is started says where it listens.")
        port = _port(self.get_json_body())
        if spawner.pending != "spawn" or spawner.port:
            raise web.HTTPError(409, "This server has its port already.")
        spawner.port = port
        self.set_status(201)
        self.write(json.dumps({"port": port}))

    def _spawner(self) -> Any:
        """Return the spawner whose server has sent this, by its token and by nothing else."""
        token = (self.get_auth_token() or "").encode()
        spawners = getattr(self.current_user, "spawners", {}).values()
        ours = (each for each in spawners if each.api_token and hmac.compare_digest(each.api_token.encode(), token))
        return next(ours, None)


def _port(body: Any) -> int:
    port = body.get("port") if isinstance(body, dict) and len(body) == 1 else None
    if type(port) is not int or not _LEAST <= port <= _MOST:
        raise web.HTTPError(400, f'Send {{"port": number}} with one from {_LEAST} to {_MOST}, and nothing else.')
    return port
