"""What every database does with launches, runs and schedules: subclass LaunchedContract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.database import NOW, SNAPSHOT
from vaas.db.sql import SqlDatabase
from vaas.launching import Launch, Run, Schedule

LAUNCH = Launch("l1", "ada", "Été", {"app": "sea", "given": {"q": [1]}}, "apps", "small", "here", NOW, NOW)
RUN = Run("r1", "ada", "Run 東京", SNAPSHOT, {"n": 3, "names": ["é"]}, "apps", "small", "here", NOW)
SCHEDULE = Schedule(
    "s1", "ada", "Nightly", "0 3 * * *", SNAPSHOT, {"n": 3}, "apps", "small", "here", NOW, NOW + timedelta(days=9)
)
LATER = NOW + timedelta(seconds=1)


class LaunchedContract:
    """The tests; ``database`` has the newest schema and no rows."""

    @pytest.fixture
    def database(self) -> Iterator[SqlDatabase]:
        raise NotImplementedError

    def test_a_launch_comes_back_as_it_was_saved_and_its_owners_newest_first(self, database: SqlDatabase) -> None:
        newer = replace(LAUNCH, id="l2", created=LATER, state="ready", progress={"percent": 100}, folder="a/b")
        with database.begin() as records:
            for each in (LAUNCH, newer, replace(LAUNCH, id="l3", owner="bob")):
                records.launches.save(each)
                records.launches.save(each)
        with database.begin() as records:
            assert records.launches.of("ada") == [newer, LAUNCH]
            assert records.launches.get("l1") == LAUNCH
            records.launches.remove("l1")
            records.launches.remove("l1")
            assert records.launches.get("l1") is None
            assert records.launches.of("eve") == []

    def test_a_run_comes_back_with_its_files_and_values(self, database: SqlDatabase) -> None:
        done = replace(RUN, id="r2", state="done", started=NOW, ended=LATER, series="x", created=LATER, ref="pid:1")
        with database.begin() as records:
            for each in (RUN, done, replace(RUN, id="r3", owner="bob", state="running")):
                records.runs.save(each)
        with database.begin() as records:
            brief = replace(SNAPSHOT, files=())
            listed = [replace(each, snapshot=brief) for each in (done, RUN)]
            assert records.runs.of("ada") == listed
            assert records.runs.of("ada", series="x") == listed[:1]
            assert records.runs.of("ada", limit=1) == listed[:1]
            assert [each.id for each in records.runs.open()] == ["r1", "r3"]
            assert records.runs.open()[0] == replace(RUN, snapshot=brief, parameters={}, asked={})
            assert records.runs.snapshots() == [SNAPSHOT]
            assert records.runs.get("r2") == done
            records.runs.remove("r2")
            assert records.runs.get("r2") is None

    def test_of_runs_that_are_over_the_oldest_of_a_person_go(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for number in range(5):
                at = NOW + timedelta(seconds=number)
                records.runs.save(replace(RUN, id=f"r{number}", state="done", created=at))
            records.runs.save(replace(RUN, id="r5", owner="bob", state="failed"))
            records.runs.save(replace(RUN, id="r6"))
            records.runs.trim("ada", keep=2)
            records.runs.trim("ada", keep=2)
        with database.begin() as records:
            assert [each.id for each in records.runs.of("ada")] == ["r4", "r3", "r6"]
            assert [each.id for each in records.runs.of("bob")] == ["r5"]

    def test_a_run_moves_on_from_the_state_that_it_is_in_and_from_no_other(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            records.runs.save(replace(RUN, state="cancelled"))
            assert not records.runs.move(replace(RUN, state="running"), before=("queued",))
            assert records.runs.get("r1") == replace(RUN, state="cancelled")
            assert records.runs.move(replace(RUN, state="queued"), before=("cancelled", "failed"))
            assert records.runs.get("r1") == RUN
            assert not records.runs.move(replace(RUN, id="none"), before=("queued",))

    def test_what_ended_is_unseen_until_it_is_marked(self, database: SqlDatabase) -> None:
        done = replace(RUN, id="r2", state="done", ended=NOW)
        seen = replace(done, id="r3", progress={"seen": True})
        with database.begin() as records:
            for each in (RUN, done, seen, replace(done, id="r4", ended=NOW - timedelta(days=9))):
                records.runs.save(each)
            records.runs.save(replace(done, id="r5", owner="bob"))
            assert records.runs.unseen("ada", since=NOW - timedelta(days=1)) == ["r2"]

    def test_a_schedule_is_due_when_its_time_has_come_and_never_without_one(self, database: SqlDatabase) -> None:
        with database.begin() as records:
            for number, due in enumerate((LATER, NOW, None, NOW + timedelta(hours=1))):
                records.schedules.save(replace(SCHEDULE, id=f"s{number}", due=due))
            assert [each.id for each in records.schedules.due(LATER)] == ["s1", "s0"]
            assert records.schedules.get("s1") == replace(SCHEDULE, due=NOW)
            assert len(records.schedules.of("ada")) == 4
            assert records.schedules.ended("ada") == {"s2": dict(SCHEDULE.asked)}
            assert records.schedules.ended("bob") == {}
            records.schedules.remove("s1")
            assert [each.id for each in records.schedules.due(LATER)] == ["s0"]
