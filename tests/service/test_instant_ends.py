"""What is kept for visits goes when it is of no more use, however a kernel ends, and the server with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.notebooks import notebook
from tests.processes import command_of
from tests.service.portal_stub import COOKIE, SERVER, PortalStub, Visitor, running
from tests.service.visiting import Site, serving, soon

pytestmark = pytest.mark.app

LEAVES_OPEN = "left = os.pipe()"
READS = "text = open('data.txt').read()\nprint('it says', text)"


async def opens(site: Site, how: str) -> None:
    """Wait until the app's server says how it opens."""
    said = {"instant": "The app opens at once", "warm": "Visits are no forks"}[how]
    assert await soon(lambda: said in site.app.text(), within=40), site.app.text()


def change(folder: Path, text: str) -> None:
    """Change the data that the notebook reads."""
    (data,) = folder.glob("vaas-*/content/data.txt")
    data.chmod(0o644)
    data.write_text(text)


async def settles(count: Callable[[], int], most: int, *, within: float = 20) -> int:
    """Return the number as soon as it is not above ``most``, or what it is in the end."""
    await soon(lambda: count() <= most, within=within)
    return count()


@pytest.mark.parametrize("pause", [0.0, 1.5])
async def test_warm_kernels_leave_nothing_and_do_not_hold_up_the_server(tmp_path: Path, pause: float) -> None:
    async with serving(tmp_path, LEAVES_OPEN, limits={"warm": 1}) as site:
        await opens(site, "warm")
        assert await soon(lambda: len(site.app.kernels) == 1)
        await asyncio.sleep(1)
        process = psutil.Process(site.app.process.pid)
        before = len(site.app.processes), process.num_fds(), len(list(tmp_path.glob("vaas-*/homes/*")))
        for number in range(3):
            visit = await site.visit(user=f"u{number}")
            await asyncio.sleep(pause)
            await visit.leave()
            visit.visitor.close()
        assert await settles(lambda: len(site.app.processes), before[0]) <= before[0]
        assert await settles(process.num_fds, before[1] + 3) <= before[1] + 3
        assert await settles(lambda: len(list(tmp_path.glob("vaas-*/homes/*"))), before[2]) <= before[2]
        site.app.process.terminate()
        await asyncio.wait_for(site.app.process.wait(), 8)


async def test_a_warm_kernel_whose_visit_does_not_begin_is_ended(tmp_path: Path) -> None:
    hook = "import vaas, time, threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    # In a kernel that runs for its visit, it is called at once.
    hook += "\nran = time.monotonic()\n@vaas.on_visit\ndef connect(visitor):\n"
    hook += "    if time.monotonic() - ran > 1.5: time.sleep(60)"
    async with serving(tmp_path, hook, limits={"warm": 1, "stalled_after": 3, "leave_after": 0}) as site:
        await opens(site, "warm")
        assert await soon(lambda: len(site.app.kernels) == 1)
        await asyncio.sleep(3)
        page = await (await site.visitor()).page()
        assert "A visit's kernel was not ready" in site.app.text()
        await page.visitor.leave(f"{page.token} over")
        assert await soon(lambda: len(site.app.kernels) == 1, within=20)


async def test_a_page_has_one_kernel_though_its_template_is_replaced_while_it_waits(tmp_path: Path) -> None:
    cells = (
        "import vaas, time\n@vaas.on_visit\ndef connect(visitor): time.sleep(1)",
        "vaas.visitor().query",
        "assert 'one' in open('data.txt').read()",
    )
    files = {"data.txt": b"one"}
    async with serving(tmp_path, *cells, files=files, limits={"spares": 1, "leave_after": 0, "visits": 200}) as site:
        await opens(site, "instant")
        change(tmp_path, "two, and more")
        # They come all the time, so some wait while a template takes the place of the other; the new one has no end.
        pages = []
        while site.app.text().count("The app opens at once") < 2 and len(pages) < 150:
            visitors = [await site.visitor(user=f"v{number}") for number in range(12)]
            pages += await asyncio.gather(*(visitor.page() for visitor in visitors))
        assert site.app.text().count("The app opens at once") == 2, site.app.text()
        kernels = {page.kernel for page in pages}
        assert len(kernels) == len(pages)
        for page in pages:
            await page.visitor.leave(f"{page.token} over")
        assert await settles(lambda: len(site.app.kernels), 1) <= 1, [" ".join(command_of(k)) for k in site.app.kernels]


