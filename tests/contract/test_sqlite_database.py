"""SQLite as the database, and the secrets in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from tests.contract.database import NOW, DatabaseContract, app
from tests.contract.keeping import KeepingContract
from tests.contract.launched import LaunchedContract
from vaas.db import schema
from vaas.db.base import Query
from vaas.db.seal import Seal, ensure_secret
from vaas.db.sql import SqlDatabase
from vaas.errors import Invalid, StorageFull, Unavailable
from vaas.model import Access, Link, StoreAccount, User, Visitor

PASSWORD, TOKEN = "correct-horse-battery-staple", "tokentokentokentokentokentoken42"


@pytest.fixture
def database(empty_database: bytes, tmp_path: Path) -> Iterator[SqlDatabase]:
    (tmp_path / "portal.sqlite").write_bytes(empty_database)
    made = SqlDatabase(f"sqlite:///{tmp_path / 'portal.sqlite'}", seal=Seal(b"seal"))
    yield made
    made.close()


class TestSqliteDatabase(DatabaseContract, KeepingContract, LaunchedContract):
    """The contract, on a file."""

    @pytest.fixture
    def database(self, empty_database: bytes, tmp_path: Path) -> Iterator[SqlDatabase]:
        (tmp_path / "portal.sqlite").write_bytes(empty_database)
        made = SqlDatabase(f"sqlite:///{tmp_path / 'portal.sqlite'}", seal=Seal(b"seal"))
        yield made
        made.close()


def fill(database: SqlDatabase) -> None:
    with database.begin() as records:
        records.apps.save(app())
        records.links.add(Link("l1", "a1", TOKEN, "ada", NOW), Access.VIEW)
        records.accounts.add(StoreAccount("dav-1", "ada", "Cloud", "https://c.example.org/", "alice", NOW), PASSWORD)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("portal.sqlite*"))


def test_the_files_hold_neither_password_nor_link_token(database: SqlDatabase, tmp_path: Path) -> None:
    fill(database)
    both = on_disk(tmp_path)
    database.close()
    both += on_disk(tmp_path)
    assert b"alice" in both
    for secret in (PASSWORD, TOKEN):
        for spelled in (secret.encode(), secret.encode("utf-16-le"), secret.encode().hex().encode()):
            assert spelled not in both


def test_another_key_opens_no_secret_and_everything_else(database: SqlDatabase, tmp_path: Path) -> None:
    fill(database)
    other = SqlDatabase(f"sqlite:///{tmp_path / 'portal.sqlite'}", seal=Seal(b"another"))
    with other.begin() as records:
        assert records.apps.get("app-1") == app()
        assert records.accounts.of("ada")[0].username == "alice"
        with pytest.raises(Unavailable):
            records.accounts.password("dav-1")
    other.close()


def test_the_same_word_is_sealed_differently_each_time() -> None:
    seal = Seal(b"key")
    assert seal.close(PASSWORD) != seal.close(PASSWORD)
    assert seal.open(seal.close(PASSWORD)) == PASSWORD


def test_a_new_database_file_gets_its_tables_and_is_found_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    for _ in range(2):
        database = SqlDatabase(url, seal=Seal(b"seal"))
        database.upgrade()
        with database.begin() as records:
            known = records.apps.get("app-1")
            records.apps.save(app())
        database.close()
    assert known == app()


def test_an_older_database_keeps_its_apps_which_reach_and_know_nothing_then(tmp_path: Path) -> None:
    made = SqlDatabase(f"sqlite:///{tmp_path / 'old.sqlite'}", seal=Seal(b"seal"))
    made.upgrade(to="0001")
    with made._engine.begin() as connection:
        row = {c.name: "" for c in schema.apps.columns if c.name not in {"network", "knows_visitor", "speaks"}}
        row |= {"id": "a1", "slug": "app-1", "title": "App 1", "tags": [], "created": NOW, "updated": NOW}
        old = sa.table("apps", *(sa.column(c.name, c.type) for c in schema.apps.columns if c.name in row))
        connection.execute(sa.insert(old).values(**row))
    made.upgrade()
    with made.begin() as records:
        found = records.apps.get("app-1")
        assert found and (found.title, found.network, found.knows_visitor) == ("App 1", (), False)
        assert not found.speaks
    made.close()


def test_an_older_database_keeps_what_has_changed(tmp_path: Path) -> None:
    made = SqlDatabase(f"sqlite:///{tmp_path / 'old.sqlite'}", seal=Seal(b"seal"))
    made.upgrade(to="0004")
    with made._engine.begin() as connection:
        connection.execute(sa.insert(schema.changes).values(kind="app", key="a1", number=1))
        connection.execute(sa.update(schema.counters).where(schema.counters.c.name == "changes").values(number=1))
    made.upgrade()
    with made.begin() as records:
        assert [each.key for each in records.changes.since(0, limit=9)] == ["a1"]
        records.changes.note("file", "x" * 1_100)
        assert records.changes.last() == 2
    made.close()


def test_readers_do_not_wait_for_a_writer(database: SqlDatabase) -> None:
    with database.begin() as records:
        records.apps.save(app())
    seen = []

    def read() -> None:
        with database.begin() as others:
            seen.append(others.apps.get("app-2"))
            seen.append(others.apps.get("app-1"))

    with database.begin() as records:
        records.apps.save(app(2))
        thread = Thread(target=read)
        thread.start()
        thread.join(3)
        assert seen == [None, app()]


def test_listing_takes_one_query_however_many_apps_there_are(database: SqlDatabase) -> None:
    with database.begin() as records:
        for number in range(30):
            records.apps.save(app(number, updated=NOW + timedelta(seconds=number)))
    asked: list[str] = []
    sa.event.listen(database._engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    with database.begin() as records:
        assert len(records.apps.visible(Visitor(User("ada")), Query(), now=NOW)) == 30
    assert len(asked) == 1


class TestSecret:
    """The key files that lie beside the database."""

    def test_a_secret_is_made_once_and_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "secrets" / "seal"
        first = ensure_secret(path)
        assert ensure_secret(path) == first
        assert len(first) == 32
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert os.listdir(path.parent) == ["seal"]

    def test_two_secrets_differ(self, tmp_path: Path) -> None:
        assert ensure_secret(tmp_path / "a") != ensure_secret(tmp_path / "b")

    @pytest.mark.parametrize("text", ["", "\n", "00", "ab" * 31, "not hex at all", "\x00" * 64])
    def test_a_damaged_secret_is_refused_and_never_used(self, tmp_path: Path, text: str) -> None:
        # An empty key would sign tickets that anybody can forge.
        (tmp_path / "tickets").write_text(text)
        with pytest.raises(Invalid) as said:
            ensure_secret(tmp_path / "tickets")
        assert "tickets" in said.value.message
        assert (tmp_path / "tickets").read_text() == text

    def test_of_those_who_make_it_at_once_all_get_the_same(self, tmp_path: Path) -> None:
        found: list[bytes] = []
        threads = [Thread(target=lambda: found.append(ensure_secret(tmp_path / "x"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 16 and len(set(found)) == 1


def inserted(made: SqlDatabase, table: str, names: str, dates: str) -> None:
    """Put a row into the table as it is at this version."""
    row = dict.fromkeys(names.split(), "x") | {"files": "[]", "parameters": "{}", "asked": "{}", "progress": "{}"}
    row |= dict.fromkeys(dates.split(), "2026-03-01 12:00:00.000000")
    if table == "schedules":
        del row["progress"]
    columns = ", ".join(f'"{name}"' for name in row)
    with made._engine.begin() as connection:
        text = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})"
        connection.exec_driver_sql(text, tuple(row.values()))


def test_schedules_from_before_there_were_zones_are_in_utc(tmp_path: Path) -> None:
    made = SqlDatabase(f"sqlite:///{tmp_path / 'old.sqlite'}", seal=Seal(b"seal"))
    made.upgrade(to="0009")
    names = "id owner title environment size facility hash notebook cron"
    inserted(made, "schedules", names, "created until due")
    made.upgrade()
    with made.begin() as records:
        kept = records.schedules.get("x")
        assert kept is not None and (kept.zone, kept.cron) == ("UTC", "x")
    made.close()


def test_results_from_before_they_could_be_shared_are_shared_with_nobody(tmp_path: Path) -> None:
    made = SqlDatabase(f"sqlite:///{tmp_path / 'old.sqlite'}", seal=Seal(b"seal"))
    made.upgrade(to="0010")
    names = "id owner title environment size facility hash notebook ref error result_path state result_store series"
    inserted(made, "runs", f"{names} schedule", "created started ended")
    made.upgrade()
    with made.begin() as records:
        kept = records.runs.get("x")
        assert kept is not None and (kept.shared_with, kept.result_path) == ((), "x")
    made.close()


def test_a_disk_that_is_full_is_told_as_that_and_nothing_is_kept(database: SqlDatabase) -> None:
    def as_large_as_it_is(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # never less than what there is

    database.close()  # the next connections are new ones
    sa.event.listen(database._engine, "connect", as_large_as_it_is)
    with pytest.raises(StorageFull, match="The portal's disk is full"), database.begin() as records:
        for number in range(500):
            records.apps.save(app(number))
    with database.begin() as records:
        assert records.apps.get("app-0") is None
