"""What all records in SQL have in common: rows of tables, and that a change of what can be found is noted."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vaas.db import base, schema

__all__ = ["SqlChanges", "SqlRows"]

#: So many values are named in one statement; databases have limits.
_AT_ONCE = 500
_Value = TypeVar("_Value")


class SqlRows:
    """The rows that one transaction reads and writes."""

    def __init__(self, connection: sa.Connection) -> None:
        self._c = connection

    def _put(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Update the row with the same primary key, or insert it; portable, inside our transaction."""
        same = sa.and_(*(column == row[column.name] for column in table.primary_key.columns))
        if not self._c.execute(sa.update(table).where(same).values(**row)).rowcount:
            self._c.execute(sa.insert(table).values(**row))

    def _put_all(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do the same with many rows at once."""
        statement = self._insert(table)
        keys = [column.name for column in table.primary_key.columns]
        others = {
            name: statement.excluded[name] for name in (column.name for column in table.columns) if name not in keys
        }
        if rows:
            self._c.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """Return an insertion that can say what to do where the row is there: both databases have their own."""
        return sqlite.insert(table) if self._c.dialect.name == "sqlite" else postgresql.insert(table)

    def _rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in self._c.execute(statement).mappings()]

    def _note(self, app_id: str) -> None:
        """Note that what can be found of the app, or by whom, changes.

        First of all that is written: where all wait in the same order, none waits for one that waits for it.
        """
        SqlChanges(self._c).note("app", app_id)

    @staticmethod
    def _parts(values: Collection[_Value]) -> list[list[_Value]]:
        """Return the values in lists that fit into a statement."""
        listed = list(values)
        return [listed[at : at + _AT_ONCE] for at in range(0, len(listed), _AT_ONCE)]


class SqlChanges(SqlRows, base.Changes):
    """What has changed."""

    def since(self, number: int, *, limit: int) -> list[base.Change]:
        """Return the changes after that number, the oldest first."""
        t = schema.changes
        rows = self._rows(sa.select(t).where(t.c.number > number).order_by(t.c.number).limit(limit))
        return [base.Change(**row) for row in rows]

    def last(self) -> int:
        """Return the number of the last change, 0 before the first."""
        return self._counter("changes")

    def epoch(self) -> int:
        """Return what names this row of numbers."""
        return self._counter("epoch")

    def begin_epoch(self) -> None:
        """Begin another row."""
        t = schema.counters
        self._c.execute(sa.update(t).where(t.c.name == "epoch").values(number=secrets.randbits(62)))

    def count(self) -> int:
        """Return how many things have ever changed."""
        return int(self._c.execute(sa.select(sa.func.count()).select_from(schema.changes)).scalar_one())

    def forget(self, *, keep: int, most: int) -> bool:
        """Forget files that are gone, of the next ``most`` changes but for the last ``keep``."""
        t, done, last = schema.changes, self.forgotten(), self.last() - keep
        if done >= last:
            return False
        # What is gone has a number of that moment: none is left among those that were looked at before.
        ahead = sa.select(t).where(t.c.number > done, t.c.number <= last).order_by(t.c.number).limit(most)
        found = self._rows(ahead)
        files = {row["key"]: row["number"] for row in found if row["kind"] == "file"}
        key = schema.finds.c.key
        for part in self._parts(files):
            for there in self._c.execute(sa.select(key).where(key.in_(part))).scalars():
                del files[there]
        upto = found[-1]["number"] if len(found) == most else last
        # All is known by now: whoever else writes waits only for what follows.
        self._put(schema.counters, {"name": "forgotten", "number": upto})
        for numbers in self._parts(files.values()):
            # What has come back meanwhile has another number.
            self._c.execute(sa.delete(t).where(t.c.number.in_(numbers)))
        return upto < last

    def forgotten(self) -> int:
        """Return the number up to which some changes may be forgotten."""
        return self._counter("forgotten")

    def note(self, kind: str, *keys: str) -> None:
        """Note changes."""
        t, different = schema.counters, tuple(dict.fromkeys(keys))
        if not different:
            return
        # Whoever else changes something waits here until we are done: so numbers are kept in their order.
        self._c.execute(sa.update(t).where(t.c.name == "changes").values(number=t.c.number + len(different)))
        first = self._counter("changes") - len(different) + 1
        rows = [{"kind": kind, "key": key, "number": number} for number, key in enumerate(different, start=first)]
        self._put_all(schema.changes, rows)

    def _counter(self, name: str) -> int:
        t = schema.counters
        return int(self._c.execute(sa.select(t.c.number).where(t.c.name == name)).scalar() or 0)
