"""Containers as DockerSpawner asks an engine for them: of launches and of apps. No engine runs anything here.

The engine is a stand-in that writes down what the real client of Docker asks of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from dockerspawner import DockerSpawner
from jupyterhub.spawner import SpawnException

from hub_service.containers import Containers
from hub_service.spawner import with_app_servers
from hub_service.wrapped import mixin_for
from vaas.db.seal import ensure_secret
from vaas.launching import Environment, Size
from vaas.orders import ORDER, read_order
from vaas.plans import Plan, sign_plan

SIZE = Size("small", "Small", 1.5, 2_000_000_000)
IMAGE = Environment("scipy", "SciPy", "image", "registry.example.org/scipy:1")
#: The rights that docs/isolation.md gives to app servers, which make sandboxes.
RIGHTS = {"cap_add": ["SYS_ADMIN"], "cap_drop": ["ALL"], "security_opt": ["apparmor=unconfined"]}


class Engine(ThreadingHTTPServer):
    """What an engine answers to who makes and starts a container."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[dict[str, Any]] = []
        self.there = False


class _Answers(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        missing = self.path.endswith("/json") and "/containers/" in self.path and not self.server.there
        network = {"NetworkSettings": {"Networks": {"vaas-apps": {"IPAddress": "127.0.0.1"}}}}
        self._say(404 if missing else 200, {"Id": "c1", "message": "no such container", **network})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/containers/create" in self.path:
            self.server.asked.append(json.loads(body))
            self.server.there = True
        self._say(201 if "create" in self.path else 204, {"Id": "c1"})

    def do_DELETE(self) -> None:
        self.server.there = False
        self._say(204, {})

    def _say(self, status: int, said: dict[str, Any]) -> None:
        body = b"" if status == 204 else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield engine
        engine.shutdown()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder whose homes are nobody's who may do everything."""
    home = tmp_path / "homes" / "ada {x}"
    home.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(home, 1234, 1235)
    return tmp_path


def spawner(engine: Engine, data: Path, *, user: str, name: str, **more: Any) -> Any:
    """Return what makes the containers of a site that gives app servers their rights for all, by an older manual."""
    made = with_app_servers(DockerSpawner, mixin_for(DockerSpawner))(
        user=SimpleNamespace(name=user, escaped_name=user, id=7, url=f"/user/{user}/"),
        orm_spawner=SimpleNamespace(name=name, server=None),
        hub=SimpleNamespace(public_host="", url="", base_url="/hub/", api_url="http://hub:8081/hub/api"),
        client_kwargs={"base_url": f"tcp://127.0.0.1:{engine.server_port}", "version": "1.44"},
        homes_root=str(data / "homes"),
        shared_root=str(data / "shared"),
        plan_key_file=str(data / "tickets"),
        image="registry.example.org/vaas-app:1",
        image_python="/opt/vaas/app/bin/python",
        use_internal_ip=True,
        network_name="vaas-apps",
        **{"extra_host_config": dict(RIGHTS), "extra_create_kwargs": {"user": "root"}, **more},
    )
    type(made)._client = None
    return made


def plan(data: Path, **changed: Any) -> str:
    """Return a signed plan for ada's launch."""
    fields = {"server": "/user/ada/l0123456789ab/", "expires": 1e12, "facility": "box", "kind": "docker"}
    said = {**fields, "environment": IMAGE, "size": SIZE, "home": "ada {x}", "shared": ("everyone",), **changed}
    return sign_plan(Plan(**said), master=ensure_secret(data / "tickets"))


def launch(engine: Engine, data: Path, **changed: Any) -> Any:
    made = spawner(engine, data, user="ada", name="l0123456789ab", **changed.pop("site", {}))
    made.user_options = {"plan": plan(data, **changed), "image": "registry.example.org/evil:1"}
    return made


async def test_a_launch_gets_its_image_its_size_and_its_home(engine: Engine, data: Path) -> None:
    made = launch(engine, data)
    assert isinstance(made, Containers)
    assert await made.start() == ("127.0.0.1", 8888)
    (asked,) = engine.asked
    host = asked["HostConfig"]
    assert asked["Image"] == "registry.example.org/scipy:1"
    assert asked["Cmd"] == ["python3", "-m", "vaas.lab"]
    owner = (data / "homes" / "ada {x}").stat()
    assert asked["User"] == f"{owner.st_uid}:{owner.st_gid}"
    assert (host["Memory"], host["CpuQuota"], host["CpuPeriod"]) == (2_000_000_000, 150_000, 100_000)
    home, shared = f"{data}/homes/ada {{x}}", f"{data}/shared/everyone"
    assert set(host["Binds"]) == {f"{home}:{home}:rw", f"{shared}:{shared}:ro"}
    order = read_order(dict(line.split("=", 1) for line in asked["Env"])[ORDER])
    assert (order.kind, order.home, order.environment.where) == (
        "docker",
        f"{data}/homes/ada {{x}}",
        "/opt/vaas/app/bin/python",
    )


async def test_of_the_launch_before_nothing_is_left(engine: Engine, data: Path) -> None:
    made = launch(engine, data, site={"data_source": "/srv/on-the-machine", "launch_host": {"pids_limit": 9}})
    await made.start()
    changed = {"environment": Environment("p", "P", "image", "other:2"), "size": replace(SIZE, gpus=2)}
    made.user_options = {"plan": plan(data, shared=(), **changed)}
    await made.start()
    first, second = engine.asked
    assert first["HostConfig"]["Binds"][0] == f"/srv/on-the-machine/homes/ada {{x}}:{data}/homes/ada {{x}}:rw"
    assert (len(first["HostConfig"]["Binds"]), len(second["HostConfig"]["Binds"])) == (2, 1)
    assert (first["Image"], second["Image"]) == ("registry.example.org/scipy:1", "other:2")
    assert second["HostConfig"]["PidsLimit"] == 9
    assert not first["HostConfig"].get("DeviceRequests") and second["HostConfig"]["DeviceRequests"][0]["Count"] == 2


async def test_an_app_has_the_rights_that_are_for_apps_and_nothing_of_people(engine: Engine, data: Path) -> None:
    site: dict[str, Any] = {"extra_host_config": lambda _: {"dns": ["10.0.0.1"]}, "extra_create_kwargs": {}}
    site |= {"app_host": RIGHTS, "app_create": {"user": "root"}}
    made = spawner(engine, data, user="app-0123456789ab", name="v3", **site)
    await made.start()
    (asked,) = engine.asked
    assert (asked["User"], asked["HostConfig"]["CapAdd"]) == ("root", ["SYS_ADMIN"])
    assert (asked["HostConfig"]["Dns"], asked["HostConfig"]["Binds"]) == (["10.0.0.1"], [])
    assert asked["Image"] == "registry.example.org/vaas-app:1"
    assert not [line for line in asked["Env"] if line.startswith(ORDER)]


async def test_what_is_no_place_of_containers_starts_none(engine: Engine, data: Path) -> None:
    made = launch(engine, data, kind="local")
    with pytest.raises(SpawnException, match="run in containers here"):
        await made.start()
    assert engine.asked == []
