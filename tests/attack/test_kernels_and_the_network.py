"""What a kernel reaches of the network: what its app may reach, by the gate, and nothing by any other way."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.notebooks import notebook
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import AppProcess, PortalStub, Visitor, running
from tests.service.test_app_server_life import soon

pytestmark = [
    pytest.mark.attack,
    pytest.mark.app,
    NEEDS_SANDBOX,
]
#: An address of this machine that no variable leads around the gate.
HERE = "127.0.0.2"
SETUP = """
import json, os, socket, urllib.request, urllib.error
def get(url):
    try: return urllib.request.urlopen(url, timeout=20).read().decode()
    except urllib.error.HTTPError as error: return f'{error.code}: {error.read().decode()}'
    except Exception as error: return f'{type(error).__name__}: {error}'
def through(place):
    host, _, port = os.environ.get('https_proxy', 'http://127.0.0.1:3128').removeprefix('http://').partition(':')
    try:
        with socket.create_connection((host, int(port)), timeout=20) as s:
            s.sendall(f'CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\n'.encode())
            answer = s.recv(4096).decode()
            if ' 200 ' not in answer: return answer
            s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
            return ''.join(iter(lambda: s.recv(4096).decode(), ''))
    except OSError as error: return f'{type(error).__name__}: {error}'
def tell(**found): print('told:' + json.dumps(found) + ':told')
"""


@contextlib.asynccontextmanager
async def outside(asked: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Listen at an address of this machine as a host outside would, and give its port; say when it was ``asked``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        text = f"from outside: {head.splitlines()[0]}"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
        if asked is not None:
            asked.set()
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HERE, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def found(
    folder: Path, cell: str, *, incidents: bool = False, **options: Any
) -> tuple[dict[str, Any], PortalStub, str]:
    """Return what a notebook with this cell tells, the portal that it belongs to, and the server's log.

    Where there are ``incidents``, the portal has heard of them.
    """
    stub = PortalStub(
        {"n.ipynb": notebook(SETUP, cell)},
        notebook="n.ipynb",
        limits={"heartbeat": 0.2, "connect_within": 60},
        **options,
    )
    async with stub.served() as portal, running(portal, folder=folder) as app:
        visitor = Visitor(app, portal=portal)
        await visitor.enter()
        page = (await visitor.page()).html
        await soon(lambda: any(beat.get("incidents") for beat in portal.heartbeats), within=30 if incidents else 1)
        told = html.unescape(page.partition("told:")[2].partition(":told")[0])
        return json.loads(told), portal, app.text()


async def test_another_host_is_refused_and_the_owner_reads_which(tmp_path: Path) -> None:
    async with outside() as port:
        cell = f"tell(get=get('http://{HERE}:{port}/'), connect=through('{HERE}:{port}'), port=through('{HERE}:1'))"
        # The site trusts the place: nothing but the app's own list keeps it from there.
        reach = {"network": ("example.org",), "network_trusted": (f"{HERE}:{port}",)}
        told, portal, log = await found(tmp_path, cell, incidents=True, **reach)
    assert [answer for answer in told.values() if "from outside" in answer] == []
    assert all("403" in answer and "may not reach" in answer for answer in told.values()), told
    incidents = [incident for beat in portal.heartbeats for incident in beat["incidents"]]
    assert {incident["kind"] for incident in incidents} == {"network"}
    assert f"{HERE}:{port}" in incidents[0]["text"] and f"{HERE}:{port}" in log


async def test_an_app_that_may_reach_nothing_has_no_gate(tmp_path: Path) -> None:
    told, _, _ = await found(tmp_path, "tell(gate=through('example.org:443'), name=get('https://example.org/'))")
    assert told["gate"].startswith("ConnectionRefusedError")
    assert "URLError" in told["name"]


PRIVATE = (
    *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0", "[::1]", "[::ffff:127.0.0.1]"),
    *("169.254.169.254", "10.0.0.1", "192.168.0.1", "172.16.0.1", "[fd00::1]", "100.64.0.1", "0.0.0.0"),
)


async def test_everything_on_the_internet_is_nothing_of_this_machine_or_its_network(tmp_path: Path) -> None:
    """ "All" means public addresses, however an address is spelled; the Hub and the portal are at these."""
    async with outside() as port:
        places = [f"{host}:{port}" for host in (*PRIVATE, HERE)]
        cell = f"tell(**{{place: [through(place), get(f'http://{{place}}/')] for place in {places!r}}})"
        told, _, _ = await found(tmp_path, cell, network=("*",))
    reached = {place: answers for place, answers in told.items() if "from outside" in str(answers)}
    assert reached == {}
    # By name of the loopback interface programs do not even ask the gate.
    assert all(answer.startswith(("HTTP/1.1 403", "HTTP/1.1 502", "HTTP/1.1 400")) for answer, _ in told.values()), told


async def test_a_host_that_the_owner_names_may_still_not_be_a_private_one(tmp_path: Path) -> None:
    async with outside() as port:
        told, _, _ = await found(tmp_path, f"tell(got=through('{HERE}:{port}'))", network=(f"{HERE}:{port}",))
    assert "403" in told["got"] and "not on the open internet" in told["got"]


async def test_what_is_no_request_to_a_proxy_is_refused(tmp_path: Path) -> None:
    cell = """
def raw(data):
    with socket.create_connection(('127.0.0.1', 3128), timeout=20) as s:
        s.sendall(data)
        return s.recv(4096).decode().split('\\r\\n')[0]
