"""The example apps: complete, small, honest about their data, and silent on the network."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from vaas.prose import headings, paragraphs

EXAMPLES = Path(__file__).parents[2] / "dashboards" / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/*.ipynb"))
PEOPLE = {"ada", "emil", "sam", "root-admin"}
DATA_SUFFIXES = {".csv", ".json", ".geojson", ".parquet"}
#: A namespace is a name that looks like an address; nothing is ever fetched from it.
NAMESPACE = "http://www.w3.org/2000/svg"
KIB = 1024

each_example = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def card(folder: Path) -> dict[str, Any]:
    """Read what the folder says about its app."""
    facts: dict[str, Any] = json.loads((folder / "app.json").read_text(encoding="utf-8"))
    return facts


def notebook(folder: Path) -> dict[str, Any]:
    """Read the folder's notebook."""
    cells: dict[str, Any] = json.loads((folder / card(folder)["notebook"]).read_text(encoding="utf-8"))
    return cells


def shipped(folder: Path) -> list[Path]:
    """List what is part of the example, without what Python leaves behind."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def data_files(folder: Path) -> list[Path]:
    """List the folder's data."""
    return [path for path in shipped(folder) if path.suffix in DATA_SUFFIXES and path.name != "app.json"]


def test_there_are_at_least_four_examples() -> None:
    assert len(FOLDERS) >= 4


def test_every_folder_is_an_example_and_the_readme_names_it() -> None:
    folders = sorted(path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__")
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert folders == FOLDERS
    assert [folder.name for folder in folders if f"`{folder.name}/`" not in readme] == []


@each_example
def test_the_card_is_complete(folder: Path) -> None:
    facts = card(folder)
    assert set(facts) == {"title", "description", "category", "tags", "notebook", "cover", "author", "audience"}
    assert all(facts.values())
    assert facts["author"] in PEOPLE
    assert re.fullmatch(r"everyone|signed-in|group:\w+|user:\w+", facts["audience"])
    assert (folder / facts["notebook"]).is_file() and (folder / facts["cover"]).is_file()
    assert len(facts["title"]) <= 60 and len(facts["description"]) <= 250


@each_example
def test_the_notebook_is_clean_and_short(folder: Path) -> None:
    content = notebook(folder)
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert content["nbformat"] == 4 and content["metadata"]["kernelspec"]["name"] == "python3"
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert [cell["execution_count"] for cell in code] == [None] * len(code)
    assert max(len("".join(cell["source"]).splitlines()) for cell in code) <= 12


@each_example
def test_nothing_that_runs_names_an_outside_address(folder: Path) -> None:
    sources = {
        path.name: path.read_text(encoding="utf-8") for path in shipped(folder) if path.suffix in {".py", ".css"}
    }
    for number, cell in enumerate(notebook(folder)["cells"], 1):
        sources[f"cell {number}"] = "".join(cell["source"])
    named = [name for name, text in sources.items() if re.search(r"(https?:)?//\w", text.replace(NAMESPACE, ""))]
    assert named == []


@each_example
def test_every_data_file_has_its_source_and_licence_named(folder: Path) -> None:
    sections = (folder / "README.md").read_text(encoding="utf-8").split("\n## ")[1:]
    told = {section.splitlines()[0].strip(): section for section in sections}
    assert set(told) == {path.name for path in data_files(folder)}
    assert [name for name, text in told.items() if "**Source**" not in text or "**Licence**" not in text] == []


def test_the_data_of_each_example_is_found_by_a_name_of_its_own() -> None:
    texts = [path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*/README.md")]
    titles = {next(title for _, title in headings(text)) for text in texts}
    assert len(titles) == len(texts) == len(FOLDERS) and all(title.endswith(": the data") for title in titles)
    # What stands before the first file is the summary.
    assert all("licence" in next(iter(paragraphs(text.split("\n## ")[0]))) for text in texts)


@each_example
def test_the_app_itself_shows_where_its_data_comes_from(folder: Path) -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in shipped(folder) if path.suffix == ".py")
    assert re.search(r"Data: |Figures: |Temperatures: ", sources)


@each_example
def test_an_example_is_small(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in shipped(folder)}
    assert {name: size for name, size in sizes.items() if size > 700 * KIB} == {}
    assert sum(sizes.values()) < 1000 * KIB
    assert sizes["cover.png"] < 250 * KIB


@each_example
def test_the_cover_is_a_wide_png(folder: Path) -> None:
    head = (folder / card(folder)["cover"]).read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:24])
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert 1000 <= width <= 1600 and 1.6 < width / height < 1.9


@each_example
def test_every_local_module_that_is_imported_travels_with_the_notebook(folder: Path) -> None:
    allowed = {"IPython", "ipyleaflet", "ipyvuetify", "ipywidgets", "numpy", "pandas", "plotly", "vaas", "vois"}
    standard = {
        "__future__",
        "base64",
        "bisect",
        "collections",
        "dataclasses",
        "html",
        "json",
        "math",
        "pathlib",
        "typing",
    }
    local = {path.stem for path in folder.glob("*.py")}
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    sources += ["".join(cell["source"]) for cell in notebook(folder)["cells"] if cell["cell_type"] == "code"]
    imported = {name for text in sources for name in re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)}
    assert imported - allowed - standard - local == set()
