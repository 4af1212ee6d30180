"""How visits end: by farewell, by silence, by the portal's word, and with the server; no kernel outlives them."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
from tornado.websocket import WebSocketClientConnection

from tests.notebooks import notebook
from tests.service.portal_stub import COOKIE, SERVER, AppProcess, PortalStub, Visitor, app_python, running
from tests.unit.test_frames import message, text, v1
from vaas.runtime.frames import V1

pytestmark = pytest.mark.app
QUICK = {"heartbeat": 0.2, "lost_after": 1, "connect_within": 10, "visits": 3, "cell_seconds": 10}
Start = Callable[..., Awaitable[tuple[PortalStub, AppProcess, Visitor]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a portal and an app server; what is started ends with the test."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:

        async def go(*cells: str, kernel: str = "python3", **limits: float) -> tuple[PortalStub, AppProcess, Visitor]:
            document = notebook(*(cells or ("1 + 1",)), kernel=kernel)
            stub = PortalStub({"a.ipynb": document}, notebook="a.ipynb", limits={**QUICK, **limits})
            portal = await stack.enter_async_context(stub.served())
            app = await stack.enter_async_context(running(portal, folder=tmp_path, environ={"TMPDIR": str(tmp_path)}))
            visitor = Visitor(app, portal=portal)
            await visitor.enter()
            return portal, app, visitor

        yield go


async def soon(true: Callable[[], object], *, within: float = 30.0) -> bool:
    """Tell whether it becomes true in time."""
    for _ in range(int(within / 0.05)):
        if true():
            return True
        await asyncio.sleep(0.05)
    return bool(true())


async def closed(socket: WebSocketClientConnection) -> int | None:
    """Wait for the end of a websocket and return its code."""
    while await asyncio.wait_for(socket.read_message(), 20) is not None:
        pass
    return socket.close_code


async def test_a_farewell_ends_the_kernel(start: Start) -> None:
    _, app, visitor = await start(connect_within=60)
    page = await visitor.page()
    assert len(app.kernels) == 1
    assert await visitor.leave(page.token) == 204
    assert await soon(lambda: not app.kernels)
    assert (await visitor.ask(f"api/kernels/{page.kernel}")).code == 404
    assert await visitor.leave(page.token) == 404


async def test_a_farewell_without_the_pages_token_ends_nothing(start: Start) -> None:
    _, app, visitor = await start(connect_within=60)
    page = await visitor.page()
    stranger = Visitor(app, portal=visitor.portal)
    assert [await visitor.leave(""), await visitor.leave(page.kernel), await stranger.leave(page.token)] == [404] * 3
    assert len(app.kernels) == 1


async def test_a_lost_websocket_ends_the_kernel_after_a_while_and_not_before(start: Start) -> None:
    _, app, visitor = await start(lost_after=6)
    page = await visitor.page()
    socket = await page.connect()
    await asyncio.sleep(6.5)
    assert len(app.kernels) == 1
    socket.close()
    await asyncio.sleep(1)
    assert len(app.kernels) == 1
    assert await soon(lambda: not app.kernels)


async def test_who_reconnects_in_time_keeps_the_kernel(start: Start) -> None:
    _, app, visitor = await start(lost_after=6)
    page = await visitor.page()
    (await page.connect()).close()
    await asyncio.sleep(0.5)
    await page.connect()
    await asyncio.sleep(7)
    assert len(app.kernels) == 1


async def test_a_page_that_never_connects_loses_its_kernel(start: Start) -> None:
    _, app, visitor = await start(connect_within=4)
    await visitor.page()
    assert len(app.kernels) == 1
    assert await soon(lambda: not app.kernels)


async def test_who_goes_away_while_the_page_is_prepared_takes_the_kernel_along(start: Start) -> None:
    _, app, visitor = await start("import time; time.sleep(600)", cell_seconds=900)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(app.origin.rsplit(":", 1)[1]))
    head = f"GET {SERVER.path} HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={visitor.cookie}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"Starting")
    assert await soon(lambda: app.kernels)
    await asyncio.sleep(1)
    writer.close()
    assert await soon(lambda: not app.kernels)


async def test_a_revoked_visit_loses_websocket_kernel_and_cookie(start: Start) -> None:
    portal, app, visitor = await start(heartbeat=1)
    other = Visitor(app, portal=portal)
    await other.enter(portal.ticket(user="carol"))
    socket, staying = await (await visitor.page()).connect(), await (await other.page()).connect()
    assert await soon(lambda: portal.heartbeats and len(portal.heartbeats[-1]["visits"]) == 2)
    visits = portal.heartbeats[-1]["visits"]
    assert [(visit["user"], visit["links"]) for visit in visits] == [("bob", ["link-1"]), ("carol", ["link-1"])]
    portal.revoked.add(visits[0]["id"])
    assert await closed(socket) == 4403
    assert await soon(lambda: len(app.kernels) == 1)
    assert (await visitor.ask()).code == 303
    assert staying.close_code is None


async def test_a_revoked_visit_ends_while_its_page_is_prepared(start: Start) -> None:
    portal, app, visitor = await start("import time; time.sleep(600)", cell_seconds=900)
    loading = asyncio.ensure_future(visitor.ask())
    assert await soon(lambda: app.kernels and portal.heartbeats[-1]["visits"])
    portal.revoked.add(portal.heartbeats[-1]["visits"][0]["id"])
    answer = await asyncio.wait_for(loading, 10)
    assert b'end("revoked")' in answer.body
    assert await soon(lambda: not app.kernels)


async def test_a_poke_brings_the_next_heartbeat_at_once(start: Start) -> None:
    portal, _, visitor = await start(heartbeat=600)
    # How the app opens is told once, with the first heartbeat or, where that is known later, with one more.
    assert await soon(lambda: portal.heartbeats and portal.heartbeats[-1]["opens"]["mode"] != "preparing")
    before = len(portal.heartbeats)
    ticket = portal.ticket(purpose="poke")

    async def poke(text: str) -> int:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return (await visitor.ask("vaas/poke", method="POST", body=urlencode({"ticket": text}), headers=headers)).code

    assert [await poke(""), await poke(portal.ticket(purpose="visit"))] == [403, 403]
    assert len(portal.heartbeats) == before
    assert await poke(ticket) == 204
    assert await soon(lambda: len(portal.heartbeats) == before + 1)
    assert await poke(ticket) == 403


async def test_idle_time_is_told_when_nobody_is_there(start: Start) -> None:
    portal, _, visitor = await start(heartbeat=0.2)
    page = await visitor.page()
    await page.connect()
    assert await soon(lambda: portal.heartbeats[-1]["idle_seconds"] == 0)
    await visitor.leave(page.token)
    assert await soon(lambda: portal.heartbeats[-1]["idle_seconds"] > 0.5)


async def test_without_the_portal_visits_end_and_none_begin_until_it_is_back(start: Start) -> None:
    portal, app, visitor = await start(unreachable=1.5)
    socket = await (await visitor.page()).connect()
    portal.away = True
    assert await closed(socket) == 4403
    assert await soon(lambda: not app.kernels)
    assert (await visitor.enter()).code == 503
    portal.away = False
    for _ in range(150):
        if (await visitor.enter()).code == 303:
            break
        await asyncio.sleep(0.2)
    await visitor.page()


async def test_the_portal_stops_the_server(start: Start) -> None:
    portal, app, visitor = await start(heartbeat=0.2)
    await visitor.page()
    portal.stop = True
    assert await asyncio.wait_for(app.process.wait(), 10) == 0


async def test_no_more_visitors_than_allowed(start: Start) -> None:
    _, _, visitor = await start(connect_within=60)
    pages = [await visitor.page() for _ in range(3)]
    answer = await visitor.ask()
    assert (answer.code, answer.headers["Retry-After"]) == (503, "10")
    assert b"Many people are using" in answer.body
    await visitor.leave(pages[0].token)
    assert (await visitor.ask()).code == 200


async def test_a_kernel_that_dies_is_not_replaced_and_its_page_is_told(start: Start) -> None:
    _, app, visitor = await start()
    socket = await (await visitor.page()).connect()
    app.kernels[0].kill()
    assert await closed(socket) == 4410
    await asyncio.sleep(1)
    assert app.kernels == []


async def test_a_kernel_that_dies_while_the_page_is_prepared_leaves_a_friendly_page(start: Start) -> None:
    _, _, visitor = await start("import os; os.kill(os.getpid(), 9)", "'never'")
    answer = await asyncio.wait_for(visitor.ask(), 20)
    assert b'end("died")' in answer.body or b"ended unexpectedly" in answer.body


async def test_a_failing_cell_shows_no_traceback_and_the_log_has_it(start: Start) -> None:
    _, app, visitor = await start("password = 'hunter2'\nraise RuntimeError(password * 2)", "print('later')")
    page = await visitor.page()
    assert "This part could not be shown" in page.html
    assert not [word for word in ("hunter2", "RuntimeError", "Traceback", "later") if word in page.html]
    assert "RuntimeError" in app.text() and "hunter2hunter2" in app.text()


async def test_a_cell_that_runs_out_of_memory_says_so_to_the_visitor(start: Start) -> None:
    _, _, visitor = await start("raise MemoryError", "print('later')")
    html = (await visitor.page()).html
    assert "This part needs more memory than it is allowed" in html
    assert "could not be shown" not in html


async def test_an_output_widget_keeps_no_traceback(start: Start) -> None:
    cells = (
        "import ipywidgets, sys; out = ipywidgets.Output()",
        "with out:\n    print('seen'); print('hidden', file=sys.stderr); 1/0",
        "print('kept:', repr(out.outputs))",
    )
    _, app, visitor = await start(*cells)
    kept = (await visitor.page()).html.partition("kept:")[2]
    assert "seen" in kept
    assert "could not be computed" in kept
    assert not [word for word in ("ZeroDivision", "hidden") if word in kept]
    assert "ZeroDivisionError" in app.text()


async def test_large_outputs_inside_output_widgets_do_not_hang_the_page(start: Start) -> None:
    cell = "out = ipywidgets.Output()\nwith out:\n    display(HTML('x' * 300_000))"
    _, _, visitor = await start("import ipywidgets; from IPython.display import HTML", *[cell] * 6, cell_seconds=20)
    page = await asyncio.wait_for(visitor.page(), 60)
    assert "vaas-failed" not in page.html.partition("<main")[2]


async def test_a_cell_that_takes_too_long_is_given_up(start: Start) -> None:
    _, _, visitor = await start("import time; time.sleep(600)", cell_seconds=2)
    assert "This part took too long" in (await asyncio.wait_for(visitor.page(), 30)).html


async def _says(visitor: Visitor, code: int, *, within: float) -> bool:
    deadline = time.monotonic() + within
    while (await visitor.ask("api")).code != code:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True


async def test_a_server_says_that_its_first_run_is_worth_waiting_for(start: Start) -> None:
    _, _, visitor = await start("import time; time.sleep(3)", ahead=1, cell_seconds=60)
    assert (await visitor.ask("api")).code == 202
    assert await _says(visitor, 204, within=30)
    page = await visitor.page()
    assert page.kernel


async def test_a_long_first_run_is_not_waited_for(start: Start) -> None:
    _, _, visitor = await start("import time; time.sleep(80)", ahead=1, cell_seconds=90)
    assert (await visitor.ask("api")).code == 202
    began = time.monotonic()
    assert await _says(visitor, 204, within=60)
    assert time.monotonic() - began > 5  # else what ended would be the run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopped_server_leaves_neither_kernels_nor_files(start: Start, tmp_path: Path, number: int) -> None:
    _, app, visitor = await start("import matplotlib, subprocess; subprocess.Popen(['sleep', '600'])")
    await visitor.page()
    left = app.processes
    assert len(left) >= 2
    app.process.send_signal(number)
    assert await asyncio.wait_for(app.process.wait(), 10) == 0
    assert await soon(lambda: not any(map(psutil.Process.is_running, left)))
    assert list(tmp_path.glob("vaas-*")) == []


async def test_kernels_of_a_killed_server_end_by_themselves(start: Start) -> None:
    _, app, visitor = await start("import matplotlib")
    await (await visitor.page()).connect()
    left = app.processes
    assert left
    app.process.kill()
    # What makes the list of fonts gives way to everybody, and may not even have begun.
    assert await soon(lambda: not any(map(psutil.Process.is_running, left)))


@pytest.mark.parametrize("draws", [True, False])
async def test_the_list_of_fonts_is_made_for_an_app_that_draws_and_for_no_other(
    start: Start, tmp_path: Path, *, draws: bool
) -> None:
    _, _, visitor = await start("import matplotlib" if draws else "import math")
    await visitor.page()
    assert bool(list(tmp_path.glob("vaas-*/shared/matplotlib*"))) == draws
    if draws:  # niced, it may not have begun
        assert await soon(lambda: list(tmp_path.glob("vaas-*/shared/matplotlib/fontlist-*.json")), within=60)


async def test_the_check_is_run_and_reported_while_the_server_serves(tmp_path: Path) -> None:
    stub = PortalStub({"a.ipynb": notebook("6 * 7")}, notebook="a.ipynb", check={"seconds": 60})
    async with stub.served() as portal, running(portal, folder=tmp_path) as app:
        visitor = Visitor(app, portal=portal)
        await visitor.enter()
        await visitor.page()
        assert await soon(lambda: portal.checks and "report" in portal.checks[-1], within=30)
        assert portal.checks[-1]["report"]["ok"] is True
        assert any("progress" in heard for heard in portal.checks)
        # It has a visitor, and one outline all the same: that of the check, which had none.
        assert portal.outlines == [{"blocks": [{"kind": "printed", "text": "42"}]}]
        assert "outline" not in portal.checks[-1]["report"]


async def _exit(portal: PortalStub, folder: Path, **environ: str) -> tuple[int | None, str]:
    """Start a server that is expected to give up; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        app_python(),
        "-m",
        "vaas.runtime",
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TMPDIR": str(folder),
            "JUPYTERHUB_API_TOKEN": portal.token,
            "JUPYTERHUB_SERVICE_PREFIX": SERVER.path,
            "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:1/",
            "VAAS_PORTAL_URL": portal.url,
            **environ,
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, said.decode()


