"""How the Hub's spawner starts app servers and launches: what they run, what they see, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner, SpawnException
from jupyterhub.traitlets import Command
from traitlets import Dict, Unicode

from hub_service.launches import Launches, launch_scopes
from vaas.slug import is_account

__all__ = ["AppProcess", "AppServers", "token_scopes", "with_app_servers"]

#: What an app server is told by the Hub. Everything else that the Hub would add stays away.
TOLD = frozenset(
    {
        "HOME",
        "JUPYTERHUB_API_TOKEN",
        "JUPYTERHUB_API_URL",
        "JUPYTERHUB_SERVER_NAME",
        "JUPYTERHUB_SERVICE_PREFIX",
        "JUPYTERHUB_SERVICE_URL",
        "JUPYTERHUB_USER",
        "LANG",
        "LC_ALL",
        "PATH",
        "TZ",
        "USER",
    }
)
#: A version ("v3") or a draft ("d0a1b2c3d").
_SERVER = re.compile(r"v[1-9][0-9]{0,8}|d[0-9a-f]{8}")
_LOG_BYTES = 1_000_000
#: How long a server may take to answer one question; it is asked again.
_ANSWER = 5.0
#: Time, level and logger, which a person need not read.
_LOG_HEAD = re.compile(r"^\[?\d[\dT :.,-]+(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)? ?[\w.]*[:\]] ")


def token_scopes(spawner: Any) -> list[str]:
    """Return the scopes of the token that a server gets: an app's may say which server it is, and no more."""
    if is_account(spawner.user.name):
        return [f"access:servers!server={spawner.user.name}/{spawner.name}"]
    return launch_scopes(spawner)


class AppServers(Launches, Spawner):
    """A mixin for any spawner: app accounts run the app server and nothing else; people run launches."""

    app_cmd = Command(["python3", "-m", "vaas.runtime"], help="The command that starts an app server.").tag(config=True)
    app_environment = Dict(help="Variables that every app server gets.").tag(config=True)

    @property
    def for_app(self) -> bool:
        """Whether this is the server of an app's account."""
        return is_account(self.user.name)

    def run_pre_spawn_hook(self) -> Any:
        """Refuse a person's server that no plan allows before anything else is done for it."""
        if not self.for_app:
            self.admit_launch()
            self.allow_time()
        return super().run_pre_spawn_hook()

    async def start(self) -> Any:
        """Start the app server, or the launch. What the caller asked for in ``user_options`` does not count."""
        if self.for_app:
            if not _SERVER.fullmatch(self.name):
                raise SpawnException("An app's server is called after its version.", reason="server-name")
            self.cmd = self.app_cmd
        else:
            self.prepare_launch(self.admit_launch())
        self.user_options: dict[str, Any] = {}
        return await super().start()

    async def stop(self, now: bool = False) -> Any:
        """Stop it as the spawner does; the Hub wants the three verbs in each class."""
        return await super().stop(now=now)

    async def poll(self) -> Any:
        """Tell how it ended as the spawner does."""
        return await super().poll()

    def get_args(self) -> list[str]:
        """Add no arguments: all that is needed is in the environment."""
        return []

    def get_env(self) -> dict[str, str]:
        """Return the little that the server may know; the site's own ``c.Spawner.environment`` stays in."""
        env: dict[str, str] = super().get_env()
        if not self.for_app:
            return self.launch_env(env)
        told = TOLD | set(self.environment)
        return {name: value for name, value in env.items() if name in told} | dict(self.app_environment)


