"""Content that nothing uses goes after days; whatever is used, by whichever record, stays."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.portal_parts import World, made
from vaas.content import snapshot_of
from vaas.db import schema
from vaas.db.base import Records
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase
from vaas.errors import Unavailable
from vaas.launching import Launch, Run, Schedule
from vaas.model import App, Draft, File, Version
from vaas.portal.run_belongings import with_files
from vaas.portal.unused import Unused


@pytest.fixture(autouse=True)
def _today(world: World) -> None:
    """The files of these tests have the times of this machine."""
    world.clock.time = datetime.now(UTC)


def add(world: World, text: str) -> File:
    return File("a.ipynb", *world.core.content.add(text.encode()))


def app(world: World, id: str = "used", **changed: Any) -> File:
    """Publish something, and return its file: who has nothing published has another database than the content."""
    now, file = world.clock(), add(world, f"of {id}")
    snapshot = snapshot_of("a.ipynb", [file])
    with world.core.database.begin() as records:
        records.apps.save(App(id, id, id, "ada", snapshot.hash, now, now, **changed))
        records.versions.add(Version(id, 1, snapshot, "ada", now))
    return file


def sweep(world: World, *, days: int = 12) -> int:
    """Sweep as often as a portal does in so many days; return how many files went."""
    unused, gone = Unused(world.core), 0
    for _ in range(days):
        gone += unused.sweep()
        world.clock.forward(days=1)
    return gone


def there(world: World, file: File) -> bool:
    return file.sha256 in world.core.content.present()


#: What a record is called → saves one that uses the file.
def _draft(records: Records, file: File, now: datetime) -> None:
    records.drafts.save(Draft("d", "ada", "x", "", "D", snapshot_of("a.ipynb", [file]), now))


def _version(records: Records, file: File, now: datetime) -> None:
    """An old one: the app has gone on since."""
    records.versions.add(Version("used", 2, snapshot_of("a.ipynb", [file]), "ada", now))


def _cover(records: Records, file: File, now: datetime) -> None:
    found = records.apps.get("used")
    assert found is not None
    records.apps.save(replace(found, cover=file.sha256))


def _run(records: Records, file: File, now: datetime, *, state: str = "queued") -> None:
    snapshot = snapshot_of("a.ipynb", [file])
    records.runs.save(Run("r", "ada", "R", snapshot, {}, "e", "s", "f", now, state=state))


def _ended_run(records: Records, file: File, now: datetime) -> None:
    """It can be repeated, published and launched."""
    _run(records, file, now, state="done")


def _schedule(records: Records, file: File, now: datetime) -> None:
    snapshot = snapshot_of("a.ipynb", [file])
    until = now + timedelta(days=90)
    records.schedules.save(Schedule("s", "ada", "S", "0 6 * * *", snapshot, {}, "e", "s", "f", now, until, due=until))


def _over_schedule(records: Records, file: File, now: datetime) -> None:
    snapshot = snapshot_of("a.ipynb", [file])
    records.schedules.save(Schedule("s", "ada", "S", "0 6 * * *", snapshot, {}, "e", "s", "f", now, now))


def _launch(records: Records, file: File, now: datetime) -> None:
    """It is started again with what was gathered for it."""
    asked = with_files({"run": "r"}, snapshot_of("a.ipynb", [file]))
    records.launches.save(Launch("l", "ada", "L", asked, "e", "s", "f", now, now, state="stopped"))


USES: tuple[Callable[[Records, File, datetime], None], ...] = (
    _draft,
    _version,
    _cover,
    _run,
    _ended_run,
    _schedule,
    _over_schedule,
    _launch,
)


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__.strip("_"))
def test_what_a_record_uses_stays(use: Callable[[Records, File, datetime], None], world: World) -> None:
    app(world)
    used, left = add(world, "used by the record"), add(world, "used by none")
    with world.core.database.begin() as records:
        use(records, used, world.clock())
    assert sweep(world) == 1
    assert there(world, used) and not there(world, left)


def test_what_stands_in_any_column_of_any_table_stays(world: World) -> None:
    """Of tables that are made some day, too; so nobody has to think of this."""
    app(world)
    columns = [
        (table, column)
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, (sa.String, sa.JSON, sa.types.TypeDecorator))
    ]
    assert len(columns) > 60
    engine = world.core.database._engine  # type: ignore[attr-defined]
    texts = {str(column): add(world, str(column)) for _, column in columns}
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE tomorrow (anything TEXT)")
        for name, file in texts.items():
            if name.partition(".")[0] not in {"finds", "walks"}:
                connection.exec_driver_sql("INSERT INTO tomorrow VALUES (?)", (f'{{"x": ["{file.sha256}"]}}',))
    kept = world.core.database.hashes()
    for name, file in texts.items():
        assert (file.sha256 in kept) is (name.partition(".")[0] not in {"finds", "walks"}), name


def test_a_hash_within_a_longer_number_is_found(world: World) -> None:
    app(world)
    file = add(world, "x")
    with world.core.database.begin() as records:
        found = records.apps.get("used")
        assert found is not None
        records.apps.save(replace(found, description=f"0a{file.sha256}ff"))
    assert file.sha256 in world.core.database.hashes()


def test_what_is_added_and_not_used_yet_stays_for_days(world: World) -> None:
    app(world)
    file = add(world, "a draft that is being made")
    assert sweep(world, days=7) == 0 and there(world, file)
    assert sweep(world, days=5) == 1 and not there(world, file)


def test_what_was_unused_for_days_and_is_added_again_stays(world: World) -> None:
    app(world)
    file = add(world, "again")
    sweep(world, days=6)
    world.core.content.add(b"again")
    # The file has the time of this machine: as if it had been then.
    os.utime(world.core.content.path(file.sha256), (world.clock().timestamp(),) * 2)
    assert sweep(world, days=5) == 0 and there(world, file)


def test_what_is_used_in_between_counts_as_unused_from_then(world: World) -> None:
    """What was used at one look is not removed because of what was seen before."""
    app(world)
    file = add(world, "in between")
    sweep(world, days=6)
    with world.core.database.begin() as records:
        _draft(records, file, world.clock())
    sweep(world, days=1)
    with world.core.database.begin() as records:
        records.drafts.remove("d")
    assert sweep(world, days=7) == 0 and there(world, file)
    assert sweep(world, days=2) == 1


class _AddedMeanwhile(SqlDatabase):
    """Somebody adds content, and names it, right after it was looked what is named."""

    def __init__(self, before: SqlDatabase, then: Callable[[], None]) -> None:
        self._engine, self._seal, self._then = before._engine, before._seal, then

    def hashes(self) -> set[str]:
        found = super().hashes()
        self._then()
        return found


def test_what_is_added_between_looking_and_removing_stays(world: World) -> None:
    app(world)
    file, left = add(world, "old and added again"), add(world, "old")
    sweep(world, days=7)
    assert there(world, file) and there(world, left)
    world.clock.forward(days=30)
    content = world.core.content

    def then() -> None:
        content.add(b"old and added again")
        os.utime(content.path(file.sha256), (world.clock().timestamp(),) * 2)
        with world.core.database.begin() as records:
            _draft(records, file, world.clock())

    world.core.database = _AddedMeanwhile(world.core.database, then)  # type: ignore[arg-type]
    assert Unused(world.core).sweep() == 1
    assert there(world, file) and not there(world, left)


def test_while_the_database_cannot_be_read_whole_nothing_goes(world: World) -> None:
    app(world)
    file = add(world, "unused")
    sweep(world, days=7)
    world.clock.forward(days=7)
    engine = world.core.database._engine  # type: ignore[attr-defined]
    with engine.begin() as connection:
        # No text, as after a fault of the disk.
        connection.exec_driver_sql("UPDATE versions SET notebook = CAST(x'ff41' AS TEXT)")
    with pytest.raises(Unavailable):
        Unused(world.core).sweep()
    assert there(world, file)


def test_with_another_database_nothing_goes(
    world: World, tmp_path: Path, empty_database: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a site has named a new one, in which the portal's own app is, but nobody's."""
    file = app(world)
    assert sweep(world, days=2) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "portal.sqlite").write_bytes(empty_database)
    other = SqlDatabase(f"sqlite:///{tmp_path / 'other' / 'portal.sqlite'}", seal=Seal(bytes(32)))
    before, world.core.database = world.core.database, other
    app(world, "theirs")
    assert other.identity() == other.identity() != before.identity()
    with caplog.at_level(logging.WARNING):
        assert sweep(world) == 0 and there(world, file)
    assert "of another database than this" in caplog.text and ".unused.json" in caplog.text
    other.close()
    world.core.database = before
    assert sweep(world, days=2) == 0 and there(world, file)