async def test_a_server_that_the_portal_does_not_know_gives_up_with_one_line(tmp_path: Path) -> None:
    async with PortalStub({"a.ipynb": notebook("1")}, notebook="a.ipynb").served() as portal:
        code, said = await _exit(portal, tmp_path, JUPYTERHUB_API_TOKEN="other")
    assert (code, len(said.splitlines())) == (1, 1)
    assert "The portal does not know this server" in said
    assert list(tmp_path.iterdir()) == []


async def test_a_server_outside_of_a_hub_says_what_is_missing(tmp_path: Path) -> None:
    code, said = await _exit(PortalStub({}), tmp_path)
    assert code == 1
    assert "VAAS_PORTAL_URL" in said


async def test_content_that_is_not_what_was_announced_is_not_served(tmp_path: Path) -> None:
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    stub = PortalStub({"a.ipynb": notebook("1")}, notebook="a.ipynb", tar=evil.getvalue())
    async with stub.served() as portal:
        code, said = await _exit(portal, tmp_path)
    assert code == 1
    assert "not announced" in said
    assert list(tmp_path.iterdir()) == []


async def test_many_visits_leave_no_connections_behind(start: Start) -> None:
    _, app, visitor = await start(connect_within=60)
    server = psutil.Process(app.process.pid)

    async def visit() -> None:
        page = await visitor.page()
        socket = await page.connect()
        await visitor.leave(page.token)
        await closed(socket)
        assert await soon(lambda: not app.kernels)

    for _ in range(3):
        await visit()
    before = server.num_fds()
    for _ in range(12):
        await visit()
    assert await soon(lambda: server.num_fds() <= before + 12), (before, server.num_fds())


