"""A folder that the portal, as root, gives to somebody: what they do with it meanwhile reaches nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm import a_person
from vaas import jobs
from vaas.errors import Unavailable
from vaas.executors.base import Job
from vaas.executors.htcondor import HtcondorExecutor, Pool
from vaas.lab.sandbox import uid_of
from vaas.launching import Environment, Size

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(os.geteuid() != 0, reason="who is not root gives nothing away"),
]
MANY = 1_000


def named(folder: Path) -> Path:
    """Make the folder with many files, the same names each time."""
    folder.mkdir(parents=True)
    for number in range(MANY):
        (folder / f"{number}.txt").touch()
    return folder


def exchanged(folder: Path, target: Path) -> threading.Thread:
    """Put a link in the folder's place as soon as the first file in it has another owner: who got that far may."""

    first = next(os.scandir(folder)).path

    def work() -> None:
        while os.lstat(first).st_uid == 0:
            pass
        folder.rename(folder.with_name("away"))
        folder.symlink_to(target)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("give", [lambda folder: jobs.give(folder, 2_000, 2_000), uid_of], ids=["job", "home"])
def test_what_a_link_leads_to_is_not_given(give: Callable[[Path], object], tmp_path: Path) -> None:
    meanwhile = 0
    for number in range(50):
        given = tmp_path / str(number) / "given"
        within, outside = named(given / "notebook"), named(given.with_name("outside"))
        thread = exchanged(within, outside)
        give(given)
        # Else the link came when all was over.
        meanwhile += within.is_symlink()
        thread.join()
        assert {path.stat().st_uid for path in (outside, *outside.iterdir())} == {0}
        assert given.stat().st_uid != 0
        if meanwhile == 3:
            break
    assert meanwhile, "the link was never there in time"


def test_what_was_given_is_not_given_again(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    jobs.give(folder, 2_000, 2_000)
    # As a hard link would be, where the system lets people make them.
    (folder / "later").touch()
    jobs.give(folder, 2_000, 2_000)
    assert (folder / "later").stat().st_uid == 0


async def test_who_makes_a_submission_fail_gets_no_file_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, programs, ours = tmp_path / "runs", tmp_path / "bin", tmp_path / "ours"
    programs.mkdir()
    ours.write_text("the portal's own")
    (spool / "j1").mkdir(parents=True)
    for name, script in {
        "condor_q": "",
        "condor_history": "",
        "condor_submit": f"ln -sf {ours} start.sh\nexit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\ncd {spool}/j1\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with a_person(tmp_path) as person:
        executor = HtcondorExecutor(
            Pool(spool, Path("/usr/bin/python3"), prefix=("env", "WHO={owner}")), tmp_path / "kept"
        )
        job = Job(
            "j1", person, "A run", spool / "j1", Environment("a", "A", "python", ""), Size("s", "S", 1, 1_000_000)
        )
        for _ in range(2):
            with pytest.raises(Unavailable):
                await executor.submit(job)
    assert (spool / "j1" / "start.sh").is_symlink()
    assert ours.read_text() == "the portal's own"
