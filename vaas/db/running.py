"""Launches, runs and schedules, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
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
        """Return the person's, the newest first, without their files; all of one series, and it alone, when named."""
        t = schema.runs
        wanted = sa.select(*_without("files")).where(t.c.owner == owner).order_by(t.c.created.desc(), t.c.id)
        wanted = wanted.where(t.c.series == series) if series else wanted.limit(limit)
        return [Run(**_loaded(row)) for row in self._rows(wanted)]

    def open(self) -> list[Run]:
        """Return all that are queued or running, the oldest first; without files, values, and what was asked for."""
        t = schema.runs
        wanted = sa.select(*_without("files", "parameters", "asked"))
        rows = self._rows(wanted.where(t.c.state.in_(_OPEN)).order_by(t.c.created, t.c.id))
        return [Run(**_loaded(row)) for row in rows]

    def snapshots(self) -> list[Snapshot]:
        """Return the notebooks of all that are queued or running, each once."""
        t = schema.runs
        once = sa.select(sa.func.min(t.c.id)).where(t.c.state.in_(_OPEN)).group_by(t.c.hash)
        return [
            _snapshot(row) for row in self._rows(sa.select(t.c.hash, t.c.notebook, t.c.files).where(t.c.id.in_(once)))
        ]

    def trim(self, owner: str, *, keep: int) -> None:
        """Remove the person's oldest that are over, but for so many."""
        t = schema.runs
        over = sa.select(t.c.id).where(t.c.owner == owner, t.c.state.in_(tuple(ENDED)))
        old = over.order_by(t.c.created.desc(), t.c.id).offset(keep)
        for part in self._parts(list(self._c.execute(old).scalars())):
            self._c.execute(sa.delete(t).where(t.c.id.in_(part)))

    def unseen(self, owner: str, *, since: datetime) -> list[str]:
        """Return the ids of the person's that ended since and are not marked as "seen" in their progress."""
        t = schema.runs
        ended = sa.and_(t.c.owner == owner, t.c.state.in_(tuple(ENDED)), t.c.ended >= since)
        rows = self._c.execute(sa.select(t.c.id, t.c.progress).where(ended)).all()
        return [run_id for run_id, progress in rows if not progress.get("seen")]

    def save(self, run: Run) -> None:
        """Add or replace it."""
        self._put(schema.runs, _stored(run))

    def move(self, run: Run, *, before: Collection[str]) -> bool:
        """Replace it if its state is one of ``before`` at this moment; return whether it was."""
        t = schema.runs
        same = sa.and_(t.c.id == run.id, t.c.state.in_(before))
        return bool(self._c.execute(sa.update(t).where(same).values(**_stored(run))).rowcount)

    def note(self, run_id: str, **columns: Any) -> bool:
        """Write these of one that is over, and nothing else of it; return whether there is one."""
        t = schema.runs
        over = sa.and_(t.c.id == run_id, t.c.state.in_(tuple(ENDED)))
        return bool(self._c.execute(sa.update(t).where(over).values(**columns)).rowcount)

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

    def ended(self, owner: str) -> dict[str, Mapping[str, Any]]:
        """Return the person's that begin nothing any more: id → what was asked."""
        t = schema.schedules
        rows = self._rows(sa.select(t.c.id, t.c.asked).where(t.c.owner == owner, t.c.due.is_(None)))
        return {row["id"]: row["asked"] for row in rows}

    def due(self, now: datetime) -> list[Schedule]:
        """Return those whose next time has come, the oldest first."""
        t = schema.schedules
        rows = self._rows(sa.select(t).where(t.c.due <= now).order_by(t.c.due, t.c.id))
        return [Schedule(**_loaded(row)) for row in rows]

    def save(self, schedule: Schedule) -> None:
        """Add or replace it."""
        self._put(schema.schedules, _stored(schedule))

    def remove(self, schedule_id: str) -> None:
        """Remove it; no-op when there is none."""
        self._c.execute(sa.delete(schema.schedules).where(schema.schedules.c.id == schedule_id))


def _without(*names: str) -> list[sa.Column[Any]]:
    return [column for column in schema.runs.c if column.name not in names]


def _stored(kept: Run | Schedule) -> dict[str, Any]:
    row = {field.name: getattr(kept, field.name) for field in fields(kept) if field.name != "snapshot"}
    snapshot = kept.snapshot
    assert snapshot.files, "It was only to be looked at."
    # By hand: a table of values has as many snapshots as rows, each with as many files as there are.
    return {
        **row,
        "hash": snapshot.hash,
        "notebook": snapshot.notebook,
        "files": [dict(vars(f)) for f in snapshot.files],
    }


def _loaded(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in row.items() if name not in {"hash", "notebook", "files"}}
    found |= {"shared_with": tuple(row["shared_with"])} if "shared_with" in row else {}
    return {"parameters": {}, **found, "snapshot": _snapshot(row)}


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    return Snapshot(row["hash"], row["notebook"], tuple(File(**file) for file in row.get("files", ())))
