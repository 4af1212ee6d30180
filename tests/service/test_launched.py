"""Launches on the real Hub: JupyterLab with the notebook, its data and its environment, for one person alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launched import Launches
from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal, until
from vaas.launching import Launch, Size, launch_server

pytestmark = pytest.mark.hub
FOLDER = "Launches/Waves tides"


@pytest.fixture(scope="module")
def lara(hub: RunningPortal) -> Iterator[Launches]:
    """Return the launches of a person with a notebook and a table in her home."""
    hub.hub("POST", "/users/lara")
    launches = Launches(hub, "lara")
    launches.put("own.ipynb", notebook("print('own')"))
    launches.put("sea.nc", b"CDF\x01" + bytes(28))
    launches.put("levels.csv", b"year,level\n2026,7\n")
    launches.put("pegel.csv", "Ort;Höhe\nHörnum;1,5\n".encode("cp1252"))
    yield launches


@pytest.fixture(scope="module")
def launch(lara: Launches) -> Iterator[Launch]:
    """Return a launch of the demo's map, with a basket in which her table is, that is ready."""
    made = lara.new(app="world-map", basket=_basket(lara))
    lara.start(made)
    yield made
    lara.stop(made)


@pytest.fixture(scope="module")
def eve(hub: RunningPortal) -> Launches:
    """Return somebody else."""
    hub.hub("POST", "/users/eve")
    return Launches(hub, "eve")


def _basket(lara: Launches) -> str:
    hub = lara.portal
    basket = hub.request("POST", "/services/vaas/api/baskets", token=lara.token, json={"name": "Levels"}).json()["id"]
    for record in ("file:home-lara/levels.csv", "file:home-lara/pegel.csv", "file:home-lara/sea.nc"):
        shown = f"/services/vaas/api/records/here/{record}"
        until(lambda at=shown: hub.get(at, token=lara.token).status_code == 200, seconds=60, what="her table")
        body = {"catalog": "here", "record": record}
        added = hub.request("POST", f"/services/vaas/api/baskets/{basket}/things", token=lara.token, json=body)
        assert added.status_code < 300, added.text
    return str(basket)


def test_the_working_copy_is_in_her_home_under_a_clear_name(lara: Launches, launch: Launch) -> None:
    now = lara.get(launch)
    folder = lara.home / now.folder
    assert now.folder == f"{FOLDER} {launch.created:%Y-%m-%d}" and now.notebook == "world-map.ipynb"
    first = json.loads((folder / now.notebook).read_bytes())["cells"][0]
    assert first["metadata"]["tags"] == ["vaas-launch"]
    assert "'levels.csv': '../../levels.csv'" in first["source"]
    text = (folder / "Data.md").read_text()
    assert "pd.read_csv('../../levels.csv')" in text
    # The site knows what is in its environment: h5py and scipy, and not xarray.
    assert "h5py.is_hdf5('../../sea.nc')" in text and "xarray" not in text
    assert (folder / "gapminder.csv").stat().st_size > 1000
    assert now.progress["things"] == {
        id: told for id, told in now.progress["things"].items() if told["state"] == "mounted"
    }
    assert len(now.progress["things"]) == 3


async def test_the_kernel_is_that_of_the_environment_and_finds_its_files(lara: Launches, launch: Launch) -> None:
    code = "import sys, os, vois; exec(cell); import pandas as pd; print(sys.executable, os.environ['OMP_NUM_THREADS'],"
    code += " len(pd.read_csv('gapminder.csv')), pd.read_csv(data['levels.csv']).level[0],"
    # As the cell itself says.
    code += " *eval(next(line for line in cell.splitlines() if 'sep=' in line)[2:]).iloc[0])"
    first = json.loads((lara.home / lara.get(launch).folder / "world-map.ipynb").read_bytes())["cells"][0]["source"]
    said = await lara.run(launch, f"cell = {first!r}\n{code}")
    python, cores, rows, level, place, height = said.split()
    assert Path(python) == lara.portal.settings.app_python
    assert (cores, level, place, height) == ("1", "7", "Hörnum", "1.5") and int(rows) > 100


async def test_its_own_token_does_not_search_as_its_person_and_says_what_does(lara: Launches, launch: Launch) -> None:
    code = "import os, vaas\nos.environ['VAAS_URL'] = os.environ['VAAS_PORTAL_URL']\n"
    code += "try:\n    print(len(vaas.search('levels')))\nexcept Exception as error:\n    print(error)"
    said = await lara.run(launch, code)
    assert said.strip().startswith("This token may not use the portal. Make another one at http")
    mine = f"import os; os.environ['VAAS_TOKEN'] = {lara.token!r}\n"
    assert int(await lara.run(launch, mine + code)) >= 1


def test_jupyterlab_offers_that_kernel_and_no_other(lara: Launches, launch: Launch) -> None:
    kernels = lara.lab("GET", launch, "api/kernelspecs").json()["kernelspecs"]
    assert {name: each["spec"]["display_name"] for name, each in kernels.items()} == {"python3": "As in apps"}