def test_with_a_database_that_names_nothing_of_it_nothing_goes(world: World, caplog: pytest.LogCaptureFixture) -> None:
    file = add(world, "somebody's")
    with caplog.at_level(logging.WARNING):
        assert sweep(world) == 0 and there(world, file)
    assert "names none of it" in caplog.text


def test_it_looks_once_a_day_and_says_what_went(world: World, caplog: pytest.LogCaptureFixture) -> None:
    app(world)
    add(world, "x")
    sweep(world, days=10)
    notes = world.core.content.root / ".unused.json"
    before = notes.read_bytes()
    add(world, "y")
    sweep(world, days=0)
    unused = Unused(world.core)
    unused.sweep()
    assert notes.read_bytes() != before
    looked = notes.read_bytes()
    world.clock.forward(hours=1)
    unused.sweep()
    assert notes.read_bytes() == looked


def test_damaged_notes_are_begun_anew(world: World) -> None:
    app(world)
    file = add(world, "x")
    sweep(world, days=6)
    (world.core.content.root / ".unused.json").write_text('{"since": []')
    assert sweep(world, days=6) == 0 and there(world, file)


def test_each_world_has_a_number_of_its_own(world: World, tmp_path: Path, empty_database: bytes) -> None:
    (tmp_path / "second").mkdir()
    second = made(tmp_path / "second", empty=empty_database)
    assert second.core.database.identity() != world.core.database.identity()
    second.core.database.close()  # type: ignore[attr-defined]
