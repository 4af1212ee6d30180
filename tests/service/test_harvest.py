"""What is in people's stores is found on the real portal: soon, by who may see it, and by nobody else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import markdown, notebook
from tests.portal_fixture import RunningPortal, until

pytestmark = pytest.mark.hub
SECONDS = 30


@pytest.fixture(scope="module")
def people(hub: RunningPortal) -> dict[str, str]:
    for name in ("hedda", "ivar"):
        hub.hub("POST", f"/users/{name}")
    return {name: hub.token_for(name) for name in ("hedda", "ivar")} | {"admin": hub.token_for("root-admin")}


@pytest.fixture(scope="module")
def home(hub: RunningPortal, people: dict[str, str]) -> Iterator[Path]:
    """Return hedda's home, which exists since she looked at it."""
    assert hub.request("GET", "/services/vaas/api/stores", token=people["hedda"]).status_code == 200
    folder = hub.data / "homes" / "hedda"
    yield folder
    shutil.rmtree(folder)


def records(portal: RunningPortal, query: str, token: str = "") -> list[dict[str, Any]]:
    answer = portal.request("GET", f"/services/vaas/api/search?q={query}", token=token)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["records"]
    return found


def found(portal: RunningPortal, query: str, token: str = "") -> list[str]:
    return [record["details"]["path"] for record in records(portal, query, token) if record["type"] != "app"]


def test_a_file_that_is_dropped_into_a_home_is_found_by_its_owner_alone(
    hub: RunningPortal, people: dict[str, str], home: Path
) -> None:
    (home / "whales" / "2026").mkdir(parents=True)
    (home / "whales" / "2026" / "humpbacks.csv").write_text("latitude,longitude\n60.4,5.3\n")
    (home / "whales" / "songs.ipynb").write_bytes(notebook(markdown("# Songs of the humpbacks")))
    wanted = ["whales/2026/humpbacks.csv", "whales/songs.ipynb"]
    until(
        lambda: sorted(found(hub, "owner:hedda", people["hedda"])) == wanted, seconds=SECONDS, what="them to be found"
    )
    for query in ("name:humpbacks", "owner:hedda", "type:notebook", "humpbacks.csv"):
        for token in ("", people["ivar"], people["admin"]):
            assert not [path for path in found(hub, query, token) if path in wanted], query
    (csv,) = records(hub, "name:humpbacks.csv", people["hedda"])
    (song,) = records(hub, "type:notebook owner:hedda", people["hedda"])
    assert csv["url"] == f"{hub.url}files/home/whales/2026" and song["url"] == f"{hub.url}files/home/whales/songs.ipynb"
    for record in (csv, song):
        path = record["url"].removeprefix(hub.url)
        assert hub.request("GET", f"/services/vaas/{path}", token=people["hedda"]).status_code == 200
    page = f"/services/vaas/{song['url'].removeprefix(hub.url)}"
    assert hub.request("GET", page, token=people["ivar"]).status_code == 404
    (home / "whales" / "2026" / "humpbacks.csv").unlink()
    until(lambda: found(hub, "owner:hedda", people["hedda"]) == wanted[1:], seconds=SECONDS, what="it to be gone")


def test_what_is_written_over_rest_is_found(hub: RunningPortal, people: dict[str, str], home: Path) -> None:
    path = "/services/vaas/api/stores/home/files/belugas.csv"
    assert hub.request("PUT", path, token=people["hedda"], json="Belugas").status_code == 201
    until(lambda: found(hub, "name:belugas", people["hedda"]), seconds=SECONDS, what="it to be found")
    assert found(hub, "name:belugas", people["ivar"]) == []


def vaas(portal: RunningPortal, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vaas", *words, "--data", str(portal.data)]
    return subprocess.run(command, env=portal.environ, capture_output=True, text=True, timeout=120)


def test_the_index_is_made_anew_by_one_command_while_the_portal_runs(
    hub: RunningPortal, people: dict[str, str], home: Path
) -> None:
    (home / "narwhals.csv").write_text("x")
    until(lambda: found(hub, "name:narwhals", people["hedda"]), seconds=SECONDS, what="it to be found")
    told = vaas(hub, "index")
    assert told.returncode == 0, told.stderr
    assert "The index is new: " in told.stdout and " entries, after " in told.stdout
    assert found(hub, "name:narwhals", people["hedda"]) == ["narwhals.csv"]
    assert found(hub, "name:narwhals", people["ivar"]) == []


def test_a_sweep_says_what_it_skipped_and_why(hub: RunningPortal, home: Path) -> None:
    (home / "node_modules").mkdir()
    told = vaas(hub, "index", "--sweep")
    assert told.returncode == 0, told.stderr
    assert "Looked through " in told.stdout
    assert "  home-hedda: node_modules: What is installed here is not looked through." in told.stdout
