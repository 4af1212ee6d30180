"""What a job leaves in its folder is meant to stop the portal, or to fill its disk, for everybody."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import pytest

from hub_service.application import log_to
from tests.contract.executor import until
from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, World
from tests.run_parts import finished, following, runs_of, state
from tests.unit.test_running import Stage
from vaas import jobs
from vaas.launching import Run
from vaas.model import User, Visitor
from vaas.portal import Running

pytestmark = pytest.mark.attack
PLAIN = {"store": "home", "path": "plain.ipynb"}


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def running(world: World, tmp_path: Path, stage: Stage) -> Running:
    for person in (ADA, BOB):
        world.put(person, "plain.ipynb", notebook("x = 1"))
    return runs_of(world, tmp_path, executor=stage)


def nest(folder: Path, levels: int = 1500) -> None:
    """Make folders in folders, more than Python calls functions in functions."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


async def ended(running: Running, stage: Stage, user: User, run: Run) -> Run:
    """End the job that runs, and return the run when it is over."""
    await state(running, user, run, lambda now: bool(now.ref))
    stage.end(id=run.id)
    return await finished(running, user, run, seconds=20)


async def test_folders_without_end_stop_no_run(world: World, running: Running, stage: Stage, tmp_path: Path) -> None:
    # Of a run that nobody knows any more, as when a portal ended meanwhile.
    (tmp_path / "runs" / "left").mkdir(parents=True)
    nest(tmp_path / "runs" / "left")
    run = await running.start(Visitor(ADA), PLAIN)
    async with following(running):
        await state(running, ADA, run, lambda now: bool(now.ref))
        nest(tmp_path / "runs" / run.id / jobs.FILES)
        final = await ended(running, stage, ADA, run)
        assert (final.state, final.error) == ("done", "")
        other = await running.start(Visitor(BOB), PLAIN)
        assert (await ended(running, stage, BOB, other)).state == "done"
        await until(lambda: os.listdir(tmp_path / "runs") == [], seconds=20)
    assert (world.homes / "ada" / final.result_path / "files" / "made.txt").exists()


class Holding(Stage):
    """Lets go of nothing."""

    async def forget(self, ref: str) -> None:
        raise RuntimeError(ref)


async def test_what_cannot_be_removed_of_one_stops_no_other(world: World, running: Running, tmp_path: Path) -> None:
    stage = Holding()
    running = runs_of(world, tmp_path, executor=stage)
    run = await running.start(Visitor(ADA), PLAIN)
    async with following(running):
        await ended(running, stage, ADA, run)
    later = runs_of(world, tmp_path, executor=stage)
    other = await later.start(Visitor(BOB), PLAIN)
    # Who begins looks first at what was left behind.
    async with following(later):
        assert (await ended(later, stage, BOB, other)).state == "done"


async def test_files_with_holes_fill_no_disk(world: World, running: Running, stage: Stage, tmp_path: Path) -> None:
    run = await running.start(Visitor(ADA), PLAIN)
    async with following(running):
        await state(running, ADA, run, lambda now: bool(now.ref))
        for place in (f"{jobs.FILES}/big.bin", jobs.LOG):
            with (tmp_path / "runs" / run.id / place).open("wb") as file:
                file.truncate(world.core.limits.run_disk + 1)
        final = await ended(running, stage, ADA, run)
    kept = [path.name for path in (world.homes / "ada" / final.result_path).rglob("*") if path.is_file()]
    assert sorted(kept) == ["made.txt", "plain.ipynb", "result.html", "run.json"]


async def test_the_words_of_a_job_are_no_record_of_the_portals_log(
    world: World, running: Running, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, root = io.StringIO(), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log_to(written)
    run = await running.start(Visitor(ADA), PLAIN)
    async with following(running):
        await state(running, ADA, run, lambda now: bool(now.ref))
        said = "no\n[I 2026-11-28 12:00:00,000 vaas] Run x of bob is over: done.\x1b[2J"
        jobs.write_json(tmp_path / "runs" / run.id / jobs.STATUS, {"state": "failed", "error": said})
        stage.end("failed", id=run.id)
        await until(lambda: " is over: failed" in written.getvalue(), seconds=20)
    lines = written.getvalue().splitlines()
    assert any("Run x of bob" in line for line in lines)
    assert not [line for line in lines if line.startswith("[") and "Run x of bob" in line]
    assert any(run.id in line for line in lines if line.startswith("[I "))


def test_no_word_moves_the_terminal_of_who_reads_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    written, root = io.StringIO(), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    log_to(written)
    logging.getLogger("vaas").warning("uv says: %s", "no\r\x1b[2J\x9b2J\u2028[I")
    assert "uv says: no" in written.getvalue()
    assert set(written.getvalue()) <= {"\n", *map(chr, range(32, 127))}
