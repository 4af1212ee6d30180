"""``python -m hub_service.supervisor``: keeps proxy and Hub running for one data folder until it is told to stop.

The proxy is not the Hub's child here: visitors stay connected to their apps while a Hub that died comes back.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hub_service.data_folder import PRIVATE, ensure_folder
from hub_service.running import Note, Process, app_servers, hold, portals, stop
from hub_service.settings import ROOT, Settings, find_node
from vaas.db.seal import ensure_secret
from vaas.errors import Invalid, VaasError

__all__ = ["BUSY", "Child", "Supervisor", "hub_child", "main", "proxy_child"]

#: The exit code when another supervisor runs for the folder.
BUSY = 3
_TICK = 0.2
_LOG_BYTES = 10_000_000
_CONFIG = Path(__file__).with_name("jupyterhub_config.py")


class Child:
    """A process that is started again when it ends: soon the first time, later and later when it goes on ending."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path) -> None:
        self.name, self.log = name, log
        self._command, self._env, self._cwd = list(command), dict(env), cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._due = 0.0
        self._quick_deaths = 0
        self._long = _LOG_BYTES

    @property
    def process(self) -> Process:
        """The process that runs now, or ran last."""
        return Process.of(self._process.pid) if self._process else Process(0, 0.0)

    def tend(self, now: float) -> str:
        """Start it when it is due. Returns what happened: "started", "died" or ""."""
        if self._process is None:
            if now < self._due:
                return ""
            self._start(now)
            return "started"
        code = self._process.poll()
        if code is None:
            self._turn_log()
            return ""
        self._process = None
        self._quick_deaths = self._quick_deaths + 1 if now - self._began < 60 else 0
        self._due = now + (min(30.0, 2.0 ** (self._quick_deaths - 2)) if self._quick_deaths else 0.0)
        logging.warning("%s ended with code %s; next start in %.1f s", self.name, code, self._due - now)
        return "died"

    def stop(self, patience: float) -> None:
        """Ask it to end, and insist after ``patience`` seconds; no-op when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            logging.warning("%s does not end; killing it", self.name)
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self, now: float) -> None:
        self._turn_log()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._began = now
        logging.info("%s started as process %d", self.name, self._process.pid)

    def _turn_log(self) -> None:
        """Keep a log that has grown long as the one before, and begin it anew; no-op while it is short."""
        size = self.log.stat().st_size if self.log.exists() else 0
        if size <= self._long:
            return
        before = self.log.with_name(f"{self.log.name}.1")
        try:
            before.unlink(missing_ok=True)
            # Copied, not renamed: what runs has this file open, and goes on at its end, wherever that is.
            shutil.copyfile(self.log, before)
            os.truncate(self.log, 0)
            self._long = _LOG_BYTES
        except OSError as error:
            logging.warning("%s cannot be kept as %s: %s", self.log, before.name, error)
            self._long = size + _LOG_BYTES


class Supervisor:
    """Runs the children until :meth:`end` is called; writes down what runs."""

    def __init__(self, settings: Settings, *, proxy: Child, hub: Child) -> None:
        self._settings, self._proxy, self._hub = settings, proxy, hub
        self._ending = False
        ports = {"public": settings.port, "hub": settings.hub_port}
        ports |= {"portal": settings.portal_port, "proxy": settings.proxy_port}
        self._note = Note(Process.of(os.getpid()), settings.portal_url, ports)

    def end(self, *_: object) -> None:
        """Stop soon; the arguments are those of a signal handler."""
        self._ending = True

    def run(self) -> None:
        """Keep the children running; returns when everything has stopped."""
        self._note.write(self._settings.run)
        while not self._ending:
            self._tick(time.monotonic())
            time.sleep(_TICK)
        logging.info("Stopping")
        self._hub.stop(25.0)
        self._proxy.stop(5.0)
        # What a Hub that was down could not stop.
        stop([*portals(self._settings), *app_servers(self._settings)], patience=5.0)
        (self._settings.run / "state.json").unlink(missing_ok=True)

    def _tick(self, now: float) -> None:
        happened = {child.name: child.tend(now) for child in (self._proxy, self._hub)}
        if happened[self._hub.name] == "died":
            # Its portal still has the port that the next Hub's portal needs.
            stop(portals(self._settings), patience=3.0)
            self._note = replace(self._note, deaths=self._note.deaths + 1)
        if any(happened.values()):
            self._note = replace(self._note, hub=self._hub.process, proxy=self._proxy.process)
            self._note.write(self._settings.run)


def proxy_child(settings: Settings, environ: Mapping[str, str]) -> Child:
    """Return the proxy as a child; Invalid when there is no node or no proxy to run."""
    if not settings.proxy_script.exists():
        raise Invalid(f"The proxy is not installed in {settings.proxy}. Run “make up”, which installs it.")
    command = [str(find_node(settings, environ)), str(settings.proxy_script)]
    command += ["--ip", settings.bind, "--port", str(settings.port)]
    command += ["--api-ip", "127.0.0.1", "--api-port", str(settings.proxy_port)]
    command += ["--error-target", f"{settings.portal_internal_url}proxy-errors"]
    # Hosts and paths without a route get the portal's own page. The Hub leaves this route: it is not of its making.
    command += ["--default-target", f"http://127.0.0.1:{settings.portal_port}"]
    command += ["--host-routing", "--log-level", "warn"]
    env = {name: environ[name] for name in ("PATH", "LANG", "HOME") if name in environ}
    env["CONFIGPROXY_AUTH_TOKEN"] = ensure_secret(settings.secrets / "proxy_token").hex()
    return Child("proxy", command, env=env, log=settings.logs / "proxy.log", cwd=settings.run)


def hub_child(settings: Settings, environ: Mapping[str, str]) -> Child:
    """Return the Hub as a child."""
    command = [sys.executable, "-P", "-m", "jupyterhub", "--config", str(_CONFIG)]
    env = {**environ, **replace(settings, hosted_proxy=True).to_environ(), "PYTHONUNBUFFERED": "1"}
    return Child("hub", command, env=env, log=settings.logs / "hub.log", cwd=settings.run)


def main() -> int:
    """Supervise with the settings of the environment."""
    os.umask(PRIVATE)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.from_environ(os.environ)
        ensure_folder(settings.data)
        proxy, hub = proxy_child(settings, os.environ), hub_child(settings, os.environ)
    except VaasError as error:
        logging.error(error.log_message)
        return 2
    lock = hold(settings.run)
    if lock is None:
        logging.error("Something runs for %s already", settings.data)
        return BUSY
    supervisor = Supervisor(settings, proxy=proxy, hub=hub)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, supervisor.end)
    supervisor.run()
    lock.close()
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
