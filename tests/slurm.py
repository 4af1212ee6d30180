"""A Slurm of the tests' own: munge, controller and one node on loopback, without systemd and without control groups."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from hub_service.settings import ROOT, Settings
from tests.portal_fixture import app_python, free_ports, until

__all__ = ["Cluster", "a_cluster", "a_person", "filled", "pythons", "readable", "site_config"]

_PROGRAMS = (
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "squeue",
    "sacct",
    "scancel",
    "scontrol",
    "runuser",
    "setpriv",
    "useradd",
)
_CONF = """
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
KillWait=2
MessageTimeout=5
ReturnToService=2
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs=32 RealMemory=64000
PartitionName=main Nodes=localhost Default=YES State=UP MaxTime=UNLIMITED
PartitionName=brief Nodes=localhost State=UP MaxTime=UNLIMITED DefaultTime=00:30:00
PartitionName=stopped Nodes=localhost State=DOWN MaxTime=UNLIMITED
"""


class Cluster:
    """One machine as a cluster: partition "main" runs jobs at once, "brief" for half an hour where nobody asks for
    a time, "stopped" takes them and runs none.

    ``folder`` is one that jobs' users can enter; ``environ`` makes Slurm's programs talk to this cluster.
    """

    #: What it needs besides.
    programs: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> Cluster:
        """Start it, and return when the node takes jobs."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir(mode=0o700)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        controller, node = free_ports(2)
        said = {"folder": self.folder, "host": socket.gethostname().partition(".")[0], "name": self.folder.name}
        conf = _CONF.format(**said, controller=controller, node=node)
        (self.folder / "slurm.conf").write_text(conf)
        files = {"socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "seed"}
        places = [f"--{option}={self.folder / file}" for option, file in files.items()]
        self._run("munged", "munged", "--foreground", "--force", f"--key-file={key}", "--num-threads=1", *places)
        until((self.folder / "munge.socket").exists, seconds=10, what="munge")
        with (self.folder / "slurm.conf").open("a") as more:
            more.write(self.accounting())
        self.start_controller()
        self._run("slurmd", "unshare", "--mount", "sh", "-ec", f"{readable(self.folder)}exec slurmd -D")
        until(self._takes_jobs, seconds=40, what=lambda: f"the node\n{self.log()}")
        return self

    def accounting(self) -> str:
        """Start what keeps accounts of jobs, where anything does, and return what the configuration says of it."""
        return ""

    def start_controller(self, *options: str) -> None:
        """Start the controller, again if it was stopped."""
        self._run("slurmctld", "slurmctld", "-D", *options)

    def stop_controller(self) -> None:
        """Stop the controller; jobs go on."""
        self._end("slurmctld")

    def command(self, *command: str) -> str:
        """Run one of Slurm's programs and return what it says."""
        done = subprocess.run(command, env=os.environ | self.environ, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self, form: str = "%i") -> list[str]:
        """Return a line for each job that waits or runs."""
        return self.command("squeue", "--noheader", f"--format={form}").splitlines()

    def end_all(self) -> None:
        """End all jobs: those of a portal outlive it."""
        self.command("scancel", "--partition=main,brief,stopped")

    def log(self) -> str:
        """Return the ends of the logs."""
        files = sorted(self.folder.glob("*.out"))
        return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-1500:]}" for file in files)

    def stop(self) -> None:
        """End all jobs and the cluster."""
        with contextlib.suppress(AssertionError, TimeoutError, subprocess.TimeoutExpired):
            self.end_all()
            until(lambda: not self.jobs(), seconds=10, what="the jobs to end")
        for name in reversed(list(self._processes)):
            self._end(name)
        for process in psutil.process_iter():  # what has not ended with its job
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == self.environ["SLURM_CONF"]:
                    process.kill()

    def _run(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            environ = os.environ | self.environ
            # It ends with the tests, even if they are killed.
            bound = ("setpriv", "--pdeathsig", "TERM", *command)
            process = subprocess.Popen(bound, env=environ, cwd=self.folder, stdout=out, stderr=out)
        self._processes[name] = process

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _takes_jobs(self) -> bool:
        assert all(process.poll() is None for process in self._processes.values()), self.log()
        with contextlib.suppress(AssertionError):
            return self.command("sinfo", "--noheader", "--partition=main", "--format=%T") in {"idle", "mixed"}
        return False


@contextlib.contextmanager
def a_cluster(kind: type[Cluster] = Cluster) -> Iterator[Cluster]:
    """Start a cluster and stop it at the end; the test is skipped where that cannot be."""
    missing = [program for program in (*_PROGRAMS, *kind.programs) if not shutil.which(program)]
    if missing:
        pytest.skip(f"There is no {missing[0]} here: make check-system installs what Slurm's tests need, where it can.")
    if os.geteuid():
        pytest.skip("Only root can start a Slurm that runs jobs as others.")
    folder = Path(tempfile.mkdtemp(prefix="vaas-slurm-"))
    folder.chmod(0o755)
    cluster = kind(folder)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def a_person(folder: Path) -> Iterator[str]:
    """Make an account of the system, with a home in ``folder``, and remove it at the end."""
    name = f"vaas-{secrets.token_hex(4)}"
    home = folder / name
    home.mkdir(mode=0o700)
    subprocess.run(["useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", name], check=True)
    try:
        entry = pwd.getpwnam(name)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        yield name
    finally:
        subprocess.run(["userdel", "--force", name], check=True, stderr=subprocess.DEVNULL)


def pythons() -> set[Path]:
    """Return our code and its Pythons, which a job needs: folders, and of the system's own Python what is its alone."""
    own = {Path(python).resolve() for python in (sys.executable, app_python())}
    system = {each for python in own if python.parts[1] == "usr" for each in (python, Path("/usr/lib") / python.name)}
    return {ROOT, *system, *(python.parents[1] for python in own if python not in system)}


def readable(folder: Path) -> str:
    """Return what makes our code and its Pythons readable to all, in a namespace of mounts that the node has alone.

    Root's own Python may lie where only root can enter; on a cluster it lies where everybody can.
    """
    hidden: dict[Path, list[Path]] = {}
    for path in sorted(pythons()):
        closed = next((above for above in reversed(path.parents) if not above.stat().st_mode & 1), None)
        if closed is not None:
            hidden.setdefault(closed, []).append(path)
    lines = []
    for number, (closed, paths) in enumerate(hidden.items()):
        kept = {path: folder / f"kept-{number}-{each}" for each, path in enumerate(paths)}
        lines += [f"mkdir {keep}; mount --bind '{path}' {keep}" for path, keep in kept.items()]
        lines.append(f"mount -t tmpfs -o mode=755 vaas '{closed}'")
        lines += [f"mkdir -p '{path}'; mount --bind {keep} '{path}'" for path, keep in kept.items()]
    return "".join(f"{line}\n" for line in lines)


def filled(shown: str, ours: Mapping[str, str], settings: Settings, *, apps_as: str) -> str:
    """Return a configuration that a page shows, with what is ours, and where Hub and portal are, in its places."""
    places = {
        **ours,
        '"vaas-apps"': repr(apps_as),
        '"https://vaas.example.org/services/vaas/"': repr(settings.portal_internal_url),
        '"https://vaas.example.org"': repr(f"http://127.0.0.1:{settings.hub_port}"),
    }
    for theirs, value in places.items():
        assert theirs in shown, f"The page shows no {theirs}"
        shown = shown.replace(theirs, value)
    return shown


def site_config(settings: Settings, *, apps_as: str) -> str:
    """Return the configuration that ``docs/slurm.md`` shows, with what differs from site to site filled in."""
    page = (ROOT / "docs" / "slurm.md").read_text()
    ours = {
        '"sudo -n -E -u {username} --"': '"runuser -u {username} --"',
        '"interactive"': '"main"',
    }
    shown = filled(page.partition("```python\n")[2].partition("```")[0], ours, settings, apps_as=apps_as)
    # Nothing of the tests listens but on loopback.
    return f"{shown}\nc.BatchServers.listen = '127.0.0.1'\nc.SlurmSpawner.startup_poll_interval = 0.2\n"
