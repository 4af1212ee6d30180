"""An HTCondor of the tests' own: all its daemons on loopback, on this system or in a tree of another Debian.

Debian 12 has no HTCondor, its successor has. ``make condor-root`` (as root) makes a tree of it. The pool sees that tree
with our code and our Pythons in it, in a namespace of mounts of its own, so that nothing of the tree is changed.
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
from tests.slurm import pythons, readable

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
STARTER_INITIAL_UPDATE_INTERVAL = 1
STARTER_UPDATE_INTERVAL = 2
use POLICY: HOLD_IF_MEMORY_EXCEEDED
"""
#: What makes the tree the root of who calls it: with a layer over it that goes with the namespace, what the system has
#: of processes and devices, and what is named beside, by its own path.
_TREE = """
mount -t tmpfs -o mode=755 vaas {at}
mkdir {at}/upper {at}/work {at}/root
mount -t overlay -o lowerdir={tree},upperdir={at}/upper,workdir={at}/work vaas {at}/root
for each in /proc /dev; do mount --rbind $each {at}/root$each; done
chmod 755 {at}/root/root
for each in {seen}; do
  if [ -d $each ]; then mkdir -p {at}/root$each; else mkdir -p {at}/root${{each%/*}}; touch {at}/root$each; fi
  mount --bind $each {at}/root$each
done
exec chroot {at}/root {command}
"""


class NoJobs(Exception):
    """There are no such jobs."""


class Pool:
    """One machine as a pool. ``prefix`` makes a command one of this HTCondor's, run as ``{owner}``."""

    def __init__(self, folder: Path, tree: Path | None) -> None:
        self.folder, self._tree = folder, tree
        self.environ = {"CONDOR_CONFIG": str(folder / "condor_config")}
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a command as ``{owner}``, where HTCondor is."""
        return (*self.inside, "runuser", "-u", "{owner}", "--")

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command where HTCondor is: the daemons' own root is the tree."""
        assert self._master
        return ("nsenter", f"--target={self._master.pid}", "--mount", "--root") if self._tree else ()

    def start(self) -> Pool:
        """Start it, and return when the machine takes jobs."""
        accounts = (self._tree or Path("/")) / "etc" / "passwd"
        uid, gid = next(line.split(":")[2:4] for line in accounts.read_text().splitlines() if line[:7] == "condor:")
        for name in ("log", "spool", "execute", "lock", "run", "sockets", "tree"):
            (self.folder / name).mkdir(mode=0o755)
            os.chown(self.folder / name, int(uid), int(gid))
        said = _CONF.format(folder=self.folder, ids=f"{uid}.{gid}", port=free_ports(1)[0])
        (self.folder / "condor_config").write_text(said)
        self._master = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-ec", self._mounted("condor_master -f")],
            env=os.environ | self.environ,
            start_new_session=True,
        )
        until(self._takes_jobs, seconds=40, what=lambda: f"HTCondor\n{self._log()}")
        return self

    def know(self, person: str) -> None:
        """Make the account known in the tree, too."""
        if self._tree and self._master:
            entry = pwd.getpwnam(person)
            with Path(f"/proc/{self._master.pid}/root/etc/passwd").open("a") as file:
                file.write(f"{person}:x:{entry.pw_uid}:{entry.pw_gid}::{entry.pw_dir}:/bin/sh\n")

    def _mounted(self, command: str) -> str:
        """Return what runs the command so that jobs can read our code and its Pythons."""
        if not self._tree:
            return f"{readable(self.folder)}exec {command}"
        seen = " ".join(map(str, (self.folder, *sorted(pythons()))))
        return _TREE.format(at=self.folder / "tree", tree=self._tree, seen=seen, command=command)

    def command(self, *command: str) -> str:
        """Run one of HTCondor's programs as root and return what it says."""
        done = subprocess.run(
            [*self.inside, *command], env=os.environ | self.environ, capture_output=True, text=True, timeout=30
        )
        if "Couldn't find/remove all jobs" in done.stderr:
            raise NoJobs
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout} {done.stderr}"
        return done.stdout.strip()

    def end_all(self) -> None:
        """End all jobs; no-op where there is none."""
        with contextlib.suppress(NoJobs):
            self.command("condor_rm", "-all")

    def stop(self) -> None:
        """End all jobs and the pool."""
        if self._master:
            self._master.send_signal(signal.SIGQUIT)  # at once
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(20)
            if self._master.poll() is None:
                os.killpg(self._master.pid, signal.SIGKILL)
                self._master.wait()

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
