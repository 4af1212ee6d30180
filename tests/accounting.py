"""A Slurm of the tests' own that keeps accounts of jobs: with slurmdbd, and a MariaDB of its own behind it."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
from pathlib import Path

import pytest

from tests.portal_fixture import free_ports, until
from tests.slurm import Cluster

__all__ = ["AccountedCluster"]

#: Where MariaDB's own tables are described, and by what these files begin.
_TABLES = [Path(f"/usr/share/{folder}") / name for folder in ("mysql", "mariadb") for name in ("mysql", "mariadb")]
_DATABASE = """
CREATE DATABASE slurm;
CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';
"""
_DBD = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""
_CONF = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
"""


class AccountedCluster(Cluster):
    """Such a cluster; what its controller has forgotten, ``sacct`` still knows."""

    programs = ("slurmdbd", "mariadbd")

    def accounting(self) -> str:
        """Start both, and make the cluster known to them."""
        mariadb, dbd = free_ports(2)
        password, data = secrets.token_hex(16), self.folder / "mariadb"
        data.mkdir(mode=0o700)
        server = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}"]
        tables = "".join(Path(f"{_described()}_system_tables{part}.sql").read_text() for part in ("", "_data"))
        begun = f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}"
        subprocess.run([*server, "--bootstrap"], input=begun, text=True, check=True, capture_output=True, timeout=60)
        script = self.folder / "database.sql"
        script.touch(mode=0o600)
        script.write_text(_DATABASE.format(password=password))
        bound = ["--bind-address=127.0.0.1", f"--port={mariadb}", f"--socket={self.folder / 'mariadb.socket'}"]
        quick = ["--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", f"--init-file={script}"]
        self._run("mariadbd", *server, *bound, *quick)
        until(lambda: _listens(mariadb), seconds=60, what=lambda: f"MariaDB\n{self.log()}")
        said = {"folder": self.folder, "host": socket.gethostname().partition(".")[0]}
        conf = self.folder / "slurmdbd.conf"
        conf.touch(mode=0o600)
        conf.write_text(_DBD.format(**said, mariadb=mariadb, dbd=dbd, password=password))
        self._run("slurmdbd", "slurmdbd", "-D")
        until(lambda: _listens(dbd), seconds=60, what=lambda: f"slurmdbd\n{self.log()}")
        return _CONF.format(**said, dbd=dbd)

    def accounts(self) -> list[str]:
        """Return name and state of each job that the accounting knows whole: it hears of them seconds later."""
        asked = ("--allusers", "--noheader", "--parsable2", "--allocations", "--starttime=now-1hour")
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # it does not answer yet
            return sorted(self.command("sacct", *asked, "--format=JobName,State").splitlines())
        return []

    def forget(self) -> None:
        """Let the controller begin anew, without what it knows of jobs."""
        self.stop_controller()
        self.start_controller("-c")
        until(self._takes_jobs, seconds=30, what=lambda: f"the node\n{self.log()}")


def _described() -> Path:
    found = next((each for each in _TABLES if Path(f"{each}_system_tables.sql").exists()), None)
    if found is None:
        pytest.skip("It is not known where this MariaDB describes its own tables.")
    return found


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
