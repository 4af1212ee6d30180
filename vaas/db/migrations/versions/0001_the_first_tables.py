"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("username", sa.String(length=255), nullable=False),
        sa.Column("password_sealed", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_accounts_owner"), "accounts", ["owner"], unique=False)

    op.create_table(
        "apps",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("slug", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("category", sa.String(length=60), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("cover", sa.String(length=64), nullable=False),
        sa.Column("origin_store", sa.String(length=60), nullable=False),
        sa.Column("origin_path", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_index(op.f("ix_apps_owner"), "apps", ["owner"], unique=False)

    op.create_table(
        "drafts",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("app_id", sa.String(length=20), nullable=False),
        sa.Column("slug", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("notebook", sa.Text(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("origin_store", sa.String(length=60), nullable=False),
        sa.Column("origin_path", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_drafts_app_id"), "drafts", ["app_id"], unique=False)
    op.create_index(op.f("ix_drafts_created"), "drafts", ["created"], unique=False)
    op.create_index(op.f("ix_drafts_owner"), "drafts", ["owner"], unique=False)

    op.create_table(
        "grants",
        sa.Column("app_id", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("access", sa.Integer(), nullable=False),
        sa.Column("granted_by", sa.String(length=255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "subject"),
    )
    op.create_index(op.f("ix_grants_app_id"), "grants", ["app_id"], unique=False)
    op.create_index(op.f("ix_grants_subject"), "grants", ["subject"], unique=False)

    op.create_table(
        "links",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("app_id", sa.String(length=20), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("token_sealed", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(op.f("ix_links_app_id"), "links", ["app_id"], unique=False)

    op.create_table(
        "versions",
        sa.Column("app_id", sa.String(length=20), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("notebook", sa.Text(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "number"),
    )
    op.create_index(op.f("ix_versions_app_id"), "versions", ["app_id"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_versions_app_id"), table_name="versions")

    op.drop_table("versions")
    op.drop_index(op.f("ix_links_app_id"), table_name="links")

    op.drop_table("links")
    op.drop_index(op.f("ix_grants_subject"), table_name="grants")
    op.drop_index(op.f("ix_grants_app_id"), table_name="grants")

    op.drop_table("grants")
    op.drop_index(op.f("ix_drafts_owner"), table_name="drafts")
    op.drop_index(op.f("ix_drafts_created"), table_name="drafts")
    op.drop_index(op.f("ix_drafts_app_id"), table_name="drafts")

    op.drop_table("drafts")
    op.drop_index(op.f("ix_apps_owner"), table_name="apps")

    op.drop_table("apps")
    op.drop_index(op.f("ix_accounts_owner"), table_name="accounts")

    op.drop_table("accounts")
