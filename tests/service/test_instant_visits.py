"""Visits that are forks of one kernel: each is as if it had a kernel of its own, and knows of no other."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio

from tests.service.visiting import Site, Visiting, serving, soon

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

MODEL = b"""
import random
import numpy as np
generator, own = np.random.default_rng(1), random.Random(1)
class Deep:
    inside = {"state": [np.random.RandomState(1)]}
"""
LESSON = """
import ctypes, random, secrets, sys, tempfile, threading, time
from pathlib import Path
import numpy as np
from IPython.display import display
import model
np.random.seed(1)
random.seed(1)
slider, shown = ipywidgets.IntSlider(description="years", max=1000), ipywidgets.Label(description="shown")
def move(change):
    shown.value = f"{change['new']} years"
slider.observe(move, "value")
class Box:
    generator = np.random.default_rng(2)
box, secret, file, picture = Box(), [], ipywidgets.FileUpload(description="file"), ipywidgets.Image(description="")
out = ipywidgets.Output()
Path("/tmp/x").write_text("template")
Path.home().joinpath("kept").write_text("template")
with out:
    print("captured while the notebook ran")
print("said by the notebook")
display(slider, shown, file, picture, out)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return a site whose visits are forks."""
    files, folder = {"model.py": MODEL}, tmp_path_factory.mktemp("instant")
    async with serving(folder, LESSON, files=files, limits={"visits": 50, "spares": 2}) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["instant", "cold"])
async def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return a site of forks, and one that starts a kernel for each visit."""
    ahead = int(request.param == "instant")
    folder = tmp_path_factory.mktemp(request.param)
    async with serving(folder, LESSON, files={"model.py": MODEL}, limits={"ahead": ahead, "cell_seconds": 30}) as site:
        yield site


async def visits(site: Site, number: int) -> list[Visiting]:
    return list(await asyncio.gather(*(site.visit(user=f"visitor-{n}") for n in range(number))))


async def leave(*all_visits: Visiting) -> None:
    for visit in all_visits:
        await visit.leave()


async def test_twenty_visits_move_the_same_slider_and_each_sees_its_own(site: Site) -> None:
    twenty = await visits(site, 20)
    shown = await twenty[0].model("shown")
    came = await asyncio.gather(*(visit.set("years", value=n + 1) for n, visit in enumerate(twenty)))
    assert [visit.changes(messages, shown) for visit, messages in zip(twenty, came, strict=True)] == [
        [{"value": f"{n + 1} years"}] for n in range(20)
    ]
    state = [(await visit.states())[shown]["state"]["value"] for visit in twenty]
    assert state == [f"{n + 1} years" for n in range(20)]
    facts = [await visit.do("result = [os.getpid(), slider.value, *RAN]") for visit in twenty]
    assert len({pid for pid, *_ in facts}) == 20, "visits shared a process"
    assert len({ran for *_, ran in facts}) == 1, "the notebook ran more than once"
    assert all(pid != template for pid, _, template, _ in facts)
    assert [value for _, value, *_ in facts] == list(range(1, 21))
    assert all("said by the notebook" in visit.html for visit in twenty)
    assert len({visit.page.kernel for visit in twenty} | {visit.page.token for visit in twenty}) == 40
    assert "0 years" not in (await site.visit()).html
    await leave(*twenty)


PLACES = """
found = {name: Path(name).read_text() if Path(name).exists() else None for name in (
    "/tmp/x", "/tmp/new", "/dev/shm/new", str(Path.home() / "kept"), str(Path.home() / "new"), "/var/tmp/new")}
result = [found, os.getcwd(), tempfile.gettempdir(), list(secret)]
"""
WRITE = """
for name in ("/tmp/x", "/tmp/new", "/dev/shm/new", Path.home() / "kept", Path.home() / "new", "/var/tmp/new"):
    try:
        Path(name).write_text("SECRET")
    except OSError as error:
        print(name, error)
secret.append("SECRET"); os.environ["SECRET"] = "SECRET"; os.chdir("/tmp")
"""


