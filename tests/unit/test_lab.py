"""What a launch is made of, piece by piece: orders, the Hub's seam, sandbox, kernels, and an eye on what is used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner, Spawner, SpawnException

from hub_service.spawner import AppServers, with_app_servers
from tests.notebooks import code, notebook
from tests.portal_fixture import lab_python
from vaas.db.seal import ensure_secret
from vaas.errors import Invalid, Unavailable
from vaas.lab.cell import TAG, with_cells
from vaas.lab.kernelspec import write_kernel
from vaas.lab.launcher import inside_environ
from vaas.lab.manifest import safe_name
from vaas.lab.sandbox import find_bubblewrap, python_folders, sandboxed
from vaas.lab.server import prepare
from vaas.lab.watch import Watch, family
from vaas.launching import Environment, Size
from vaas.orders import ORDER, Order, read_order, write_order
from vaas.plans import Plan, sign_plan

PYTHON = Environment("apps", "As in apps", "python", "/opt/apps/bin/python")
SIZE = Size("small", "Small", 2.5, 10**9)
ORDERED = Order("local", PYTHON, SIZE, "/data/homes/ada", {"everyone": "/data/shared/everyone"})


def test_an_order_comes_back_as_it_was_written() -> None:
    assert read_order(write_order(ORDERED)) == ORDERED


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind": "local"}', '{"environment": 1, "size": 2}'])
def test_what_is_no_order_is_refused_in_words(text: str) -> None:
    with pytest.raises(Invalid, match="not started by the Hub"):
        read_order(text)


class Batch(Spawner):
    """A site's spawner, which runs nothing."""

    async def start(self) -> Any:
        """Start nothing."""
        return "127.0.0.1", 1

    async def stop(self, now: bool = False) -> None:
        """Stop nothing."""

    async def poll(self) -> None:
        """Tell that it runs."""


class Fitted(AppServers, Batch):
    """The same, fitted to what plans say; its server is a launch."""

    name = "l0123456789ab"

    def prepare_launch(self, plan: Plan) -> None:
        """Ask for the size in its own words."""
        super().prepare_launch(plan)
        self.partition = plan.size.id

    async def start(self) -> Any:
        """Start it."""
        return await super().start()

    async def stop(self, now: bool = False) -> Any:
        """Stop it."""
        return await super().stop(now)

    async def poll(self) -> Any:
        """Tell that it runs."""
        return await super().poll()


class _Named:
    name, escaped_name, url = "ada", "ada", "/user/ada/"


def spawner(folder: Path, **options: Any) -> Any:
    """Return a site's spawner with launches, for a server of ada's."""
    return Fitted(user=_Named(), user_options=options, plan_key_file=str(folder / "tickets"))


def plan(folder: Path, **changed: Any) -> str:
    """Return a plan for that server."""
    fields = {"server": "/user/ada/l0123456789ab/", "expires": 1e12, "facility": "here", "kind": "slurm"}
    whole = {**fields, "environment": PYTHON, "size": SIZE, "home": "ada", "shared": ("everyone",), **changed}
    return sign_plan(Plan(**whole), master=ensure_secret(folder / "tickets"))


class TestASitesSpawner:
    """Any spawner starts launches: it says how, and we say what."""

    def test_what_a_plan_says_is_ordered(self, tmp_path: Path) -> None:
        made = spawner(tmp_path)
        made.homes_root, made.shared_root = "/data/homes", "/data/shared"
        made.prepare_launch(Plan("/user/ada/l0/", 1e12, "here", "local", PYTHON, SIZE, "ada", ("everyone",)))
        assert made.order_of(made.plan) == ORDERED
        assert (made.partition, made.mem_limit, made.cpu_limit) == ("small", 10**9, 2.5)

    @pytest.mark.parametrize("home", ["../eve", "/etc", "a/../../eve"])
    def test_no_name_in_a_plan_leads_out_of_the_homes(self, tmp_path: Path, home: str) -> None:
        made = spawner(tmp_path)
        made.homes_root = "/data/homes"
        order = made.order_of(Plan("", 0, "", "local", PYTHON, SIZE, home))
        assert Path(order.home).parent == Path("/data/homes")

    def test_an_environment_made_from_a_lock_is_an_interpreter(self, tmp_path: Path) -> None:
        made = spawner(tmp_path)
        made.made_root = "/data/environments"
        lock = Environment("l", "L", "lock", "abc")
        order = made.order_of(Plan("", 0, "", "local", lock, SIZE))
        assert (order.environment.kind, order.environment.where) == ("python", "/data/environments/abc/bin/python")

    async def test_it_starts_what_the_plan_says_and_forgets_what_else_was_asked_for(self, tmp_path: Path) -> None:
        made = spawner(tmp_path, plan=plan(tmp_path), cmd=["sh"], prologue="rm")
        assert await made.start() == ("127.0.0.1", 1)
        assert (made.user_options, made.cmd[-1], made.partition) == ({}, "vaas.lab", "small")
        assert with_app_servers(Fitted) is Fitted

    def test_without_a_plan_it_says_where_to_start(self, tmp_path: Path) -> None:
        with pytest.raises(SpawnException, match="from the portal") as refused:
            spawner(tmp_path).admit_launch()
        assert refused.value.status_code == 403

    def test_with_one_it_is_admitted(self, tmp_path: Path) -> None:
        assert spawner(tmp_path, plan=plan(tmp_path)).admit_launch().size == SIZE

    @pytest.mark.parametrize("kind", ["slurm", "htcondor", "docker", "kubernetes", "", "Local"])
    def test_processes_of_the_hubs_machine_take_no_plan_without_walls(self, tmp_path: Path, kind: str) -> None:
        here = type("Here", (with_app_servers(SimpleLocalProcessSpawner),), {"name": "l0123456789ab"})
        options = {"plan": plan(tmp_path, kind=kind)}
        made = here(user=_Named(), user_options=options, plan_key_file=str(tmp_path / "tickets"))
        with pytest.raises(SpawnException, match="another place") as refused:
            made.admit_launch()
        assert refused.value.status_code == 403
        made.user_options = {"plan": plan(tmp_path, kind="local")}
        assert made.admit_launch().kind == "local"


