"""What every executor does with jobs: subclass ExecutorContract, and give it the fixtures ``executor`` and ``spool``.

Jobs are folders as the portal makes them, with notebooks that are run by real kernels.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import code, notebook
from tests.run_parts import SMALL, environment
from vaas import jobs
from vaas.executors.base import Executor, Job, JobState
from vaas.launching import Size
from vaas.portal.run_folders import kernel_of

__all__ = ["ExecutorContract", "job_of", "over", "until"]

SECONDS = 60.0
#: Starts a process that goes on by itself and writes until somebody ends it.
ENDLESS = """
import subprocess, sys, time
beat = "import time, pathlib\\nwhile True: pathlib.Path('beat').write_text(str(time.time())); time.sleep(0.05)"
subprocess.Popen([sys.executable, "-c", beat], start_new_session=True)
print("begun", flush=True)
time.sleep(600)
"""


def job_of(
    folder: Path,
    *cells: Any,
    id: str = "j1",
    size: Size = SMALL,
    values: Mapping[str, Any] | None = None,
    language: str = "python",
) -> Job:
    """Return a job of a notebook with these cells, in a folder of its own."""
    place = folder / id
    (place / jobs.FILES).mkdir(parents=True)
    (place / jobs.DATA).mkdir()
    (place / jobs.FILES / "a b.ipynb").write_bytes(notebook(*cells, language=language))
    (place / jobs.FILES / "beside.txt").write_text("beside")
    said = {"notebook": "a b.ipynb", "parameters": dict(values or {}), "things": {}, "title": "Tides & <co>"}
    jobs.write_json(place / jobs.JOB, {**said, "kernel": kernel_of(environment())})
    return Job(id, "ada", "Tides", place, environment(), size)


async def until(true: Callable[[], object], *, seconds: float = SECONDS) -> None:
    """Return when it is so."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)


async def over(executor: Executor, ref: str, *, seconds: float = SECONDS) -> JobState:
    """Return how the job is doing when it is over."""
    async with asyncio.timeout(seconds):
        while (state := await executor.poll(ref)).state in {"queued", "running"}:
            await asyncio.sleep(0.05)
    return state


def status(job: Job) -> dict[str, Any]:
    """Return what the job says of itself."""
    return jobs.read_json(job.folder / jobs.STATUS)


def executed(job: Job) -> list[Any]:
    """Return the cells of the executed notebook."""
    cells: list[Any] = json.loads((job.folder / jobs.OUT / jobs.EXECUTED).read_text())["cells"]
    return cells


