"""Schedules: what is due begins once, and what may not begin any more ends with a word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hub_service.handlers.runs import left_out, local
from hub_service.recurring import words_of
from hub_service.run_form import until as last_day
from hub_service.run_json import schedule_json
from hub_service.timetable import next_time, site_zone
from tests.notebooks import markdown, notebook
from tests.portal_parts import ADA, BOB, World
from tests.run_parts import runs_of
from vaas.errors import Conflict, Invalid
from vaas.launching import Schedule
from vaas.model import Access, Snapshot, Visitor
from vaas.portal import Running

ME = Visitor(ADA)
PLAIN = {"store": "home", "path": "plain.ipynb"}
HOURLY = "0 * * * *"


@pytest.fixture
def running(world: World, tmp_path: Path) -> Running:
    world.put(ADA, "plain.ipynb", notebook(markdown("# Plain"), "x = 1"))
    return runs_of(world, tmp_path)


async def scheduled(world: World, running: Running, *, days: float = 3, cron: str = HOURLY) -> Schedule:
    return await running.schedule(ME, PLAIN, cron=cron, until=world.clock.time + timedelta(days=days))


def ended(running: Running) -> str:
    (schedule,) = running.schedules(ME)
    assert schedule.due is None
    return str(schedule.asked["ended"])


def over(world: World) -> None:
    """Let all runs be over."""
    with world.core.database.begin() as records:
        for seen in records.runs.open():
            run = records.runs.get(seen.id)
            assert run is not None
            records.runs.save(replace(run, state="done"))


async def test_what_is_due_begins_and_the_next_time_is_set(world: World, running: Running) -> None:
    schedule = await scheduled(world, running)
    assert schedule.due == datetime(2026, 3, 1, 13, tzinfo=UTC)
    await running._schedules.step()
    assert running.runs(ME) == []
    world.clock.forward(hours=1)
    await running._schedules.step()
    await running._schedules.step()
    (run,) = running.runs(ME)
    assert (run.schedule, run.title, run.asked) == (schedule.id, "Plain", PLAIN)
    assert running.schedules(ME)[0].due == datetime(2026, 3, 1, 14, tzinfo=UTC)


async def test_times_that_were_missed_are_made_up_for_once(world: World, running: Running) -> None:
    await scheduled(world, running)
    world.clock.forward(hours=30)
    for _ in range(3):
        await running._schedules.step()
    assert len(running.runs(ME)) == 1
    assert running.schedules(ME)[0].due == datetime(2026, 3, 2, 19, tzinfo=UTC)


async def test_while_the_one_before_is_not_over_none_begins(world: World, running: Running) -> None:
    await scheduled(world, running)
    for _ in range(3):
        world.clock.forward(hours=1)
        await running._schedules.step()
    assert len(running.runs(ME)) == 1
    out = left_out(running.schedules(ME)[0])
    assert out == (datetime(2026, 3, 1, 15, tzinfo=UTC), "the run before had not ended")
    told = schedule_json(running.schedules(ME)[0], [])
    assert told["left_out"] == {"at": "2026-03-01T15:00:00+00:00", "why": out[1]} and told["asked"] == PLAIN
    over(world)
    world.clock.forward(hours=1)
    await running._schedules.step()
    assert len(running.runs(ME)) == 2 and left_out(running.schedules(ME)[0]) is None
    assert {tuple(run.asked) for run in running.runs(ME)} == {tuple(PLAIN)}


async def test_it_ends_when_it_was_said(world: World, running: Running) -> None:
    await scheduled(world, running, days=0.1)
    world.clock.forward(hours=2)
    await running._schedules.step()
    assert len(running.runs(ME)) == 1 and "come to its end" in ended(running)
    assert running.news(ME) == 0, "it is no news"
    over(world)
    world.clock.forward(days=30)
    await running._schedules.step()
    assert len(running.runs(ME)) == 1


async def test_who_is_gone_or_may_not_any_more_runs_nothing(world: World, running: Running) -> None:
    app = await world.published(ADA, "x = 1", slug="waves")
    await world.portal.sharing.grant(ME, app.slug, subject="user:bob", access=Access.READ)
    bob = Visitor(BOB)
    await running.schedule(bob, {"app": "waves"}, cron=HOURLY, until=world.clock.time + timedelta(days=3))
    await scheduled(world, running)
    world.portal.sharing.revoke(ME, app.slug, subject="user:bob")
    world.clock.forward(hours=1)
    world.people.down = True
    await running._schedules.step()
    assert running.schedules(ME)[0].due, "the Hub may answer later"
    world.people.down = False
    del world.people.known["ada"]
    await running._schedules.step()
    assert "no “ada” here" in ended(running)
    (kept,) = running.schedules(bob)
    assert kept.due is None and "not shared with you" in kept.asked["ended"]
    assert running.runs(ME) == [] and running.runs(bob) == []


async def test_what_is_not_offered_any_more_ends_it(world: World, running: Running) -> None:
    await scheduled(world, running)
    world.core.offering = replace(world.core.offering, environments=())
    world.clock.forward(hours=1)
    await running._schedules.step()
    assert "environment" in ended(running) and running.runs(ME) == []


async def test_one_that_ends_by_itself_is_news_and_tells_who_is_told_of_its_runs(world: World, tmp_path: Path) -> None:
    sent: list[tuple[str, str, str]] = []

    class Box:
        def takes(self, address: str) -> bool:
            return True

        async def send(self, address: str, subject: str, text: str) -> None:
            sent.append((address, subject, text))

    world.put(ADA, "plain.ipynb", notebook(markdown("# Plain"), "x = 1"))
    running = runs_of(world, tmp_path, post=Box())
    until = world.clock.time + timedelta(days=3)
    await running.schedule(ME, PLAIN, cron=HOURLY, until=until, email="ada@example.org")
    world.core.offering = replace(world.core.offering, environments=())
    world.clock.forward(hours=1)
    for _ in range(2):
        await running._schedules.step()
    await world.settle()
    ((address, subject, text),) = sent
    assert (address, subject) == ("ada@example.org", "The schedule of “Plain” has ended.")
    assert ended(running) in text and "runs/#schedules" in text
    assert (running.news(ME), running.news(Visitor(BOB))) == (1, 0)
    world.clock.forward(days=20)
    assert running.news(ME) == 0, "news of long ago is none"
    world.clock.forward(days=-20)
    running.seen(ME)
    assert running.news(ME) == 0 and "environment" in ended(running)


async def test_what_ended_before_it_was_noted_when_is_no_news(world: World, running: Running) -> None:
    schedule = await scheduled(world, running)
    with world.core.database.begin() as records:
        records.schedules.save(replace(schedule, due=None, asked={**schedule.asked, "ended": "It is gone."}))
    assert running.news(ME) == 0 and ended(running) == "It is gone."


@pytest.mark.parametrize(
    ("cron", "days", "field"),
    [
        *(("", 3, "cron"), ("often", 3, "cron"), ("* * * *", 3, "cron"), ("61 * * * *", 3, "cron")),
        *(("* * * * *", 3, "cron"), ("*/2 * * * *", 3, "cron"), ("0 0 30 2 *", 3, "cron"), ("1 " * 200, 3, "cron")),
        *(("0,1 6 * * *", 3, "cron"), (HOURLY, -1, "until"), (HOURLY, 0, "until"), (HOURLY, 400, "until")),
        *(("0 6 1 1 *", 3, "until"), ("0 6 * * *\n* * * * *", 3, "cron")),
    ],
)
async def test_what_cannot_be_is_refused_at_its_field(
    world: World, running: Running, cron: str, days: float, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await scheduled(world, running, days=days, cron=cron)
    assert refused.value.field == field and running.schedules(ME) == []


def test_a_line_of_five_fields_hears_which_of_them_cannot_be() -> None:
    for cron, said in (("61 * * * *", "minute"), ("0 0 31 2 *", "day"), ("0 6 * * 9", "weekday")):
        with pytest.raises(Invalid, match=f"There is no such {said}\\."):
            next_time(cron, datetime(2026, 7, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="^Write five fields"):
        next_time("0 6 * *", datetime(2026, 7, 1, tzinfo=UTC))


async def test_one_has_so_many_and_takes_them_away(world: World, running: Running) -> None:
    world.limit(schedules_each=1)
    schedule = await scheduled(world, running)
    with pytest.raises(Conflict):
        await scheduled(world, running)
    running.unschedule(ME, schedule.id)
    await scheduled(world, running)


def test_times_are_in_utc() -> None:
    summer = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
    berlin = datetime.fromisoformat("2026-07-01T10:00:00+02:00")
    for after in (summer, berlin):
        assert next_time("30 8 * * *", after) == datetime(2026, 7, 1, 8, 30, tzinfo=UTC)
    assert next_time("0 8 * * *", summer) == datetime(2026, 7, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "cron", "after", "expected"),
    [
        # Clocks go from 2 to 3: what does not exist is at once after, and once.
        ("Europe/Paris", "30 2 * * *", "2027-03-28T00:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
        ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T04:00", ["2018-11-04T03:00", "2018-11-05T02:00"]),
        # They go from 3 to 2: of what exists twice it is the first, and once.
        ("Europe/Paris", "30 2 * * *", "2027-10-30T12:00", ["2027-10-31T00:30", "2027-11-01T01:30"]),
        ("Europe/Paris", "30 2 * * *", "2027-10-31T01:10", ["2027-11-01T01:30"]),
        # What is every hour is every hour.
        ("Europe/Paris", "15 * * * *", "2027-10-30T23:20", ["2027-10-31T00:15", "2027-10-31T01:15"]),
        ("Europe/Paris", "30 * * * *", "2027-10-31T01:10", ["2027-10-31T01:30", "2027-10-31T02:30"]),
        ("Asia/Kolkata", "0 6 * * *", "2027-01-01T00:00", ["2027-01-01T00:30"]),
        ("UTC", "30 2 * * *", "2027-03-28T00:00", ["2027-03-28T02:30"]),
    ],
)
def test_times_go_with_the_clocks_of_their_zone(zone: str, cron: str, after: str, expected: list[str]) -> None:
    found: datetime | None = datetime.fromisoformat(after).replace(tzinfo=UTC)
    for each in expected:
        assert found is not None
        found = next_time(cron, found, zone)
        assert found == datetime.fromisoformat(each).replace(tzinfo=UTC) and found.tzinfo is UTC


@pytest.mark.parametrize("zone", ["Mars/Base", "europe/paris", "../../etc/passwd", "/etc/localtime", "", "a" * 300])
def test_what_is_no_zone_is_said(zone: str) -> None:
    with pytest.raises(Invalid) as caught:
        next_time("0 6 * * *", datetime(2027, 1, 1, tzinfo=UTC), zone)
    assert caught.value.field == "zone"


def test_a_site_suggests_a_zone_that_there_is() -> None:
    assert site_zone({}) == "UTC" and site_zone({"VAAS_TIME_ZONE": "Europe/Paris"}) == "Europe/Paris"
    with pytest.raises(Invalid, match="VAAS_TIME_ZONE"):
        site_zone({"VAAS_TIME_ZONE": "Paris"})


async def test_a_schedule_keeps_its_zone_and_says_its_next_times(world: World, running: Running) -> None:
    """The clock of these tests is at noon in UTC on 1 March 2026; Paris changes its clocks on 29 March."""
    until = world.clock.time + timedelta(days=40)
    made = await running.schedule(ME, PLAIN, cron="0 6 28-30 * *", until=until, zone="Europe/Paris")
    (kept,) = running.schedules(ME)
    assert kept.zone == made.zone == "Europe/Paris"
    hours = [(each.day, each.hour) for each in running.times(kept)]
    assert hours == [(28, 5), (29, 4), (30, 4)]
    world.clock.time = datetime(2026, 3, 28, 5, 0, 1, tzinfo=UTC)
    await running._schedules.step()
    (moved,) = running.schedules(ME)
    assert moved.due == datetime(2026, 3, 29, 4, tzinfo=UTC)
    with pytest.raises(Invalid) as caught:
        await running.schedule(ME, PLAIN, cron=HOURLY, until=until, zone="Mars/Base")
    assert caught.value.field == "zone"


async def test_without_a_zone_it_is_the_sites(world: World, running: Running) -> None:
    running.zone = "Asia/Kolkata"
    made = await scheduled(world, running, cron="0 6 * * *")
    assert (made.zone, made.due) == ("Asia/Kolkata", datetime(2026, 3, 2, 0, 30, tzinfo=UTC))


def test_rest_and_words_say_the_zone() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    snapshot = Snapshot("f" * 64, "a.ipynb", ())
    schedule = Schedule("s", "ada", "S", "0 6 * * *", snapshot, {}, "e", "s", "f", now, now, zone="Europe/Paris")
    told = schedule_json(schedule, [datetime(2026, 3, 29, 4, tzinfo=UTC)])
    assert (told["zone"], told["next"]) == ("Europe/Paris", ["2026-03-29T06:00:00+02:00"])
    assert told["when"] == "every day at 06:00 (Europe/Paris)" and words_of("0 6 * * *") == "every day at 06:00 UTC"
    assert words_of("1 2 3 4 5", "Europe/Paris") == "by the cron line 1 2 3 4 5 (Europe/Paris)"
    assert last_day("2026-03-29", "Europe/Paris") == datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC)


def test_a_page_shows_moments_as_the_clocks_of_the_zone_do() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    late = datetime(2027, 2, 27, 4, 59, 59, tzinfo=UTC)
    snapshot = Snapshot("f" * 64, "a.ipynb", ())
    schedule = Schedule("s", "ada", "S", "0 6 * * *", snapshot, {}, "e", "s", "f", now, late, zone="America/New_York")
    assert [each.day for each in local(schedule, [late])] == [26]
    assert [each.day for each in local(replace(schedule, zone="Gone/Away"), [late])] == [27]
