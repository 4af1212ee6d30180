"""What a fork does not survive: it is found, said in words, and the app goes on with kernels that ran ahead."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.processes import runs
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import REPOSITORY, PortalStub, Visitor, app_python, running
from tests.service.visiting import INSTANT, serving, soon

pytestmark = pytest.mark.app

LEFT = {
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(9999,), daemon=True).start()",
    "child process": "import subprocess; process = subprocess.Popen(['sleep', '9999'])",
    "connection": "import socket; pair = socket.socketpair()",
    "file": "file = open('/tmp/written', 'w')",
}
GOOD = {
    "read": "import csv; file = open('lesson.ipynb'); file.readline(); text = file.tell()",
    "mapped": "import numpy as np; np.arange(9).tofile('/tmp/a'); a = np.memmap('/tmp/a', mode='r', dtype=int)",
    "done": "import threading; t = threading.Thread(target=int); t.start(); t.join()\nimport subprocess\n"
    "subprocess.run(['true'])\nimport asyncio\nawait asyncio.sleep(0.01)",
    "memory": "import sqlite3; base = sqlite3.connect(':memory:'); base.execute('create table t (a)')",
}


async def test_an_app_that_cannot_be_forked_says_why_and_works(tmp_path: Path) -> None:
    async with serving(tmp_path, *LEFT.values(), limits={"warm": 2}) as site:
        visits = list(await asyncio.gather(*(site.visit() for _ in range(3))))
        visits.append(await site.visit())
        log = site.app.text()
        said = log.partition("Visits are no forks: ")[2].partition("\n")[0]
        wanted = [
            "A thread runs: ",
            "Processes were started",
            "Connections are open",
            "A file is open for writing: written",
        ]
        assert [words for words in wanted if words not in said] == [], log
        ran = [await visit.do("result = RAN + [os.getpid()]") for visit in visits]
        assert len({uid for _, uid, _ in ran}) == 4, "two visits shared a kernel"
        assert all(pid == own for pid, _, own in ran)
        assert len({visit.page.kernel for visit in visits}) == 4
        assert "A visit's kernel was not ready" not in site.app.text()


async def test_what_survives_does_not_stand_in_the_way(tmp_path: Path) -> None:
    async with serving(tmp_path, *GOOD.values()) as site:
        one, other = await asyncio.gather(site.visit(), site.visit())
        ran = [await visit.do("result = RAN[1]") for visit in (one, other)]
        assert ran[0] == ran[1], site.app.text()
        assert await one.do("result = [file.readline() != '', int(a.sum()), base.execute('select 1').fetchone()]") == [
            True,
            36,
            [1],
        ]
        # A place of its own in a file that both have open.
        assert await other.do("result = [file.tell() == text, file.readline() != '']") == [True, True]


HOOKED = """
import socket, vaas
@vaas.on_visit
def again(who):
    global pair, log
    pair, log = socket.socketpair(), open("/tmp/log", "a")
    log.write(f"{os.getpid()}\\n"); log.flush()
pair, log = socket.socketpair(), open("/tmp/log", "a")
"""


async def test_who_opens_it_again_in_a_visit_may_have_it_open(tmp_path: Path) -> None:
    async with serving(tmp_path, HOOKED) as site:
        visits = await asyncio.gather(*(site.visit() for _ in range(3)))
        ran = {await visit.do("result = RAN[1]") for visit in visits}
        assert len(ran) == 1, site.app.text()
        for visit in visits:
            pid, text = await visit.do("result = [os.getpid(), open('/tmp/log').read()]")
            assert text == f"{pid}\n"
            assert await visit.do("pair[0].send(b'mine'); result = pair[1].recv(9).decode()") == "mine"


async def test_a_function_that_fails_when_a_visit_begins_ends_nothing(tmp_path: Path) -> None:
    hook = "import vaas\n@vaas.on_visit\ndef fails(who):\n    raise RuntimeError('of the hook')"
    async with serving(tmp_path, hook) as site:
        visit = await site.visit()
        assert await visit.do("result = 1") == 1
        assert "of the hook" not in visit.html
        assert await soon(lambda: "of the hook" in site.app.text()), "the owner is not told"


TALLY = """
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
class Tally(Kernel):
    implementation, implementation_version, banner = "tally", "1", "tally"
    language_info = {"name": "tally", "mimetype": "text/plain", "file_extension": ".tally"}
    count = 0
    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        self.count += 1
        import os
        text = f"<<<{self.count} {code} {os.getpid()} {os.environ.get('QUERY_STRING', '')}>>>"
        self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": text})
        return {"status": "ok", "execution_count": self.count, "payload": [], "user_expressions": {}}
