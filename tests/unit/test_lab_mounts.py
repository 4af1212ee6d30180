"""A launch in a container finds what is mounted into it: the real launcher and JupyterLab, without an engine.

What an engine mounts lies where the order says; no bubblewrap makes paths of its own there.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.portal_fixture import app_python, free_ports, until
from tests.run_parts import lab_python
from tests.unit.test_lab_placing import FOLDER, ID, OTHER, Shelf, home, shelf
from vaas.lab import inside
from vaas.launching import Environment, Size
from vaas.orders import ORDER, Order, write_order

__all__ = ["home", "shelf"]


class _Hub(BaseHTTPRequestHandler):
    """What a Hub says to a JupyterLab that starts."""

    def do_GET(self) -> None:
        """Say who it is, and who asks."""
        self._say(b'{"version": "5.3.0", "name": "ada", "scopes": []}')

    def do_POST(self) -> None:
        """Hear that somebody works."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._say(b"{}")

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    """Return the address of the Hub's REST API."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
        server.shutdown()


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Return where a container has what is mounted: a shared folder with a file."""
    folder = tmp_path / "data" / "shared" / "everyone"
    folder.mkdir(parents=True)
    (folder / "sea.csv").write_text("2")
    return folder


def _launch(shelf: Shelf, home: Path, mounted: Path, hub: str, kind: str) -> subprocess.Popen[bytes]:
    environment = Environment("apps", "As in apps", "python", str(app_python()))
    order = Order(kind, environment, Size("s", "S"), str(home), {mounted.name: str(mounted)})
    server, site = "/user/ada/labc123abc123", home.parent / "site"
    # In a container nobody is root, and JupyterLab would not start as root; the tests may be.
    site.mkdir()
    (site / "sitecustomize.py").write_text("import os\nos.geteuid = lambda: 1000\n")
    env = {
        **{"PATH": os.environ["PATH"], "HOME": "/", "USER": "ada", ORDER: write_order(order)},
        **{"VAAS_PORTAL_URL": shelf.url, "JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_API_URL": hub},
        **{"JUPYTERHUB_USER": "ada", "JUPYTERHUB_SERVER_NAME": "labc123abc123", "JUPYTERHUB_BASE_URL": "/"},
        **{"JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{free_ports(1)[0]}{server}/"},
        **{"JUPYTERHUB_SERVICE_PREFIX": f"{server}/", "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada"},
        "PYTHONPATH": str(site),
        "JUPYTERHUB_ACTIVITY_URL": f"{hub}/users/ada/activity",
    }
    return subprocess.Popen([lab_python(), "-P", "-s", "-m", "vaas.lab"], env=env)


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_what_is_mounted_into_a_container_is_read_in_place_and_not_copied(
    shelf: Shelf, home: Path, mounted: Path, hub: str, kind: str
) -> None:
    (home / "own.csv").write_text("1")
    shelf.things = {ID: b"1", OTHER: b"2"}
    shelf.told = {
        ID: {"mounted": {"store": "home", "path": "own.csv"}},
        OTHER: {"mounted": {"store": "shared", "path": "everyone/sea.csv"}},
    }
    process = _launch(shelf, home, mounted, hub, kind)
    try:
        ready = lambda: any(post.get("state") == "ready" for post in shelf.posts)  # noqa: E731
        until(ready, seconds=40, what=lambda: f"the launch: {process.poll()}, {shelf.posts}")
    finally:
        process.terminate()
        process.wait(20)
    assert shelf.asked == ["manifest", "content"]
    told = [post["things"] for post in shelf.posts if "things" in post][-1]
    assert {id: thing["state"] for id, thing in told.items()} == {ID: "mounted", OTHER: "mounted"}
    assert (home / "Shared").readlink() == mounted.parent
    assert not (home / FOLDER / "data").exists()
    source = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert "'../../own.csv'" in source and "'../../Shared/everyone/sea.csv'" in source


@pytest.fixture
def in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home that one is in."""
    monkeypatch.chdir(home)
    return home / "Shared"


def test_a_link_to_shared_folders_takes_no_place_that_is_taken(
    in_home: Path, mounted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_home.write_text("my own")
    inside.link(str(mounted.parent))
    assert in_home.read_text() == "my own"
    for target in (tmp_path, tmp_path / "away" / "my-share"):  # somewhere else, and what will be there again
        in_home.unlink()
        in_home.symlink_to(target)
        inside.link(str(mounted.parent))
        assert in_home.readlink() == target
    assert not capsys.readouterr().err


def test_a_link_from_a_launch_that_saw_them_elsewhere_is_made_anew(in_home: Path, mounted: Path) -> None:
    in_home.symlink_to("/gone/shared")
    inside.link(str(mounted.parent))
    assert in_home.readlink() == mounted.parent


@pytest.mark.parametrize("shared", ["", "/gone/shared"])
def test_without_shared_folders_there_is_no_link(in_home: Path, shared: str) -> None:
    inside.link(shared)
    assert not os.path.lexists(in_home)


@pytest.mark.parametrize(
    ("shared", "root"),
    [
        ({}, ""),
        ({"a": "/data/shared/a", "b": "/data/shared/b"}, "/data/shared"),
        ({"a": "/data/shared/a", "b": "/other/b"}, ""),
        ({"a": "/data/shared/b"}, ""),
    ],
)
def test_shared_folders_are_seen_together_where_they_lie_by_their_names(shared: dict[str, str], root: str) -> None:
    assert Order("docker", Environment("e", "E", "python", "/p"), Size("s", "S"), shared=shared).shared_root == root
