"""PostgreSQL as the database: a real server of our own on a UNIX socket, where the machine has one."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from tests.contract.database import DatabaseContract
from tests.contract.keeping import KeepingContract
from tests.contract.launched import LaunchedContract
from tests.portal_parts import ADA, BOB, Homes, made
from vaas.catalogs.own import Index, OwnCatalog
from vaas.db import schema
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase
from vaas.model import Visitor
from vaas.portal import Harvesting, Indexing
from vaas.query import parse

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")


def _binaries() -> Path | None:
    named = shutil.which("postgres")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: path.parts[-3])
    return Path(named).resolve().parent if named else found[-1].parent if found else None


class Server:
    """A PostgreSQL server in a folder; it refuses to run as root, who lends it to "nobody"."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder = binaries, folder
        self._user = "nobody" if os.geteuid() == 0 else None
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://vaas@/postgres?host={folder}"

    def start(self) -> None:
        """Make the database and wait until it answers."""
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        data = str(self._folder / "data")
        words = ["--username=vaas", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = self._run("initdb", "-D", data, *words)
        assert made.wait(60) == 0, (self._folder / "log").read_text()
        quick = [word for name in ("fsync", "full_page_writes", "synchronous_commit") for word in ("-c", f"{name}=off")]
        self._server = self._run("postgres", "-D", data, "-k", str(self._folder), "-c", "listen_addresses=", *quick)
        deadline = time.monotonic() + 30
        while self._run("pg_isready", "-q", "-h", str(self._folder), "-U", "vaas").wait(10):
            assert self._server.poll() is None and time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it and wait until it is gone; no-op when it never ran."""
        if self._server:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)

    def _run(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            command = [str(self._binaries / program), *words]
            groups = [] if self._user else None
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self._folder, user=self._user, extra_groups=groups
            )


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Start the server and yield its URL."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed here: apt install postgresql")
    # Not under pytest's own folder: a socket's path is short, and "nobody" must get there.
    with tempfile.TemporaryDirectory(prefix="vaas-pg-", ignore_cleanup_errors=True) as folder:
        running = Server(binaries, Path(folder))
        try:
            running.start()
            yield running.url
        finally:
            running.stop()


@pytest.fixture(scope="session")
def upgraded(server: str) -> Iterator[SqlDatabase]:
    """The database with all tables."""
    database = SqlDatabase(server, seal=Seal(b"seal"))
    database.upgrade()
    yield database
    database.close()


class TestPostgresqlDatabase(DatabaseContract, KeepingContract, LaunchedContract):
    """The contract, on a real server."""

    @pytest.fixture
    def database(self, upgraded: SqlDatabase) -> SqlDatabase:
        _clear(upgraded)
        return upgraded


async def test_the_indexes_of_two_portals_follow_one_database(
    upgraded: SqlDatabase, tmp_path: Path, empty_database: bytes
) -> None:
    _clear(upgraded)
    worlds, indexes = [], []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        world = made(tmp_path / name, empty=empty_database)
        world.core.database.close()  # type: ignore[attr-defined]
        # One database and one place for files; each has its own index.
        world.core.database, world.core.stores = upgraded, Homes(tmp_path / "homes")
        worlds.append(world)
        indexes.append(Index(tmp_path / name / "index", memory=30_000_000))
    follow = [Indexing(world.core, index) for world, index in zip(worlds, indexes, strict=True)]
    harvest = [Harvesting(world.core) for world in worlds]
    file = tmp_path / "homes" / "ada" / "tides.csv"
    file.parent.mkdir(parents=True)
    chance = Random(5)
    for step in range(20):
        file.with_name(f"{chance.randrange(6)}.csv").write_text(str(step))
        gone = file.with_name(f"{chance.randrange(6)}.csv")
        gone.unlink(missing_ok=True)
        # Whichever looks: both find it.
        await chance.choice(harvest).sweep()
        if chance.random() < 0.7:
            await asyncio.gather(*(asyncio.to_thread(each.catch_up) for each in follow))
    for each in follow:
        each.catch_up()
    expected = sorted(path.name for path in file.parent.iterdir())
    for index in indexes:
        page = await OwnCatalog(index).search(parse(""), visitor=Visitor(ADA), limit=50)
        assert sorted(record.title for record in page.records) == expected and page.total == len(expected)
        assert (await OwnCatalog(index).search(parse(""), visitor=Visitor(BOB), limit=50)).total == 0
        index.close()
    _clear(upgraded)


def _clear(database: SqlDatabase) -> None:
    with database._engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.counters:
                connection.execute(sa.delete(table))
