"""Launches, runs and schedules, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from vaas.db import launched, schema
from vaas.db.rows import SqlRows
from vaas.launching import ENDED, RUN_STATES, Launch, Run, Schedule
from vaas.model import File, Snapshot

__all__ = ["Launches", "Runs", "Schedules"]

_OPEN = tuple(state for state in RUN_STATES if state not in ENDED)


class Launches(SqlRows, launched.Launches):
    """Full servers that people asked for."""

    def get(self, launch_id: str) -> Launch | None:
        """Return the launch, or None."""
        t = schema.launches
        found = self._rows(sa.select(t).where(t.c.id == launch_id))
        return Launch(**found[0]) if found else None

    def of(self, owner: str) -> list[Launch]:
        """Return the person's, the newest first."""
        t = schema.launches
        rows = self._rows(sa.select(t).where(t.c.owner == owner).order_by(t.c.created.desc(), t.c.id))
        return [Launch(**row) for row in rows]

    def save(self, launch: Launch) -> None:
        """Add or replace it."""
        self._put(schema.launches, asdict(launch))

    def remove(self, launch_id: str) -> None:
        """Remove it; no-op when there is none."""
        self._c.execute(sa.delete(schema.launches).where(schema.launches.c.id == launch_id))


class Runs(SqlRows, launched.Runs):
    """Notebooks that are run once."""

    def get(self, run_id: str) -> Run | None:
        """Return the run, or None."""
        t = schema.runs
        found = self._rows(sa.select(t).where(t.c.id == run_id))
        return Run(**_loaded(found[0])) if found else None

    def of(self, owner: str, *, series: str = "", limit: int = 200) -> list[Run]:
        """Return the person's, the newest first; all of one series, and it alone, when it is named."""
        t = schema.runs
        wanted = sa.select(t).where(t.c.owner == owner).order_by(t.c.created.desc(), t.c.id)
        wanted = wanted.where(t.c.series == series) if series else wanted.limit(limit)
        return [Run(**_loaded(row)) for row in self._rows(wanted)]

    def open(self) -> list[Run]:
        """Return all that are queued or running, the oldest first."""
        t = schema.runs
        rows = self._rows(sa.select(t).where(t.c.state.in_(_OPEN)).order_by(t.c.created, t.c.id))
        return [Run(**_loaded(row)) for row in rows]

    def unseen(self, owner: str, *, since: datetime) -> list[str]:
        """Return the ids of the person's that ended since and are not marked as "seen" in their progress."""
        t = schema.runs
        ended = sa.and_(t.c.owner == owner, t.c.state.in_(tuple(ENDED)), t.c.ended >= since)
        rows = self._c.execute(sa.select(t.c.id, t.c.progress).where(ended)).all()
        return [run_id for run_id, progress in rows if not progress.get("seen")]

    def save(self, run: Run) -> None:
        """Add or replace it."""
        self._put(schema.runs, _stored(asdict(run)))

    def move(self, run: Run, *, before: Collection[str]) -> bool:
        """Replace it if its state is one of ``before`` at this moment; return whether it was."""
        t = schema.runs
        same = sa.and_(t.c.id == run.id, t.c.state.in_(before))
        return bool(self._c.execute(sa.update(t).where(same).values(**_stored(asdict(run)))).rowcount)

    def remove(self, run_id: str) -> None:
        """Remove it; no-op when there is none."""
        self._c.execute(sa.delete(schema.runs).where(schema.runs.c.id == run_id))


class Schedules(SqlRows, launched.Schedules):
    """When runs are repeated."""

    def get(self, schedule_id: str) -> Schedule | None:
        """Return the schedule, or None."""
        t = schema.schedules
        found = self._rows(sa.select(t).where(t.c.id == schedule_id))
        return Schedule(**_loaded(found[0])) if found else None

    def of(self, owner: str) -> list[Schedule]:
        """Return the person's, the newest first."""
        t = schema.schedules
        rows = self._rows(sa.select(t).where(t.c.owner == owner).order_by(t.c.created.desc(), t.c.id))
        return [Schedule(**_loaded(row)) for row in rows]

    def due(self, now: datetime) -> list[Schedule]:
        """Return those whose next time has come, the oldest first."""
        t = schema.schedules
        rows = self._rows(sa.select(t).where(t.c.due <= now).order_by(t.c.due, t.c.id))
        return [Schedule(**_loaded(row)) for row in rows]

    def save(self, schedule: Schedule) -> None:
        """Add or replace it."""
        self._put(schema.schedules, _stored(asdict(schedule)))

    def remove(self, schedule_id: str) -> None:
        """Remove it; no-op when there is none."""
        self._c.execute(sa.delete(schema.schedules).where(schema.schedules.c.id == schedule_id))


def _stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    snapshot = fields["snapshot"]
    row = {name: value for name, value in fields.items() if name != "snapshot"}
    return {**row, **{name: snapshot[name] for name in ("hash", "notebook")}, "files": list(snapshot["files"])}


def _loaded(row: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(row)
    files = tuple(File(**file) for file in fields.pop("files"))
    fields["snapshot"] = Snapshot(fields.pop("hash"), fields.pop("notebook"), files)
    return fields