async def test_what_was_kept_to_fork_goes_when_the_app_becomes_warm(tmp_path: Path) -> None:
    cell = f"{READS}\nif 'two' in text:\n    left = os.pipe()"
    files = {"data.txt": b"one"}
    async with serving(tmp_path, cell, files=files, limits={"spares": 3, "warm": 1}) as site:
        await opens(site, "instant")
        old = await site.visit()
        change(tmp_path, "two, and more")
        await opens(site, "warm")
        assert await soon(lambda: site.portal.heartbeats[-1]["opens"]["mode"] == "warm", within=20)
        new = await site.visit(user="eve")
        assert "it says two" in new.html
        # A visit that is open lives on, and its template with it; not so the forks that were kept ready.
        assert await old.do("result = text") == "one"
        for visit in (old, new):
            await visit.leave()
        assert await soon(lambda: len(site.app.kernels) == 1, within=20)


async def test_an_app_that_is_warm_has_fresh_data_too(tmp_path: Path) -> None:
    async with serving(tmp_path, READS, LEAVES_OPEN, files={"data.txt": b"one"}, limits={"warm": 1}) as site:
        await opens(site, "warm")
        first = await site.visit()
        assert "it says one" in first.html
        await soon(lambda: len(site.app.kernels) == 2)
        change(tmp_path, "two, and more")

        async def reads() -> str:
            visit = await site.visit(user="eve")
            await visit.leave()
            return "two" if "it says two" in visit.html else ""

        for _ in range(60):
            await asyncio.sleep(1)
            if await reads():
                break
        assert await reads() == "two"


async def test_data_that_change_while_the_notebook_runs_are_noticed(tmp_path: Path) -> None:
    cells = (READS, "import time; time.sleep(6)")
    async with serving(tmp_path, *cells, files={"data.txt": b"one"}) as site:
        early = Visitor(site.app, portal=site.portal)
        await early.enter()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.app.origin.rsplit(":", 1)[1]))
        head = f"GET {SERVER.path} HTTP/1.1\r\nHost: x\r\nCookie: {COOKIE}={early.cookie}\r\n\r\n"
        writer.write(head.encode())
        await asyncio.wait_for(reader.readuntil(b"window.vaas.runs(3, 3)"), 60)
        writer.close()
        assert "The app opens at once" not in site.app.text()
        change(tmp_path, "two, and more")
        await opens(site, "instant")
        assert await soon(lambda: site.app.text().count("The app opens at once") == 2, within=90), site.app.text()
        assert "it says two" in (await site.visit()).html


async def test_a_report_that_the_portal_did_not_hear_is_told_again_and_the_preview_works(tmp_path: Path) -> None:
    cells = ("print('hello')", "import time; time.sleep(2)")
    stub = PortalStub({"lesson.ipynb": notebook(*cells)}, limits={"ahead": 1}, check={"seconds": 60})
    async with stub.served() as portal, running(portal, folder=tmp_path, environ={"TMPDIR": str(tmp_path)}) as app:
        portal.away = True
        assert await soon(lambda: "The report of the check" in app.text(), within=40), app.text()
        portal.away = False
        assert await soon(lambda: any("report" in check for check in portal.checks), within=20)
        visitor = Visitor(app, portal=portal)
        await visitor.enter()
        assert "hello" in (await visitor.page()).html


async def test_what_a_notebook_says_of_its_files_does_not_stop_the_server_from_looking(tmp_path: Path) -> None:
    lies = "from vaas.runtime import sources\nlie = {'every': 10, 'read': {os.getcwd() + '/x\\0': [1, 1]}}"
    lies += "\nsources.found = lambda: lie"
    async with serving(tmp_path, lies) as site:
        await opens(site, "instant")
        assert await soon(lambda: site.app.text().count("The app opens at once") >= 2, within=30), site.app.text()


async def test_a_notebook_may_read_many_files_with_long_names(tmp_path: Path) -> None:
    many = "import pathlib\nfor n in range(450):\n    p = pathlib.Path(f\"/tmp/{'δεδομένα-μετρήσεων-' * 6}{n}\")\n"
    many += "    p.write_text('x'); p.read_text()"
    async with serving(tmp_path, many) as site:
        await opens(site, "instant")


