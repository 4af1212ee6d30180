"""Whether an app's kernels may ask the portal as their visitor."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; no app that is there may."""
    op.add_column("apps", sa.Column("speaks", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Undo."""
    op.drop_column("apps", "speaks")
