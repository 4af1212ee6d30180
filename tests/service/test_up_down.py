"""`vaas up`, `vaas down`, `vaas status`: they start, stop and tell, and say clearly why they cannot."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from hub_service.running import Note, app_servers, portals
from hub_service.settings import ROOT, Settings
from tests.portal_fixture import free_ports, stand_in_app, until
from tests.processes import runs

pytestmark = pytest.mark.hub


class Place:
    """A data folder, four ports, and the command that is tested."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        names = ("VAAS_PORT", "VAAS_HUB_PORT", "VAAS_PORTAL_PORT", "VAAS_PROXY_PORT")
        said = dict(zip(names, map(str, free_ports(4)), strict=True))
        said |= {"VAAS_DATA": str(self.data), "VAAS_APP_PYTHON": str(stand_in_app(folder))}
        self.settings = Settings.from_environ(said)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAAS_", "JUPYTERHUB_"))}
        self.environ = kept | said | {"PYTHONPATH": str(ROOT)}
        #: What "up" printed.
        self.said = ""

    def vaas(self, *words: str, **said: str) -> subprocess.CompletedProcess[str]:
        """Run ``vaas …`` to its end."""
        command = [sys.executable, "-P", "-m", "vaas", *words]
        environ = self.environ | said
        return subprocess.run(command, env=environ, cwd=self.data.parent, capture_output=True, text=True, timeout=120)

    @property
    def note(self) -> Note:
        """What runs."""
        note = Note.read(self.settings.run)
        assert note is not None
        return note

    def answers(self) -> bool:
        """Tell whether `vaas status` says that it answers."""
        return self.vaas("status").returncode == 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.vaas("down")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    found = Place(tmp_path_factory.mktemp("up"))
    done = found.vaas("up")
    assert done.returncode == 0, done.stdout + done.stderr
    found.said = done.stdout
    yield found
    found.vaas("down")


def test_at_start_it_says_that_kernels_are_not_isolated_and_what_to_do(started: Place) -> None:
    assert "Kernels are not isolated: apps are not kept apart from this machine." in started.said
    assert "apt install bubblewrap" in started.said and "whom you trust" in started.said


def test_a_second_up_says_that_it_runs_and_where(started: Place) -> None:
    done = started.vaas("up")
    assert done.returncode == 0
    assert f"VaaS runs already: {started.settings.portal_url}" in done.stdout


def test_status_says_where_it_answers(started: Place) -> None:
    done = started.vaas("status")
    assert done.returncode == 0
    assert f"VaaS answers at {started.settings.portal_url}" in done.stdout


def test_nobody_else_on_the_machine_may_read_what_it_keeps(started: Place) -> None:
    found = [started.data, *started.data.rglob("*")]
    assert {path.name for path in found} >= {"hub.sqlite", "portal.sqlite", "content", "homes"}
    # What is shared is read by launches, which are other system users, and may be lent for a moment; the folders of
    # both keep all others out.
    within = (started.data / "shared", started.data / "lent")
    kept = (path for path in found if path.is_file() and not any(map(path.is_relative_to, within)))
    closed = {started.data, *started.data.glob("*"), *kept}
    assert [str(path) for path in closed if path.stat().st_mode & 0o077] == []


def test_where_kernels_are_isolated_it_starts_without_a_word_of_warning(place: Place, tmp_path: Path) -> None:
    python, stand_in = tmp_path / "isolated", place.settings.app_python
    said = 'case "$*" in *vaas.runtime.sandbox*) echo \'{"isolated": true, "why": ""}\'; exit;; esac'
    python.write_text(f'#!/bin/sh\n{said}\nexec {stand_in} "$@"\n')
    python.chmod(0o755)
    done = place.vaas("up", VAAS_APP_PYTHON=str(python), VAAS_SANDBOX="required")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "isolated" not in done.stdout


def test_what_ends_gives_back_what_it_holds(place: Place) -> None:
    def held() -> set[str]:
        with closing(sqlite3.connect(place.data / "portal.sqlite")) as database:
            return {name.partition(":")[0] for (name,) in database.execute("SELECT name FROM leases")}

    assert place.vaas("up").returncode == 0
    until(lambda: held() == {"index", "runs", "sweep"}, seconds=30, what="its work")
    assert place.vaas("down").returncode == 0
    assert held() == set() and list(place.data.glob("lent/*")) == []
    # Nothing of ours falls over the end.
    assert "vaas/portal/" not in (place.settings.logs / "hub.log").read_text()


