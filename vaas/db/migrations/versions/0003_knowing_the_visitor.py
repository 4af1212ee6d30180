"""Whether an app is told who is looking."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; apps that are there are told nothing until their owners say so."""
    op.add_column("apps", sa.Column("knows_visitor", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("apps", "knows_visitor")