KNOBS = """
import ipywidgets, time
bad, slow, good = ipywidgets.IntSlider(), ipywidgets.IntSlider(), ipywidgets.IntSlider()
label = ipywidgets.Label()
bad.observe(lambda change: 1 / 0, 'value')
slow.observe(lambda change: time.sleep(600), 'value')
good.observe(lambda change: setattr(label, 'value', f'moved to {change.new}'), 'value')
print('ids:', bad.model_id, slow.model_id, good.model_id, ':ids')
ipywidgets.VBox([bad, slow, good, label])
"""


def _turn(model: str, value: int) -> str:
    data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    return str(text(message("comm_msg", {"comm_id": model, "data": data})))


@pytest.mark.parametrize("protocol", [None, V1])
async def test_an_error_in_a_callback_is_hidden_and_the_page_goes_on(start: Start, protocol: str | None) -> None:
    _, app, visitor = await start(KNOBS, connect_within=60)
    page = await visitor.page()
    bad, _, good = page.html.partition("ids:")[2].partition(":ids")[0].split()
    socket = await page.connect(protocol=protocol)
    encode = (lambda frame: v1(json.loads(frame))) if protocol else (lambda frame: frame)
    for frame in (_turn(bad, 5), _turn(good, 7)):
        await socket.write_message(encode(frame), binary=protocol is not None)
    said = ""
    while "moved to 7" not in said:
        answer = await asyncio.wait_for(socket.read_message(), 10)
        assert answer is not None
        said += answer if isinstance(answer, str) else answer.decode(errors="replace")
    assert "ZeroDivision" not in said
    assert "ZeroDivisionError" in app.text()


async def test_a_callback_that_never_returns_ends_its_page(start: Start) -> None:
    portal, _, visitor = await start(KNOBS, connect_within=60, cell_seconds=5, heartbeat=0.2)
    page = await visitor.page()
    _, slow, _ = page.html.partition("ids:")[2].partition(":ids")[0].split()
    socket = await page.connect()
    await socket.write_message(_turn(slow, 5))
    assert await asyncio.wait_for(closed(socket), 60) == 4413
    assert await soon(lambda: any(i["kind"] == "slow" for beat in portal.heartbeats for i in beat["incidents"]))
