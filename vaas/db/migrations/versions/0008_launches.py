"""Launches, runs, and when runs are repeated."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _words(name: str, length: int) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=False)


def _texts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _jsons(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.JSON(), nullable=False) for name in names]


def _moment(name: str, *, always: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not always)


def _head() -> list[sa.Column[Any]]:
    """What all three begin with."""
    return [sa.Column("id", sa.String(20), primary_key=True), _words("owner", 255), _words("title", 300)]


def _where() -> list[sa.Column[Any]]:
    return [_words(name, 80) for name in ("environment", "size", "facility")]


def _what() -> list[sa.Column[Any]]:
    return [_words("hash", 64), *_texts("notebook"), *_jsons("files", "parameters", "asked")]


def upgrade() -> None:
    """Apply."""
    states = (_words("state", 20), _moment("created"))
    launches = [*_head(), *_where(), *_jsons("asked", "progress"), *_texts("folder", "notebook", "error"), *states]
    op.create_table("launches", *launches, _moment("changed"))
    runs = [*_head(), *_where(), *_what(), *_jsons("progress"), *_texts("ref", "error", "result_path")]
    times = [_moment("started", always=False), _moment("ended", always=False)]
    more = [_words("result_store", 60), _words("series", 20), _words("schedule", 20), *times]
    states = (_words("state", 20), _moment("created"))
    op.create_table("runs", *runs, *states, *more)
    schedules = [*_head(), *_where(), *_what(), _words("cron", 200), _moment("created"), _moment("until")]
    op.create_table("schedules", *schedules, _moment("due", always=False))
    for table, column in (("launches", "owner"), ("runs", "owner"), ("runs", "state"), ("runs", "series")):
        op.create_index(f"ix_{table}_{column}", table, [column])
    for column in ("owner", "due"):
        op.create_index(f"ix_schedules_{column}", "schedules", [column])


def downgrade() -> None:
    """Undo."""
    for table in ("schedules", "runs", "launches"):
        op.drop_table(table)
