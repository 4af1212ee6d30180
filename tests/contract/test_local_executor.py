"""Jobs on this machine: the contract, and what outlives whom."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.executor import ENDLESS, ExecutorContract, executed, job_of, over, status, until
from tests.notebooks import code
from tests.run_parts import local
from vaas import jobs
from vaas.errors import Invalid, NotFound
from vaas.executors.local import Bounds, LocalExecutor
from vaas.launching import Size

pytestmark = pytest.mark.app


@pytest.fixture
def executor(tmp_path: Path) -> LocalExecutor:
    return local(tmp_path / "kept")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


class TestLocalExecutor(ExecutorContract):
    """The contract."""

    @pytest.fixture
    def executor(self, tmp_path: Path) -> LocalExecutor:
        return local(tmp_path / "kept")

    @pytest.fixture
    def later(self, tmp_path: Path) -> LocalExecutor:
        return local(tmp_path / "kept")

    @pytest.fixture
    def spool(self, tmp_path: Path) -> Path:
        return tmp_path / "spool"


@pytest.mark.parametrize(
    ("cells", "values", "written"),
    [
        (["n=5\nunit='10M'"], {"n": 5, "unit": "10M"}, None),
        (["n=5\nunit='10M'"], {"n": 5.0, "unit": "10M"}, None),
        (["n=5\nunit='10M'"], {"n": 7, "unit": "10M"}, ["n=7"]),
        (["n=5\nunit='10M'"], {"n": True, "unit": "10M"}, ["n=true"]),
        (["n=5\nn=n+1"], {"n": 5}, ["n=5"]),
        (["n=5", code("n=7", tags=["injected-parameters"])], {"n": 5}, ["n=5"]),
    ],
)
async def test_in_other_languages_values_are_written_that_are_not_as_the_notebook_sets_them(
    executor: LocalExecutor, spool: Path, cells: list[Any], values: dict[str, Any], written: list[str] | None
) -> None:
    # What is assigned so in Bash is Python as well, so that this machine's kernel can run it.
    first, *others = cells
    job = job_of(
        spool, code("true=1", tags=[]), code(first, tags=["parameters"]), *others, values=values, language="bash"
    )
    assert (await over(executor, await executor.submit(job))).state == "done"
    found = [cell for cell in executed(job) if "injected-parameters" in cell["metadata"].get("tags", [])]
    assert ["".join(cell["source"]).splitlines()[1:] for cell in found] == ([written] if written else [])


async def test_without_walls_too_all_that_a_job_started_ends_with_it(spool: Path, tmp_path: Path) -> None:
    executor = local(tmp_path / "kept", sandbox="off")
    job = job_of(spool, ENDLESS)
    ref = await executor.submit(job)
    beat = job.folder / jobs.FILES / "beat"
    await until(beat.exists)
    await executor.cancel(ref)
    assert (await over(executor, ref)).state == "cancelled"
    last = beat.read_text()
    await asyncio.sleep(0.3)
    assert beat.read_text() == last


async def test_the_log_of_what_was_cancelled_while_its_kernel_starts_says_so(spool: Path, tmp_path: Path) -> None:
    executor = local(tmp_path / "kept")
    job = job_of(spool, "1")
    said = jobs.read_json(job.folder / jobs.JOB)
    # A kernel that never answers.
    argv = [said["kernel"]["argv"][0], "-c", "import time; print('here', flush=True); time.sleep(600)"]
    jobs.write_json(job.folder / jobs.JOB, {**said, "kernel": {**said["kernel"], "argv": argv}})
    ref = await executor.submit(job)
    log = job.folder / jobs.LOG
    await until(lambda: log.exists() and log.read_text() == "here\n")
    await executor.cancel(ref)
    assert (await over(executor, ref)).state == "cancelled"
    assert await executor.log(ref, most=1000) == "here\nIt was cancelled.\n"


def guard_of(folder: Path) -> psutil.Process:
    return psutil.Process(jobs.read_json(folder / "j1.guard")["pid"])


async def test_a_job_belongs_to_nobody(spool: Path, tmp_path: Path) -> None:
    job = job_of(spool, "print('begun', flush=True)", "import time; time.sleep(1.5)", "print('end')")
    ref = await local(tmp_path / "kept").submit(job)
    guard = guard_of(tmp_path / "kept")
    # Of another session, so that no signal for ours reaches it; and whoever comes later finds it.
    assert os.getsid(guard.pid) == guard.pid != os.getsid(0)
    later = local(tmp_path / "kept")
    assert (await later.poll(ref)).state == "running"
    assert (await over(later, ref)).state == "done"
    assert await later.log(ref, most=100) == "begun\nend\n"


async def test_who_kills_the_guard_has_ended_the_job(executor: LocalExecutor, spool: Path, tmp_path: Path) -> None:
    job = job_of(spool, ENDLESS)
    ref = await executor.submit(job)
    beat = job.folder / jobs.FILES / "beat"
    await until(beat.exists)
    guard_of(tmp_path / "kept").kill()
    state = await over(executor, ref)
    assert state.state == "failed" and "ended from outside" in state.message
    await asyncio.sleep(0.2)
    last = beat.read_text()
    await asyncio.sleep(0.3)
    assert beat.read_text() == last


async def test_a_runner_that_is_killed_is_a_failure_with_words(executor: LocalExecutor, spool: Path) -> None:
    # The first process of the notebook's own world is the runner.
    job = job_of(spool, "import os, signal; os.kill(os.getppid(), signal.SIGKILL)", "import time; time.sleep(600)")
    ref = await executor.submit(job)
    state = await over(executor, ref)
    assert state.state == "failed" and "ended from outside" in state.message


async def test_a_machine_that_shuts_down_lets_the_job_write_down_what_there_is(
    executor: LocalExecutor, spool: Path, tmp_path: Path
) -> None:
    job = job_of(spool, "print('first', flush=True)", "import time; time.sleep(600)")
    ref = await executor.submit(job)
    await until(lambda: status(job).get("cell") == 2)
    guard_of(tmp_path / "kept").send_signal(signal.SIGTERM)
    state = await over(executor, ref)
    assert state.state == "failed" and "shut down" in state.message
    assert executed(job)[0]["outputs"][0]["text"] == ["first\n"]
    assert (job.folder / jobs.OUT / jobs.RESULT).exists()


async def test_another_process_with_the_guards_number_is_not_it(
    executor: LocalExecutor, spool: Path, tmp_path: Path
) -> None:
    job = job_of(spool, "x = 1")
    ref = await executor.submit(job)
    await over(executor, ref)
    (tmp_path / "kept" / "j1.end").unlink()
    said = jobs.read_json(tmp_path / "kept" / "j1.guard")
    jobs.write_json(tmp_path / "kept" / "j1.guard", {**said, "pid": os.getpid()})
    assert (await executor.poll(ref)).state == "failed"
    await executor.forget(ref)  # and nobody is ended for it
    assert jobs.mark_of(os.getpid())


async def test_memory_of_all_its_processes_is_counted_together(executor: LocalExecutor, spool: Path) -> None:
    greedy = """
