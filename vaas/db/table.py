"""What every table's reading and writing stands on: one connection, inside one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

__all__ = ["Rows"]


class Rows:
    """Rows of tables, by the transaction's connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._c = connection

    def _put(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Update the row with the same primary key, or insert it; portable, inside our transaction."""
        same = sa.and_(*(column == row[column.name] for column in table.primary_key.columns))
        if not self._c.execute(sa.update(table).where(same).values(**row)).rowcount:
            self._c.execute(sa.insert(table).values(**row))

    def _rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in self._c.execute(statement).mappings()]