@pytest.mark.app
class ExecutorContract:
    """The tests."""

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Executor:
        raise NotImplementedError

    @pytest.fixture
    def later(self, tmp_path: Path) -> Executor:
        """Another executor of the same place, as after a restart of the portal."""
        raise NotImplementedError

    @pytest.fixture
    def spool(self, tmp_path: Path) -> Path:
        """Where folders of jobs are."""
        raise NotImplementedError

    async def test_a_job_runs_with_its_values_and_its_files(self, executor: Executor, spool: Path) -> None:
        cells = ["print(name, open('beside.txt').read())", "open('made.txt', 'w').write('made')"]
        job = job_of(spool, code("name = 'x'", tags=["parameters"]), *cells, values={"name": "ü\"'\n{x}"})
        ref = await executor.submit(job)
        assert (await over(executor, ref)).state == "done"
        said = await executor.log(ref, most=1000)
        assert said.endswith("ü\"'\n{x} beside\n"), said
        assert (job.folder / jobs.FILES / "made.txt").read_text() == "made"
        assert (status(job)["state"], status(job)["cell"], status(job)["of"]) == ("done", 3, 3)
        assert executed(job)[2]["outputs"][0]["text"] == ["ü\"'\n", "{x} beside\n"]
        assert "Tides &amp; &lt;co&gt;" in (job.folder / jobs.OUT / jobs.RESULT).read_text()
        await executor.forget(ref)
        await executor.forget(ref)

    async def test_the_same_job_runs_once(self, executor: Executor, spool: Path) -> None:
        job = job_of(spool, "open('count', 'a').write('x')", "import time; time.sleep(0.3)")
        refs = [await executor.submit(job), await executor.submit(job)]
        assert refs[0] == refs[1] and (await over(executor, refs[0])).state == "done"
        assert await executor.submit(job) == refs[0]
        assert (await executor.poll(refs[0])).state == "done"
        assert (job.folder / jobs.FILES / "count").read_text() == "x"
        await executor.forget(refs[0])

    async def test_what_was_executed_until_a_cell_failed_is_kept(self, executor: Executor, spool: Path) -> None:
        job = job_of(spool, "print('before')", "1 / 0", "print('after')")
        ref = await executor.submit(job)
        state = await over(executor, ref)
        assert state.state == "failed"
        assert status(job)["error"] == "Cell 2 failed: ZeroDivisionError: division by zero"
        assert [len(cell["outputs"]) for cell in executed(job)] == [1, 1, 0]
        page = (job.folder / jobs.OUT / jobs.RESULT).read_text()
        assert "It did not come to its end.</strong> Cell 2" in page and "before" in page and "after" not in page
        await executor.forget(ref)

    async def test_who_cancels_ends_all_that_it_started(self, executor: Executor, spool: Path) -> None:
        job = job_of(spool, "print('first')", ENDLESS)
        ref = await executor.submit(job)
        beat = job.folder / jobs.FILES / "beat"
        await until(lambda: beat.exists() and "begun" in (job.folder / jobs.LOG).read_text())
        # While it runs one sees where it is, and what it wrote.
        assert (await executor.poll(ref)).state == "running"
        assert (status(job)["cell"], status(job)["of"]) == (2, 2)
        assert "first" in await executor.log(ref, most=1000)
        await executor.cancel(ref)
        assert (await over(executor, ref)).state == "cancelled"
        last = beat.read_text()
        await asyncio.sleep(0.3)
        assert beat.read_text() == last
        assert executed(job)[0]["outputs"][0]["text"] == ["first\n"]
        await executor.cancel(ref)
        await executor.forget(ref)

    async def test_who_comes_later_finds_the_job_with_its_log_and_ends_it(
        self, executor: Executor, later: Executor, spool: Path
    ) -> None:
        done = job_of(spool, "print('begun')", "import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)")
        endless = job_of(spool, ENDLESS, id="j2")
        refs = [await executor.submit(job) for job in (done, endless)]
        async with asyncio.timeout(SECONDS):
            for ref in refs:
                while "begun" not in await later.log(ref, most=1000):
                    await asyncio.sleep(0.05)
        assert [(await later.poll(ref)).state for ref in refs] == ["running", "running"]
        assert await later.submit(done) == refs[0]
        (done.folder / jobs.FILES / "go").touch()
        await later.cancel(refs[1])
        assert [(await over(later, ref)).state for ref in refs] == ["done", "cancelled"]
        for ref in refs:
            await later.forget(ref)

    async def test_its_time_has_an_end(self, executor: Executor, spool: Path) -> None:
        job = job_of(spool, "import time; time.sleep(600)", size=Size("short", "Short", 1, SMALL.memory, 0, 3))
        ref = await executor.submit(job)
        state = await over(executor, ref)
        assert state.state == "failed" and "longer than" in state.message
        await executor.forget(ref)

    async def test_who_is_asked_for_a_sign_of_life_gives_one(self, executor: Executor) -> None:
        await executor.ensure_asked()
        assert not executor.silent

    async def test_what_nobody_knows_is_lost_and_harms_nothing(self, executor: Executor) -> None:
        assert (await executor.poll("nothing")).state == "lost"
        assert await executor.log("nothing", most=10) == ""
        await executor.cancel("nothing")
        await executor.forget("nothing")
