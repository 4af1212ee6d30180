"""Schedules: runs that begin by themselves, at times that cron writes down, until a date that has to be said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vaas.db.base import Records
from vaas.errors import Conflict, Invalid, NotFound, Unavailable, VaasError
from vaas.launching import Run, Schedule
from vaas.model import User
from vaas.portal.core import Core
from vaas.portal.run_queue import choose
from vaas.portal.run_sources import Sources

__all__ = ["NextTime", "Schedules", "asked_for", "mark_seen", "unseen"]

_log = logging.getLogger("vaas")
#: Returns the first time after a moment in a time zone, None when there is none any more; raises Invalid for what is no
#: times or no zone.
NextTime = Callable[[str, datetime, str], datetime | None]
#: So many times in a row are looked at for whether they are too near to each other.
_LOOKED_AT = 20
_LONGEST = 200
#: What is noted of a schedule and not of its runs.
_NOTED = frozenset({"ended", "ended_at", "left_out", "seen"})


class Schedules:
    """The schedules of each person; ``tell`` hears of each that something has ended, and of what."""

    def __init__(
        self, core: Core, sources: Sources, next_time: NextTime, tell: Callable[[Schedule, str], None]
    ) -> None:
        self._core, self._sources, self._next, self._tell = core, sources, next_time, tell

    def times(self, schedule: Schedule, *, most: int = 3) -> list[datetime]:
        """Return its next times; none when it has ended."""
        found, following = list[datetime](), schedule.due
        while following and following <= schedule.until and len(found) < most:
            found.append(following)
            try:
                following = self._next(schedule.cron, following, schedule.zone)
            except Invalid:  # as of a zone that there is no more, which ends it when it is due
                break
        return found

    def add(self, run: Run, *, cron: str, until: datetime, zone: str) -> Schedule:
        """Keep a schedule for runs like this one.

        Raises Invalid for "cron", "zone" and "until", Conflict for too many.
        """
        now, cron = self._core.now(), " ".join(cron.split())
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        most = self._core.limits.schedule_days
        if not now < until <= now + timedelta(days=most + 1):
            raise Invalid(f"Say until when: at most {most} days from now.", field="until")
        due = self._first(cron, now, zone)
        if due > until:
            raise Invalid("None of these times comes before its end.", field="until")
        made = Schedule(
            id=self._core.new_id(),
            owner=run.owner,
            title=run.title,
            cron=cron,
            snapshot=run.snapshot,
            parameters=run.parameters,
            environment=run.environment,
            size=run.size,
            facility=run.facility,
            created=now,
            until=until,
            asked=run.asked,
            due=due,
            zone=zone,
        )
        with self._core.database.begin() as records:
            mine = [each for each in records.schedules.of(run.owner) if each.due]
            if len(mine) >= self._core.limits.schedules_each:
                raise Conflict(f"You have {len(mine)} schedules, as many as one may have. Delete one of them first.")
            records.schedules.save(made)
        return made

    def of(self, user: User) -> list[Schedule]:
        """Return the person's, the newest first."""
        with self._core.database.begin() as records:
            return records.schedules.of(user.name)

    def remove(self, user: User, schedule_id: str) -> None:
        """Take it away. Raises NotFound, for other people's too."""
        with self._core.database.begin() as records:
            found = records.schedules.get(schedule_id)
            if found is None or found.owner != user.name:
                raise NotFound("There is no such schedule.")
            records.schedules.remove(schedule_id)

    async def step(self) -> None:
        """Begin what is due: once, however many of its times were missed."""
        with self._core.database.begin() as records:
            due = records.schedules.due(self._core.now())
        for schedule in due:
            try:
                await self._begin(schedule)
            except Unavailable as error:
                _log.warning("Schedule %s waits: %s", schedule.id, error.log_message)

    async def _begin(self, schedule: Schedule) -> None:
        now = self._core.now()
        user = await self._core.directory.user(schedule.owner)
        run = _run(schedule, self._core.new_id(), now)
        try:
            if user is None:
                raise NotFound(f"There is no “{schedule.owner}” here any more.")
            if now > schedule.until:
                raise NotFound("Its time was over.")
            self._sources.may_still(user, schedule.asked)
            choose(self._core, user, run)
            following = self._next(schedule.cron, now, schedule.zone)
        except Unavailable:
            raise
        except VaasError as error:
            self._end(schedule, error.message)
            return
        goes_on = following is not None and following <= schedule.until
        asked = {name: value for name, value in schedule.asked.items() if name != "left_out"}
        # Its end is what its person said, and no news.
        asked |= {} if goes_on else {"ended": "It has come to its end."}
        moved = replace(schedule, due=following if goes_on else None, asked=asked)
        with self._core.database.begin() as records:
            current = records.schedules.get(schedule.id)
            if current is None or current.due != schedule.due:
                return  # somebody else was here, or took it away
            # Its last run may have been given a lock meanwhile.
            records.schedules.save(replace(moved, snapshot=current.snapshot))
            waiting = [each for each in records.runs.open() if each.owner == schedule.owner]
            before = any(each.schedule == schedule.id for each in waiting)
            if before or len(waiting) >= self._core.limits.runs_queued:
                why = "the run before had not ended" if before else "too many runs were waiting"
                _log.info("Schedule %s is left out once: %s.", schedule.id, why)
                out = {"left_out": {"at": (schedule.due or now).isoformat(), "why": why}}
                records.schedules.save(replace(moved, snapshot=current.snapshot, asked={**asked, **out}))
                return
            records.runs.save(run)
            records.runs.trim(run.owner, keep=self._core.limits.runs_kept)

    def _end(self, schedule: Schedule, why: str) -> None:
        _log.info("Schedule %s of %s ends: %s", schedule.id, schedule.owner, why)
        with self._core.database.begin() as records:
            known = records.schedules.get(schedule.id) is not None
            if known:
                asked = {**schedule.asked, "ended": why, "ended_at": self._core.now().isoformat()}
                records.schedules.save(replace(schedule, due=None, asked=asked))
        if known:
            self._tell(schedule, why)

    def _first(self, cron: str, now: datetime, zone: str) -> datetime:
        """Return the first time. Raises Invalid for what is none, or comes too often."""
        if not cron or len(cron) > _LONGEST:
            raise Invalid("Write five fields: minute, hour, day, month, weekday, such as “0 6 * * 1”.", field="cron")
        times, least = list[datetime](), self._core.limits.schedule_every
        while len(times) < _LOOKED_AT and (following := self._next(cron, times[-1] if times else now, zone)):
            if times and (following - times[-1]).total_seconds() < least:
                raise Invalid(
                    f"It would run too often: {least // 60} minutes have to be between two times.", field="cron"
                )
            times.append(following)
        if not times:
            raise Invalid("There is no such time.", field="cron")
        return times[0]


