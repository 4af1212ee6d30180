"""What people keep of searching: baskets, what lies in them, saved searches, and requests for access."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "baskets",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("changed", moment, nullable=False),
        sa.UniqueConstraint("owner", "name", name="uq_baskets_owner_name"),
    )
    op.create_table(
        "basket_shares",
        sa.Column("basket_id", sa.String(20), sa.ForeignKey("baskets.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("subject", sa.String(300), primary_key=True),
    )
    op.create_index("ix_basket_shares_subject", "basket_shares", ["subject"])
    op.create_table(
        "things",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("basket_id", sa.String(20), sa.ForeignKey("baskets.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("title", sa.String(300), nullable=False),
        sa.Column("catalog", sa.String(60), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("checksum", sa.String(200), nullable=False),
        sa.Column("access", sa.JSON(), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("added", moment, nullable=False),
    )
    op.create_index("ix_things_basket_id", "things", ["basket_id"])
    op.create_table(
        "searches",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("q", sa.Text(), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("seen", moment, nullable=False),
        sa.UniqueConstraint("owner", "name", name="uq_searches_owner_name"),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("app_id", sa.String(20), sa.ForeignKey("apps.id", ondelete="CASCADE"), nullable=True),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("access", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("created", moment, nullable=False),
        sa.Column("answered_by", sa.String(255), nullable=False),
        sa.Column("answered", moment),
    )
    for column in ("app_id", "who"):
        op.create_index(f"ix_requests_{column}", "requests", [column])
    is_open = sa.text("state = 'open'")
    op.create_index(
        "uq_requests_open", "requests", ["app_id", "who"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )


def downgrade() -> None:
    """Undo."""
    for table in ("requests", "searches", "things", "basket_shares", "baskets"):
        op.drop_table(table)
