"""Everything that can hang has an end: the watchdog, cells that never return, kernels that never start."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.portal_stub import PortalStub, app_python
from tests.service.test_app_server_life import Start, closed, soon, start

__all__ = ["start"]

pytestmark = pytest.mark.app
#: The reply to a cell is lost on its way, while the kernel says that it has nothing more to do.
LOSES_REPLIES = """
kernel = get_ipython().kernel
original = kernel.session.send
def send(stream, kind, *rest, **more):
    if kind == "execute_reply":
        return {"content": {"status": "ok"}}
    return original(stream, kind, *rest, **more)
kernel.session.send = send
"""
IGNORES_INTERRUPTS = """
import time
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


Kernel = Callable[..., str]


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    """Install a kernel that runs some Python instead of a kernel, and return its name."""

    def install(script: str, *, command: str = "") -> str:
        folder = tmp_path / ".local/share/jupyter/kernels/odd"
        folder.mkdir(parents=True)
        argv = [command or app_python(), "-c", script, "{connection_file}"]
        (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Odd", "language": "odd"}))
        return "odd"

    return install


def incidents(portal: PortalStub) -> list[dict[str, str]]:
    return [incident for heard in portal.heartbeats for incident in heard["incidents"]]


async def test_a_page_that_stands_still_while_its_kernel_is_idle_is_ended(start: Start) -> None:
    portal, app, visitor = await start("1 + 1", LOSES_REPLIES, "'never'", stalled_after=4, cell_seconds=600)
    began = time.monotonic()
    answer = await visitor.ask()
    assert 4 < time.monotonic() - began < 30
    assert b'end("stalled")' in answer.body
    assert await soon(lambda: not app.kernels)
    assert await soon(lambda: incidents(portal))
    (told,) = incidents(portal)
    assert told["kind"] == "stalled"
    assert "cell 2 of 3" in told["text"]
    assert app.text().count(told["text"]) == 1


@pytest.mark.parametrize(
    "cell",
    [
        "import time; time.sleep(10); print('here')",
        "import asyncio; await asyncio.sleep(10); print('here')",
        "import subprocess; subprocess.run(['sleep', '10']); print('here')",
    ],
    ids=["sleeps", "awaits", "waits for a process"],
)
async def test_a_cell_that_takes_long_is_no_stall(start: Start, cell: str) -> None:
    portal, app, visitor = await start(cell, stalled_after=3, cell_seconds=60)
    page = await visitor.page()
    assert "here" in page.html
    assert 'end("' not in page.html.partition("<main")[2]
    assert incidents(portal) == []


async def test_a_cell_that_lets_widgets_speak_meanwhile_is_no_stall(start: Start) -> None:
    """While it runs the kernel says "idle" for each message of a widget that it answers."""
    cell = """
import asyncio, ipywidgets
from IPython.display import display
out = ipywidgets.Output()
session, socket = get_ipython().kernel.session, get_ipython().kernel.iopub_socket
parent = session.msg("comm_msg")
for _ in range(50):
    session.send(socket, "status", {"execution_state": "busy"}, parent=parent)
    session.send(socket, "status", {"execution_state": "idle"}, parent=parent)
    await asyncio.sleep(0.2)
print("here")
"""
    _, _, visitor = await start(cell, stalled_after=3, cell_seconds=60)
    assert "here" in (await visitor.page()).html


async def test_a_stalled_page_is_found_though_a_thread_of_the_notebook_talks(start: Start) -> None:
    talks = "import threading, time\ndef talk():\n    while True:\n        print('.'); time.sleep(0.1)\n"
    cell = talks + "threading.Thread(target=talk, daemon=True).start()"
    _, _, visitor = await start(cell, LOSES_REPLIES, "'never'", stalled_after=4, cell_seconds=600)
    assert b'end("stalled")' in (await asyncio.wait_for(visitor.ask(), 40)).body


async def test_a_cell_that_takes_too_long_is_stopped_and_the_kernel_is_free_again(start: Start) -> None:
    cells = ("print('before')", "print('shown so far')\nwhile True: pass", "print('never seen')")
    portal, app, visitor = await start(*cells, connect_within=60, cell_seconds=2)
    page = await visitor.page()
    body = page.html.partition("<main")[2]
    assert "before" in body and "shown so far" in body and "This part took too long" in body
    assert not [words for words in ("never seen", "could not be shown", "KeyboardInterrupt") if words in body]
    await page.connect()
    model = (await visitor.ask(f"api/kernels/{page.kernel}")).body
    assert b'"execution_state": "idle"' in model
    assert await soon(lambda: incidents(portal))
    assert incidents(portal) == [{"kind": "slow", "text": "Cell 2 took longer than 2 s and was stopped."}]


async def test_a_cell_that_cannot_be_stopped_ends_the_page(start: Start) -> None:
    portal, app, visitor = await start("print('before')", IGNORES_INTERRUPTS, cell_seconds=2)
    answer = await asyncio.wait_for(visitor.ask(), 40)
    assert b'end("slow")' in answer.body
    assert await soon(lambda: not app.kernels)
    assert await soon(lambda: incidents(portal))
    assert "could not be stopped" in incidents(portal)[0]["text"]


async def test_a_kernel_that_dies_while_the_page_is_prepared_is_told_at_once(start: Start) -> None:
    portal, _, visitor = await start("import os; os.kill(os.getpid(), 9)", *["'never'"] * 20)
    began = time.monotonic()
    answer = await visitor.ask()
    assert time.monotonic() - began < 30
    assert b'end("died")' in answer.body
    assert await soon(lambda: incidents(portal))
    assert [told["kind"] for told in incidents(portal)] == ["died"]


async def test_the_websocket_of_a_kernel_that_died_has_no_more_to_say(start: Start) -> None:
    portal, app, visitor = await start()
    socket = await (await visitor.page()).connect()
    app.kernels[0].kill()
    assert await closed(socket) == 4410
    assert await soon(lambda: incidents(portal))


async def test_a_kernel_that_ends_before_it_is_ready_is_told_at_once(start: Start, kernel: Kernel) -> None:
    portal, _, visitor = await start("1 + 1", kernel=kernel("import sys; sys.exit('no')"))
    began = time.monotonic()
    answer = await visitor.ask()
    assert time.monotonic() - began < 30
    assert b'end("died")' in answer.body
    assert await soon(lambda: incidents(portal))


async def test_a_kernel_that_is_never_ready_ends_the_page(start: Start, kernel: Kernel) -> None:
    portal, app, visitor = await start("1 + 1", kernel=kernel("import time; time.sleep(600)"), stalled_after=1)
    began = time.monotonic()
    answer = await visitor.ask()
    assert 3 <= time.monotonic() - began < 30
    assert b'end("stalled")' in answer.body
    assert await soon(lambda: not app.kernels)
    assert await soon(lambda: incidents(portal))
    assert incidents(portal) == [{"kind": "start", "text": "The kernel was not ready after 3 s."}]


async def test_a_kernel_whose_command_does_not_exist_is_told_at_once(start: Start, kernel: Kernel) -> None:
    portal, _, visitor = await start("1 + 1", kernel=kernel("", command="/nowhere/python"))
    answer = await asyncio.wait_for(visitor.ask(), 30)
    # In a sandbox it is the sandbox that starts, and ends at once.
    assert b'end("died")' in answer.body or b'end("failed")' in answer.body
    assert b"/nowhere" not in answer.body
    assert await soon(lambda: incidents(portal))


async def test_a_portal_that_goes_away_while_a_page_is_prepared_ends_it(start: Start) -> None:
    portal, app, visitor = await start("import time; time.sleep(600)", cell_seconds=900, unreachable=1.5)
    loading = asyncio.ensure_future(visitor.ask())
    assert await soon(lambda: app.kernels)
    portal.away = True
    assert b'end("revoked")' in (await asyncio.wait_for(loading, 30)).body
    assert await soon(lambda: not app.kernels)


async def test_incidents_wait_for_a_portal_that_is_away(start: Start) -> None:
    portal, app, visitor = await start()
    await visitor.page()
    portal.away = True
    app.kernels[0].kill()
    assert await soon(lambda: "died: The kernel" in app.text())
    portal.heartbeats.clear()
    portal.away = False
    assert await soon(lambda: incidents(portal))
    assert [told["kind"] for told in incidents(portal)] == ["died"]
