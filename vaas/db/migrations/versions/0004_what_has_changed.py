"""What has changed, and in which order: the search index of each portal process follows it."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the apps that are there have all changed once."""
    op.create_table(
        "changes",
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("key", sa.String(300), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_changes_number", "changes", ["number"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    apps = op.get_bind().execute(sa.text("SELECT id FROM apps ORDER BY id")).scalars().all()
    changes = sa.table("changes", sa.column("kind"), sa.column("key"), sa.column("number"))
    op.bulk_insert(changes, [{"kind": "app", "key": key, "number": at} for at, key in enumerate(apps, start=1)])
    counters = sa.table("counters", sa.column("name"), sa.column("number"))
    rows = {"changes": len(apps), "epoch": secrets.randbits(62)}
    op.bulk_insert(counters, [{"name": name, "number": number} for name, number in rows.items()])


def downgrade() -> None:
    """Undo."""
    op.drop_table("counters")
    op.drop_table("changes")
