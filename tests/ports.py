"""Ports for servers that tests start."""

from __future__ import annotations

import socket

__all__ = ["free_ports"]

#: What keeps them.
_HELD: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Return ports that are free, and for nobody but who asks for them by their number, as long as the tests run."""
    held = [socket.socket() for _ in range(count)]
    _HELD.extend(held)
    for each in held:
        # A server that sets it, as all do, can listen beside a socket that only keeps the port.
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    return [each.getsockname()[1] for each in held]
