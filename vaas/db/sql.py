"""The records in SQL: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError

from vaas.db import base, keeping, naming, running, schema
from vaas.db.finds import SqlFinds, SqlLeases, SqlWalks
from vaas.db.rows import SqlChanges, SqlRows
from vaas.db.seal import Seal
from vaas.errors import Conflict, Invalid, NotFound, StorageFull, Unavailable
from vaas.model import Access, App, Draft, File, Grant, Incident, Link, Snapshot, StoreAccount, Version, Visitor

__all__ = ["SqlDatabase"]

#: How SQLite and PostgreSQL say that there is no room.
_FULL = ("disk is full", "No space left on device")


class SqlDatabase(base.Database):
    """The database at an SQLAlchemy URL; ``seal`` closes the secrets in it.

    Raises Invalid for what is no such URL, and ImportError without its driver.
    """

    def __init__(self, url: str, *, seal: Seal) -> None:
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"), json_serializer=_json)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise Invalid("This is no address of a database.") from error  # which may hold a password
        self._seal = seal
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _tune_sqlite)

    def revisions(self) -> tuple[str, str]:
        """Return which revision the tables are at, "" for none, and which is the newest; nothing is changed.

        Raises
        ------
        Unavailable
            The database cannot be read.
        """
        newest = ScriptDirectory.from_config(_migrations()).get_current_head()
        try:
            with self._engine.connect() as connection:
                found = MigrationContext.configure(connection).get_current_revision()
                if found:
                    connection.execute(sa.select(sa.func.count()).select_from(schema.apps)).scalar()
        except sa.exc.SQLAlchemyError as error:
            why = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise Unavailable(
                "The database does not answer.", log_message=f"The database cannot be read: {why}"
            ) from error
        return found or "", newest or ""

    def upgrade(self, *, to: str = "head") -> None:
        """Bring the tables to the newest schema, or to an older revision's; no-op when they are."""
        config = _migrations()
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, to)

    @contextmanager
    def begin(self) -> Iterator[base.Records]:
        """Open a transaction: kept when the block ends, undone when it raises. StorageFull where there is no room."""
        with _room(), self._engine.begin() as c:
            yield base.Records(
                apps=_Apps(c),
                versions=_Versions(c),
                grants=_Grants(c),
                links=_Links(c, self._seal),
                drafts=_Drafts(c),
                incidents=_Incidents(c),
                accounts=_Accounts(c, self._seal),
                changes=SqlChanges(c),
                finds=SqlFinds(c),
                walks=SqlWalks(c),
                leases=SqlLeases(c),
                baskets=keeping.Baskets(c),
                things=keeping.Things(c),
                searches=keeping.Searches(c),
                requests=keeping.Requests(c),
                launches=running.Launches(c),
                runs=running.Runs(c),
                schedules=running.Schedules(c),
            )

    def hashes(self) -> set[str]:
        """Return every SHA-256 that stands anywhere in it."""
        return naming.hashes(self._engine)

    def identity(self) -> int:
        """Return a number that no other database has."""
        return naming.identity(self._engine)

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()


@contextmanager
def _room() -> Iterator[None]:
    """Turn what the database says of its disk into StorageFull."""
    try:
        yield
    except sa.exc.OperationalError as error:
        if not any(words in str(error.orig) for words in _FULL):
            raise
        raise StorageFull("The portal's disk is full.", log_message=f"The database: {error.orig}") from error


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _json(value: Any) -> str:
    """Keep letters as they are, so that a search finds them."""
    return schema.storable(json.dumps(value, ensure_ascii=False))


def _tune_sqlite(connection: Any, _record: Any) -> None:
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=5000", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
    # SQLite's own knows A to Z only: “été” would not find “Été”.
    connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)


