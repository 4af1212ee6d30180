"""With whom the result of a run is shared; those from before are with nobody."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("shared_with", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("runs") as table:
        table.alter_column("shared_with", server_default=None)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("runs") as table:
        table.drop_column("shared_with")