IPKernelApp.launch_instance(kernel_class=Tally)
"""


async def test_a_kernel_of_another_language_is_kept_ready_too(tmp_path: Path) -> None:
    spec = tmp_path / "share/kernels/tally/kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [app_python(), "-P", "-c", TALLY, "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Tally", "language": "tally"}))
    files = {"lesson.ipynb": notebook("one", "two", kernel="tally", language="tally")}
    environ = {"JUPYTER_PATH": str(tmp_path / "share"), "TMPDIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    async with (
        PortalStub(files, limits={**INSTANT, "warm": 2}).served() as portal,
        running(portal, folder=tmp_path, environ=environ) as app,
    ):
        visitors = [Visitor(app, portal=portal) for _ in range(3)]
        for visitor in visitors:
            await visitor.enter()
        pages = await asyncio.gather(*(visitor.page() for visitor in visitors), visitors[0].page("year=1"))
        assert "Visits are no forks" in app.text()
        shown = [page.html.split("&lt;&lt;&lt;")[1:] for page in pages]
        assert [[text.split()[:2] for text in cells] for cells in shown] == [[["1", "one"], ["2", "two"]]] * 4
        assert len({page.kernel for page in pages}) == 4
        assert "year=1&gt;" in shown[3][0] and "year" not in shown[0][0]


async def test_a_notebook_that_fails_ahead_of_its_visits_runs_for_each(tmp_path: Path) -> None:
    async with serving(tmp_path, "1 / 0", "print('never')") as site:
        visits = await asyncio.gather(site.visit(), site.visit())
        ran = [await visit.do("result = RAN[1]") for visit in visits]
        assert ran[0] != ran[1]
        assert "never" not in visits[0].html
        assert "Cell 2 fails: ZeroDivisionError" in site.app.text()


async def test_a_server_ends_while_a_notebook_runs_ahead(tmp_path: Path) -> None:
    async with serving(tmp_path, "import time; time.sleep(600)", limits={"cell_seconds": 900}) as site:
        assert await soon(lambda: site.app.kernels, within=30)
        await asyncio.sleep(2)
        started = site.app.processes
        site.app.process.terminate()
        await asyncio.wait_for(site.app.process.wait(), 8)
        assert await soon(lambda: not any(runs(each) for each in started))


async def test_who_asks_early_reads_which_visits_are_not_instant(tmp_path: Path) -> None:
    asks = "import time, vaas\nplace = vaas.visitor().query.get('place')"
    async with serving(tmp_path, asks, "time.sleep(1.2)") as site:
        assert await soon(lambda: site.portal.heartbeats and site.portal.heartbeats[-1]["opens"]["why"])
        opens = site.portal.heartbeats[-1]["opens"]
        assert opens["mode"] == "instant"
        told = re.search(r"With parameters in the address cells 2–3 run for each visit \((\d+\.\d) s", opens["why"][0])
        assert told and 1.2 <= float(told[1]) < 30, opens


async def test_who_fails_without_parameters_reads_it_first(tmp_path: Path) -> None:
    async with serving(tmp_path, "import vaas\nplace = vaas.visitor().query['place']") as site:
        assert await soon(lambda: site.portal.heartbeats and site.portal.heartbeats[-1]["opens"]["why"])
        opens = site.portal.heartbeats[-1]["opens"]
        assert (opens["mode"], opens["why"][0].partition(".")[0]) == ("partly", "Cell 2 fails: KeyError"), opens
        assert "Cell 2 fails: KeyError" in site.app.text()


DEVICE = """
import json
import subprocess
from vaas.runtime import hindrances
before = hindrances.open_files()
first = hindrances.find(before, own=set())
opened = open("/dev/nvidia0")
print(json.dumps([first, hindrances.find(before, own=set())]))
"""


@NEEDS_SANDBOX
def test_a_graphics_processor_in_use_is_found() -> None:
    """There is none here, so a file stands where its device would: what is looked at is which files are open."""
    with open("/dev/null") as nothing:
        device = ("--ro-bind-data", str(nothing.fileno()), "/dev/nvidia0")
        walls = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *device]
        command = [*walls, app_python(), "-P", "-c", DEVICE]
        done = subprocess.run(
            command, cwd=REPOSITORY, pass_fds=[nothing.fileno()], capture_output=True, check=True, timeout=60
        )
    first, found = json.loads(done.stdout)
    assert first == [] and {"kind": "devices", "text": "a graphics processor is in use"} in found