class AppProcess(AppServers, SimpleLocalProcessSpawner):
    """Servers as processes of the Hub's own system user, each with its own home and its own log.

    The home of a launch's process is for the process that watches over it; the person's is in the sandbox.

    A start that fails says so at once, with the last line of the log, and a Hub that comes back adopts only
    processes that are the servers it left: a process id alone may belong to a stranger by then.
    """

    home_root = Unicode(help="The folder of the servers' private homes, one folder for each account.").tag(config=True)
    log_root = Unicode(help="The folder of the servers' logs, one folder for each account.").tag(config=True)
    launch_home_root = Unicode(help="The folder of what launches need while they run, by person.").tag(config=True)
    launch_log_root = Unicode(help="The folder of the logs of launches, one folder for each person.").tag(config=True)

    @property
    def home(self) -> Path:
        """The server's private home: new at every start, gone with the server."""
        root = Path(self.home_root if self.for_app else self.launch_home_root)
        return root / _folder(self.user.name) / self.name

    @property
    def log_file(self) -> Path:
        """Where the server's output goes; no name of a person leads out of the folder."""
        root = Path(self.log_root if self.for_app else self.launch_log_root)
        return root / _folder(self.user.name) / f"{self.name}.log"

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Name the account and its home."""
        return env | {"USER": self.user.name, "HOME": str(self.home)}

    def make_preexec_fn(self, name: str) -> Any:
        """Do nothing between fork and exec: the home is made before, and the process starts in it."""
        return None

    async def start(self) -> Any:
        """Start the process and return when it listens.

        Raises
        ------
        SpawnException
            It ended before; the message is the last line that it wrote.
        """
        if not self.for_app:
            self.admit_launch()  # nothing is made for what is not admitted
        await asyncio.to_thread(self._prepare)
        with self.log_file.open("ab") as log:
            self.popen_kwargs = {"stdout": log, "stderr": log, "cwd": str(self.home)}
            address = await super().start()
        self.popen_kwargs = {}
        await self._listening(address)
        return address

    async def poll(self) -> Any:
        """Tell how the process ended, None while it runs; a stranger with its process id is not it."""
        if self.proc is None and self.pid and not self._is_ours(self.pid):
            self.clear_state()
            return 0
        return await super().poll()

    async def delete_forever(self) -> None:
        """Remove the server's home and log; the Hub calls it when the server or its account goes for good."""
        if not self.name:  # a person's first server, which never runs: its folder would be that of all
            return
        await asyncio.to_thread(shutil.rmtree, self.home, True)
        for log in (self.log_file, self.log_file.with_suffix(".log.1")):
            log.unlink(missing_ok=True)
        for folder in (self.home.parent, self.log_file.parent):
            # The last server to go takes the account's folder with it.
            with contextlib.suppress(OSError):
                folder.rmdir()

    @property
    def _what(self) -> str:
        return "The app" if self.for_app else "JupyterLab"

    def _prepare(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o700, parents=True)
        self.log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log_file.stat().st_size > _LOG_BYTES:
                self.log_file.replace(self.log_file.with_suffix(".log.1"))

    async def _listening(self, address: tuple[str, int]) -> None:
        """Wait until something answers there, at most as long as a start may take.

        The Hub's own wait would not see the process end, and has no end itself when a server listens and says nothing.
        """
        # A little earlier than the Hub, which would give no reason.
        deadline = time.monotonic() + max(1, self.start_timeout - 2)
        while time.monotonic() < deadline:
            status = await self.poll()
            if status is not None:
                raise SpawnException(self._why_ended(status), reason="exited", status_code=500)
            answers = await _answers(*address, path=self.server.base_url if self.server else "/")
            # Whoever is on this machine may have taken the port before it did: our server ends then, and says why.
            if answers and await asyncio.to_thread(_listens, self.pid, address[1]):
                return
            await asyncio.sleep(0.05)
        raise SpawnException(f"{self._what} did not answer in time.", reason="silent", status_code=500)

    def _why_ended(self, status: int) -> str:
        last = _last_line(self.log_file)
        if not self.for_app and last.endswith("."):  # a launch that knows why says it in a sentence of its own
            return last
        return f"{self._what} could not be started: {last or f'it ended with code {status}'}"

    def _is_ours(self, pid: int) -> bool:
        try:
            env = psutil.Process(pid).environ()
        except (psutil.Error, OSError):
            return False
        return env.get("JUPYTERHUB_USER") == self.user.name and env.get("JUPYTERHUB_SERVER_NAME", "") == self.name


def _folder(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E")


async def _answers(host: str, port: int, *, path: str) -> bool:
    """Tell whether a web server answers there, with whatever."""
    try:
        async with asyncio.timeout(_ANSWER):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path}api HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                return (await reader.readline()).startswith(b"HTTP/")
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False


def _listens(pid: int, port: int) -> bool:
    """Tell whether the process, or one below it, listens on the port; also where the system does not let us see it."""
    try:
        first = psutil.Process(pid)
        found = [each for process in (first, *first.children(recursive=True)) for each in _connections(process)]
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def _connections(process: psutil.Process) -> list[Any]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(process.net_connections("tcp"))
    return []


def with_app_servers(cls: type[Any], mixin: type[AppServers] = AppServers) -> type[Any]:
    """Return ``cls`` so that it runs app servers; ``cls`` itself when it does already."""
    if issubclass(cls, AppServers):
        return cls
    return type(cls.__name__, (mixin, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})


def _last_line(path: Path) -> str:
    try:
        lines = path.read_bytes()[-4000:].decode(errors="replace").split("\n")
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return _LOG_HEAD.sub("", last)[:300]
