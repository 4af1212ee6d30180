"""Notebooks that want too much: memory, processes, disk, output, computing time. Each harms itself alone.

While they try, somebody else's page of the same app server comes; and the owner reads what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from tests.notebooks import notebook
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import AppProcess, LoadedPage, PortalStub, Visitor, running
from tests.service.test_app_server_life import closed, soon

pytestmark = [
    pytest.mark.attack,
    pytest.mark.app,
    NEEDS_SANDBOX,
]
SMALL = {
    "heartbeat": 0.3,
    "connect_within": 60,
    "cell_seconds": 25,
    "kernel_memory": 400_000_000,
    "kernel_disk": 20_000_000,
    "kernel_file": 5_000_000,
    "kernel_processes": 60,
    "kernel_open_files": 128,
}
#: The notebook of everybody; who comes with ?evil does what the cell says.
BOTH = "import os\nif 'evil' in os.environ.get('QUERY_STRING', ''):\n"
Start = Callable[..., Awaitable[tuple[PortalStub, AppProcess, Visitor]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start an app server whose notebook does the evil only for who asks for it."""
    async with AsyncExitStack() as stack:

        async def go(evil: str, **limits: float) -> tuple[PortalStub, AppProcess, Visitor]:
            cell = BOTH + "\n".join(f"    {line}" for line in evil.splitlines())
            files = {"n.ipynb": notebook(cell, "print('the page is there')")}
            stub = PortalStub(files, notebook="n.ipynb", limits={**SMALL, **limits})
            portal = await stack.enter_async_context(stub.served())
            app = await stack.enter_async_context(running(portal, folder=tmp_path, environ={"TMPDIR": str(tmp_path)}))
            visitor = Visitor(app, portal=portal)
            await visitor.enter()
            return portal, app, visitor

        yield go


async def attacked(visitor: Visitor) -> str:
    """Open the evil page, see that others' pages come meanwhile, and return what the attacker's page became."""
    evil = asyncio.ensure_future(visitor.ask("?evil"))
    await asyncio.sleep(0.8)
    other = Visitor(visitor.app, portal=visitor.portal)
    await other.enter()
    answer = await asyncio.wait_for(other.ask(), 30)
    assert b"the page is there" in answer.body
    done = await asyncio.wait_for(evil, 60)
    assert visitor.app.process.returncode is None
    return done.body.decode()


def told(portal: PortalStub) -> set[str]:
    """Return the kinds of incidents that the portal has heard of."""
    return {incident["kind"] for beat in portal.heartbeats for incident in beat.get("incidents", ())}


def error_in(app: AppProcess, name: str) -> bool:
    return name in app.text()


async def test_a_memory_hog_gets_an_error_of_its_own(start: Start) -> None:
    _, app, visitor = await start("hog = [bytearray(50_000_000) for _ in range(100)]")
    assert "the page is there" not in await attacked(visitor)
    assert error_in(app, "MemoryError")


async def test_a_memory_hog_with_many_processes_is_ended(start: Start) -> None:
    hog = "b = bytearray(120_000_000); b[:] = b'x' * len(b); import time; time.sleep(60)"
    evil = f"import subprocess, sys, time\nfor _ in range(8): subprocess.Popen([sys.executable, '-c', {hog!r}])\n"
    portal, app, visitor = await start(evil + "time.sleep(60)", cell_seconds=50)
    assert 'end("greedy")' in await attacked(visitor)
    assert await soon(lambda: "memory" in told(portal))
    assert "more than the 400 MB of memory" in app.text()


@contextlib.asynccontextmanager
async def crowd(app: AppProcess) -> AsyncIterator[list[int]]:
    """Count the server's processes meanwhile; the list's one entry is the most there were."""
    most = [0]

    async def count() -> None:
        while True:
            most[0] = max(most[0], len(app.processes))
            await asyncio.sleep(0.1)

    counting = asyncio.ensure_future(count())
    try:
        yield most
    finally:
        counting.cancel()


async def test_a_fork_bomb_stays_in_its_bounds(start: Start) -> None:
    evil = "import os, time\nwhile True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"
    portal, app, visitor = await start(evil)
    async with crowd(app) as most:
        assert 'end("greedy")' in await attacked(visitor)
    assert 20 < most[0] < 100
    assert await soon(lambda: "processes" in told(portal))
    assert await soon(lambda: len(app.kernels) <= 1)


async def test_a_fork_bomb_of_a_shell_stays_in_its_bounds(start: Start) -> None:
    bomb = "for i in $(seq 400); do sleep 8 & done; wait"
    _, app, visitor = await start(f"import subprocess\nsubprocess.run(['bash', '-c', {bomb!r}])")
    async with crowd(app) as most:
        await attacked(visitor)
    assert 20 < most[0] < 100
    assert await soon(lambda: len(app.processes) < 15, within=20)


