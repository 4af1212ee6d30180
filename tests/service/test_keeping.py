"""The lines that load a thing of a basket do load it, in the app environment and from the real portal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.portal_fixture import RunningPortal, app_python
from vaas.loading import lines

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def kim(hub: RunningPortal) -> str:
    """Return the token of somebody who has two files."""
    hub.hub("POST", "/users/kim")
    home = hub.data / "homes" / "kim" / "my data"
    home.mkdir(parents=True, exist_ok=True)
    (home / "sea é.csv").write_text("station,level\nVenice,3\nSplit,4\n")
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
    command = [str(app_python()), "-c", code]
    environ = {"VAAS_TOKEN": kim, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.returncode) == (printed, 0), done.stderr