import subprocess, sys
hold = "import time; x = bytearray(150_000_000); x[::4096] = b'1' * len(x[::4096]); time.sleep(600)"
children = [subprocess.Popen([sys.executable, "-c", hold]) for _ in range(4)]
children[0].wait()
"""
    job = job_of(spool, "print('first')", greedy, size=Size("s", "S", 1, 400_000_000, 0, 60))
    ref = await executor.submit(job)
    state = await over(executor, ref)
    assert (state.state, state.message) == ("failed", "It used more than the 400 MB of memory that it may use.")
    assert executed(job)[0]["outputs"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("import subprocess as s\nx = [s.Popen(['sleep', '600']) for _ in range(80)]\nx[0].wait()", "60 processes"),
        (
            "import time\nfor n in range(9):\n  open(f'{n}', 'wb').write(bytes(9_000_000))\ntime.sleep(600)",
            "wrote more",
        ),
        ("import time\nwhile True: print('x' * 2_000_000); time.sleep(0.05)", "put out more than 50 MB"),
    ],
    ids=["processes", "disk", "output"],
)
async def test_what_wants_too_much_is_ended_and_told_why(cell: str, words: str, spool: Path, tmp_path: Path) -> None:
    # What it puts out is kept as well, and is not what is meant.
    size = 400_000_000 if "put out" in words else 60_000_000
    executor = local(tmp_path / "kept", bounds=Bounds(bytes=size, processes=60))
    job = job_of(spool, cell, size=Size("s", "S", 1, 2_000_000_000, 0, 60))
    ref = await executor.submit(job)
    state = await over(executor, ref)
    assert state.state == "failed" and words in (state.message or status(job)["error"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a small disk")
async def test_a_full_disk_is_said(executor: LocalExecutor, spool: Path) -> None:
    spool.mkdir()
    os.system(f"mount -t tmpfs -o size=6m tmpfs {spool}")
    try:
        job = job_of(spool, "print('first')", "x = open('big', 'wb')\nwhile True: x.write(bytes(100_000)); x.flush()")
        ref = await executor.submit(job)
        state = await over(executor, ref)
        assert state.state == "failed" and "No space left" in status(job)["error"]
        assert executed(job)[0]["outputs"][0]["text"] == ["first\n"]
    finally:
        os.system(f"umount -l {spool}")


async def test_where_nothing_keeps_jobs_apart_none_are_run(spool: Path, tmp_path: Path) -> None:
    executor = local(tmp_path / "kept", environ={"PATH": str(tmp_path)})
    with pytest.raises(Invalid, match="bubblewrap"):
        await executor.submit(job_of(spool, "x = 1"))
    assert not (tmp_path / "kept").exists()


@pytest.mark.attack
class TestWalls:
    """A notebook in a job is foreign code."""

    async def said(self, executor: Any, spool: Path, cell: str) -> str:
        job = job_of(spool, cell)
        ref = await executor.submit(job)
        assert (await over(executor, ref)).state == "done", status(job)
        return str(await executor.log(ref, most=10_000))

    async def test_it_sees_no_file_but_its_own(self, executor: LocalExecutor, spool: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        (spool / "other").mkdir(parents=True)
        (spool / "other" / "log").write_text("secret")
        ours = [tmp_path, tmp_path / "secret", spool / "other" / "log", Path.home()]
        places = [*map(str, ours), "/etc/shadow"]
        cell = f"""