async def test_files_and_variables_of_a_visit_are_its_own(site: Site) -> None:
    before, one = await site.visit(), await site.visit()
    await one.do(WRITE)
    found, *_ = await one.do(PLACES)
    assert list(found.values())[:5] == ["SECRET"] * 5
    after = await site.visit()
    for other in (before, after):
        found, where, temporary, secret = await other.do(PLACES)
        home = (await other.do("result = str(Path.home())")) + "/"
        assert {name.removeprefix(home): text for name, text in found.items()} == {
            "/tmp/x": "template",
            "/tmp/new": None,
            "/dev/shm/new": None,
            "kept": "template",
            "new": None,
            "/var/tmp/new": None,
        }
        assert secret == [] and "SECRET" not in where
        assert temporary.startswith("/tmp")
        assert await other.do("result = 'SECRET' in os.environ") is False
    await leave(before, one, after)


LOOK = """
result = {}
PID = %d
for what in ("mem", "root/tmp", "environ", "fd/1", "cwd/.", "maps", "map_files", "exe", f"task/{PID}/mem"):
    path = f"/proc/{PID}/{what}"
    try:
        result[what] = repr(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1))
    except OSError as error:
        result[what] = type(error).__name__
try:
    result["attach"] = ctypes.CDLL(None, use_errno=True).ptrace(16, PID, 0, 0)
except Exception as error:
    result["attach"] = repr(error)
"""


async def test_a_visit_cannot_look_into_another_nor_into_the_template(site: Site) -> None:
    one, other = await visits(site, 2)
    pids = await other.do("result = [os.getpid(), os.getppid(), RAN[0]]")
    for pid in [*pids, 1, 2]:
        found = await one.do(LOOK % pid)
        assert found.pop("attach") == -1, pid
        assert set(found.values()) <= {"PermissionError", "FileNotFoundError", "ProcessLookupError"}, (pid, found)
    assert await one.do("result = os.listdir('/proc/self/task') != []")
    await leave(one, other)


SOCKETS = """
import socket
result = []
for path in [line.split()[-1] for line in open("/proc/net/unix").readlines()[1:] if "/" in line]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        try:
            tried.connect(path)
            result.append(path)
        except OSError:
            continue
"""
OPEN_SOCKETS = """
files = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
result = [what for what in (os.readlink(path) for path in files if os.path.lexists(path)) if what.startswith("socket")]
"""


async def test_a_visit_reaches_its_own_sockets_alone(site: Site) -> None:
    one, other = await visits(site, 2)
    reached = [await visit.do(SOCKETS) for visit in (one, other)]
    devices = [await visit.do("result = os.stat('/tmp').st_dev") for visit in (one, other)]
    assert reached[0] and devices[0] != devices[1]
    assert await one.do("result = sorted(os.listdir('/places')) if os.path.exists('/places') else []") == []
    open_sockets = [set(await visit.do(OPEN_SOCKETS)) for visit in (one, other)]
    assert open_sockets[0] and not open_sockets[0] & open_sockets[1]
    await leave(one, other)


DRAW = """
import random
kernel = get_ipython().kernel
result = [
    random.random(), np.random.random(), model.generator.random(), model.own.random(), box.generator.random(),
    model.Deep.inside["state"][0].random(), uuid.uuid4().hex, uuid.uuid1().hex, secrets.token_hex(8),
    tempfile.mktemp(), kernel.session.session, kernel.session.key.hex(), kernel.ident,
    next(tempfile._get_candidate_names()),
    ipywidgets.Text().model_id,
]
"""


async def test_no_two_visits_draw_the_same_numbers_names_ids_or_keys(site: Site) -> None:
    five = await visits(site, 5)
    drawn = await asyncio.gather(*(visit.do(DRAW) for visit in five))
    shared = [place for place, values in enumerate(zip(*drawn, strict=True)) if len(set(values)) < 5]
    assert shared == []
    await leave(*five)


def said(came: list[dict[str, Any]], kind: str = "stream") -> str:
    return "".join(message["content"].get("text", "") for message in came if message["msg_type"] == kind)