def test_a_port_in_use_is_said_with_another_one_to_take(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.settings.port)):
        done = place.vaas("up")
    assert done.returncode == 2
    assert f"Port {place.settings.port} is in use by another program." in done.stderr
    assert "vaas up --port" in done.stderr


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"VAAS_DATA": "/dev/null/data"}, "The data folder /dev/null/data cannot be written"),
        ({"VAAS_NODE": "/nowhere/node"}, "Node.js 20 or later is needed"),
        ({"VAAS_APP_PYTHON": "/nowhere/python"}, "The app environment is missing"),
        ({"VAAS_PROXY": "/nowhere"}, "The proxy is not installed in /nowhere"),
        ({"VAAS_PORT": "http"}, "VAAS_PORT=http is no port"),
        ({"VAAS_SANDBOX": "yes"}, "VAAS_SANDBOX=yes is none of auto, required, off."),
        ({"VAAS_SANDBOX": "required"}, "VAAS_SANDBOX=required, and kernels would not be isolated here."),
        ({"VAAS_NETWORK": "https://a.org"}, "VAAS_NETWORK=https://a.org: “https://a.org” is no host."),
        ({"VAAS_DEMO": "0"}, "Without the demo somebody must say who can sign in"),
        ({"VAAS_SITE_CONFIG": "/nowhere/site.py"}, "VAAS_SITE_CONFIG=/nowhere/site.py is no file"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence_and_nothing_starts(
    place: Place, said: dict[str, str], words: str
) -> None:
    done = place.vaas("up", **said)
    assert done.returncode == 2
    assert done.stderr.startswith(words)
    assert "Traceback" not in done.stderr
    assert not (place.settings.run / "state.json").exists()


def test_a_hub_that_cannot_start_is_shown_with_the_end_of_its_log(place: Place, tmp_path: Path) -> None:
    site = tmp_path / "site.py"
    site.write_text("raise RuntimeError('the site file is broken')")
    done = place.vaas("up", VAAS_SITE_CONFIG=str(site))
    assert done.returncode == 2
    assert "the site file is broken" in done.stderr
    assert place.vaas("status").returncode == 1


def test_down_without_up_says_so(place: Place) -> None:
    done = place.vaas("down")
    assert (done.returncode, done.stdout) == (0, f"Nothing runs for {place.data}.\n")


@pytest.mark.parametrize(
    ("words", "expected"), [(["--help"], "down "), (["up", "--help"], "--port"), (["--version"], "vaas 0.")]
)
def test_help_and_version_are_there(place: Place, words: list[str], expected: str) -> None:
    done = place.vaas(*words)
    assert done.returncode == 0
    assert expected in done.stdout


def test_an_unknown_command_is_said_with_the_known_ones(place: Place) -> None:
    done = place.vaas("fly")
    assert done.returncode == 2
    assert "There is no “vaas fly”" in done.stderr
    assert "  up " in done.stderr


class Running(Place):
    """An app server that runs, asked through the proxy."""

    account = "app-running00001"

    def start_app(self) -> None:
        """Start it with the portal's own token."""
        self.hub("PUT", f"/vaas/accounts/{self.account}")
        self.hub("POST", f"/users/{self.account}/servers/v1")
        until(lambda: self.app() == 200, seconds=20, what="the app")

    def hub(self, method: str, path: str) -> httpx.Response:
        """Ask the Hub with the portal's own token."""
        token = portals(self.settings)[0].environ()["JUPYTERHUB_API_TOKEN"]
        address = f"http://127.0.0.1:{self.settings.hub_port}/hub/api{path}"
        return httpx.request(method, address, headers={"Authorization": f"token {token}"}, timeout=20, verify=False)

    def app(self) -> int:
        """Return the status with which the app answers."""
        host = {"Host": f"{self.account}.vaas.localhost:{self.settings.port}"}
        address = f"http://127.0.0.1:{self.settings.port}/user/{self.account}/v1/"
        try:
            return httpx.get(address, headers=host, timeout=30, verify=False).status_code
        except httpx.HTTPError:
            return 0


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    found = Running(tmp_path_factory.mktemp("heals"))
    done = found.vaas("up")
    assert done.returncode == 0, done.stdout + done.stderr
    found.start_app()
    yield found
    found.vaas("down")


def test_a_killed_hub_comes_back_and_its_apps_never_stop_answering(app: Running) -> None:
    before, server = app.note, app_servers(app.settings)
    os.kill(before.hub.pid, signal.SIGKILL)
    answers: set[int] = set()

    def healed() -> bool:
        answers.add(app.app())
        return app.note.hub.pid != before.hub.pid and app.answers()

    until(healed, seconds=60, what="another Hub")
    assert answers == {200}
    assert app_servers(app.settings) == server
    assert app.hub("GET", f"/users/{app.account}/servers/v1").json()["ready"] is True


def test_a_killed_portal_comes_back_and_cleans_up(app: Running) -> None:
    killed = portals(app.settings)[0]
    left = app.data / "lent" / "lent-by-it"
    left.mkdir(parents=True)
    killed.kill()
    until(lambda: app.answers() and killed not in portals(app.settings), seconds=60, what="another portal")
    assert not left.exists()


def test_a_killed_proxy_comes_back_with_its_routes(app: Running) -> None:
    os.kill(app.note.proxy.pid, signal.SIGKILL)
    until(lambda: app.answers() and app.app() == 200, seconds=60, what="the routes")


def test_what_a_killed_supervisor_left_is_stopped_by_down(app: Running) -> None:
    note = app.note
    os.kill(note.supervisor.pid, signal.SIGKILL)
    until(lambda: note.supervisor.find() is None, seconds=5)
    assert note.hub.find() is not None
    assert "an earlier run had left behind" in app.vaas("down").stdout
    assert [process for process in (note.hub, note.proxy) if process.find()] == []
    assert portals(app.settings) == []
    assert app_servers(app.settings) == []


def test_a_moved_folder_is_the_same_portal_in_another_place(app: Running, tmp_path: Path) -> None:
    app.vaas("down")
    secret = (app.settings.secrets / "proxy_token").read_text()
    moved = tmp_path / "elsewhere"
    shutil.move(app.data, moved)
    done = app.vaas("up", "--data", str(moved))
    try:
        assert done.returncode == 0, done.stderr
        assert not app.data.exists()
        assert (moved / "secrets" / "proxy_token").read_text() == secret
    finally:
        app.vaas("down", "--data", str(moved))
        shutil.move(moved, app.data)


def test_down_stops_everything(app: Running) -> None:
    assert app.vaas("up").returncode == 0
    app.start_app()
    note = app.note
    servers = app_servers(app.settings)
    assert servers
    assert app.vaas("down").stdout == "Stopping…\nStopped.\n"
    assert not [process for process in (note.supervisor, note.hub, note.proxy) if process.find()]
    assert not [server for server in servers if runs(server)]
    assert app.vaas("status").returncode == 1
