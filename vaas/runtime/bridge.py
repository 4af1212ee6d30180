"""Jupyter's bridge between a page's websocket and its kernel, with our gate in both directions."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from vaas.events import happens
from vaas.runtime import frames
from vaas.runtime.activity import MOST_HEADER, QUEUED
from vaas.runtime.endings import OUT_OF_MEMORY
from vaas.runtime.logged import Logged

__all__ = ["MOST_UNREAD", "Connection"]

#: So much may wait for a browser that reads slowly, or for a kernel that is busy; then the page ends.
MOST_UNREAD = 64_000_000
#: ZeroMQ counts messages instead, and one may have megabytes.
_MOST_SENT_AHEAD = 4
#: What a kernel says to all when it answers is there so soon (seconds), or it was said too early.
_MOMENT = 0.1


class Connection(ZMQChannelsWebsocketConnection):
    """Jupyter's bridge between websocket and kernel, with our gate in both directions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._logged = Logged(f"Kernel {self.kernel_id}")
        self._untaken = 0
        #: What was heard before the page listens.
        self._early: list[list[Any]] = []
        self._heard, self._replied = asyncio.Event(), asyncio.Event()

    async def prepare(self) -> None:
        """Ask no kernel of ours which version of the protocol it speaks."""
        if self.kernel_manager.channel is None:
            await super().prepare()
            return
        await self._register_session()
        self.session.key = self.kernel_manager.session.key

    def create_stream(self) -> None:
        """Connect to what a page may speak to."""
        for name in ("iopub", "shell"):
            stream = getattr(self.kernel_manager, f"connect_{name}")(identity=self.session.bsession)
            stream.channel, self.channels[name] = name, stream
        self.channels["iopub"].socket.rcvhwm = QUEUED
        self.channels["shell"].socket.sndhwm = _MOST_SENT_AHEAD

    def connect(self) -> asyncio.Future[None] | None:
        """Connect; what the kernel says to all before that is certain is not lost."""
        connected: asyncio.Future[None] | None = super().connect()
        if connected is not None:
            connected.add_done_callback(lambda _: self._catch_up())
        return connected

    def _catch_up(self) -> None:
        early, self._early = self._early, []
        for said in early:
            if self.channels:
                self.handle_outgoing_message(self.channels["iopub"], said)

    def nudge(self) -> asyncio.Future[None]:
        """Return when what the kernel says to all arrives here.

        Jupyter's way takes two more connections and two questions, for each visit.
        """
        return asyncio.ensure_future(self._nudge())

    async def _nudge(self) -> None:
        if self.kernel_manager.execution_state == "busy":
            return  # it answers when it is done, and is heard long before
        self.channels["iopub"].on_recv(self._hear_early)
        self.channels["shell"].on_recv(lambda _: self._replied.set())
        if self.kernel_manager.channel is not None and await happens(self._heard, seconds=_MOMENT):
            return  # one of ours welcomes who listens
        until = time.monotonic() + self.kernel_info_timeout
        while not self._heard.is_set() and time.monotonic() < until:
            self._replied.clear()
            self.session.send(self.channels["shell"], "kernel_info_request")
            await happens(self._replied, seconds=until - time.monotonic())
            await happens(self._heard, seconds=_MOMENT)

    def _hear_early(self, said: list[Any]) -> None:
        self._early.append(said)
        self._heard.set()

    def disconnect(self) -> None:
        """Let go of the streams, or leave them to who keeps what the kernel says until the page is back."""
        super().disconnect()
        self.channels: dict[str, Any] = {}
        self._heard.set()
        self._replied.set()

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Hand on what the visitor may say."""
        frame = frames.admit(incoming_msg, protocol=self.subprotocol)
        if frame is None or not self.channels:
            return
        self._untaken = self._untaken + len(frame) if self.channels["shell"].sending() else 0
        if self._untaken > MOST_UNREAD:
            self.websocket_handler.overflow("A visitor's browser says more than the kernel takes", self._untaken)
        else:
            super().handle_incoming_message(frame)

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Hand on what the visitor may hear; errors are for the log and the owner."""
        # Not deserialize(): it takes each message once only, and the bridge has yet to read this one.
        _, (_, packed, _, _, body, *_) = self.session.feed_identities(outgoing_msg)
        if len(packed) > MOST_HEADER:
            return
        header = self.session.unpack(packed)
        content = self.session.unpack(body) if header["msg_type"] in ("error", "stream") else {}
        if header["msg_type"] == "error":
            self._logged.say("\n".join(content.get("traceback", ())), level=logging.WARNING)
            self._tell_of(str(content.get("ename")))
        if frames.may_leave(header, content):
            super().handle_outgoing_message(stream, outgoing_msg)
        elif header["msg_type"] == "stream":
            self._logged.say(content.get("text", ""))

    def _tell_of(self, error: str) -> None:
        """Tell the owner of an error in a callback: not what it says, since a visitor's input may be in it."""
        handler = self.websocket_handler
        text = f"A callback failed with {error}."
        if error in OUT_OF_MEMORY:
            most = handler.server.confinement.bounds.memory
            text += f" A kernel may use {most / 1e6:.0f} MB of memory (VAAS_LIMIT_KERNEL_MEMORY)."
            handler.tell("memory")
        handler.server.incident("callback", text)