def test_where_there_is_no_bubblewrap_nothing_starts_unless_the_operator_says_so(tmp_path: Path) -> None:
    assert find_bubblewrap({"VAAS_SANDBOX": "off", "PATH": str(tmp_path)}) == ""
    for wish in ("", "auto", "required"):
        with pytest.raises(Unavailable, match="bubblewrap"):
            find_bubblewrap({"VAAS_SANDBOX": wish, "PATH": str(tmp_path)})


def test_the_launcher_says_why_it_does_not_start() -> None:
    order = write_order(Order("local", PYTHON, SIZE, "/nowhere/ada"))
    env = {"PATH": "/nowhere", ORDER: order, "VAAS_PORTAL_URL": "http://127.0.0.1:1/", "JUPYTERHUB_API_TOKEN": "t"}
    said = subprocess.run([sys.executable, "-m", "vaas.lab"], env=env, capture_output=True, text=True, timeout=30)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("JupyterLab is not started here")


def test_jupyterlab_starts_without_what_nobody_needs_there() -> None:
    program = """if True:
        import importlib, json, sys
        from vaas.lab.server import without_ballast
        without_ballast()
        for name in ("jupyterlab.labapp", "jupyter_server_terminals", "jupyterhub.singleuser.extension"):
            importlib.import_module(name)
        from jupyterhub.utils import SQLAlchemyError
        assert issubclass(SQLAlchemyError, Exception)  # it is caught by this name
        print(json.dumps([name for name, module in sys.modules.items() if getattr(module, "__file__", None)]))
    """
    command = [str(lab_python()), "-P", "-s", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert {"jupyterlab", "jupyterhub", "aiohttp"} <= loaded
    assert not loaded & {"aiodns", "arrow", "click", "httpx", "lark", "requests", "rfc3987_syntax", "sqlalchemy"}


@pytest.mark.parametrize(("home", "store"), [("/data/homes/ada", "home"), ("", "")])
def test_jupyterlab_knows_where_its_files_are_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str, store: str
) -> None:
    monkeypatch.setenv("VAAS_PORTAL_PUBLIC_URL", "https://vaas.example.org/services/vaas/")
    prepare(replace(ORDERED, home=home, environment=replace(PYTHON, where=sys.executable)), tmp_path)
    told = json.loads((tmp_path / "config" / "labconfig" / "page_config.json").read_bytes())
    assert told["vaasFiles"] == "https://vaas.example.org/services/vaas/files/"
    assert (told["vaasStore"], told["vaasShared"]) == (store, ["everyone"])