async def test_what_callbacks_print_comes_wherever_it_comes_from(either: Site) -> None:
    visit = await either.visit()
    await visit.do("pass")
    await visit.do("print('from the callback')")
    await visit.do("print('to stderr', file=sys.stderr)")
    await visit.do("t = threading.Thread(target=lambda: print('from a thread')); t.start(); t.join()")
    await visit.do("os.write(1, b'past Python\\n'); ctypes.CDLL(None).puts(b'from C'); ctypes.CDLL(None).fflush(None)")
    await visit.do("os.system('echo from a program')")
    await visit.do("threading.Timer(0.3, lambda: print('some time later')).start()")
    await asyncio.sleep(1)
    await visit.do("sys.stdout.flush()")
    text = said(visit.heard)
    wanted = ["from the callback", "from a thread", "past Python", "from C", "from a program", "some time later"]
    assert [each for each in wanted if text.count(each + "\n") != 1] == [], text
    assert "to stderr" not in text
    await visit.leave()


async def test_an_error_in_a_callback_is_hidden_and_ends_nothing(either: Site) -> None:
    visit = await either.visit()
    with pytest.raises(AssertionError, match="no answer"):
        await visit.do("1 / 0")
    errors = [message["content"] for message in visit.heard if message["msg_type"] == "error"]
    assert len(errors) == 1 and "division" not in str(errors), errors
    # Its owner hears of it.
    told = {"kind": "callback", "text": "A callback failed with ZeroDivisionError."}
    assert await soon(lambda: any(told in beat["incidents"] for beat in either.portal.heartbeats), within=20)
    assert await visit.do("result = 1") == 1
    await visit.leave()


async def test_an_output_widget_captures_before_and_in_the_visit(either: Site) -> None:
    visit = await either.visit()
    out = await visit.do("result = out.model_id")
    state = (await visit.states())[out]["state"]
    assert [each["text"] for each in state["outputs"]] == ["captured while the notebook ran\n"]
    start = len(visit.heard)
    await visit.do("with out: print('in the visit')")
    heard = visit.heard[start:]
    captured = [each["msg_id"] for each in visit.changes(heard, out) if "msg_id" in each]
    assert len(captured) == 2 and captured[0] and captured[1] == ""
    (stream,) = [message for message in heard if message["msg_type"] == "stream"]
    assert stream["parent_header"]["msg_id"] == captured[0]
    assert "in the visit" in stream["content"]["text"]
    start = len(visit.heard)
    await visit.do("out.append_stdout('appended'); result = 1")
    assert visit.changes(visit.heard[start:], out)[-1]["outputs"][-1]["text"].endswith("appended")
    await visit.leave()


async def test_files_go_up_and_pictures_come_down(either: Site) -> None:
    visit = await either.visit()
    data = bytes(range(256)) * 4000
    fields = {"name": "a.bin", "type": "", "size": len(data), "last_modified": 0, "error": ""}
    await visit.set("file", data, paths=[["value", 0, "content"]], value=[{**fields, "content": None}])
    assert await visit.do("result = [len(file.value), file.value[0].size, sum(bytes(file.value[0].content))]") == [
        1,
        len(data),
        sum(data),
    ]
    picture = await visit.do("result = picture.model_id")
    start = len(visit.heard)
    await visit.do(f"picture.value = bytes(range(256)) * {4000}")
    (message,) = [
        each
        for each in visit.heard[start:]
        if each["msg_type"] == "comm_msg" and each["content"]["comm_id"] == picture and each["buffers"]
    ]
    assert message["buffers"] == [data] and message["content"]["data"]["buffer_paths"] == [["value"]]
    await visit.leave()


async def test_progress_arrives_while_a_callback_works(either: Site) -> None:
    visit = await either.visit()
    await visit.do("pass")
    begun, came = time.monotonic(), {}
    number = len(visit.heard)

    async def watch() -> None:
        await visit.do("for n in range(3): print(f'step {n}', flush=True); slider.value = 500 + n; time.sleep(3)")

    work = asyncio.ensure_future(watch())
    while not work.done():
        await asyncio.sleep(0.02)
        for message in visit.heard[number:]:
            came.setdefault(said([message]), time.monotonic() - begun)
        number = len(visit.heard)
    await work
    ended = time.monotonic() - begun
    assert ended - came["step 0\n"] > 1.2, (came, ended)
    assert came["step 2\n"] - came["step 0\n"] > 1
    await visit.leave()