import os, pathlib
for place in {places}:
    try:
        print(os.listdir(place) if os.path.isdir(place) else pathlib.Path(place).read_text())
    except OSError:
        print("nothing")
print(sorted(os.listdir("/")))
"""
        said = await self.said(executor, spool, cell)
        assert "secret" not in said and "root:" not in said and ".ssh" not in said and "home" not in said

    async def test_it_changes_nothing_of_the_machine(self, executor: LocalExecutor, spool: Path) -> None:
        cell = """
import ctypes, os
for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/etc/passwd", "/usr/bin/x", "/x"):
    try:
        open(path, "w").write("x")
        print("wrote", path)
    except OSError:
        print("no")
libc = ctypes.CDLL(None, use_errno=True)
print("namespace", libc.unshare(0x10000000), "mount", libc.mount(b"x", b"/tmp", b"tmpfs", 0, b""))
print("signal", [pid for pid in os.listdir("/proc") if pid.isdecimal() and int(pid) > 50])
print([line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1].strip("0"), "rights")
"""
        said = await self.said(executor, spool, cell)
        # A kernel that is ended while it answers may say so.
        lines = [line for line in said.splitlines() if not line.startswith("[IPKernelApp]")]
        assert lines == ["no"] * 5 + ["namespace -1 mount -1", "signal []", " rights"]

    async def test_it_knows_no_word_of_ours(self, executor: LocalExecutor, spool: Path) -> None:
        os.environ["VAAS_TEST_SECRET"] = "secret"
        try:
            said = await self.said(executor, spool, "import os; print(dict(os.environ))")
        finally:
            del os.environ["VAAS_TEST_SECRET"]
        assert "secret" not in said and "VAAS_" not in said and "JUPYTERHUB" not in said

    async def test_it_does_not_say_how_it_ended(self, executor: LocalExecutor, spool: Path) -> None:
        lie = """
import json, os, pathlib
os.unlink("../status.json")
pathlib.Path("../status.json").write_text(json.dumps({"state": "done", "error": ""}))
pathlib.Path("../status.json").chmod(0o400)
raise ValueError("x")
"""
        job = job_of(spool, lie)
        ref = await executor.submit(job)
        assert (await over(executor, ref)).state == "failed"

    async def test_links_that_it_leaves_lead_nowhere(
        self, executor: LocalExecutor, spool: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text('{"state": "secret"}')
        cell = f"""
import os
for name in ("log", "status.json"):
    os.unlink("../" + name)
    os.symlink({str(tmp_path / "secret")!r}, "../" + name)
"""
        job = job_of(spool, cell)
        ref = await executor.submit(job)
        await over(executor, ref)
        assert "secret" not in await executor.log(ref, most=1000)
        os.unlink(job.folder / jobs.LOG)
        os.mkfifo(job.folder / jobs.LOG)
        async with asyncio.timeout(5):
            assert await executor.log(ref, most=1000) == ""

    async def test_without_a_network_it_reaches_nothing(self, spool: Path, tmp_path: Path) -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        cell = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
        try:
            assert await self.said(local(tmp_path / "kept", network=False), spool / "a", cell) != "0\n"
            assert await self.said(local(tmp_path / "kept2"), spool / "b", cell) == "0\n"
        finally:
            server.close()

    def test_no_name_of_a_job_leads_elsewhere(self, executor: LocalExecutor) -> None:
        for ref in ("../x", "a/b", "", "é", "x\0"):
            with pytest.raises(NotFound):
                executor._path(ref, ".order")
