"""The tables; changes go through an Alembic migration as well."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

__all__ = [
    "accounts",
    "apps",
    "basket_shares",
    "baskets",
    "changes",
    "counters",
    "drafts",
    "finds",
    "grants",
    "incidents",
    "launches",
    "leases",
    "links",
    "metadata",
    "requests",
    "runs",
    "schedules",
    "searches",
    "storable",
    "things",
    "versions",
    "walks",
]


class Moment(TypeDecorator[datetime]):
    """A time in UTC: SQLite forgets time zones, so that we put it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Store in UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return with the time zone."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def storable(text: str) -> str:
    """Return ``text`` without what no database keeps: NULs and lone surrogates become U+FFFD.

    Notebooks, error messages and file names may hold both, and must not make a record impossible.
    """
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)


class Words(TypeDecorator[str]):
    """A short text, storable."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Make it storable."""
        return None if value is None else storable(value)


class LongWords(Words):
    """A text of any length, storable."""

    impl = Text
    cache_ok = True


class Entries(TypeDecorator[tuple[str, ...]]):
    """Short words without blanks in them, kept with blanks between."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Any) -> str | None:
        """Join them."""
        return None if value is None else storable(" ".join(value))

    def process_result_value(self, value: str | None, dialect: Any) -> tuple[str, ...] | None:
        """Take them apart."""
        return None if value is None else tuple(value.split())


metadata = MetaData()


def _app_id(*, primary: bool = False) -> Column[str]:
    return Column("app_id", Words(20), ForeignKey("apps.id", ondelete="CASCADE"), primary_key=primary, index=True)


apps = Table(
    "apps",
    metadata,
    Column("id", Words(20), primary_key=True),
    Column("slug", Words(60), nullable=False, unique=True),
    Column("title", Words(200), nullable=False),
    Column("description", LongWords, nullable=False),
    Column("category", Words(60), nullable=False),
    Column("tags", JSON, nullable=False),
    Column("owner", Words(255), nullable=False, index=True),
    Column("version", Words(64), nullable=False),
    Column("cover", Words(64), nullable=False),
    Column("origin_store", Words(60), nullable=False),
    Column("origin_path", LongWords, nullable=False),
    Column("network", Entries, nullable=False),
    Column("knows_visitor", Boolean, nullable=False),
    Column("speaks", Boolean, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)
versions = Table(
    "versions",
    metadata,
    _app_id(primary=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("hash", Words(64), nullable=False),
    Column("notebook", LongWords, nullable=False),
    Column("files", JSON, nullable=False),
    Column("author", Words(255), nullable=False),
    Column("created", Moment, nullable=False),
    Column("note", LongWords, nullable=False),
    Column("report", JSON, nullable=False),
)
grants = Table(
    "grants",
    metadata,
    _app_id(primary=True),
    Column("subject", Words(300), primary_key=True, index=True),
    Column("access", Integer, nullable=False),
    Column("granted_by", Words(255), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
)
links = Table(
    "links",
    metadata,
    Column("id", Words(20), primary_key=True),
    _app_id(),
    Column("token_hash", Words(64), nullable=False, unique=True),
    Column("token_sealed", LongWords, nullable=False),
    Column("created_by", Words(255), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
)
drafts = Table(
    "drafts",
    metadata,
    Column("id", Words(20), primary_key=True),
    Column("owner", Words(255), nullable=False, index=True),
    Column("app_id", Words(20), nullable=False, index=True),
    Column("slug", Words(60), nullable=False),
    Column("title", Words(200), nullable=False),
    Column("hash", Words(64), nullable=False),
    Column("notebook", LongWords, nullable=False),
    Column("files", JSON, nullable=False),
    Column("origin_store", Words(60), nullable=False),
    Column("origin_path", LongWords, nullable=False),
    Column("state", Words(20), nullable=False),
    Column("progress", JSON, nullable=False),
    Column("report", JSON, nullable=False),
    Column("network", Entries, nullable=False),
    Column("created", Moment, nullable=False, index=True),
)
incidents = Table(
    "incidents",
    metadata,
    Column("number", Integer, primary_key=True),
    _app_id(),
    Column("version", Integer, nullable=False),
    Column("kind", Words(20), nullable=False),
    Column("text", LongWords, nullable=False),
    Column("created", Moment, nullable=False),
)
accounts = Table(
    "accounts",
    metadata,
    Column("id", Words(20), primary_key=True),
    Column("owner", Words(255), nullable=False, index=True),
    Column("title", Words(200), nullable=False),
    Column("url", LongWords, nullable=False),
    Column("username", Words(255), nullable=False),
    Column("password_sealed", LongWords, nullable=False),
    Column("created", Moment, nullable=False),
)
#: What can be found and has changed, each once, with the number of its last change.
changes = Table(
    "changes",
    metadata,
    Column("kind", Words(20), primary_key=True),
    Column("key", Words(1100), primary_key=True),
    Column("number", BigInteger, nullable=False, index=True),
)
#: The last number that was given, by what it counts.
counters = Table(
    "counters",
    metadata,
    Column("name", Words(20), primary_key=True),
    Column("number", BigInteger, nullable=False),
)
#: What people collect in. The one without a name is a person's current one.
baskets = Table(
    "baskets",
    metadata,
    Column("id", Words(20), primary_key=True),
    Column("owner", Words(255), nullable=False),
    Column("name", Words(100), nullable=False),
    Column("created", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
    UniqueConstraint("owner", "name", name="uq_baskets_owner_name"),
)


def _basket_id(*, primary: bool = False) -> Column[str]:
    whole = ForeignKey("baskets.id", ondelete="CASCADE")
    return Column("basket_id", Words(20), whole, primary_key=primary, nullable=False, index=not primary)


basket_shares = Table(
    "basket_shares",
    metadata,
    _basket_id(primary=True),
    Column("subject", Words(300), primary_key=True, index=True),
)
#: A thing's id is made of its basket and its record, so that each record lies in a basket once.
things = Table(
    "things",
    metadata,
    Column("id", Words(20), primary_key=True),
    _basket_id(),
    Column("kind", Words(20), nullable=False),
    Column("uri", LongWords, nullable=False),
    Column("title", Words(300), nullable=False),
    Column("catalog", Words(60), nullable=False),
    Column("record", LongWords, nullable=False),
    Column("size", BigInteger),
    Column("checksum", Words(200), nullable=False),
    Column("access", JSON, nullable=False),
    Column("shown", JSON, nullable=False),
    Column("added", Moment, nullable=False),
)
searches = Table(
    "searches",
    metadata,
    Column("id", Words(20), primary_key=True),
    Column("owner", Words(255), nullable=False),
    Column("name", Words(100), nullable=False),
    Column("q", LongWords, nullable=False),
    Column("created", Moment, nullable=False),
    Column("seen", Moment, nullable=False),
    UniqueConstraint("owner", "name", name="uq_searches_owner_name"),
)
_open = text("state = 'open'")
requests = Table(
    "requests",
    metadata,
    Column("id", Words(20), primary_key=True),
    _app_id(),
    Column("who", Words(255), nullable=False, index=True),
    Column("access", Integer, nullable=False),
    Column("message", LongWords, nullable=False),
    Column("title", Words(200), nullable=False),
    Column("state", Words(20), nullable=False),
    Column("created", Moment, nullable=False),
    Column("answered_by", Words(255), nullable=False),
    Column("answered", Moment),
    # One open request of a person for an app.
    Index("uq_requests_open", "app_id", "who", unique=True, sqlite_where=_open, postgresql_where=_open),
)
#: What was found in the places where files are; the key is the place and the path.
finds = Table(
    "finds",
    metadata,
    Column("key", Words(1100), primary_key=True),
    Column("place", Words(80), nullable=False, index=True),
    Column("path", LongWords, nullable=False),
    Column("mark", LongWords, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("modified", Moment),
    Column("kind", Words(20), nullable=False),
    Column("record", JSON, nullable=False),
    Column("readers", JSON, nullable=False),
    Column("seen", Moment, nullable=False),
    Column("note", LongWords, nullable=False),
)
#: The etags that the folders of a place had when it was last walked, by path.
walks = Table(
    "walks",
    metadata,
    Column("place", Words(80), primary_key=True),
    Column("etags", JSON, nullable=False),
)
#: Work of which only one process at a time does each, and what it says of it.
leases = Table(
    "leases",
    metadata,
    Column("name", Words(80), primary_key=True),
    Column("holder", Words(40), nullable=False),
    Column("until", Moment, nullable=False),
    Column("said", JSON, nullable=False),
)


def _head() -> list[Column[Any]]:
    """What launches, runs and schedules begin with: what, whose, called how."""
    owner: Column[Any] = Column("owner", Words(255), nullable=False, index=True)
    return [Column("id", Words(20), primary_key=True), owner, Column("title", Words(300), nullable=False)]


def _where() -> list[Column[Any]]:
    """Return what was chosen, by id."""
    return [Column(name, Words(80), nullable=False) for name in ("environment", "size", "facility")]


def _what() -> list[Column[Any]]:
    """Return which notebook is run, with which values."""
    text = [Column("hash", Words(64), nullable=False), Column("notebook", LongWords, nullable=False)]
    return text + [Column(name, JSON, nullable=False) for name in ("files", "parameters", "asked")]


#: Full servers that people asked for.
launches = Table(
    "launches",
    metadata,
    *_head(),
    *_where(),
    Column("asked", JSON, nullable=False),
    Column("progress", JSON, nullable=False),
    *(Column(name, LongWords, nullable=False) for name in ("folder", "notebook", "error")),
    Column("state", Words(20), nullable=False),
    Column("created", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
)
#: Notebooks that are run once.
runs = Table(
    "runs",
    metadata,
    *_head(),
    *_where(),
    *_what(),
    Column("progress", JSON, nullable=False),
    *(Column(name, LongWords, nullable=False) for name in ("ref", "error", "result_path")),
    Column("state", Words(20), nullable=False, index=True),
    Column("result_store", Words(60), nullable=False),
    Column("series", Words(20), nullable=False, index=True),
    Column("schedule", Words(20), nullable=False),
    Column("shared_with", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
)
#: When runs are repeated.
schedules = Table(
    "schedules",
    metadata,
    *_head(),
    *_where(),
    *_what(),
    Column("cron", Words(200), nullable=False),
    Column("zone", Words(60), nullable=False),
    Column("created", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("due", Moment, index=True),
)