async def test_a_notebook_may_end_in_a_folder_that_is_no_more(tmp_path: Path) -> None:
    gone = "import tempfile\nwith tempfile.TemporaryDirectory() as folder:\n    os.chdir(folder)"
    async with serving(tmp_path, gone) as site:
        await opens(site, "instant")
        visit = await site.visit()
        assert await visit.do("result = [os.getcwd(), RAN[0] != os.getpid()]") == ["/", True]
        assert "could not begin" not in site.app.text()


async def test_an_app_whose_forks_cannot_begin_is_warm_and_says_so(tmp_path: Path) -> None:
    breaks = "from vaas.runtime import rebirth\ndef no(*_, **__): raise OSError('not today')\nrebirth.rebuild = no"
    async with serving(tmp_path, breaks, limits={"warm": 1}) as site:
        await opens(site, "warm")
        assert "A copy of the session that ran the notebook does not start" in site.app.text()
        assert await (await site.visit()).do("result = 1 + 1") == 2


async def test_visits_of_an_app_that_asks_draw_different_numbers_too(tmp_path: Path) -> None:
    cells = (
        "import random, numpy as np\nrng, own = np.random.default_rng(1), random.Random(1)",
        "old = np.random.RandomState(1)",
        "bits, seeds = np.random.PCG64(1), np.random.SeedSequence(1)",
        "import vaas\nplace = vaas.visitor().query.get('place', 'Ispra')",
        "later = np.random.default_rng(2)",
    )
    draw = "result = [rng.random(), own.random(), float(old.random_sample()), int(bits.random_raw()), "
    draw += "rng.spawn(1)[0].random(), int(seeds.generate_state(1)[0]), int(seeds.spawn(1)[0].generate_state(1)[0]), "
    draw += "later.random()]"
    async with serving(tmp_path, *cells) as site:
        await opens(site, "instant")
        # The last is seeded in a cell that such a visit runs itself: that is its author's wish.
        for query, meant in (("", []), ("place=Oslo", [7])):
            drawn = [await (await site.visit(query, user=user)).do(draw) for user in ("a", "b", "c")]
            shared = [place for place, values in enumerate(zip(*drawn, strict=True)) if len(set(values)) < 3]
            assert shared == meant, f"of a visit with “{query}”"


async def test_an_open_folder_leads_into_the_visits_own_files_and_nowhere_else(tmp_path: Path) -> None:
    cell = "os.makedirs('/tmp/work')\nfolder = os.open('/tmp/work', os.O_RDONLY | os.O_DIRECTORY)\n"
    cell += "top = os.open('/', os.O_PATH)\nscan = os.scandir('.'); next(scan)"
    climb = """
at = {}
for name, fd in {"folder": folder, "top": top}.items():
    for _ in range(9):
        fd = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    at[name] = os.stat("/").st_ino == os.fstat(fd).st_ino and os.stat("/tmp").st_dev == os.stat("tmp", dir_fd=fd).st_dev
result = at
"""
    async with serving(tmp_path, cell) as site:
        await opens(site, "instant")
        one, other = await site.visit(user="a"), await site.visit(user="b")
        write = "fd = os.open('note', os.O_WRONLY | os.O_CREAT, dir_fd=folder); os.write(fd, b'mine'); "
        assert await one.do(f"{write}result = open('/tmp/work/note').read()") == "mine"
        assert await other.do("result = os.listdir(folder) + os.listdir('/tmp/work')") == []
        assert await one.do(climb) == await other.do(climb) == {"folder": True, "top": True}


async def test_files_in_shared_memory_are_copied_and_kernel_objects_are_found(tmp_path: Path) -> None:
    async with serving(tmp_path, "open('/dev/shm/table', 'w').write('computed')") as site:
        await opens(site, "instant")
        one, other = await site.visit(user="a"), await site.visit(user="b")
        assert (
            await one.do("open('/dev/shm/table', 'a').write('!'); result = open('/dev/shm/table').read()")
            == "computed!"
        )
        assert await other.do("result = open('/dev/shm/table').read()") == "computed"
    with_event = tmp_path / "event"
    with_event.mkdir()
    async with serving(with_event, "event = os.eventfd(0)") as site:
        await opens(site, "warm")
        assert "Something is open that all visits would share: eventfd" in site.app.text()


