"""The time zone in which a schedule's times are; those from before are in UTC."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("schedules") as table:
        table.add_column(sa.Column("zone", sa.String(60), nullable=False, server_default="UTC"))
    with op.batch_alter_table("schedules") as table:
        table.alter_column("zone", server_default=None)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("schedules") as table:
        table.drop_column("zone")
