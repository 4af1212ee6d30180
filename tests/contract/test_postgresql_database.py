"""PostgreSQL as the database: a real server of our own on a UNIX socket, where the machine has one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.contract.database import DatabaseContract
from tests.contract.keeping import KeepingContract
from vaas.db import schema
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase

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


class TestPostgresqlDatabase(DatabaseContract, KeepingContract):
    """The contract, on a real server."""

    @pytest.fixture
    def database(self, upgraded: SqlDatabase) -> SqlDatabase:
        with upgraded._engine.begin() as connection:
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.counters:
                    connection.execute(sa.delete(table))
        return upgraded