def _size(folder: Path) -> int:
    """Return how many bytes lie below, of what does not go away meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size
    return size


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "os.environ['HOME']", "/tmp/home/tmp"])
async def test_a_disk_filler_fills_only_its_own_folder(start: Start, tmp_path: Path, place: str) -> None:
    path = place if place.startswith("os.") else repr(place)
    evil = f"for i in range(100): open(os.path.join({path}, f'f{{i}}'), 'wb').write(b'x' * 4_000_000)"
    _, app, visitor = await start(evil)
    assert "the page is there" not in await attacked(visitor)
    assert error_in(app, "No space left on device")
    assert _size(tmp_path) < 200_000_000


async def test_a_file_cannot_be_larger_than_allowed(start: Start) -> None:
    _, app, visitor = await start("open('/tmp/big', 'wb').write(b'x' * 6_000_000)")
    assert "the page is there" not in await attacked(visitor)
    assert error_in(app, "File too large")


async def test_no_place_outside_its_folder_takes_a_file(start: Start) -> None:
    evil = (
        "import pathlib\n"
        "for place in ('/', '/dev', '/usr', '/etc', '/proc', os.getcwd()):\n"
        "    try: pathlib.Path(place, 'filler').write_text('x'); print('WRITTEN', place)\n"
        "    except OSError as error: pass"
    )
    _, _, visitor = await start(evil)
    assert "WRITTEN" not in await attacked(visitor)


async def test_too_many_open_files_are_an_error_of_its_own(start: Start) -> None:
    _, app, visitor = await start("kept = [open('/dev/null') for _ in range(1000)]")
    assert "the page is there" not in await attacked(visitor)
    assert error_in(app, "Too many open files")


async def test_endless_output_past_jupyter_does_not_fill_the_log(start: Start) -> None:
    """What is written to the process's own standard output goes to the server's log, and not without end."""
    evil = "import subprocess, time\nsubprocess.Popen(['yes', 'x' * 200], stdout=2)\ntime.sleep(3)"
    _, app, visitor = await start(evil)
    await attacked(visitor)
    assert app.log.stat().st_size < 2_000_000


async def test_endless_output_in_a_cell_ends_that_page(start: Start) -> None:
    evil = "from IPython.display import HTML, display\nwhile True: display(HTML('x' * 10_000))"
    portal, _, visitor = await start(evil, output=5_000_000)
    assert 'end("flooded")' in await attacked(visitor)
    assert await soon(lambda: "output" in told(portal))


async def test_computing_time_has_an_end(start: Start) -> None:
    portal, app, visitor = await start("while True: pass", kernel_cpu=5, cell_seconds=60)
    await attacked(visitor)
    assert await soon(lambda: "used all the computing time" in app.text() or "cpu" in told(portal))


async def test_a_hog_after_the_page_was_shown_loses_its_page(start: Start) -> None:
    evil = (
        "import threading, subprocess, sys\n"
        "hog = 'b = bytearray(120_000_000); b[:] = b\"x\" * len(b); import time; time.sleep(60)'\n"
        "later = lambda: [subprocess.Popen([sys.executable, '-c', hog]) for _ in range(4)]\n"
        "threading.Timer(3, later).start()"
    )
    portal, app, visitor = await start(evil)
    page = LoadedPage(visitor, await visitor.ask("?evil"))
    socket = await page.connect()
    assert await closed(socket) == 4415
    assert await soon(lambda: "memory" in told(portal))
    assert await soon(lambda: app.kernels == [])


async def test_many_empty_files_are_too_much_too(start: Start) -> None:
    made = "for i in range(300_000): os.close(os.open(f'/tmp/e{i}', os.O_CREAT | os.O_WRONLY))"
    evil = f"import time\n{made}\ntime.sleep(20)"
    portal, _, visitor = await start(evil, cell_seconds=50)
    assert 'end("greedy")' in await attacked(visitor)
    assert await soon(lambda: "disk" in told(portal))


async def test_a_check_does_not_keep_endless_errors(tmp_path: Path) -> None:
    """What a notebook says while it is checked is bounded in every kind, errors and widgets too."""
    evil = """
kernel = get_ipython().kernel
big = 'x' * 10_000_000
for _ in range(60):
    kernel.send_response(kernel.iopub_socket, 'error', {'ename': 'E', 'evalue': big, 'traceback': []})
import time; time.sleep(3)
"""
    stub = PortalStub({"n.ipynb": notebook(evil)}, notebook="n.ipynb", check={"seconds": 40})
    async with stub.served() as portal, running(portal, folder=tmp_path) as app:
        most = 0
        while not (portal.checks and "report" in portal.checks[-1]):
            most = max(most, psutil.Process(app.process.pid).memory_info().rss)
            await asyncio.sleep(0.2)
    assert most < 450_000_000


MANY_PARTS = """
kernel = get_ipython().kernel
import zmq
big = zmq.Frame(b'x' * 10_000_000)
socket = kernel.iopub_socket
socket = getattr(socket, '_socket', None) or getattr(socket, 'io_thread', socket)
socket = getattr(socket, 'socket', socket)
for _ in range(6):
    socket.send_multipart([b'x'] + [big] * 150, copy=False)
import time; time.sleep(20)
"""


async def test_a_message_of_many_parts_ends_the_apps_own_server_at_most(start: Start) -> None:
    """ZeroMQ bounds the parts of a message, not their number: the server has a limit of its own for that."""
    _, app, visitor = await start(MANY_PARTS, server_memory=700_000_000)
    opening = asyncio.ensure_future(visitor.ask("?evil"))
    most = 0
    for _ in range(60):
        with contextlib.suppress(psutil.Error):
            most = max(most, psutil.Process(app.process.pid).memory_info().rss)
        if app.process.returncode is not None or opening.done():
            break
        await asyncio.sleep(0.2)
    opening.cancel()
    assert most < 1_000_000_000