def test_jupyterlab_asks_nobody_elsewhere_and_shows_the_environments_widgets(lara: Launches, launch: Launch) -> None:
    page = lara.lab("GET", launch, "lab").text
    said = json.loads(page.partition('<script id="jupyter-config-data" type="application/json">')[2].partition("<")[0])
    assert said["news"] == {"disabled": True} and said["extensionManager"]["name"] == "read-only"
    # Nor is there a button for what is not served here.
    without = {"@jupyterlab/apputils-extension:announcements", "@voila-dashboards/jupyterlab-preview"}
    assert without <= set(said["disabledExtensions"])
    assert {"@jupyter-widgets/jupyterlab-manager", "vaas-launch"} <= {e["name"] for e in said["federated_extensions"]}


def test_jupyterlab_knows_where_its_page_is(lara: Launches, launch: Launch) -> None:
    page = lara.lab("GET", launch, "lab").text
    said = json.loads(page.partition('<script id="jupyter-config-data" type="application/json">')[2].partition("<")[0])
    where = f"http://vaas.localhost:{lara.portal.settings.port}/services/vaas/launches/{launch.id}/"
    assert (said["vaasPage"], said["vaasMemory"], said.get("vaasEnds", 0)) == (where, 2_000_000_000, 0)
    script = lara.lab("GET", launch, "lab/extensions/vaas-launch/static/launch.js")
    assert script.status_code == 200 and "vaas-launch:gone" in script.text


def test_open_tabs_are_of_this_launch_and_not_kept_for_the_next(lara: Launches, launch: Launch) -> None:
    kept = {"metadata": {"id": "default"}, "data": {"layout-restorer:data": {}}}
    assert lara.lab("PUT", launch, "lab/api/workspaces/default", json=kept).status_code == 204
    assert lara.lab("GET", launch, "lab/api/workspaces/default").json()["data"] == kept["data"]
    assert [str(path) for path in lara.home.rglob("*.jupyterlab-workspace")] == []


async def test_what_is_shared_can_be_read_and_not_written(lara: Launches, launch: Launch) -> None:
    code = (
        "import os, pathlib; found = sorted(os.listdir(pathlib.Path.home() / 'Shared' / 'everyone')); print(found[:1])"
    )
    assert "[]" not in await lara.run(launch, code)
    said = await lara.run(launch, "open('/shared/everyone/mine.txt', 'w')")
    assert said.startswith(("OSError", "PermissionError"))


def test_it_says_what_it_uses(lara: Launches, launch: Launch) -> None:
    until(lambda: lara.get(launch).progress.get("use", {}).get("memory", 0) > 30_000_000, seconds=25, what="its use")


@pytest.mark.attack
@pytest.mark.parametrize("path", ["lab", "api/contents", "api/kernels", "api/terminals", "api/status", "api/sessions"])
def test_nobody_else_gets_into_a_persons_jupyterlab(lara: Launches, eve: Launches, launch: Launch, path: str) -> None:
    assert lara.lab("GET", launch, path).status_code == 200
    assert lara.lab("GET", launch, path, token=eve.token).status_code in {302, 403}
    assert lara.lab("POST", launch, path, token=eve.token, json={}).status_code in {302, 403, 405}


@pytest.mark.attack
def test_nobody_else_runs_code_in_it(lara: Launches, eve: Launches, launch: Launch) -> None:
    kernel = lara.lab("POST", launch, "api/kernels", json={"name": "python3"}).json()["id"]
    assert lara.lab("GET", launch, f"api/kernels/{kernel}/channels", token=eve.token).status_code in {302, 403}
    assert lara.lab("DELETE", launch, f"api/kernels/{kernel}", token=eve.token).status_code in {302, 403}
    assert kernel in lara.lab("GET", launch, "api/kernels").text


@pytest.mark.attack
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_nobody_else_sees_stops_or_starts_it(lara: Launches, eve: Launches, launch: Launch, method: str) -> None:
    path = lara.path(launch)
    assert eve.portal.hub(method, path, token=eve.token).status_code in {403, 404}
    assert lara.ready(launch)


def test_her_own_notebook_is_opened_where_it_lies(lara: Launches) -> None:
    before = (lara.home / "own.ipynb").read_bytes()
    made = lara.new(store="home", path="own.ipynb")
    lara.start(made)
    assert (lara.get(made).folder, lara.get(made).notebook) == ("", "own.ipynb")
    assert lara.lab("GET", made, "api/contents/own.ipynb").json()["type"] == "notebook"
    lara.stop(made)
    assert (lara.home / "own.ipynb").read_bytes() == before


def test_of_her_own_notebook_she_can_work_on_a_copy(lara: Launches) -> None:
    before = (lara.home / "own.ipynb").read_bytes()
    made = lara.new(store="home", path="own.ipynb", copy="1")
    lara.start(made)
    folder, notebook = lara.get(made).folder, lara.get(made).notebook
    assert folder.startswith("Launches/") and notebook == "own.ipynb"
    lara.lab("DELETE", made, f"api/contents/{folder}/{notebook}").raise_for_status()
    lara.stop(made)
    shutil.rmtree(lara.home / folder)
    assert (lara.home / "own.ipynb").read_bytes() == before


