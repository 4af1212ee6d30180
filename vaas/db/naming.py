"""Which content the database names, in whichever table, and what tells this database from others."""

from __future__ import annotations

import re
import secrets

import sqlalchemy as sa

from vaas.db import schema
from vaas.errors import Unavailable

__all__ = ["hashes", "identity"]

#: Each place at which 64 digits begin: of a longer number, any part may be meant.
_HASH = re.compile(r"(?=([0-9a-f]{64}))")
#: Tables of what was found in stores, which never is content: they are large.
_OF_STORES = frozenset({"finds", "walks"})
_AT_ONCE = 500
_IDENTITY = "identity"


def hashes(engine: sa.Engine) -> set[str]:
    """Return every word of 64 hexadecimal digits that stands anywhere in the database, but for what is of stores.

    Of tables that this program does not know, too: a newer one may have made them.

    Raises
    ------
    Unavailable
        Not all of it can be read.
    """
    found: set[str] = set()
    sqlite = engine.dialect.name == "sqlite"
    # All tables as they were at one moment: what moves from one to another is in one of both.
    options = {} if sqlite else {"isolation_level": "REPEATABLE READ"}
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            if sqlite:  # its driver begins nothing to read
                connection.exec_driver_sql("BEGIN")
            inspector = sa.inspect(connection)
            for name in sorted(set(inspector.get_table_names()) - _OF_STORES):
                columns = [sa.cast(sa.column(each["name"]), sa.Text) for each in inspector.get_columns(name)]
                rows = connection.execution_options(yield_per=_AT_ONCE).execute(
                    sa.select(*columns).select_from(sa.table(name))
                )
                for row in rows:
                    found.update(digest for value in row if value for digest in _HASH.findall(value))
    except sa.exc.SQLAlchemyError as error:
        raise Unavailable("The database does not answer.", log_message=f"It cannot be read whole: {error}") from error
    return found


def identity(engine: sa.Engine) -> int:
    """Return the number of this database, which no other has; one that has none gets it. Raises Unavailable."""
    t = schema.counters
    wanted = sa.select(t.c.number).where(t.c.name == _IDENTITY)
    try:
        with engine.begin() as connection:
            known = connection.execute(wanted).scalar()
            if known is None:
                known = secrets.randbits(62)
                connection.execute(sa.insert(t).values(name=_IDENTITY, number=known))
        return int(known)
    except sa.exc.SQLAlchemyError as error:
        # Another process may have been first: then it is there the next time.
        raise Unavailable("The database does not answer.", log_message=f"It has no identity: {error}") from error