def test_a_kernelspec_shows_its_folder_and_the_environment_of_its_program(tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    program = tmp_path / "env" / "bin" / "python"
    program.touch()
    spec = tmp_path / "kernels" / "site"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": [str(program), "{resource_dir}/x"], "language": "python"}))
    site = Environment("site", "Site's own", "kernelspec", str(spec))
    folders = python_folders(Order("local", site, SIZE, "/data/homes/ada"))
    assert {spec, tmp_path / "env"} <= set(folders)
    assert write_kernel(tmp_path / "made", site) == "python3"
    made = json.loads((tmp_path / "made" / "python3" / "kernel.json").read_bytes())
    assert made["argv"] == [str(program), f"{spec}/x"] and made["display_name"] == "Site's own"


@pytest.mark.parametrize("kind", ["python", "kernelspec"])
def test_an_environment_that_is_gone_is_named_before_jupyterlab_starts(tmp_path: Path, kind: str) -> None:
    program, where = tmp_path / "env" / "python", tmp_path / "spec"
    program.parent.mkdir()
    program.touch(0o755)
    where.mkdir()
    (where / "kernel.json").write_text(json.dumps({"argv": [str(program)], "language": "python"}))
    site = Environment("site", "Site's own", kind, str(where if kind == "kernelspec" else program))
    order = Order("local", site, SIZE, "/data/homes/ada")
    prepare(order, tmp_path / "first")
    program.unlink()
    with pytest.raises(Invalid, match="“Site's own” is not there any more") as gone:
        prepare(order, tmp_path / "second")
    assert str(tmp_path) not in gone.value.message
    shutil.rmtree(where)
    with pytest.raises(Invalid, match="not there any more"):
        prepare(order, tmp_path / "third")


def test_the_kernel_of_an_image_is_one_that_is_in_it(tmp_path: Path) -> None:
    made = spawner(tmp_path)
    made.image_python = "/opt/vaas/app/bin/python"
    image = Environment("scipy", "SciPy", "image", "registry.example.org/scipy:1")
    order = made.order_of(Plan("", 0, "", "docker", image, SIZE))
    assert write_kernel(tmp_path / "made", order.environment) == "python3"
    spec = json.loads((tmp_path / "made" / "python3" / "kernel.json").read_bytes())
    assert spec["argv"][0] == "/opt/vaas/app/bin/python"
    systems = (tmp_path / "none", tmp_path / "kernels")
    (tmp_path / "kernels" / "ir").mkdir(parents=True)
    (tmp_path / "kernels" / "ir" / "kernel.json").write_text('{"argv": ["R", "{resource_dir}"], "language": "R"}')
    r = made.order_of(Plan("", 0, "", "docker", replace(image, language="r"), SIZE)).environment
    assert write_kernel(tmp_path / "again", r, systems=systems) == "ir"
    spec = json.loads((tmp_path / "again" / "ir" / "kernel.json").read_bytes())
    assert spec["argv"] == ["R", str(tmp_path / "kernels" / "ir")]
    with pytest.raises(Invalid, match="no kernel for julia"):
        write_kernel(tmp_path / "third", replace(r, language="julia"), systems=systems)


def test_a_sandbox_binds_one_home_and_nothing_above_it(tmp_path: Path) -> None:
    home = tmp_path / "homes" / "ada"
    order = Order("local", PYTHON, SIZE, str(home), {"everyone": str(tmp_path / "shared")})
    with sandboxed("bwrap", ["true"], order, uid=0, environ={}) as made:
        binds = [tuple(made.command[i : i + 3]) for i, word in enumerate(made.command) if word == "--bind"]
    assert binds == [("--bind", str(home), "/home/ada")]
    assert "--unshare-net" not in made.command, "JupyterLab needs the Hub"


def test_cores_become_threads_and_programs_of_the_environment_come_first() -> None:
    env = inside_environ(ORDERED, {"PATH": "/usr/bin", "LANG": "C"}, home=Path("/home/ada"), uid=5)
    assert env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == "2"
    assert env["PATH"] == "/opt/apps/bin:/usr/bin" and env["HOME"] == "/home/ada" and env["LANG"] == "C"


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a.csv", "a.csv"), ("a/b.csv", "b.csv"), ("..", "file"), (".bashrc", "bashrc"), ("", "file"), ("a\nb", "ab")],
)
def test_a_things_name_is_one_that_a_file_can_have(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_ending() -> None:
    assert len(safe_name("ä" * 300 + ".csv").encode()) <= 200 and safe_name("ä" * 300 + ".csv").endswith(".csv")


def test_cells_of_a_launch_take_the_place_of_those_of_another() -> None:
    first = with_cells(notebook("x = 1"), ["a = 1", "b = 2"], kernel="python3", title="T", language="python")
    again = json.loads(with_cells(first, ["c = 3"], kernel="python3", title="T", language="python"))
    assert [cell["source"] for cell in again["cells"]] == ["c = 3", "x = 1"]
    assert len({cell["id"] for cell in again["cells"]}) == 2


def test_a_notebook_of_another_language_gets_no_python(tmp_path: Path) -> None:
    made = json.loads(
        with_cells(notebook("x <- 1", kernel="ir", language="R"), ["a = 1"], kernel="ir", title="R", language="R")
    )
    assert [cell["source"] for cell in made["cells"]] == ["x <- 1"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"cells": 3}', b'{"cells": [1]}'])
def test_what_cannot_be_read_is_left_as_it_is(data: bytes) -> None:
    assert with_cells(data, ["a = 1"], kernel="python3", title="T", language="python") == data


def test_a_cell_of_ours_is_marked() -> None:
    made = json.loads(
        with_cells(notebook(code("x = 1", tags=["mine"])), ["a = 1"], kernel="python3", title="T", language="python")
    )
    assert [cell["metadata"].get("tags") for cell in made["cells"]] == [[TAG], ["mine"]]


def test_the_largest_process_ends_when_all_together_take_too_much() -> None:
    grow = "import time; x = bytearray(150_000_000); print(1, flush=True); time.sleep(60)"
    small = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {grow!r}]); sys.exit(p.wait())"
    process = subprocess.Popen([sys.executable, "-c", small], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    watch = Watch(process.pid, Size("s", "S", 1, 120_000_000))
    assert len(family(process.pid)) == 2 and watch.use()["memory"] > 150_000_000
    assert "0.1 GB" in watch.look()
    assert process.wait(10) != 0
    process.stdout.close()


def test_who_takes_little_is_left_alone() -> None:
    assert Watch(os.getpid(), Size("s", "S", 1, 10**12)).look() == ""
