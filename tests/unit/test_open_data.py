"""The demo's open data: complete, small, honest about where they come from, and placed once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub_service.demo_content import ensure_open_data

DATA = Path(__file__).parents[2] / "dashboards" / "data"
FOLDERS = sorted(path for path in DATA.iterdir() if path.is_dir())

each_set = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@each_set
def test_a_set_names_its_licence_its_source_and_each_of_its_files(folder: Path) -> None:
    said = json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))
    assert said["name"] == folder.name
    assert all(licence["title"] and licence["path"].startswith("https://") for licence in said["licenses"])
    assert all(source["title"] and source["path"].startswith("https://") for source in said["sources"])
    listed = {each["path"]: each["bytes"] for each in said["resources"]}
    there = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert listed == {name: size for name, size in there.items() if name not in {"datapackage.json", "README.md"}}
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {said['title']}\n")
    assert all(
        word in readme for word in ("**Source**", "**Taken from**", f"**Licence**: {said['licenses'][0]['title']}")
    )


def test_all_of_them_are_small() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 1_000_000


def test_they_are_placed_for_everybody_and_never_over_what_is_there(tmp_path: Path) -> None:
    ensure_open_data(tmp_path)
    shared = tmp_path / "shared" / "everyone"
    assert {path.name for path in shared.iterdir()} == {folder.name for folder in FOLDERS}
    (shared / "iris" / "iris.csv").write_text("mine")
    (shared / "wine" / "README.md").unlink()
    ensure_open_data(tmp_path)
    assert (shared / "iris" / "iris.csv").read_text() == "mine"
    assert not (shared / "wine" / "README.md").exists()


def test_a_full_disk_keeps_no_portal_from_starting(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("no folder")
    ensure_open_data(tmp_path)
    assert (tmp_path / "shared").read_text() == "no folder"