async def test_a_visit_that_ends_is_gone_and_no_other_is(site: Site) -> None:
    one, other = await visits(site, 2)
    await one.do("import subprocess; child = subprocess.Popen(['sleep', '900.5'])")
    assert await soon(lambda: site.app.running("900.5"))
    (child,) = site.app.running("900.5")
    kernel = child.parent()
    assert kernel in site.app.kernels
    await one.leave()
    assert await soon(lambda: kernel not in site.app.kernels and child not in site.app.processes)
    assert await other.do("result = slider.value") == 0
    await other.leave()


async def test_what_is_registered_for_the_end_runs_when_a_visit_ends(site: Site) -> None:
    visit = await site.visit()
    mark = f"the end of {id(visit)}"
    await visit.do(
        "import atexit, subprocess; child = subprocess.Popen(['sleep', '901.5'])\n"
        "log = os.dup(sys.stderr._original_stdstream_copy)\n"
        f"atexit.register(lambda: os.write(log, b'{mark}\\n'))"
    )
    await visit.leave()
    assert await soon(lambda: mark in site.app.text())
    assert await soon(lambda: not site.app.running("901.5"))


async def test_a_visit_costs_the_server_no_thread(site: Site) -> None:
    first = await site.visit()
    threads = psutil.Process(site.app.process.pid).num_threads
    # The pool of the event loop may still grow to what it may have.
    before, pool = threads(), min(32, (os.cpu_count() or 1) + 4)
    twenty = await visits(site, 20)
    assert threads() <= before + pool < before + len(twenty)
    await leave(first, *twenty)


async def test_nothing_that_a_kernel_says_while_its_page_connects_is_lost(either: Site) -> None:
    visit = await either.visit()
    label = await visit.model("shown")
    await visit.do(
        "def count():\n"
        "    for n in range(400):\n"
        "        shown.value = f'at {n}'\n"
        "        time.sleep(0.005)\n"
        "threading.Thread(target=count).start()"
    )
    for _ in range(3):
        # As after a moment without a network: the same front end connects anew.
        visit.socket.close()
        visit.socket = await visit.page.connect()
    seen: list[int] = []
    while not seen or seen[-1] < 399:
        message = await visit.next()
        seen += [int(state["value"].split()[1]) for state in visit.changes([message], label) if "value" in state]
    assert seen == sorted(seen)
    await visit.leave()


@pytest.mark.parametrize("prints", ["", "print('something', flush=True); "])
async def test_a_page_that_connects_hears_that_it_does_without_a_question(site: Site, prints: str) -> None:
    visit = await site.visit()
    await visit.do(
        "handlers, asked = get_ipython().kernel.shell_handlers, []\n"
        "answer = handlers['kernel_info_request']\n"
        "handlers['kernel_info_request'] = lambda *told: (asked.append(1), answer(*told))[1]"
    )
    await visit.do(f"{prints}result = 1")
    counts = [0]
    # Where it hears nothing for a moment, as on a machine that is very busy, it asks after all.
    while len(counts) < 20 and counts[-1:] != counts[-2:-1]:
        visit.socket.close()
        visit.socket = await visit.page.connect()
        counts.append(await visit.do("result = len(asked)"))
    assert counts[-1] == counts[-2]
    await visit.send("kernel_info_request", {})
    assert await visit.do("result = len(asked)") == counts[-1] + 1
    await visit.leave()


async def test_a_fork_has_those_sockets_alone_that_a_page_speaks_by(site: Site) -> None:
    visit = await site.visit()
    assert await visit.do("import glob; result = len(glob.glob('/tmp/.kernel-*'))") == 2
    await visit.leave()


async def test_a_page_that_is_slow_to_listen_misses_nothing(site: Site) -> None:
    visit = await site.visit()
    label = await visit.model("shown")
    # More than ZeroMQ keeps by default, and fewer than Jupyter passes on in three seconds.
    text = "x" * 10_000
    await visit.do("for n in range(2500):\n    shown.value = f'at {n} " + text + "'")
    seen = [state["value"] for state in visit.changes(visit.heard, label) if "value" in state]
    assert [each.split()[1] for each in seen[-2500:]] == [str(n) for n in range(2500)]
    await visit.leave()


async def test_who_closes_its_output_goes_on(site: Site) -> None:
    visit = await site.visit()
    await visit.do("sys.stdout.close(); result = 1")
    assert await visit.do("os = __import__('os'); os.write(2, b'still heard'); result = 2") == 2
    assert await soon(lambda: "still heard" in site.app.text())
    await visit.leave()
