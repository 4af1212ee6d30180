"""Listen to kernels: what each works on, and an end to what is kept of what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import zmq
from jupyter_client.session import Session
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from zmq.eventloop.zmqstream import ZMQStream

from vaas.runtime.watch import Activity

__all__ = ["BUFFER", "MOST_HEADER", "QUEUED", "WatchedKernels"]

#: So many bytes are kept for a page that does not read them.
BUFFER = 64_000_000
#: So many messages of a kernel wait in this process, for each who listens; the others wait in the kernel's own memory.
QUEUED = 64
#: ZeroMQ allows a thousand; a page takes a dozen.
_SOCKETS = 16_000
#: So long may the header of a message be; to read a longer one takes the time of all visitors.
MOST_HEADER = 65_536
#: What a kernel says to all when somebody else begins to listen.
_WELCOME = "iopub_welcome"
#: The server looks each second for kernels that died.
_MOMENT = 2.0


class _Buffer(list[Any]):
    """Jupyter's buffer for a page whose websocket was lost, with an end."""

    def __init__(self, *, full: Callable[[], None]) -> None:
        super().__init__()
        self._full, self._left = full, BUFFER

    def append(self, kept: Any) -> None:
        """Keep a message, or say that there is no more room."""
        before, self._left = self._left, self._left - sum(len(part) for part in kept[1])
        if self._left >= 0:
            super().append(kept)
        elif before >= 0:
            self.clear()
            self._full()


class WatchedKernels(AsyncMappingKernelManager):
    """Jupyter's kernels, each with an :class:`Activity`."""

    #: Called with the id of a kernel that said more than can be taken, and what it was.
    flooded: Callable[[str, str], None] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # A larger message is not read at all: the connection ends in its place.
        self.context.maxmsgsize = BUFFER
        self.context.set(zmq.MAX_SOCKETS, _SOCKETS)

    def activity(self, kernel_id: str) -> Activity:
        """Return what the kernel is doing."""
        kernel = self.get_kernel(kernel_id)
        if not hasattr(kernel, "vaas_activity"):
            kernel.vaas_activity = Activity()
        return kernel.vaas_activity

    async def said(self, kernel_id: str, *, seconds: float = _MOMENT) -> int:
        """Return how often the kernel has spoken until now (`Activity.said`).

        It is asked something itself, so that what it said before has arrived; TimeoutError if it is busy.
        """
        kernel, activity = self.get_kernel(kernel_id), self.activity(kernel_id)
        channel = kernel.connect_shell()
        try:
            question = Session(config=kernel.session.config, key=kernel.session.key).send(
                channel, "kernel_info_request"
            )
            async with asyncio.timeout(seconds):
                await activity.until_idle_after(question["header"]["msg_id"])
        finally:
            channel.close(linger=0)
        return activity.said

    def start_watching_activity(self, kernel_id: str) -> None:
        """Listen to the kernel as Jupyter does, and note for each request whether it goes on.

        Jupyter's own note is one word for all: it says idle while a cell runs that lets widgets speak meanwhile.
        """
        kernel, activity = self.get_kernel(kernel_id), self.activity(kernel_id)
        kernel.reason, kernel.last_activity = "", _now()
        kernel._activity_stream = kernel.connect_iopub()
        kernel._activity_stream.socket.rcvhwm = QUEUED
        kernel.vaas_monitor = self._watch_connection(kernel_id, kernel._activity_stream.socket)
        session = kernel.session

        def record(parts: list[Any]) -> None:
            parent, state = _parent_and_state(session, parts)
            if state == _WELCOME:
                return
            activity.heard(parent, state=state)
            if activity.busy:
                kernel.execution_state = "busy"
            elif state in ("idle", "busy"):
                kernel.execution_state = "idle"
            kernel.last_activity = self.last_kernel_activity = _now()

        kernel._activity_stream.on_recv(record)

    def stop_watching_activity(self, kernel_id: str) -> None:
        """Stop listening."""
        kernel = self.get_kernel(kernel_id)
        monitor, kernel.vaas_monitor = getattr(kernel, "vaas_monitor", None), None
        if monitor is not None:
            # In this order: an event that nobody takes any more would stop ZeroMQ's thread, and all kernels with it.
            kernel._activity_stream.socket.disable_monitor()
            monitor.close()
        super().stop_watching_activity(kernel_id)

    def _watch_connection(self, kernel_id: str, socket: zmq.Socket[bytes]) -> ZMQStream:
        """Notice when the kernel's connection ends before the kernel does."""
        loop = asyncio.get_running_loop()
        address = f"inproc://monitor-{kernel_id}"
        socket.monitor(address, zmq.EVENT_DISCONNECTED)
        # As get_monitor_socket() does, but a plain socket: the context makes those of asyncio.
        pair = socket.context.socket(zmq.PAIR, socket_class=zmq.Socket)
        pair.connect(address)
        monitor = ZMQStream(pair)
        # A kernel that just ends says so in other ways, and a moment later it is not in the way.
        monitor.on_recv(lambda _: loop.call_later(_MOMENT, self._too_large, kernel_id))
        return monitor

    def _too_large(self, kernel_id: str) -> None:
        kernel = self._kernels.get(kernel_id)
        process = getattr(kernel.provisioner, "process", None) if kernel is not None else None
        if process is not None and process.poll() is None and self.flooded is not None:
            self.flooded(kernel_id, f"The app put out more than {BUFFER / 1e6:.0f} MB in one piece.")

    def start_buffering(self, kernel_id: str, session_key: str, channels: Any) -> None:
        """Keep what the kernel says until its page is back, as far as there is room; of one that ends, nothing."""
        if kernel_id in self._pending_kernels:
            for channel in channels.values():
                channel.close()
            return
        super().start_buffering(kernel_id, session_key, channels)
        if kernel_id in self._kernel_buffers:
            self._kernel_buffers[kernel_id]["buffer"] = _Buffer(full=lambda: self._overflow(kernel_id))

    def _overflow(self, kernel_id: str) -> None:
        if self.flooded is not None:
            self.flooded(kernel_id, f"The app said more than {BUFFER / 1e6:.0f} MB while nobody was connected.")


def _parent_and_state(session: Session, parts: list[Any]) -> tuple[Mapping[str, Any], str]:
    """Unpack as little as needed: to verify and copy every picture that passes takes time.

    A kernel is foreign, so what makes no sense counts as nothing.
    """
    try:
        _, (_, header, parent, _, content, *_) = session.feed_identities(parts)
        if len(header) > MOST_HEADER or len(parent) > MOST_HEADER:
            return {}, ""
        kind = session.unpack(header)["msg_type"]
        is_status = len(content) <= MOST_HEADER and kind == "status"
        state = session.unpack(content)["execution_state"] if is_status else _WELCOME if kind == _WELCOME else ""
        return dict(session.unpack(parent)), str(state)
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}, ""


def _now() -> datetime:
    return datetime.now(UTC)