tell(plain=raw(b'GET / HTTP/1.1\\r\\nHost: example.org\\r\\n\\r\\n'),
     file=raw(b'GET file:///etc/passwd HTTP/1.1\\r\\n\\r\\n'),
     rubbish=raw(b'\\x16\\x03\\x01\\r\\n\\r\\n'), port=raw(b'CONNECT example.org HTTP/1.1\\r\\n\\r\\n'),
     user=raw(b'GET http://user:pass@/ HTTP/1.1\\r\\n\\r\\n'),
     scheme=raw(b'GET ftp://' + PLACE.encode() + b'/ HTTP/1.1\\r\\n\\r\\n'))
"""
    async with outside() as port:
        place = f"{HERE}:{port}"
        # Nothing else keeps the app from there: what is sent on is answered by 200.
        told, _, _ = await found(tmp_path, f"PLACE = {place!r}{cell}", network=(place,), network_trusted=(place,))
    assert "HTTP/1.1 200 OK" not in told.values()
    assert set(told.values()) == {"HTTP/1.1 400 Bad Request"}


async def test_what_an_owner_takes_back_is_closed_to_kernels_that_run(tmp_path: Path) -> None:
    cell = """
import time
first = get(URL)
for _ in range(300):
    last = get(URL)
    if last.startswith('403'): break
    time.sleep(0.1)
tell(first=first, last=last)
"""
    asked = asyncio.Event()
    async with outside(asked) as port:
        place = f"{HERE}:{port}"
        stub = PortalStub(
            {"n.ipynb": notebook(SETUP, f"URL = 'http://{place}/'", cell)},
            notebook="n.ipynb",
            limits={"heartbeat": 0.2},
            network=(place,),
            network_trusted=(place,),
        )
        async with stub.served() as portal, running(portal, folder=tmp_path) as app:
            visitor = Visitor(app, portal=portal)
            await visitor.enter()
            loading = asyncio.ensure_future(visitor.page())
            async with asyncio.timeout(30):
                await asked.wait()
            portal.network = ()
            page = (await loading).html
    told = json.loads(html.unescape(page.partition("told:")[2].partition(":told")[0]))
    assert told["first"].startswith("from outside") and told["last"].startswith("403")


SLOW = """
import time
s = socket.create_connection(('127.0.0.1', 3128), timeout=20)
s.sendall(f'CONNECT {PLACE} HTTP/1.1\\r\\n\\r\\n'.encode())
assert b' 200 ' in s.recv(4096)
print('tunnel open')
"""


@contextlib.asynccontextmanager
async def stubborn() -> AsyncIterator[int]:
    """Listen as a host outside that says nothing and never hangs up; gives its port."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    server = await asyncio.start_server(keep, HERE, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def tunnels(app: AppProcess, port: int) -> int:
    """Return how many connections the server has to that port."""
    return sum(bool(c.raddr) and c.raddr.port == port for c in psutil.Process(app.process.pid).net_connections("tcp"))


@pytest.mark.parametrize("end", ["by its owner", "with its kernel"])
async def test_an_open_tunnel_ends(tmp_path: Path, end: str) -> None:
    """What the owner took back, and what a kernel has left behind, goes on with nobody."""
    async with stubborn() as port:
        place = f"{HERE}:{port}"
        stub = PortalStub(
            {"n.ipynb": notebook(SETUP, f"PLACE = {place!r}", SLOW)},
            notebook="n.ipynb",
            limits={"heartbeat": 0.2, "connect_within": 60},
            network=(place,),
            network_trusted=(place,),
        )
        async with stub.served() as portal, running(portal, folder=tmp_path) as app:
            visitor = Visitor(app, portal=portal)
            await visitor.enter()
            page = await visitor.page()
            assert "tunnel open" in page.html and tunnels(app, port) == 1
            if end == "by its owner":
                portal.network = ()
            else:
                await visitor.leave(page.token)
            # By the clock: half a minute after one side has gone, the gate lets go of the other by itself.
            async with asyncio.timeout(20):
                while tunnels(app, port):
                    await asyncio.sleep(0.05)


async def test_a_flood_of_names_is_refused(tmp_path: Path) -> None:
    cell = """
import threading
answers = []
def ask(i): answers.append(through(f'name-{i}.example.invalid:443').partition('\\r\\n')[0])
threads = [threading.Thread(target=ask, args=(i,)) for i in range(60)]
[t.start() for t in threads]; [t.join() for t in threads]
tell(answers=answers)
"""
    told, _, _ = await found(tmp_path, cell, network=("*",))
    assert "HTTP/1.1 503 Service Unavailable" in told["answers"]
    assert set(told["answers"]) <= {"HTTP/1.1 503 Service Unavailable", "HTTP/1.1 502 Bad Gateway"}


async def test_an_odd_name_is_refused_without_a_word_in_the_log(tmp_path: Path) -> None:
    names = ["a" * 70, "a..b", "-", "x" * 300, "%41", "a_b." + "c" * 64 + ".org"]
    cell = f"tell(answers=[through(name + ':443').partition('\\r\\n')[0] for name in {names!r}])"
    told, _, log = await found(tmp_path, cell, network=("*",))
    assert all(answer.split()[1] in {"400", "403", "502"} for answer in told["answers"]), told
    assert "Traceback" not in log


async def test_a_request_cannot_name_another_host_in_its_head(tmp_path: Path) -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HERE, 0)
    async with server:
        place = f"{HERE}:{server.sockets[0].getsockname()[1]}"
        cell = f"""
s = socket.create_connection(('127.0.0.1', 3128), timeout=20)
s.sendall(b'GET http://{place}/ HTTP/1.1\\r\\nHost: other.example.org\\r\\n\\r\\n')
tell(got=s.recv(4096).decode())
"""
        await found(tmp_path, cell, network=(place,), network_trusted=(place,))
    assert f"Host: {place}" in heads[0] and "other.example.org" not in heads[0]
