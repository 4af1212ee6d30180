"""Visits are forks in one sandbox: what one of them, gone bad, gets of the others, of its template and of the server.

Somebody's page is open while another visit does the evil that its query names. What the code of a visit finds it
writes down in its own temporary folder, where the tests read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tornado.websocket import WebSocketClientConnection

from tests.attack.test_kernels_that_want_too_much import crowd
from tests.notebooks import notebook
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import (
    COOKIE,
    REPOSITORY,
    SERVER,
    AppProcess,
    LoadedPage,
    PortalStub,
    Visitor,
    app_python,
    running,
)
from vaas.runtime.channel import Channel, pair

pytestmark = [pytest.mark.attack, pytest.mark.app, NEEDS_SANDBOX]

SECRET = "what-bob-has-asked-for"
#: The notebook: each visit does what its query says, when it begins.
CELL = """
import ctypes, glob, json, os, signal, socket, stat, subprocess, sys, threading, time
import vaas
from vaas.runtime import forking
DEEDS = %s
def tried(function, *args):
    try: return repr(function(*args))
    except Exception as error: return type(error).__name__ + ": " + str(error)
def status(pid="self"):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\\n").split(":\\t", 1) for line in file if ":\\t" in line)
def files():
    return {fd: tried(os.readlink, f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
IN_TEMPLATE = {"status": status(), "files": files(), "places": tried(os.listdir, "/places")}
did = {}
@vaas.on_visit
def begin(visitor):
    did["do"] = visitor.query.get("do", "")
    exec(DEEDS.get(did["do"], ""), globals())
    with open("/tmp/did.new", "w") as file: json.dump(did, file)
    os.rename("/tmp/did.new", "/tmp/did.json")
"""


@dataclass
class Opened:
    """Somebody's page with its websocket, what its code wrote down, and its process."""

    socket: WebSocketClientConnection
    page: LoadedPage
    did: dict[str, Any]
    process: psutil.Process

    async def goes_on(self) -> bool:
        """Ask the page's kernel for something, and tell whether it answers."""
        header = {"msg_id": os.urandom(8).hex(), "msg_type": "kernel_info_request", "session": "s", "username": ""}
        header |= {"date": "2026-01-01T00:00:00Z", "version": "5.3"}
        asked = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": {}}
        with contextlib.suppress(TimeoutError):
            await self.socket.write_message(json.dumps({**asked, "buffers": []}))
            while (heard := await asyncio.wait_for(self.socket.read_message(), 10)) is not None:
                if json.loads(heard)["parent_header"].get("msg_id") == header["msg_id"]:
                    return True
        return False


@dataclass
class Site:
    """An app server whose notebook knows the deeds."""

    portal: PortalStub
    app: AppProcess

    async def visit(self, do: str, *, more: str = "") -> Opened:
        """Open the app with a query that names a deed, and wait until its code has written down what it did."""
        visitor = Visitor(self.app, portal=self.portal)
        await visitor.enter()
        page = await visitor.page(f"do={do}{more}")
        connected = await page.connect()
        found: dict[str, Any] = {}
        for _ in range(200):
            found = self.written(do)
            if found:
                break
            await asyncio.sleep(0.05)
        assert found, self.app.text()[-3000:]
        return Opened(connected, page, found["did"], psutil.Process(found["pid"]))

    def written(self, do: str) -> dict[str, Any]:
        """Return what the visit has written down, and its process."""
        for process in self.app.processes:
            with contextlib.suppress(OSError, ValueError):
                did = json.loads(Path(f"/proc/{process.pid}/root/tmp/did.json").read_text())
                if did["do"] == do:
                    return {"did": did, "pid": process.pid}
        return {}

    async def others_come(self) -> bool:
        """Tell whether somebody else gets the page, and from the template."""
        visitor = Visitor(self.app, portal=self.portal)
        await visitor.enter()
        answer = await asyncio.wait_for(visitor.ask(), 30)
        return answer.code == 200 and "window.vaas.runs" not in answer.body.decode()

    async def others_come_soon(self) -> bool:
        """Tell whether they do before long."""
        for _ in range(60):
            if await self.others_come():
                return True
            await asyncio.sleep(0.5)
        return False

    @property
    def log(self) -> str:
        """What the server has written to its log."""
        return self.app.text()


@asynccontextmanager
async def site(folder: Path, *, cell: str = "", deeds: dict[str, str], **limits: float) -> AsyncIterator[Site]:
    """Serve a notebook with these deeds, and wait until its template is there."""
    files = {"n.ipynb": notebook(CELL % repr({"nothing": "", **deeds}), cell), "data.csv": b"1,2"}
    stub = PortalStub(files, notebook="n.ipynb", limits={"ahead": 1, "spares": 1, "lost_after": 600, **limits})
    async with stub.served() as portal, running(portal, folder=folder, environ={"TMPDIR": str(folder)}) as app:
        here = Site(portal, app)
        await here.others_come_soon()
        yield here


@pytest.fixture(params=["as we are", "as somebody"])
def as_whom(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the server as whoever runs the tests, and where that is root, once more without its rights."""
    if request.param == "as we are":
        return
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("this is not root: the other case has used the user namespace already")
    script = tmp_path / "python"
    words = "setpriv --regid 2013265920 --clear-groups unshare --user --map-user=1000 --map-group=1000"
    script.write_text(f'#!/bin/sh\nexec {words} "{app_python()}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VAAS_APP_PYTHON", str(script))


async def soon(true: Callable[[], object], *, within: float = 30.0) -> bool:
    """Tell whether it becomes true in time."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if true():
            return True
        await asyncio.sleep(0.1)
    return bool(true())


# ---- rights, files, processes

LOOK = """
did["status"], did["files"], did["template"] = status(), files(), IN_TEMPLATE
did["below"] = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
did["given"] = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True).stdout
did["root"] = [tried(os.chroot, "/tmp"), tried(os.listdir, "/places")]
did["version"] = {path: tried(lambda: open(path, "a")) for path in ("data.csv", "n.ipynb", "new")}
did["here"], did["memory"] = os.stat("data.csv").st_dev, os.stat("/tmp").st_dev
"""


async def test_a_fork_has_no_right_that_its_template_had(tmp_path: Path, as_whom: None) -> None:
    async with site(tmp_path, deeds={"look": LOOK}) as here:
        did = (await here.visit("look")).did
    for status in (did["status"], dict(line.split(":\t", 1) for line in did["below"].splitlines() if ":\t" in line)):
        assert {value for name, value in status.items() if name.startswith("Cap")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert did["root"][0].startswith("PermissionError")
    template = did["template"]["status"]
    only = f"{1 << 18:016x}"  # CAP_SYS_CHROOT
    assert {value for name, value in template.items() if name.startswith("Cap")} <= {"0" * 16, only}
    assert template["NoNewPrivs"] == "1" and template["Seccomp"] == "2" and "0" not in template["Uid"].split("\t")


async def test_a_fork_shares_no_socket_or_pipe_with_its_template_or_a_sibling(tmp_path: Path) -> None:
    async with site(tmp_path, deeds={"look": LOOK, "again": LOOK}) as here:
        one, two = (await here.visit("look")).did, (await here.visit("again")).did
    kinds = ("'socket:", "'pipe:")
    talk = [{what for what in each.values() if what.startswith(kinds)} for each in (one["files"], two["files"])]
    assert talk[0] and talk[1] and not talk[0] & talk[1]
    assert not talk[0] & set(one["template"]["files"].values())
    assert [line for line in one["given"].splitlines()[1:] if "socket:" in line] == []


async def test_a_fork_sees_its_version_read_only_and_not_a_copy(tmp_path: Path) -> None:
    """The server keeps it below the machine's temporary folder, where each fork has one of its own."""
    async with site(tmp_path, deeds={"look": LOOK}) as here:
        did = (await here.visit("look")).did
    assert str(tmp_path).startswith("/tmp") and did["here"] != did["memory"]
    assert [answer for answer in did["version"].values() if not answer.startswith(("OSError", "PermissionError"))] == []


# ---- other visits

BOB = f"""
with open("/tmp/kept", "w") as file: file.write({SECRET!r})
kept = subprocess.Popen(["sleep", "300"])
heard = socket.socket(socket.AF_UNIX); heard.bind("\\0bob"); heard.listen()
"""
SPY = """
own = os.listdir("/proc/self/task")  # whose numbers lead to this very process
numbers = [str(number) for number in range(1, 3000) if str(number) not in own]
def read(path):
    try:
        with open(path, "rb") as file: return file.read(50_000).decode(errors="replace")
    except OSError: return ""
paths = ("environ", "root/tmp/kept", "cwd/../../../tmp/kept", "fd/0", "maps", "cmdline", "status")
did["found"] = {f"{n}/{p}": text for n in numbers for p in paths if (text := read(f"/proc/{n}/{p}"))}
did["listed"] = [n for n in os.listdir("/proc") if n.isdecimal() and n != str(os.getpid())]
did["signalled"] = [n for n in numbers if tried(os.kill, int(n), 0) == "None"]
did["connected"] = tried(lambda: socket.socket(socket.AF_UNIX).connect("\\0bob"))
did["tmp"] = glob.glob("/tmp/**/kept", recursive=True) + glob.glob("/places/**/kept", recursive=True)
"""


def landlock() -> int:
    """Return the version of Landlock that this system has."""
    import ctypes

    return int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))


async def test_a_visit_finds_nothing_of_another(tmp_path: Path, as_whom: None) -> None:
    async with site(tmp_path, deeds={"bob": BOB, "spy": SPY}) as here:
        await here.visit("bob", more=f"&word={SECRET}")
        did = (await here.visit("spy")).did
    assert SECRET not in json.dumps(did["found"])
    assert did["found"] == {} and did["listed"] == [] and did["tmp"] == []
    assert did["connected"].startswith(("PermissionError", "ConnectionRefused"))


LIMIT = """
import resource
did["limited"] = [n for n in range(1, 3000) if n not in own and not tried(
    resource.prlimit, n, resource.RLIMIT_NOFILE, (0, 0)).startswith(("PermissionError", "ProcessLookupError"))]
"""


@pytest.mark.skipif(landlock() < 6, reason="before Linux 6.12 forks are not kept from sending signals to each other")
async def test_a_visit_ends_no_other(tmp_path: Path, as_whom: None) -> None:
    own = "own = [int(thread) for thread in os.listdir('/proc/self/task')]\n"
    kill = "did['killed'] = [n for n in range(1, 3000) if n not in own and tried(os.kill, n, 9) == 'None']\n"
    async with site(
        tmp_path, deeds={"bob": BOB, "kill": own + LIMIT + kill + "did['all'] = tried(os.kill, -1, 9)"}
    ) as here:
        bob = await here.visit("bob")
        did = (await here.visit("kill")).did
        assert did["killed"] == [] and did["limited"] == [] and "all" in did
        assert await bob.goes_on() and await here.others_come()


@pytest.mark.parametrize("version", [2, 5, 6])
async def test_older_systems_keep_visits_from_looking_too(tmp_path: Path, version: int) -> None:
    """Landlock before its version 6 is another set of rules; files can be moved all the same."""
    if landlock() < version:
        pytest.skip(f"this system's Landlock is older than version {version}")
    old = f"from vaas.runtime import apart\nnew = apart.enclose\napart.enclose = lambda: new({version})"
    moved = "\nos.mkdir('/tmp/a'); open('/tmp/b', 'w').close(); did['moved'] = tried(os.rename, '/tmp/b', '/tmp/a/b')"
    async with site(tmp_path, cell=old, deeds={"bob": BOB, "spy": SPY + moved}) as here:
        await here.visit("bob", more=f"&word={SECRET}")
        did = (await here.visit("spy")).did
    assert SECRET not in json.dumps(did["found"]) and did["moved"] == "None"


# ---- too much

HOG = "b = bytearray(120_000_000); b[:] = b'x' * len(b); time.sleep(300)"
#: Who leaves its parent becomes a child of the template's warden.
ORPHANS = f"""
code = '''
import os, time
for _ in range(6):
    if os.fork() == 0:
        os.setsid()
        {HOG}
'''
subprocess.run([sys.executable, "-c", code])
"""


async def test_what_a_visit_leaves_behind_counts_for_it_alone(tmp_path: Path) -> None:
    async with site(tmp_path, deeds={"bob": BOB, "orphans": ORPHANS}, kernel_memory=400_000_000) as here:
        bob = await here.visit("bob")
        evil = await here.visit("orphans")
        assert await soon(lambda: evil.socket.close_code == 4415 or not evil.process.is_running(), within=20)
        assert await soon(lambda: "of memory that it may use" in here.log)
        assert await bob.goes_on() and await here.others_come()
        assert await soon(lambda: len(here.app.processes) < 15)


async def test_a_fork_bomb_of_one_visit_ends_no_other(tmp_path: Path) -> None:
    bomb = "subprocess.Popen(['bash', '-c', ':(){ :|:& };:; sleep 100'])"
    async with site(tmp_path, deeds={"bob": BOB, "bomb": bomb}, kernel_processes=40) as here:
        bob = await here.visit("bob")
        bomber = Visitor(here.app, portal=here.portal)
        await bomber.enter()
        async with crowd(here.app) as most:
            await bomber.ask("?do=bomb")
            assert await soon(lambda: "more than the 40 processes" in here.log)
        assert await soon(lambda: len(here.app.processes) < 15, within=30)
        assert 20 < most[0] < 800
        assert await bob.goes_on() and await here.others_come(), here.log


async def test_visits_go_on_when_their_template_dies(tmp_path: Path) -> None:
    """Some visit may have taken the memory that the system wants back, from whom it likes."""
    async with site(tmp_path, deeds={"bob": BOB}) as here:
        bob = await here.visit("bob")
        template = bob.process.parent()
        assert template is not None
        template.kill()
        assert await bob.goes_on()
        assert await here.others_come_soon()
        assert bob.process.parent() != template
        bob.socket.close()


async def test_who_opens_and_leaves_at_once_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with site(tmp_path, deeds={"bob": BOB}) as here:
        bob = await here.visit("bob")
        port, mallory = int(here.app.origin.rsplit(":", 1)[1]), Visitor(here.app, portal=here.portal)
        before = here.log.count("Kernel started")
        for number in range(240):
            if number % 8 == 0:
                await mallory.enter()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"GET {SERVER.path} HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={mallory.cookie}\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            writer.close()
        assert await here.others_come()
        assert await soon(lambda: len(here.app.kernels) < 8, within=60)
        assert here.log.count("Kernel started") - before < 160
        assert await bob.goes_on()


# ---- the server, through the channel


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the server's end of a channel and the kernel's."""
    ours, theirs = pair()
    yield ours, theirs
    theirs.close()


@pytest.mark.parametrize("said", ["nonsense", "[]", '{"ended": 7}', '{"other": {}}', "[" * 100_000])
async def test_a_kernel_that_talks_without_end_is_not_listened_to(ends: Any, said: str) -> None:
    channel, kernel = Channel(ends[0], heard=lambda message: False), ends[1]
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(1200):
            await asyncio.sleep(0)
            kernel.send(said.encode())
    assert await soon(lambda: channel.closed)


async def test_a_template_may_tell_of_the_end_of_all_its_visits(ends: Any) -> None:
    """Anybody can open and leave an app a thousand times; the template's next visits are forks as well."""
    due = iter(range(1500))
    channel, kernel = Channel(ends[0], heard=lambda message: message["ended"] == next(due)), ends[1]
    for number in range(1500):
        kernel.send(json.dumps({"ended": number, "code": 0}).encode())
        await asyncio.sleep(0)
    assert await soon(lambda: next(due, None) is None)
    assert not channel.closed
    channel.close()


async def test_files_that_a_kernel_sends_along_do_not_stay_open(ends: Any) -> None:
    channel, kernel = Channel(ends[0], heard=lambda message: True), ends[1]
    before = len(os.listdir("/proc/self/fd"))
    with open(os.devnull) as handed:
        for _ in range(100):
            socket.send_fds(kernel, [b'{"alive": 1}'], [handed.fileno()] * 100)
            await asyncio.sleep(0)
        assert await soon(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)
    channel.close()


LIES = """
import gc
side = next(found for found in gc.get_objects() if isinstance(found, forking.Side))
mine = os.dup(side._channel.fileno())
"""
SAY = """
theirs = socket.socket(fileno=mine)
for number in range(400):
    theirs.send(json.dumps({"ended": number, "code": 0}).encode())
for lie in ({"ended": []}, {"ended": {}, "code": 1}, {"kernel": []}, {"alive": {}}, {"ended": "x", "code": "y"}):
    theirs.send(json.dumps(lie).encode())
    side._say(lie)
"""


async def test_the_end_of_a_visit_is_not_what_another_says(tmp_path: Path) -> None:
    """A template can hand its channel on to its forks; then they can say what it says."""
    async with site(tmp_path, cell=LIES, deeds={"bob": BOB, "say": SAY}) as here:
        bob = await here.visit("bob")
        await here.visit("say")
        await asyncio.sleep(2.5)
        assert await bob.goes_on()
        assert "Traceback" not in here.log


#: A fork that has a child say that it is the fork, while the server cannot hear it, and end at once.
FALSE = """
def false(side, order, fds, begin=forking.Side._begin_life):
    place = order["root"]
    if place is None or not os.path.exists("/tmp/armed"):
        return begin(side, order, fds)
    channel = socket.socket(fileno=fds[1])
    child = os.fork()
    if child == 0:
        open("/tmp/about", "w").close()
        while not os.path.exists("/tmp/go"): time.sleep(0.01)
        channel.send(json.dumps({"alive": os.getpid()}).encode())
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(300)
forking.Side._begin_life = false
"""
#: Another app's kernel, as it looks from outside: a process with a temporary folder of its own and sockets in it.
STRANGER = """
import ctypes, os, socket, sys, time
system = ctypes.CDLL(None, use_errno=True)
assert system.unshare(0x20000) == 0 and system.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None) == 0
assert system.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0
kept = [socket.socket(socket.AF_UNIX) for _ in range(9)]
for number, each in enumerate(kept): each.bind(f"/tmp/.kernel-{number}")
print("ready", flush=True)
time.sleep(300)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose the number of the next process")
async def test_a_number_that_is_somebody_elses_by_now_is_not_taken_for_a_fork(tmp_path: Path) -> None:
    """The server would connect the visitor to another app's kernel, and kill that in the end."""
    async with site(tmp_path, cell=FALSE, deeds={}, spares=0) as here:
        (template,) = [process for process in here.app.kernels if process.children()]
        inside = Path(f"/proc/{template.pid}/root/tmp")
        (inside / "armed").touch()
        visitor = Visitor(here.app, portal=here.portal)
        await visitor.enter()
        opening = asyncio.ensure_future(visitor.ask())
        assert await soon((inside / "about").exists)
        (speaker,) = [child for fork in template.children() for child in fork.children()]
        server = psutil.Process(here.app.process.pid)
        server.suspend()
        try:
            (inside / "armed").unlink()
            (inside / "go").touch()
            assert await soon(lambda: not speaker.is_running())
            stranger = await _stranger_at(speaker.pid)
        finally:
            server.resume()
        await asyncio.wait({opening}, timeout=20)
        opening.cancel()
        await asyncio.sleep(1)
        server.terminate()
        await here.app.process.wait()
        assert stranger.returncode is None
        stranger.kill()
        await stranger.wait()


async def _stranger_at(number: int) -> asyncio.subprocess.Process:
    """Start the other app's kernel with this very number."""
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        made = await asyncio.create_subprocess_exec(
            app_python(), "-I", "-c", STRANGER, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
        )
        if made.pid == number:
            assert made.stdout is not None and b"ready" in await made.stdout.readline()
            return made
        made.kill()
        await made.wait()
    pytest.skip("other processes of this machine took the wanted number each of 200 times")
