"""An HTCondor of the tests' own: all its daemons on loopback, on this system or in a tree of another Debian.

Debian 12 has no HTCondor, its successor has. ``make condor-root`` (as root) makes a tree of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal_fixture import ROOT, free_ports, until

__all__ = ["Pool", "a_pool"]

_CONF = """
include : /etc/condor/condor_config
use ROLE: Personal
use SECURITY: HOST_BASED
ALLOW_READ = 127.0.0.1
ALLOW_WRITE = 127.0.0.1
ALLOW_DAEMON = 127.0.0.1
ALLOW_ADMINISTRATOR = 127.0.0.1
LOCAL_DIR = {folder}
LOCAL_CONFIG_DIR =
LOCAL_CONFIG_FILE =
LOG = {folder}/log
SPOOL = {folder}/spool
EXECUTE = {folder}/execute
LOCK = {folder}/lock
RUN = {folder}/run
CONDOR_IDS = {ids}
CONDOR_HOST = 127.0.0.1
NETWORK_INTERFACE = 127.0.0.1
BIND_ALL_INTERFACES = False
COLLECTOR_HOST = 127.0.0.1:{port}
USE_SHARED_PORT = True
SHARED_PORT_PORT = {port}
DAEMON_SOCKET_DIR = {folder}/sockets
MOUNT_UNDER_SCRATCH =
BASE_CGROUP =
NUM_CPUS = 4
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 2
JOB_START_DELAY = 0
PERIODIC_EXPR_INTERVAL = 2
"""


class Pool:
    """One machine as a pool. ``prefix`` makes a command one of this HTCondor's, run as ``{owner}``."""

    def __init__(self, folder: Path, tree: Path | None) -> None:
        self.folder, self._tree = folder, tree
        self._inside = ("chroot", str(tree)) if tree else ()
        self.prefix = (*self._inside, "runuser", "-u", "{owner}", "--")
        self.environ = {"CONDOR_CONFIG": str(folder / "condor_config")}
        self._master: subprocess.Popen[bytes] | None = None

    def start(self) -> Pool:
        """Start it, and return when the machine takes jobs."""
        if self._tree:
            self._mount("--rbind", "/proc", self._tree / "proc")
            self._mount("--rbind", "/dev", self._tree / "dev")
            self._mount("--bind", self.folder, self._tree / self.folder.relative_to("/"))
        ids = subprocess.run(
            [*self._inside, "sh", "-c", "echo $(id -u condor).$(id -g condor)"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in ("log", "spool", "execute", "lock", "run", "sockets"):
            (self.folder / name).mkdir(mode=0o755)
            os.chown(self.folder / name, *map(int, ids.stdout.strip().split(".")))
        said = _CONF.format(folder=self.folder, ids=ids.stdout.strip(), port=free_ports(1)[0])
        (self.folder / "condor_config").write_text(said)
        self._master = subprocess.Popen(
            [*self._inside, "condor_master", "-f"], env=os.environ | self.environ, start_new_session=True
        )
        until(self._takes_jobs, seconds=40, what=lambda: f"HTCondor\n{self._log()}")
        return self

    def know(self, person: str) -> None:
        """Make the account known in the tree, too."""
        if self._tree:
            entry = pwd.getpwnam(person)
            with (self._tree / "etc" / "passwd").open("a") as file:
                file.write(f"{person}:x:{entry.pw_uid}:{entry.pw_gid}::{entry.pw_dir}:/bin/sh\n")

    def forget(self, person: str) -> None:
        """Take the account out of the tree."""
        if self._tree:
            path = self._tree / "etc" / "passwd"
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if not line.startswith(f"{person}:")))

    def command(self, *command: str) -> str:
        """Run one of HTCondor's programs as root and return what it says."""
        done = subprocess.run(
            [*self._inside, *command], env=os.environ | self.environ, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout} {done.stderr}"
        return done.stdout.strip()

    def hold(self, up: bool) -> None:
        """Stop the queue, or let it go on."""
        assert self._master
        self.command("condor_on" if up else "condor_off", "-schedd")

    def stop(self) -> None:
        """End all jobs and the pool."""
        if self._master:
            self._master.send_signal(signal.SIGQUIT)  # at once
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(20)
            if self._master.poll() is None:
                os.killpg(self._master.pid, signal.SIGKILL)
                self._master.wait()
        for place in (self.folder.relative_to("/"), "dev", "proc") if self._tree else ():
            subprocess.run(["umount", "--lazy", "--recursive", self._tree / place], stderr=subprocess.DEVNULL)

    def _mount(self, how: str, what: Path | str, at: Path) -> None:
        at.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", how, what, at], check=True)
        subprocess.run(["mount", "--make-rprivate", at], check=True)

    def _takes_jobs(self) -> bool:
        assert self._master and self._master.poll() is None, self._log()
        with contextlib.suppress(AssertionError):
            told = self.command("condor_status", "-json", "-attributes", "State")
            return bool(told) and bool(json.loads(told)) and self.command("condor_q") != ""
        return False

    def _log(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-600:]}" for path in (self.folder / "log").glob("*")
        )


@contextlib.contextmanager
def a_pool() -> Iterator[Pool]:
    """Start a pool and stop it at the end; the test is skipped where that cannot be."""
    tree = Path(os.environ.get("VAAS_CONDOR_ROOT") or ROOT / ".venvs" / "condor")
    here = shutil.which("condor_master") is not None
    if not here and not (tree / "usr" / "sbin" / "condor_master").exists():
        pytest.skip("There is no HTCondor here, and Debian 12 has none: make condor-root gets one.")
    if os.geteuid():
        pytest.skip("Only root can start an HTCondor that runs jobs as others.")
    folder = Path(tempfile.mkdtemp(prefix="vaas-condor-"))
    folder.chmod(0o755)
    pool = Pool(folder, None if here else tree)
    try:
        yield pool.start()
    finally:
        pool.stop()
        shutil.rmtree(folder, ignore_errors=True)
