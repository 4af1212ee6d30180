"""Collections can be found: those that are shared with somebody have changed once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    connection = op.get_bind()
    shared = connection.execute(sa.text("SELECT DISTINCT basket_id FROM basket_shares ORDER BY basket_id")).scalars()
    keys = shared.all()
    last = connection.execute(sa.text("SELECT number FROM counters WHERE name = 'changes'")).scalar() or 0
    changes = sa.table("changes", sa.column("kind"), sa.column("key"), sa.column("number"))
    rows = [{"kind": "share", "key": key, "number": number} for number, key in enumerate(keys, start=last + 1)]
    op.bulk_insert(changes, rows)
    counted = sa.text("UPDATE counters SET number = :number WHERE name = 'changes'")
    connection.execute(counted, {"number": last + len(keys)})


def downgrade() -> None:
    """Undo."""
    op.execute("DELETE FROM changes WHERE kind = 'share'")
