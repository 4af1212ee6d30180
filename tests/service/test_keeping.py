"""The lines that load a thing of a basket do load it, in the app environment and from the real portal."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.portal_fixture import RunningPortal, app_python, until
from vaas.loading import lines

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def kim(hub: RunningPortal) -> str:
    """Return the token of somebody who has two files."""
    hub.hub("POST", "/users/kim")
    home = hub.data / "homes" / "kim" / "my data"
    home.mkdir(parents=True, exist_ok=True)
    (home / "sea é.csv").write_text("station,level\nVenice,3\nSplit,4\n")
    (home / "pegel.csv").write_bytes("Ort;Höhe\nHörnum;1,5\nBüsum;2,5\n".encode("cp1252"))
    (home / "raw.bin").write_bytes(bytes(range(7)))
    return hub.token_for("kim")


@pytest.mark.parametrize(
    ("name", "shown", "printed"),
    [("sea é.csv", "list(data.level)", "[3, 4]"), ("raw.bin", "list(data)", "[0, 1, 2, 3, 4, 5, 6]")],
)
def test_the_code_that_is_copied_loads_the_file(
    hub: RunningPortal, kim: str, tmp_path: Path, name: str, shown: str, printed: str
) -> None:
    access = {"how": "store", "via": {"store": "home", "path": f"my data/{name}"}}
    base = f"http://127.0.0.1:{hub.settings.port}/services/vaas/"
    code = f"{lines('file', 'files/x', access, base=base)}\nprint({shown})\n"
    assert ran(code, tmp_path, {"VAAS_TOKEN": kim}) == printed


def ran(code: str, folder: Path, environ: Mapping[str, str], *, typed: str = "") -> str:
    """Return what the code prints in the app environment, while somebody types that."""
    environ = {**environ, "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    # Without the terminal that these tests may have been started from: getpass would ask there.
    run = partial(subprocess.run, start_new_session=True, capture_output=True, text=True, timeout=120)
    done = run([str(app_python()), "-c", code], env=environ, cwd=folder, input=f"{typed}\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_table_from_an_old_office_loads_right_from_search_and_from_a_basket(
    hub: RunningPortal, kim: str, tmp_path: Path
) -> None:
    address = "/services/vaas/api/records/here/file:home-kim/my%20data/pegel.csv"
    until(lambda: hub.get(address, token=kim).status_code == 200, seconds=60, what="it to be found")
    local = f"http://127.0.0.1:{hub.settings.port}"
    record = hub.get(address, token=kim).json()
    # What is copied, from where its name means this machine.
    code = record["code"].replace(hub.settings.public_url.rstrip("/"), local)
    printed = "['Hörnum', 'Büsum'] 4.0"
    # Who has put no token there is asked for one.
    assert ran(f"{code}\nprint(list(data.Ort), data.Höhe.sum())", tmp_path, {}, typed=kim) == printed
    body = {"catalog": "here", "record": record["id"]}
    hub.request("POST", "/services/vaas/api/baskets/current/things", token=kim, json=body).raise_for_status()
    code = "import vaas; data = vaas.basket()[-1].table(); print(list(data.Ort), data.Höhe.sum())"
    assert ran(code, tmp_path, {"VAAS_TOKEN": kim, "VAAS_URL": f"{local}/services/vaas/"}) == printed
