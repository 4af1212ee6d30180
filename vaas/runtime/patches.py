"""Repairs of libraries that the app server cannot do without; each with its reason. Applied once, before all imports.

A repair touches somebody else's internals, so the locked versions and a test hold it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["apply", "skip_slow_imports"]


#: jsonschema imports them when they are there, to check formats that no notebook has: "iri" (compiling its grammars
#: costs a second and more), "duration" (which brings arrow along), "uri".
_EXTRAS = ("rfc3987_syntax", "isoduration", "rfc3986_validator")


def skip_slow_imports() -> None:
    """Make slow extras of jsonschema look absent, which is normal for optional ones."""
    for name in _EXTRAS:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


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