def unseen(records: Records, name: str, *, since: datetime) -> list[str]:
    """Return the ids of the person's that something has ended since, and that they have not looked at."""
    found = records.schedules.ended(name)
    return [id for id, asked in found.items() if not asked.get("seen") and _at(asked.get("ended_at")) >= since]


def mark_seen(records: Records, name: str, *, since: datetime) -> None:
    """Take note that the person has looked at them."""
    for id in unseen(records, name, since=since):
        if found := records.schedules.get(id):
            records.schedules.save(replace(found, asked={**found.asked, "seen": True}))


def asked_for(schedule: Schedule) -> dict[str, Any]:
    """Return what was asked for, without what was noted of it since."""
    return {name: value for name, value in schedule.asked.items() if name not in _NOTED}


def _at(said: object) -> datetime:
    """Return the moment that was noted; that of before it was noted is long ago."""
    return datetime.fromisoformat(said) if isinstance(said, str) else datetime.min.replace(tzinfo=UTC)


def _run(schedule: Schedule, id: str, now: datetime) -> Run:
    return Run(
        id=id,
        owner=schedule.owner,
        title=schedule.title,
        snapshot=schedule.snapshot,
        parameters=schedule.parameters,
        environment=schedule.environment,
        size=schedule.size,
        facility=schedule.facility,
        created=now,
        asked=asked_for(schedule),
        schedule=schedule.id,
    )
