"""`vaas index` where no portal runs, where one does, and where it cannot be done; what it shows meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_service import control
from hub_service.application import make_core, make_index
from hub_service.index_command import Progress, slowest
from hub_service.running import hold
from hub_service.settings import Settings
from vaas.catalogs.own import Index
from vaas.db.base import Find, Lease
from vaas.portal import Core, Indexing
from vaas.portal.work import REPORT, SWEEP, WANTED, Work
from vaas.query import parse


@pytest.fixture
def settings(tmp_path: Path, empty_database: bytes, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("VAAS_INDEX", "VAAS_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("run", "secrets"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "portal.sqlite").write_bytes(empty_database)
    return Settings.from_environ({"VAAS_DATA": str(tmp_path / "data")})


@pytest.fixture
def core(settings: Settings) -> Iterator[Core]:
    made = make_core(settings, {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "JUPYTERHUB_API_TOKEN": ""})
    now = made.now()
    with made.database.begin() as records:
        finds = [
            Find("home-ada", f"{number}.csv", "1", "data", {"id": "x", "type": "data", "title": f"Whale {number}"},
                 frozenset({"user:ada"}), now)
            for number in range(120)
        ]  # fmt: skip
        records.finds.save(finds)
    yield made
    made.database.close()  # type: ignore[attr-defined]


def run(settings: Settings, *words: str) -> int:
    return control.main(["index", "--data", str(settings.data), *words])


def whales(index: Index) -> int:
    return index.search(parse("whale"), subjects=["user:ada"]).total


def test_without_a_portal_it_makes_the_index_itself(
    settings: Settings, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(settings) == 0
        assert "The index is new: 120 entries, after " in capsys.readouterr().out
    index = make_index(settings, {})
    assert whales(index) == 120 and index.search(parse("whale"), subjects=["user:bob"]).total == 0
    # A portal that starts afterwards has nothing left to do.
    assert Indexing(core, index).catch_up() == 0
    index.close()


def test_where_nobody_listens_it_does_its_work_and_says_nothing(settings: Settings, core: Core) -> None:
    """As behind “| head”, which has gone."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "hub_service.control", "index", "--data", str(settings.data)]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, "")
    index = make_index(settings, {})
    assert whales(index) == 120
    index.close()


def test_portals_that_run_make_theirs_anew_and_say_how_far_they_are(
    settings: Settings, core: Core, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    indexes = [Index(tmp_path / name, memory=30_000_000) for name in ("one", "two")]
    follow = [Indexing(core, index) for index in indexes]
    for each, index in zip(follow, indexes, strict=True):
        each._catch_up_safely()
        # What is not in the database is in no index that was made anew.
        index.put(remove=["file:home-ada/1.csv"], upto=index.followed)
        assert whales(index) == 119
    over = threading.Event()

    def keep_up(each: Indexing) -> None:
        while not over.wait(0.05):
            each._catch_up_safely()

    threads = [threading.Thread(target=keep_up, args=(each,)) for each in follow]
    for thread in threads:
        thread.start()
    try:
        assert run(settings) == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert "120 entries in each of 2 portal processes" in capsys.readouterr().out
    for index in indexes:
        assert whales(index) == 120
        index.close()


def test_the_slowest_is_shown(core: Core) -> None:
    now = core.now()
    said = ({"epoch": 1, "entries": 7}, {"done": 12_300, "of": 20_000}, {"done": 13_000, "of": 20_000}, {})
    leases = [Lease(f"index:{number}", "x", now, each) for number, each in enumerate(said)]
    assert slowest(leases) == (12_300, 20_000)
    assert slowest(leases[:1]) is None and slowest([]) is None


def test_a_portal_that_died_holds_nobody_up(settings: Settings, core: Core, capsys: pytest.CaptureFixture[str]) -> None:
    Work(core, "index", seconds=0.5).tell(epoch=1, entries=7)
    assert run(settings) == 0
    assert "The index is new: 120 entries, after" in capsys.readouterr().out


def test_an_index_that_another_process_writes_is_said(
    settings: Settings, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    index = make_index(settings, {})
    writer = index._index.writer(15_000_000, 1)
    assert run(settings) == 2
    assert "another process does" in capsys.readouterr().err
    del writer
    index.close()


def test_what_is_missing_is_said(
    settings: Settings, core: Core, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert control.main(["index", "--data", str(tmp_path / "none")]) == 2
    assert "is no data folder of VaaS" in capsys.readouterr().err
    assert run(settings, "--sweep") == 2
    assert "Start it first: vaas up" in capsys.readouterr().err
    monkeypatch.setattr("hub_service.index_command._PATIENCE", 0.3)
    lock = hold(settings.run)
    assert lock and run(settings) == 2
    assert "does not follow its index" in capsys.readouterr().err
    lock.close()


def test_a_sweep_is_asked_for_and_its_report_is_shown(
    settings: Settings, core: Core, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Work(core, SWEEP, alone=True)
    work.tell(done=1, of=3)
    skipped = [
        {"place": "home-ada", "path": "evil\x1b[2J\nname.csv", "why": "It is no table."},
        {"place": "dav-1", "path": "", "why": "“Cloud” does not answer."},
    ]

    def answer() -> None:
        for report in ({"failed": True}, {"places": 3, "seconds": 1.5, "found": 12_300, "looked": 2, "gone": 1}):
            asked: list[Lease] = []
            while not asked:
                time.sleep(0.05)
                with core.database.begin() as records:
                    asked = records.leases.all(WANTED)
            now = core.now()
            with core.database.begin() as records:
                records.leases.give_back(WANTED, asked[0].holder)
                records.leases.take(Lease(REPORT, asked[0].holder, now, {"skipped": skipped, **report}), now=now)

    thread = threading.Thread(target=answer)
    thread.start()
    assert run(settings, "--sweep") == 1
    assert "could not be looked through" in capsys.readouterr().out
    assert run(settings, "--sweep") == 0
    thread.join()
    told = capsys.readouterr().out
    assert "Looked through 3 places in 1.5 s: 12,300 files and folders can be found, 2 of them new" in told
    assert "  dav-1: “Cloud” does not answer.\n" in told
    assert "\x1b" not in told and "  home-ada: evil[2J name.csv: It is no table.\n" in told


def test_elsewhere_each_step_is_a_line_and_not_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(False, every=60.0)
    for done in (1, 2, 3):
        shown.show(done, 3, "places")
    shown.end("Done.")
    assert capsys.readouterr().out == "1 of 3 places …\nDone.\n"


def test_on_a_terminal_one_line_is_written_over_itself(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(True)
    shown.show(1, 12_300)
    shown.end("Done.")
    told = capsys.readouterr().out
    assert told.startswith("\r1 of 12,300 …") and told.endswith("\rDone.\n") and told.count("\n") == 1
