"""What apps may reach, and what went wrong in their servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; apps that are there reach nothing until their owners say what."""
    for table in ("apps", "drafts"):
        op.add_column(table, sa.Column("network", sa.Text(), nullable=False, server_default=""))

    op.create_table(
        "incidents",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.String(length=20), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(op.f("ix_incidents_app_id"), "incidents", ["app_id"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_incidents_app_id"), table_name="incidents")

    op.drop_table("incidents")
    for table in ("drafts", "apps"):
        op.drop_column(table, "network")