def test_what_was_started_again_goes_on_where_it_was(lara: Launches, launch: Launch) -> None:
    folder = lara.home / lara.get(launch).folder
    (folder / "mine.txt").write_text("kept")
    (folder / "views.py").unlink()
    lara.stop(launch)
    lara.save(_again(lara.get(launch)))
    lara.start(launch)
    assert (folder / "mine.txt").read_text() == "kept"
    assert not (folder / "views.py").exists(), "nothing is placed twice"
    assert lara.get(launch).folder == folder.relative_to(lara.home).as_posix()


def _again(launch: Launch) -> Launch:
    return type(launch)(**{**vars(launch), "state": "asked", "progress": {}})


def test_a_second_copy_has_a_folder_of_its_own(lara: Launches, launch: Launch) -> None:
    made = lara.new(app="world-map")
    lara.start(made)
    assert lara.get(made).folder == f"{lara.get(launch).folder}-2"
    lara.remove(made)  # the portal forgets it, and its next word ends it
    until(lambda: not lara.processes(made), seconds=25, what="its end")


def test_a_start_that_fails_says_why(lara: Launches) -> None:
    made = lara.new(app="no-such-app")
    lara.ask(made, {"plan": lara.plan(made)})
    until(lambda: lara.get(made).state == "failed", seconds=40, what=lambda: lara.said(made))
    assert lara.get(made).error == "There is no such app, or it is not shared with you."
    until(lambda: not lara.processes(made), seconds=20, what="its end")


async def test_who_takes_too_much_memory_loses_the_kernel_and_not_jupyterlab(lara: Launches) -> None:
    made = lara.new(app="world-map")
    lara.start(made, size=Size("tiny", "Tiny", 1, 400_000_000))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(8):
            await lara.run(made, "x = bytearray(700_000_000)\nimport time; time.sleep(60)")
    until(lambda: "0.4 GB" in lara.get(made).progress.get("notice", ""), seconds=10, what="a word about it")
    assert lara.lab("GET", made, "api/status").status_code == 200
    lara.stop(made)
    assert lara.get(made).progress["ended"] == "outside"


def test_a_launch_ends_when_its_time_is_up(lara: Launches) -> None:
    made = lara.new(app="world-map")
    lara.ask(made, {"plan": lara.plan(made, size=Size("short", "Short", 1, 10**9, seconds=3))}).raise_for_status()
    until(lambda: lara.get(made).state == "stopped", seconds=30, what=lambda: lara.said(made))
    assert lara.get(made).progress["ended"] == "time"
    until(lambda: not lara.processes(made), seconds=20, what="its end")


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("closed", "It was shut down in JupyterLab."),
        ("crashed", "JupyterLab ended with an error."),
    ],
)
def test_a_launch_that_ended_says_why_on_its_page(lara: Launches, why: str, words: str) -> None:
    made = lara.new(store="home", path="own.ipynb")
    lara.start(made)
    _end(lara, made, why)
    until(lambda: not lara.processes(made), seconds=20, what="its end")
    hub = lara.portal

    def told() -> bool:
        now = hub.get(f"/services/vaas/api/launches/{made.id}", token=lara.token).json()
        return bool(now["state"] == "stopped" and now["ended"] == why and words in now["message"])

    until(told, seconds=20, what=lambda: str(lara.get(made)))
    page = hub.get(f"/services/vaas/launches/{made.id}/", token=lara.token).text
    assert words in page and "Start it again" in page and "What was saved is kept" in page
    # At its address, whoever comes is led to that page.
    port = hub.settings.port
    away = hub.get(f"/user/lara/{launch_server(made.id)}/lab", host="lara.vaas.localhost")
    assert f'href="http://vaas.localhost:{port}/services/vaas/launches/{made.id}/"' in away.text


def _end(lara: Launches, made: Launch, why: str) -> None:
    if why == "closed":
        assert lara.lab("POST", made, "api/shutdown").status_code == 200
    else:
        served = next(each for each in lara.processes(made) if "vaas.lab.server" in each.cmdline())
        served.kill()


def test_a_hub_that_comes_back_finds_its_launches(lara: Launches, launch: Launch) -> None:
    before = {process.pid for process in lara.processes(launch)}
    os.kill(lara.portal.note.hub.pid, signal.SIGKILL)
    until(lambda: lara.portal.answers(), seconds=60, what="the Hub")
    until(lambda: lara.portal.hub("GET", lara.path(launch)).json().get("ready"), seconds=30, what="the launch")
    assert {process.pid for process in lara.processes(launch)} == before
    until(lambda: lara.lab("GET", launch, "api/status").status_code == 200, seconds=20, what="JupyterLab")
    assert launch_server(launch.id) in lara.portal.hub("GET", "/users/lara").json()["servers"]