class _Apps(SqlRows, base.Apps):
    def get(self, slug: str) -> App | None:
        return self._one(schema.apps.c.slug == slug)

    def by_id(self, app_id: str) -> App | None:
        return self._one(schema.apps.c.id == app_id)

    def _one(self, where: sa.ColumnElement[bool]) -> App | None:
        found = self._rows(sa.select(schema.apps).where(where))
        return _app(found[0]) if found else None

    def visible(self, visitor: Visitor, query: base.Query, *, now: datetime) -> list[App]:
        t, name = schema.apps, visitor.name
        where = [_allowed(visitor, query, now=now)]
        if query.category:
            where.append(t.c.category == query.category)
        text = sa.func.lower(t.c.title + " " + t.c.description + " " + t.c.owner + " " + sa.cast(t.c.tags, sa.Text))
        where += [text.contains(schema.storable(word).lower(), autoescape=True) for word in query.words]
        if query.show == "shared":
            where.append(t.c.owner != name)
        rows = self._rows(sa.select(t).where(*where).order_by(t.c.updated.desc()).limit(query.limit))
        return [_app(row) for row in rows]

    def save(self, app: App) -> None:
        self._note(app.id)
        try:
            self._put(schema.apps, {**asdict(app), "tags": list(app.tags)})
        except IntegrityError as error:
            raise Conflict(f"The address “{app.slug}” is taken. Choose another one.", field="slug") from error

    def remove(self, app_id: str) -> None:
        self._note(app_id)
        self._c.execute(sa.delete(schema.apps).where(schema.apps.c.id == app_id))


def _allowed(visitor: Visitor, query: base.Query, *, now: datetime) -> sa.ColumnElement[bool]:
    """Say in SQL what vaas.policy.access_of says: in one query, however many apps there are."""
    t, g, name = schema.apps, schema.grants, visitor.name
    own = sa.and_(t.c.owner == name, sa.literal(bool(name)))
    if query.show == "mine":
        return own
    subjects = visitor.subjects
    if query.show == "shared":  # what names me or my groups, not what everyone sees
        subjects = frozenset(s for s in subjects if s.startswith(("user:", "group:", "link:")))
    granted = sa.exists().where(
        g.c.app_id == t.c.id, g.c.subject.in_(subjects), sa.or_(g.c.expires.is_(None), g.c.expires > now)
    )
    if visitor.user and visitor.user.admin and query.show == "all":
        return sa.true()
    return sa.or_(own, granted)


class _Versions(SqlRows, base.Versions):
    def of(self, app_id: str) -> list[Version]:
        t = schema.versions
        rows = self._rows(sa.select(t).where(t.c.app_id == app_id).order_by(t.c.number.desc()))
        return [Version(snapshot=_snapshot(row), **_without(row, "hash", "notebook", "files")) for row in rows]

    def add(self, version: Version) -> None:
        row = {k: getattr(version, k) for k in ("app_id", "number", "author", "created", "note")}
        row |= {"report": dict(version.report), **_snapshot_row(version.snapshot)}
        self._note(version.app_id)
        try:
            self._c.execute(sa.insert(schema.versions).values(**row))
        except IntegrityError as error:
            raise Conflict("Another version was published at the same moment. Try again.") from error

    def annotate(self, app_id: str, number: int, report: Mapping[str, Any]) -> None:
        t = schema.versions
        found = sa.update(t).where(t.c.app_id == app_id, t.c.number == number)
        self._c.execute(found.values(report=dict(report)))


class _Grants(SqlRows, base.Grants):
    def of(self, app_ids: Collection[str], *, subjects: Collection[str] | None = None) -> list[Grant]:
        t = schema.grants
        wanted = sa.select(t).where(t.c.app_id.in_(app_ids))
        if subjects is not None:
            wanted = wanted.where(t.c.subject.in_(subjects))
        rows = self._rows(wanted.order_by(t.c.subject))
        return [Grant(access=Access(row["access"]), **_without(row, "access")) for row in rows]

    def save(self, grant: Grant) -> None:
        self._note(grant.app_id)
        self._put(schema.grants, {**asdict(grant), "access": int(grant.access)})

    def remove(self, app_id: str, subject: str) -> None:
        t = schema.grants
        self._note(app_id)
        self._c.execute(sa.delete(t).where(t.c.app_id == app_id, t.c.subject == subject))


class _Links(SqlRows, base.Links):
    def __init__(self, connection: sa.Connection, seal: Seal) -> None:
        super().__init__(connection)
        self._seal = seal

    def by_token(self, token: str) -> Link | None:
        found = self._find(schema.links.c.token_hash == _hash(token))
        return found[0] if found else None

    def of(self, app_id: str) -> list[Link]:
        return self._find(schema.links.c.app_id == app_id)

    def add(self, link: Link, access: Access) -> None:
        row = asdict(link)
        token = row.pop("token")
        row |= {"token_hash": _hash(token), "token_sealed": self._seal.close(token)}
        self._note(link.app_id)
        self._c.execute(sa.insert(schema.links).values(**row))
        subject = f"link:{link.id}"
        grant = Grant(link.app_id, subject, access, link.created_by, link.created, link.expires)
        _Grants(self._c).save(grant)

    def remove(self, app_id: str, link_id: str) -> None:
        t = schema.links
        self._note(app_id)
        self._c.execute(sa.delete(t).where(t.c.app_id == app_id, t.c.id == link_id))
        _Grants(self._c).remove(app_id, f"link:{link_id}")

    def _find(self, where: sa.ColumnElement[bool]) -> list[Link]:
        rows = self._rows(sa.select(schema.links).where(where).order_by(schema.links.c.created.desc()))
        opened = ((row, self._seal.open(row["token_sealed"])) for row in rows)
        return [Link(token=token, **_without(row, "token_hash", "token_sealed")) for row, token in opened]


