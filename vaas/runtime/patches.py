"""Repairs of libraries that the app server cannot do without; each with its reason. Applied once, before all imports.

A repair touches somebody else's internals, so the locked versions and a test hold it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["apply", "skip_slow_imports"]


def skip_slow_imports() -> None:
    """Make ``rfc3987_syntax`` look absent.

    jsonschema imports it when it is there, to check "iri" formats that no notebook has; compiling its
    grammars costs a second and more at every start. It is an optional extra, so its absence is normal.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def apply() -> None:
    """Mend the lost wake-up of jupyter_client: a page that hangs at "Preparing… 3 of 10" for ever.

    While a cell runs, nbclient waits for the reply on the shell channel and at the same time answers for
    Output widgets on the same channel. ``Session.send`` writes through a shadow of the asyncio socket; that
    write may consume the edge-triggered event that says "there is something to read", and nothing tells the
    waiting poll. Asking the socket to look again after each send brings the event back. Without it most loads
    of a page that shows plots inside Output widgets hang. Upstream: jupyter/jupyter_client#1059.
    """
    import zmq.asyncio
    from jupyter_client.channels import ZMQSocketChannel

    original = ZMQSocketChannel.send
    if getattr(original, "wakes_readers", False):
        return

    def send(self: Any, msg: Any) -> None:
        original(self, msg)
        if isinstance(self.socket, zmq.asyncio.Socket):
            self.socket._schedule_remaining_events()

    send.wakes_readers = True  # type: ignore[attr-defined]
    ZMQSocketChannel.send = send
