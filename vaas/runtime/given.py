"""What a visit gives to its visitor's launch: asked of its kernel when it is wanted, and handed to the portal."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from vaas.errors import VaasError
from vaas.runtime.activity import QUEUED
from vaas.runtime.moved import moved
from vaas.runtime.states import Snapshot, gather
from vaas.runtime.visits import Page, Visit

if TYPE_CHECKING:
    from vaas.runtime.server import AppServer

__all__ = ["launch_address"]

#: How long a kernel that works may keep somebody from launching, in seconds; then they go without their values.
_PATIENCE = 6.0
log = logging.getLogger(__name__)


async def launch_address(server: AppServer, visit: Visit, page: Page) -> str:
    """Return where the visitor launches a copy that goes on from this page; what cannot be told stays behind."""
    there = urlsplit(server.manifest.launch)
    query = "&".join(filter(None, [there.query, await _kept(server, visit, page)]))
    return there._replace(query=query).geturl()


async def _kept(server: AppServer, visit: Visit, page: Page) -> str:
    """Hand to the portal what the page gives, and return by what it finds that again, as a part of an address."""
    before = page.state.snapshot if page.state is not None else None
    try:
        async with asyncio.timeout(_PATIENCE):
            now = await _state(server, page)
    except (TimeoutError, KeyError, RuntimeError) as error:
        log.warning("A launch goes without the values of its widgets: %r", error)
        now = before = None
    given = await asyncio.to_thread(moved, now, before, query=page.query)
    try:
        return urlencode({"given": await server.portal.give(visit.launch, given)}) if given else ""
    except VaasError as error:
        log.warning("A launch goes without what its visit gives: %s", error.log_message)
        return ""


async def _state(server: AppServer, page: Page) -> Snapshot | None:
    """Ask the page's kernel for the state of its widgets, by connections of our own."""
    mapping = server.kernels.mapping
    kernel = mapping.get_kernel(page.kernel)
    client = kernel.client(context=kernel.context)
    client.start_channels(hb=False, stdin=False, control=False)
    try:
        client.iopub_channel.socket.rcvhwm = QUEUED
        await client.wait_for_ready(timeout=None)
        return await gather(client, seconds=_PATIENCE)
    finally:
        for channel in (client.shell_channel, client.iopub_channel):
            channel.stop()