#: What a notebook does to files of its own, where it may: in no sandbox.
OWN_FILES = {
    "another process writes": "import subprocess, tempfile\nwith tempfile.TemporaryDirectory() as folder:\n"
    "    subprocess.run(['cp', '/etc/hostname', f'{folder}/a'])\n    open(f'{folder}/a').read()",
    "a cache is replaced": "import time\npath = '@/cache'\nif os.path.exists(path): open(path).read()\n"
    "open(path + '~', 'w').write(str(time.time_ns()))\nos.replace(path + '~', path)\nopen(path).read()",
    "results are written, in a warm app": "open('@/out', 'w').write(str(RAN))\nleft = os.pipe()",
}


@pytest.mark.parametrize("what", OWN_FILES)
async def test_what_a_notebook_writes_itself_is_no_change_of_its_data(tmp_path: Path, what: str) -> None:
    count = f"os.system('echo run >> {tmp_path}/runs')\n"
    cell = count + OWN_FILES[what].replace("@", str(tmp_path))
    async with serving(tmp_path, cell, environ={"VAAS_SANDBOX": "off"}, limits={"warm": 2}) as site:
        await opens(site, "warm" if "warm" in what else "instant")
        await asyncio.sleep(10)
        runs = (tmp_path / "runs").read_text().count("run")
        assert runs <= (3 if "warm" in what else 1), "it runs again and again"


async def test_a_file_whose_name_is_no_text_is_watched_like_any_other(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    with open(os.fsencode(shared) + b"/donn\xe9es.txt", "w") as file:
        file.write("one")
    cell = f"(name,) = os.listdir('{shared}')\ntext = open('{shared}/' + name).read()"
    async with serving(tmp_path, cell, environ={"VAAS_SANDBOX_PATHS": str(shared)}) as site:
        await opens(site, "instant")
        await asyncio.sleep(8)
        assert site.app.text().count("The app opens at once") == 1
        with open(os.fsencode(shared) + b"/donn\xe9es.txt", "w") as file:
            file.write("two, and more")
        assert await soon(lambda: site.app.text().count("The app opens at once") == 2, within=20)


async def test_a_warm_app_whose_new_data_are_broken_goes_on_with_the_old(tmp_path: Path) -> None:
    cells = (READS, "assert 'bad' not in text", LEAVES_OPEN)
    async with serving(tmp_path, *cells, files={"data.txt": b"one"}, limits={"warm": 2}) as site:
        await opens(site, "warm")
        assert await soon(lambda: len(site.app.kernels) == 2, within=20)
        await asyncio.sleep(3)
        change(tmp_path, "bad, and longer")
        assert await soon(lambda: "could not be run ahead" in site.app.text(), within=30)
        assert "it says one" in (await site.visit()).html


async def test_who_holds_a_folder_that_is_no_more_closes_nobody_elses_file(tmp_path: Path) -> None:
    cell = "import tempfile\nscans = []\nwith tempfile.TemporaryDirectory() as folder:\n"
    cell += "    open(f'{folder}/a', 'w').close()\n    for _ in range(6):\n"
    cell += "        scans.append(os.scandir(folder)); next(scans[-1])"
    lets_go = "files = [open('lesson.ipynb') for _ in range(40)]; scans.clear(); import gc; gc.collect()\n"
    async with serving(tmp_path, cell) as site:
        await opens(site, "instant")
        visit = await site.visit()
        assert await visit.do(f"{lets_go}result = len([file.read(1) for file in files])") == 40


#: It asks for the query, so that its whole template is a fork itself.
ASKS = "import vaas\nasked = dict(vaas.visitor().query)"


async def test_what_a_visit_gives_to_the_fork_it_comes_from_ends_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path, ASKS) as site:
        await opens(site, "instant")
        visit = await site.visit()
        # CLONE_PARENT: the new process is a child of the frozen fork, not of the visit that makes it.
        await visit.do(
            "import ctypes, os\n"
            "made = ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0)\n"
            "if made == 0: os.execvp('sleep', ['sleep', '903.5'])\n"
            "result = made"
        )
        assert await soon(lambda: len(site.app.running("903.5")) == 1)
        await visit.leave()
        assert await soon(lambda: not site.app.running("903.5"))
        other = await site.visit(user="eve")
        assert await other.do("result = 1") == 1
        await other.leave()
