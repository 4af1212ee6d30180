"""What is found in the places where files are, and which process looks there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; what is in the stores is found by the next sweep."""
    with op.batch_alter_table("changes") as changes:
        changes.alter_column("key", existing_type=sa.String(300), type_=sa.String(1100), existing_nullable=False)
    op.create_table(
        "finds",
        sa.Column("key", sa.String(1100), primary_key=True),
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.DateTime(timezone=True)),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("readers", sa.JSON(), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
    )
    op.create_index("ix_finds_place", "finds", ["place"])
    op.create_table(
        "walks",
        sa.Column("place", sa.String(80), primary_key=True),
        sa.Column("etags", sa.JSON(), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("holder", sa.String(40), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    """Undo."""
    for table in ("leases", "walks", "finds"):
        op.drop_table(table)
    op.execute("DELETE FROM changes WHERE kind = 'file'")
    with op.batch_alter_table("changes") as changes:
        changes.alter_column("key", existing_type=sa.String(1100), type_=sa.String(300), existing_nullable=False)
