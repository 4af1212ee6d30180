"""The state of a page's widgets, taken from its kernel when the page is ready, so that no page has to ask for it.

The page asks the kernel three things before it shows a widget: what it is, which widgets there are, and the state of
all of them. The server asks first, and the page answers itself (`static/connection.js`) from what it finds at the
state's address: unless the kernel has said anything since, of which the server keeps count. A state that serves many
visits (of a template) is marked as shared, and browsers may keep it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

__all__ = ["Snapshot", "Taken", "gather", "take"]

_WIDGET, _CONTROL = "jupyter.widget", "jupyter.widget.control"
#: So long a kernel may take to tell all; one that takes longer is asked by the page, as ever.
_PATIENCE = 2.0
#: A larger one is better sent by the kernel itself than kept here.
_MOST = 32_000_000
#: Each request makes the kernel busy, and idle.
_STATUSES = 2


class Counts(Protocol):
    """Who keeps count of what kernels say."""

    async def said(self, kernel_id: str, *, seconds: float = ...) -> int:
        """Return how often the kernel has said something that may change what a page shows; TimeoutError if busy."""


@dataclass(frozen=True)
class Snapshot:
    """What the kernel told: about itself, and of its widgets.

    Parameters
    ----------
    body:
        The parts as the page reads them.
    modules:
        The JavaScript modules that the widgets need.
    said:
        How often the kernel spoke to tell this.
    shared:
        Whether it is the state of more than one visit.
    """

    body: bytes
    modules: tuple[str, ...]
    said: int = 0
    shared: bool = False

    @property
    def parts(self) -> list[bytes]:
        """What the body holds: of the kernel, of the widgets, and the widgets' buffers."""
        (count,) = struct.unpack_from("<Q", self.body)
        offsets = struct.unpack_from(f"<{count}Q", self.body, 8)
        return [self.body[start:stop] for start, stop in pairwise(offsets)]

    @cached_property
    def digest(self) -> str:
        """Its name: equal for equal states."""
        return sha256(self.body).hexdigest()

    @cached_property
    def compressed(self) -> bytes:
        """What is sent; thoroughly where it is sent often."""
        return gzip.compress(self.body, compresslevel=9 if self.shared else 1, mtime=0)


@dataclass(frozen=True)
class Taken:
    """A snapshot of a kernel, and how often that had spoken then: as long as this stays, the snapshot is its state."""

    snapshot: Snapshot
    said: int


async def take(kernel_id: str, *, client: AsyncKernelClient, counts: Counts, shared: bool = False) -> Taken | None:
    """Return the state of the kernel's widgets; None if it changes meanwhile, or the kernel does not tell it."""
    try:
        before = await counts.said(kernel_id, seconds=_PATIENCE)
        snapshot = await gather(client, shared=shared)
        after = await counts.said(kernel_id, seconds=_PATIENCE)
    except TimeoutError:
        return None
    if snapshot is None or after - before != snapshot.said:
        return None
    return Taken(snapshot, after)


async def gather(client: AsyncKernelClient, *, shared: bool = False, seconds: float = _PATIENCE) -> Snapshot | None:
    """Ask what a page would ask; None if the kernel has widgets and does not tell them, TimeoutError if it is busy.

    Nobody else may read from the client meanwhile.
    """
    async with asyncio.timeout(seconds):
        info = await _reply(client, _send(client, "kernel_info_request", {}))
        comms = await _reply(client, _send(client, "comm_info_request", {"target_name": _WIDGET}))
        about = {"info": info["content"], "session": info["header"]["session"]}
        told: dict[str, Any] = {"method": "update_states", "states": {}, "buffer_paths": []}
        buffers, said = [], 0
        if comms["content"].get("comms"):
            message, said = await _states(client)
            if message is None:
                return None
            told, buffers = message["content"]["data"], message.get("buffers", [])
    body = _packed([json.dumps(about).encode(), json.dumps(told).encode(), *map(bytes, buffers)])
    if len(body) > _MOST:
        return None
    return Snapshot(body, _modules(told["states"]), said=said, shared=shared)


async def _states(client: AsyncKernelClient) -> tuple[dict[str, Any] | None, int]:
    """Return the kernel's message with all states, and how often it spoke for it."""
    comm = uuid4().hex
    opened = {"comm_id": comm, "target_name": _CONTROL, "data": {}}
    await _until_idle(client, _send(client, "comm_open", opened, {"version": "1.0.0"}))
    request = _send(client, "comm_msg", {"comm_id": comm, "data": {"method": "request_states"}})
    told = await _until_idle(client, request)
    await _until_idle(client, _send(client, "comm_close", {"comm_id": comm, "data": {}}))
    states = [message for message in told if message["content"].get("data", {}).get("method") == "update_states"]
    return (states[0] if len(states) == 1 else None), 3 * _STATUSES + 1


async def _until_idle(client: AsyncKernelClient, request: str) -> list[dict[str, Any]]:
    """Return what the kernel publishes for a request."""
    found: list[dict[str, Any]] = []
    while True:
        message = await client.get_iopub_msg()
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["content"].get("execution_state") == "idle":
            return found
        found.append(message)


async def _reply(client: AsyncKernelClient, request: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = await client.get_shell_msg()
        if message["parent_header"].get("msg_id") == request:
            return message


def _send(
    client: AsyncKernelClient, kind: str, content: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
) -> str:
    message = client.session.msg(kind, dict(content), metadata=dict(metadata or {}))
    client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def _modules(states: Mapping[str, Any]) -> tuple[str, ...]:
    fields = ("_model_module", "_view_module")
    found = {widget["state"].get(field) for widget in states.values() for field in fields}
    return tuple(sorted(module for module in found if isinstance(module, str)))


def _packed(parts: list[bytes]) -> bytes:
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)