class _Drafts(SqlRows, base.Drafts):
    def get(self, draft_id: str) -> Draft | None:
        found = self._rows(sa.select(schema.drafts).where(schema.drafts.c.id == draft_id))
        return _draft(found[0]) if found else None

    def of(self, owner: str) -> list[Draft]:
        return [_draft(row) for row in self._rows(sa.select(schema.drafts).where(schema.drafts.c.owner == owner))]

    def older(self, before: datetime) -> list[Draft]:
        return [_draft(row) for row in self._rows(sa.select(schema.drafts).where(schema.drafts.c.created < before))]

    def save(self, draft: Draft) -> None:
        row = {column.name: getattr(draft, column.name, None) for column in schema.drafts.columns}
        row |= {"progress": dict(draft.progress), "report": dict(draft.report), **_snapshot_row(draft.snapshot)}
        self._put(schema.drafts, row)

    def remove(self, draft_id: str) -> None:
        self._c.execute(sa.delete(schema.drafts).where(schema.drafts.c.id == draft_id))


class _Incidents(SqlRows, base.Incidents):
    def of(self, app_id: str) -> list[Incident]:
        t = schema.incidents
        rows = self._rows(sa.select(t).where(t.c.app_id == app_id).order_by(t.c.created.desc(), t.c.number.desc()))
        return [Incident(**_without(row, "number")) for row in rows]

    def add(self, incident: Incident, *, keep: int) -> None:
        t = schema.incidents
        self._c.execute(sa.insert(t).values(**asdict(incident)))
        mine = sa.select(t.c.number).where(t.c.app_id == incident.app_id)
        old = self._c.execute(mine.order_by(t.c.created.desc(), t.c.number.desc()).offset(keep)).scalars().all()
        if old:
            self._c.execute(sa.delete(t).where(t.c.number.in_(old)))


class _Accounts(SqlRows, base.Accounts):
    def __init__(self, connection: sa.Connection, seal: Seal) -> None:
        super().__init__(connection)
        self._seal = seal

    def of(self, owner: str) -> list[StoreAccount]:
        t = schema.accounts
        rows = self._rows(sa.select(t).where(t.c.owner == owner).order_by(t.c.title))
        return [StoreAccount(**_without(row, "password_sealed")) for row in rows]

    def all(self) -> list[StoreAccount]:
        rows = self._rows(sa.select(schema.accounts).order_by(schema.accounts.c.id))
        return [StoreAccount(**_without(row, "password_sealed")) for row in rows]

    def password(self, account_id: str) -> str:
        t = schema.accounts
        sealed = self._c.execute(sa.select(t.c.password_sealed).where(t.c.id == account_id)).scalar()
        if sealed is None:
            raise NotFound("This account is not connected any more.")
        return self._seal.open(sealed)

    def add(self, account: StoreAccount, password: str) -> None:
        row = {**asdict(account), "password_sealed": self._seal.close(password)}
        self._c.execute(sa.insert(schema.accounts).values(**row))

    def remove(self, owner: str, account_id: str) -> None:
        t = schema.accounts
        mine = sa.and_(t.c.owner == owner, t.c.id == account_id)
        if self._rows(sa.select(t.c.id).where(mine)):
            SqlFinds(self._c).remove(account_id)
            self._c.execute(sa.delete(t).where(mine))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


def _app(row: Mapping[str, Any]) -> App:
    return App(tags=tuple(row["tags"]), **_without(row, "tags"))


def _draft(row: Mapping[str, Any]) -> Draft:
    return Draft(snapshot=_snapshot(row), **_without(row, "hash", "notebook", "files"))


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    return Snapshot(row["hash"], row["notebook"], tuple(File(*file) for file in row["files"]))


def _snapshot_row(snapshot: Snapshot) -> dict[str, Any]:
    files = [[file.path, file.sha256, file.size] for file in snapshot.files]
    return {"hash": snapshot.hash, "notebook": snapshot.notebook, "files": files}
