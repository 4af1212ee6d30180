"""The repairs of libraries, each in a process of its own with the app environment's Python."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.service.portal_stub import app_python

#: A reply arrives while the loop is busy, and the next thing that happens on the socket is a send.
LOST_WAKE_UP = """
import asyncio, time
from vaas.runtime import patches
{repair}
import zmq, zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

async def main():
    kernel = zmq.Context().socket(zmq.ROUTER)
    port = kernel.bind_to_random_port("tcp://127.0.0.1")
    socket = zmq.asyncio.Context().socket(zmq.DEALER)
    socket.identity = b"client"
    socket.connect(f"tcp://127.0.0.1:{{port}}")
    channel = AsyncZMQSocketChannel(socket, Session(key=b"key"))
    channel.send(channel.session.msg("comm_msg"))
    kernel.recv_multipart()
    waiting = asyncio.ensure_future(socket.poll(4000))
    await asyncio.sleep(0.1)
    kernel.send_multipart([b"client", b"reply"])
    time.sleep(0.2)
    channel.send(channel.session.msg("comm_msg"))
    began = time.monotonic()
    await waiting
    print("woken" if time.monotonic() - began < 2 else "lost")

asyncio.run(main())
"""


async def said_by(script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        app_python(),
        "-c",
        script,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return said.decode().strip()


@pytest.mark.app
async def test_a_reply_that_arrives_before_a_send_wakes_its_reader() -> None:
    assert await said_by(LOST_WAKE_UP.format(repair="patches.apply()")) == "woken"


@pytest.mark.app
async def test_the_repair_of_the_lost_wake_up_is_still_needed() -> None:
    """When this fails, jupyter_client has mended it and the repair can go."""
    assert await said_by(LOST_WAKE_UP.format(repair="")) == "lost"


@pytest.mark.app
async def test_voila_is_imported_without_slow_checks_of_formats() -> None:
    script = (
        "from vaas.runtime import patches; patches.skip_slow_imports(); patches.apply()\n"
        "import sys, vaas.runtime.server; print(*(name in sys.modules for name in ('lark', 'arrow', 'voila')))"
    )
    assert await said_by(script) == "False False True"
