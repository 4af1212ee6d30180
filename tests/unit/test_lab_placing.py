"""Placing a launch, against a small portal of its own: what is copied, fetched, checked, and what is said of it."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.notebooks import notebook
from tests.portal_fixture import until
from tests.tars import tar_of
from vaas.errors import Invalid, NotFound, StorageFull
from vaas.lab import placing as placing_module
from vaas.lab import staging as staging_module
from vaas.lab.manifest import Thing
from vaas.lab.placing import Placing, place_launch
from vaas.lab.portal import PortalClient
from vaas.lab.staging import where_mounted
from vaas.parcels import DAMAGED, END, digest_field, part

NOTEBOOK = notebook("x = 1", kernel="conda-env-other")
SHELF = b"0123456789" * 500_000
ID, OTHER = "a" * 16, "b" * 16


@dataclass
class Shelf:
    """The portal's four routes for one launch."""

    files: dict[str, bytes] = field(default_factory=lambda: {"lesson.ipynb": NOTEBOOK, "lib/model.py": b"y = 2"})
    things: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    posts: list[dict[str, Any]] = field(default_factory=list)
    #: What comes in one go, by the thing: a list of parts for each time that it is asked for.
    parcels: dict[str, list[list[bytes]]] = field(default_factory=dict)
    etags: Iterator[str] = field(default_factory=lambda: iter(()))
    #: What a piece is turned into on its way, for each that is asked for.
    spoils: Iterator[bytes] = field(default_factory=lambda: iter(()))
    asked: list[str] = field(default_factory=list)
    #: Bytes of things come once it is set.
    gives: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def manifest(self) -> dict[str, Any]:
        """Return what is to be placed."""
        listed = [
            {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for path, data in self.files.items()
        ]
        things = [
            {"id": id, "title": f"Thing {id[0]}", "name": f"{id[0]}.csv", "size": len(data), "checksum": "", "etag": ""}
            | self.told.get(id, {})
            for id, data in self.things.items()
        ]
        begun = {"id": "abc123abc123", "title": "Waves", "folder": "Launches/Waves 2026-03-01", "given": {}}
        environment = {"id": "apps", "title": "As in apps", "kind": "python", "where": "/python"}
        more = {"environment": environment, "portal": "http://portal/", "publish": "http://portal/files/home/"}
        return {**begun, "notebook": "lesson.ipynb", "files": listed, "things": things, **more, **self.said}

    def tar(self) -> bytes:
        """Return the files."""
        return tar_of(self.files)


class Answer(BaseHTTPRequestHandler):
    """Answers as the shelf has it."""

    shelf: Shelf

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        name = parts.path.removeprefix("/api/launched/")
        self.shelf.asked.append(name)
        if name == "manifest":
            self._send(json.dumps(self.shelf.manifest()).encode())
        elif name == "content":
            self._send(self.shelf.tar())
        elif name.endswith("/parcel"):
            self._send(b"".join(self.shelf.parcels[name.split("/")[1]].pop(0)))
        elif (data := self.shelf.things.get(name.removeprefix("things/"))) is not None:
            self.shelf.gives.wait(30)
            asked = {key: int(values[0]) for key, values in parse_qs(parts.query).items()}
            piece = data[asked["offset"] : asked["offset"] + asked["size"]]
            said = {"X-Size": str(len(data)), "Content-Digest": digest_field(piece)}
            self._send(next(self.shelf.spoils, piece), ETag=f'"{next(self.shelf.etags, "e")}"', **said)
        else:
            body = {"error": {"kind": "NotFound", "message": "It is not in the basket any more."}}
            self._send(json.dumps(body).encode(), status=404)

    def do_POST(self) -> None:
        """Hear how it goes."""
        self.shelf.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._send(b'{"stop": false}')

    def _send(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    made.gives.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Answer,), {"shelf": made}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/"
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def place(shelf: Shelf, home: Path) -> Placing:
    """Place everything, as a launch does."""
    placing = Placing(PortalClient(shelf.url, token="t"), home=home, shared=home.parent / "shared")
    placing.copy()
    placing.ready()
    placing.fetch()
    return placing


FOLDER = "Launches/Waves 2026-03-01"


def test_the_copy_is_placed_with_the_kernel_that_there_is(shelf: Shelf, home: Path) -> None:
    place(shelf, home)
    made = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())
    assert [cell["source"] for cell in made["cells"]] == ["x = 1"], "without data there is nothing to say"
    assert made["metadata"]["kernelspec"] == {"name": "python3", "display_name": "As in apps", "language": "python"}
    assert (home / FOLDER / "lib" / "model.py").read_bytes() == b"y = 2"
    assert shelf.posts[-1]["state"] == "ready"
    assert (shelf.posts[-1]["folder"], shelf.posts[-1]["notebook"]) == (FOLDER, "lesson.ipynb")


def test_nothing_is_placed_over_existing_work(shelf: Shelf, home: Path) -> None:
    (home / FOLDER).mkdir(parents=True)
    (home / FOLDER / "lesson.ipynb").write_text("mine")
    place(shelf, home)
    assert (home / FOLDER / "lesson.ipynb").read_text() == "mine"
    assert shelf.posts[-1]["folder"] == f"{FOLDER}-2"


def test_things_are_fetched_beside_it_and_named_in_the_first_cell(shelf: Shelf, home: Path) -> None:
    digest = hashlib.sha256(SHELF).hexdigest()
    shelf.things = {ID: SHELF, OTHER: b"1"}
    shelf.told = {ID: {"checksum": f"sha256:{digest}", "etag": "e"}, OTHER: {"name": "a.csv"}}
    place(shelf, home)
    assert (home / FOLDER / "data" / "a.csv").read_bytes() == SHELF
    assert (home / FOLDER / "data" / "a-2.csv").read_bytes() == b"1"
    cell = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]
    known: dict[str, Any] = {}
    exec(cell["source"], known)
    assert known["data"] == {"Thing a": "data/a.csv", "Thing b": "data/a-2.csv"}
    last = shelf.posts[-1]
    assert {id: each["state"] for id, each in last["things"].items()} == {ID: "done", OTHER: "done"}
    assert (last["percent"], last["message"]) == (100, "Everything is there.")
    assert any(0 < post["percent"] < 100 for post in shelf.posts), "and it was told on the way"


def test_the_first_cell_says_of_each_table_how_it_is_loaded(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b"a;b\n", OTHER: b"a,b\n"}
    shelf.told = {ID: {"written": {"delimiter": "semicolon", "encoding": "windows-1252"}}, OTHER: {"written": None}}
    place(shelf, home)
    cell = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert cell.splitlines()[-3:] == [
        "# import pandas as pd",
        """# pd.read_csv(data['Thing a'], sep=";", encoding="cp1252")""",
        "# pd.read_csv(data['Thing b'])",
    ]
    assert (
        """table = pd.read_csv('data/a.csv', sep=";", encoding="cp1252")""" in (home / FOLDER / "Data.md").read_text()
    )


def test_a_launch_that_is_started_again_fetches_and_copies_nothing_twice(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b"1"}
    place(shelf, home)
    (home / FOLDER / "lesson.ipynb").write_text("changed")
    (home / FOLDER / "Data.md").unlink()
    shelf.asked.clear()
    place(shelf, home)
    assert shelf.asked == ["manifest"]
    assert (home / FOLDER / "lesson.ipynb").read_text() == "changed"
    assert shelf.posts[-1]["things"][ID]["state"] == "done"
    assert "Thing a" in (home / FOLDER / "Data.md").read_text()


def failed(shelf: Shelf) -> str:
    """Return what was said of the one thing that could not be had."""
    told = shelf.posts[-1]["things"][ID]
    assert told["state"] == "failed" and shelf.posts[-1]["state"] == "ready"
    return str(told["message"])


def test_a_wrong_checksum_is_said_and_nothing_of_the_file_stays(shelf: Shelf, home: Path) -> None:
    shelf.things, shelf.told = {ID: b"1"}, {ID: {"checksum": f"sha256:{'0' * 64}", "etag": "e"}}
    place(shelf, home)
    assert "checksum" in failed(shelf)
    assert list((home / FOLDER / "data").iterdir()) == []


def test_a_piece_that_is_damaged_on_its_way_is_asked_for_again(shelf: Shelf, home: Path) -> None:
    shelf.things, shelf.spoils = {ID: b"12"}, iter([b"21"])
    place(shelf, home)
    assert (home / FOLDER / "data" / "a.csv").read_bytes() == b"12" and shelf.asked.count(f"things/{ID}") == 2
    sha256 = hashlib.sha256(b"12").hexdigest()
    assert f"SHA-256 of what was fetched: `{sha256}`" in (home / FOLDER / "Data.md").read_text()


def test_a_piece_that_is_damaged_each_time_is_not_kept(
    shelf: Shelf, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging_module, "_LONGEST_PAUSE", 0.01)
    shelf.things, shelf.spoils = {ID: b"12"}, itertools.repeat(b"21")
    place(shelf, home)
    assert failed(shelf) == DAMAGED and [*(home / FOLDER / "data").iterdir()] == []


def test_a_checksum_of_another_state_of_the_file_says_nothing(shelf: Shelf, home: Path) -> None:
    shelf.things, shelf.told = {ID: b"1"}, {ID: {"checksum": f"sha256:{'0' * 64}", "etag": "before"}}
    place(shelf, home)
    assert (home / FOLDER / "data" / "a.csv").read_bytes() == b"1"


def test_a_thing_that_is_gone_is_said_and_the_others_come(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b"", OTHER: b"1"}
    placing = Placing(PortalClient(shelf.url, token="t"), home=home, shared=home)
    placing.copy()
    del shelf.things[ID]
    placing.ready()
    placing.fetch()
    assert failed(shelf) == "It is not in the basket any more."
    assert (home / FOLDER / "data" / "b.csv").read_bytes() == b"1"
    assert shelf.posts[-1]["message"] == "1 of 2 could not be fetched."


def test_a_thing_that_changes_while_it_is_fetched_is_fetched_anew(shelf: Shelf, home: Path) -> None:
    shelf.things, shelf.etags = {ID: SHELF}, iter(("e1", "e2", "e3", "e3", "e3"))
    place(shelf, home)
    assert (home / FOLDER / "data" / "a.csv").read_bytes() == SHELF
    assert shelf.posts[-1]["things"][ID]["state"] == "done"


def test_a_full_disk_is_said_and_nothing_of_the_file_stays(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: SHELF}
    placing = Placing(PortalClient(shelf.url, token="t"), home=home, shared=home)
    placing.copy()
    data = home / FOLDER / "data"
    data.mkdir()
    (data / ".a.csv.part").symlink_to("/dev/full")  # the only disk that is full for everybody
    placing.ready()
    placing.fetch()
    assert failed(shelf).startswith("There is no room left for “Thing a”.")
    assert list(data.iterdir()) == []


def test_what_cannot_be_noted_is_not_kept(shelf: Shelf, home: Path) -> None:
    """It would be fetched again beside itself."""
    shelf.things = {ID: b"1", OTHER: b"2"}
    placing = Placing(PortalClient(shelf.url, token="t"), home=home, shared=home)
    placing.copy()
    notes = home / ".vaas" / "launches"
    before = {each.name: each.read_bytes() for each in notes.iterdir()}
    (notes / f"abc123abc123.{os.getpid()}").symlink_to("/dev/full")
    placing.ready()
    placing.fetch()
    assert failed(shelf).startswith("There is no room left for “Thing a”.")
    assert [each.name for each in (home / FOLDER / "data").iterdir()] == ["b.csv"]
    assert {each.name for each in notes.iterdir()} == set(before)


def test_a_disk_that_is_full_before_the_notebook_is_whole_leaves_no_copy(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b"1"}
    tar, shelf.tar = shelf.tar, lambda: full(tar(), home / FOLDER)  # type: ignore[method-assign]
    placing = Placing(PortalClient(shelf.url, token="t"), home=home, shared=home)
    with pytest.raises(StorageFull, match="There is no room left for the notebook"):
        placing.copy()
    assert list((home / "Launches").iterdir()) == []


def full(tar: bytes, folder: Path) -> bytes:
    """Let the disk be full once the notebook is changed."""
    (folder / ".lesson.ipynb.tmp").symlink_to("/dev/full")
    return tar


def test_what_could_not_be_fetched_is_told_beside_the_notebook_until_it_is_there(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b"1", OTHER: b"2"}
    shelf.told = {ID: {"checksum": f"sha256:{'0' * 64}", "etag": "e"}}
    place(shelf, home)
    _, first, second = (home / FOLDER / "Data.md").read_text().split("\n## ")
    assert "**It could not be fetched.**" in first and "checksum" in first and "read_csv" not in first
    assert "could not" not in second and "pd.read_csv('data/b.csv')" in second
    shelf.told = {}
    place(shelf, home)
    assert "could not" not in (home / FOLDER / "Data.md").read_text()
    assert {each.name for each in (home / FOLDER / "data").iterdir()} == {"a.csv", "b.csv"}


@pytest.mark.parametrize("notebook", ["lesson.ipynb", ""])
def test_it_leads_to_publishing_this_copy_and_no_other(shelf: Shelf, home: Path, notebook: str) -> None:
    (home / FOLDER).mkdir(parents=True)
    shelf.said, shelf.files = {"notebook": notebook}, shelf.files if notebook else {}
    place(shelf, home)
    link = f"http://portal/files/home/Launches/Waves%202026-03-01-2/{notebook or 'Notebook.ipynb'}"
    assert f"]({link})" in (home / f"{FOLDER}-2" / "Data.md").read_text()


@pytest.mark.parametrize(
    ("modules", "cell", "text"),
    [
        (
            ["h5py"],
            "# import h5py\n# h5py.File(data['Thing 0'], \"r\")",
            "import h5py\n\ndata = h5py.File('data/a.h5', \"r\")",
        ),
        (None, "# import h5py\n", "import h5py\n\ndata"),
        ([], "\n# HDF5: h5py or tables reads it", "path = 'data/a.h5'\n# HDF5: h5py or tables reads it, which"),
    ],
)
def test_what_opens_the_data_is_said_with_what_is_in_the_environment(
    shelf: Shelf, home: Path, modules: list[str] | None, cell: str, text: str
) -> None:
    shelf.said, shelf.things, shelf.told = {"modules": modules}, {ID: b"1"}, {ID: {"name": "a.h5", "title": "Thing 0"}}
    place(shelf, home)
    source = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert cell in source
    assert text in (home / FOLDER / "Data.md").read_text()


def test_where_the_portal_sees_no_files_it_says_how_else_one_publishes(shelf: Shelf, home: Path) -> None:
    shelf.said = {"publish": ""}
    place(shelf, home)
    text = (home / FOLDER / "Data.md").read_text()
    assert "download it with the files that it needs, and upload them under [My files](http://portal/files/)" in text
    assert "[Publish this notebook" not in text


def test_what_lies_there_already_is_not_fetched(shelf: Shelf, home: Path) -> None:
    (home / "own.csv").write_text("1")
    shared = home.parent / "shared" / "everyone"
    shared.mkdir(parents=True)
    (shared / "sea.csv").write_text("2")
    (home / "Shared").symlink_to(shared.parent)
    shelf.things = {ID: b"1", OTHER: b"2"}
    shelf.told = {ID: {"mounted": {"store": "home", "path": "own.csv"}}}
    shelf.told[OTHER] = {"mounted": {"store": "shared", "path": "everyone/sea.csv"}}
    place(shelf, home)
    assert shelf.asked == ["manifest", "content"]
    source = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert "'../../own.csv'" in source and "'../../Shared/everyone/sea.csv'" in source


def test_where_something_else_is_called_shared_in_the_home_its_own_path_is_told(shelf: Shelf, home: Path) -> None:
    shared = home.parent / "shared" / "everyone"
    shared.mkdir(parents=True)
    (shared / "sea.csv").write_text("2")
    (home / "Shared").mkdir()
    shelf.things = {ID: b"2"}
    shelf.told = {ID: {"mounted": {"store": "shared", "path": "everyone/sea.csv"}}}
    place(shelf, home)
    assert shelf.asked == ["manifest", "content"]
    source = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert repr(str(shared / "sea.csv")) in source


def test_what_is_mounted_is_found_where_its_store_is_seen_and_nowhere_else(tmp_path: Path) -> None:
    home, shared = tmp_path / "home", tmp_path / "shared"
    for folder in (home, shared / "everyone"):
        folder.mkdir(parents=True)
        (folder / "sea.csv").write_text("2")
    thing = Thing(ID, "Sea", "", mounted=("shared", "everyone/sea.csv"))
    assert where_mounted(thing, home=home, shared=shared) == shared / "everyone" / "sea.csv"
    assert where_mounted(thing, home=home, shared=None) is None
    assert where_mounted(replace(thing, mounted=("shared", "physics/sea.csv")), home=home, shared=shared) is None
    assert where_mounted(replace(thing, mounted=("home", "sea.csv")), home=home, shared=None) == home / "sea.csv"
    assert where_mounted(replace(thing, mounted=("else", "sea.csv")), home=home, shared=shared) is None
    assert where_mounted(replace(thing, mounted=None), home=home, shared=shared) is None


def test_what_should_lie_there_and_does_not_is_fetched(shelf: Shelf, home: Path) -> None:
    shelf.things, shelf.told = {ID: b"1"}, {ID: {"mounted": {"store": "home", "path": "gone.csv"}}}
    place(shelf, home)
    assert (home / FOLDER / "data" / "a.csv").read_bytes() == b"1"


def test_a_notebook_of_ones_own_is_left_as_it_is(shelf: Shelf, home: Path) -> None:
    (home / "work").mkdir()
    (home / "work" / "own.ipynb").write_bytes(NOTEBOOK)
    (home / "work" / "Data.md").write_text("mine")
    shelf.files, shelf.said, shelf.things = {}, {"folder": "work", "notebook": "own.ipynb"}, {ID: b"1"}
    place(shelf, home)
    assert (home / "work" / "own.ipynb").read_bytes() == NOTEBOOK
    assert (home / "work" / "Data.md").read_text() == "mine"
    assert "data/a.csv" in (home / "work" / "Data-2.md").read_text()
    assert (home / "work" / "data" / "a.csv").read_bytes() == b"1"
    assert (shelf.posts[-1]["folder"], shelf.posts[-1]["notebook"]) == ("work", "own.ipynb")


def test_each_launch_of_a_notebook_of_ones_own_says_where_its_own_data_are(shelf: Shelf, home: Path) -> None:
    (home / "work").mkdir()
    (home / "work" / "own.ipynb").write_bytes(NOTEBOOK)
    own = {"folder": "work", "notebook": "own.ipynb"}
    for id, launch in ((ID, "one"), (OTHER, "two"), (ID, "one")):
        shelf.files, shelf.said, shelf.things = {}, {**own, "id": launch * 4}, {id: b"1"}
        place(shelf, home)
    first, second = ((home / "work" / name).read_text() for name in ("Data.md", "Data-2.md"))
    assert "data/a.csv" in first and "data/b.csv" not in first
    assert "data/b.csv" in second and "data/a.csv" not in second
    assert sorted(each.name for each in (home / "work").glob("*.md")) == ["Data-2.md", "Data.md"]


def test_a_notebook_that_is_said_to_lie_here_and_does_not_is_named(shelf: Shelf, home: Path) -> None:
    shelf.files, shelf.said = {}, {"folder": "work", "notebook": "own.ipynb"}
    with pytest.raises(NotFound, match="“own.ipynb” is not in your home there"):
        place(shelf, home)
    assert not (home / "work").exists()


@pytest.mark.parametrize(
    ("files", "kernel", "own"), [({}, "ir", []), ({"lesson.ipynb": notebook("x <- 1", language="R")}, "ir", ["x <- 1"])]
)
def test_in_r_the_notebook_gets_rs_kernel_and_nothing_in_python(
    shelf: Shelf, home: Path, files: dict[str, bytes], kernel: str, own: list[str]
) -> None:
    environment = {"id": "r", "title": "R 4", "kind": "kernelspec", "where": "/usr/share/kernels/IR", "language": "R"}
    shelf.files, shelf.things = files, {ID: b"a,b", OTHER: b"1"}
    shelf.told = {OTHER: {"name": "", "uri": "https://x.example/1", "code": "import x"}}
    shelf.said = {"environment": environment, "modules": None, "notebook": "lesson.ipynb" if files else ""}
    place(shelf, home)
    made = json.loads((home / FOLDER / shelf.posts[-1]["notebook"]).read_bytes())
    assert made["metadata"]["kernelspec"] == {"name": kernel, "display_name": "R 4", "language": "R"}
    assert ["".join(cell["source"]) for cell in made["cells"]] == own
    text = (home / FOLDER / "Data.md").read_text()
    assert '```r\ntable <- read.csv("data/a.csv")\n```' in text and "python" not in text and "import" not in text


@pytest.mark.parametrize(
    ("language", "files", "kernel"),
    [
        ("r", {"lesson.ipynb": notebook("x <- 1", kernel="ir", language="R")}, "ir"),
        ("r", {}, ""),
        ("python", {"lesson.ipynb": notebook("x = 1", kernel="my-conda-env")}, "python3"),
        ("python", {}, "python3"),
    ],
)
def test_in_an_image_pythons_kernel_is_called_as_everywhere_and_others_as_the_notebook_says(
    shelf: Shelf, home: Path, language: str, files: dict[str, bytes], kernel: str
) -> None:
    environment = {"id": "i", "title": "I", "kind": "image", "where": "registry.example/i:4", "language": language}
    shelf.files, shelf.said = files, {"environment": environment, "notebook": "lesson.ipynb" if files else ""}
    place(shelf, home)
    metadata = json.loads((home / FOLDER / shelf.posts[-1]["notebook"]).read_bytes())["metadata"]
    assert metadata.get("kernelspec", {}).get("name", "") == kernel
    assert kernel or metadata["language_info"] == {"name": language}


def test_a_notebook_that_says_its_language_as_executed_ones_do_gets_no_python(shelf: Shelf, home: Path) -> None:
    made = json.loads(notebook("x <- 1"))
    made["metadata"] = {"kernelspec": {"name": "ir", "display_name": "R"}, "language_info": {"name": "R"}}
    shelf.files, shelf.things = {"lesson.ipynb": json.dumps(made).encode()}, {ID: b"1"}
    environment = {"id": "r", "title": "R", "kind": "kernelspec", "where": "/k/ir", "language": "R"}
    shelf.said, shelf.told = {"environment": environment}, {ID: {"written": {"delimiter": "comma", "decimal": "comma"}}}
    place(shelf, home)
    cells = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"]
    assert ["".join(cell["source"]) for cell in cells] == ["x <- 1"]
    assert "read.csv" not in (home / FOLDER / "Data.md").read_text(), "it has a comma in its numbers"


def test_the_first_cell_names_the_file_that_says_more(shelf: Shelf, home: Path) -> None:
    shelf.files, shelf.things = {"lesson.ipynb": NOTEBOOK, "Data.md": b"the app's own"}, {ID: b"1"}
    place(shelf, home)
    cell = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert "# Data-2.md says more" in cell and (home / FOLDER / "Data-2.md").exists()
    assert (home / FOLDER / "Data.md").read_bytes() == b"the app's own"


def test_data_alone_come_with_a_notebook_to_begin(shelf: Shelf, home: Path) -> None:
    shelf.files, shelf.said, shelf.things = {}, {"notebook": ""}, {ID: b"1"}
    place(shelf, home)
    made = json.loads((home / FOLDER / "Notebook.ipynb").read_bytes())
    assert made["cells"][0]["metadata"]["tags"] == ["vaas-launch"]
    assert shelf.posts[-1]["notebook"] == "Notebook.ipynb"
    text = (home / FOLDER / "Data.md").read_text()
    assert "(http://portal/files/home/Launches/Waves%202026-03-01/Notebook.ipynb)" in text


def test_each_copy_leads_to_where_it_is_published_itself(shelf: Shelf, home: Path) -> None:
    (home / FOLDER).mkdir(parents=True)
    place(shelf, home)
    text = (home / f"{FOLDER}-2" / "Data.md").read_text()
    assert "(http://portal/files/home/Launches/Waves%202026-03-01-2/lesson.ipynb)" in text
    messages = [each["message"] for each in shelf.posts]
    assert messages.index("JupyterLab is starting.") > messages.index("Copying the notebook.")


def test_what_lies_elsewhere_is_told_of(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b""}
    shelf.told = {ID: {"name": "", "uri": "https://example.org/x", "code": "url = 'https://example.org/x'"}}
    place(shelf, home)
    text = (home / FOLDER / "Data.md").read_text()
    assert "<https://example.org/x>" in text and "url = 'https://example.org/x'" in text
    assert shelf.asked == ["manifest", "content"]


@pytest.mark.attack
@pytest.mark.parametrize("path", ["../x.py", "/etc/x.py", "a/../../x.py", "a\\..\\x.py", ".", "a\0b"])
def test_a_manifest_whose_paths_lead_elsewhere_places_nothing(shelf: Shelf, home: Path, path: str) -> None:
    shelf.files[path] = b"1"
    with pytest.raises(Invalid):
        place(shelf, home)
    assert [each for each in home.rglob("*") if each.is_file()] == []


@pytest.mark.attack
@pytest.mark.parametrize("folder", ["../other", "/tmp", "Launches/../../other"])
def test_a_manifest_whose_folder_is_elsewhere_places_nothing(shelf: Shelf, home: Path, folder: str) -> None:
    shelf.said = {"folder": folder}
    with pytest.raises(Invalid):
        place(shelf, home)
    assert list(home.iterdir()) == [] and not (home.parent / "other").exists()


@pytest.mark.attack
@pytest.mark.parametrize(
    "name", ["../x.csv", "../../.bashrc", "/etc/passwd", ".hidden", "a\\..\\..\\x.csv", "..", "\0"]
)
def test_a_thing_whose_name_leads_elsewhere_stays_among_the_data(shelf: Shelf, home: Path, name: str) -> None:
    shelf.things, shelf.told = {ID: b"evil"}, {ID: {"name": name}}
    place(shelf, home)
    (placed,) = (each for each in home.parent.rglob("*") if each.is_file() and each.read_bytes() == b"evil")
    assert placed.parent == home / FOLDER / "data" and not placed.name.startswith(".")


@pytest.mark.attack
@pytest.mark.parametrize("title", ["']}; import os #", "\n__import__('os')", "\u202edata", '"""', "\\"])
def test_a_things_title_is_no_code(shelf: Shelf, home: Path, title: str) -> None:
    shelf.things, shelf.told = {ID: b"1"}, {ID: {"title": title}}
    place(shelf, home)
    source = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    known: dict[str, Any] = {}
    exec(source, known)
    assert known["data"] == {title: "data/a.csv"} and source.isascii()


@pytest.mark.attack
def test_a_file_that_was_damaged_on_its_way_leaves_no_half_copy(shelf: Shelf, home: Path) -> None:
    tar, shelf.tar = shelf.tar().replace(b"y = 2", b"y = 3"), lambda: tar  # type: ignore[method-assign]
    from vaas.errors import Unavailable

    with pytest.raises(Unavailable, match="damaged"):
        place(shelf, home)
    assert not (home / FOLDER).exists()


def whole(shelf: Shelf, *parcels: list[bytes], name: str = "Record", **told: Any) -> None:
    """Let the thing be one that comes in one go, as these parcels, each the next time."""
    shelf.things, shelf.told = {ID: b""}, {ID: {"name": name, "whole": True, **told}}
    shelf.parcels = {ID: list(parcels)}


def parcel(files: dict[str, bytes], **checksums: str) -> list[bytes]:
    """Return the parts in which these files come."""
    parts = [part({"size": sum(map(len, files.values()))})]
    for path, data in files.items():
        parts.append(part({"file": path, "checksum": checksums.get(path.partition(".")[0], "")}))
        parts += [part({}, data[at : at + 100_000]) for at in range(0, len(data), 100_000)]
        parts.append(part({"sum": f"sha256:{hashlib.sha256(data).hexdigest()}"}))
    return [*parts, part(END)]


def test_a_folder_comes_in_one_go_with_progress_over_all_of_it(shelf: Shelf, home: Path) -> None:
    md5 = f"md5:{hashlib.md5(SHELF).hexdigest()}"
    whole(shelf, parcel({"a.csv": SHELF, "in/.zgroup": b"{}", "empty.csv": b""}, a=md5))
    place(shelf, home)
    folder = home / FOLDER / "data" / "Record"
    found = {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    assert found == {"a.csv": SHELF, "in/.zgroup": b"{}", "empty.csv": b""}
    told = [post["things"][ID] for post in shelf.posts]
    assert told[-1] == {"done": len(SHELF) + 2, "of": len(SHELF) + 2, "state": "done", "message": ""}
    cell = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    assert "'Thing a': 'data/Record'," in cell
    shelf.asked.clear()
    place(shelf, home)
    assert shelf.asked == ["manifest"], "what is there is not fetched again"


def test_a_record_with_one_file_is_that_file(shelf: Shelf, home: Path) -> None:
    whole(shelf, parcel({"": b"a,b\n"}), name="sea.csv")
    place(shelf, home)
    assert (home / FOLDER / "data" / "sea.csv").read_bytes() == b"a,b\n"
    assert "pd.read_csv('data/sea.csv')" in (home / FOLDER / "Data.md").read_text()


def test_what_does_not_come_whole_comes_the_next_time(shelf: Shelf, home: Path) -> None:
    coming = parcel({"a.csv": b"1", "b.csv": b"2"})
    again = [part({"file": "a.csv"}), part({"error": "It is asked too often.", "again": True})]
    whole(shelf, coming[:-1], again, coming)
    place(shelf, home)
    assert {each.name for each in (home / FOLDER / "data" / "Record").iterdir()} == {"a.csv", "b.csv"}


@pytest.mark.parametrize(
    ("coming", "words"),
    [
        (parcel({"a.csv": b"1", "b.csv": b"2"}, b=f"md5:{'0' * 32}"), "checksum"),
        (
            [part({"file": "a.csv"}), part({}, b"1"), part({"error": "It has more than 2 MB."})],
            "It has more than 2 MB.",
        ),
        ([part({}, b"1"), part(END)], "did not come as it should"),
        (
            [
                part({"file": "a.csv"}),
                part({"sum": f"sha256:{hashlib.sha256().hexdigest()}"}),
                part({}, b"1"),
                part(END),
            ],
            "did not come as it should",
        ),
        ([part({"file": "a.csv"}), part({}, b"1"), part({"sum": f"sha256:{'0' * 64}"}), part(END)], DAMAGED),
        ([b"{no json\n"], "did not come whole"),
        ([b'{"bytes": 99999999999}\n'], "did not come whole"),
    ],
)
def test_nothing_of_what_cannot_be_had_stays(shelf: Shelf, home: Path, coming: list[bytes], words: str) -> None:
    whole(shelf, *[coming] * 3)
    place(shelf, home)
    assert words in failed(shelf)
    assert [*(home / FOLDER / "data").iterdir()] == []
    assert words in (home / FOLDER / "Data.md").read_text()


def test_what_is_not_fetched_is_named_with_its_address_and_why(shelf: Shelf, home: Path) -> None:
    shelf.things = {ID: b"", OTHER: b"1"}
    uri = "https://repository.example/records/1\nimport os"
    shelf.told = {ID: {"name": "", "why": "Its files are not for everybody.", "uri": uri, "code": "url = 'x'"}}
    place(shelf, home)
    cell = json.loads((home / FOLDER / "lesson.ipynb").read_bytes())["cells"][0]["source"]
    known: dict[str, Any] = {}
    exec(cell, known)
    assert known["data"] == {"Thing b": "data/b.csv"} and "os" not in known
    assert "# Not here: 'Thing a'. Its address is 'https://repository.example/records/1" in cell
    assert "**It was not fetched.** Its files are not for everybody." in (home / FOLDER / "Data.md").read_text()
    told = shelf.posts[-1]["things"][ID]
    assert told["state"] == "failed" and told["message"].startswith(
        f"Its files are not for everybody. Its address is {uri[:30]}"
    )
    assert shelf.posts[-1]["message"] == "1 of 2 could not be fetched."


def test_where_nothing_is_fetched_it_does_not_say_that_all_is_there(shelf: Shelf, home: Path) -> None:
    shelf.things, shelf.told = {ID: b""}, {ID: {"name": "", "why": "Nobody answers.", "uri": "https://r.example/1"}}
    place(shelf, home)
    assert shelf.posts[-1]["message"] == "1 of 1 could not be fetched."


def test_an_empty_folder_is_one_and_what_a_killed_launch_left_is_in_nobodys_way(shelf: Shelf, home: Path) -> None:
    left = home / FOLDER / "data" / ".Record.part"
    whole(shelf, parcel({}), parcel({"a.csv": b"1"}))
    place(shelf, home)
    folder = home / FOLDER / "data" / "Record"
    assert folder.is_dir() and not any(folder.iterdir())
    folder.rmdir()
    left.mkdir()
    (left / "a.csv").write_text("half")
    place(shelf, home)
    assert (folder / "a.csv").read_bytes() == b"1" and not left.exists()


@pytest.fixture
def environ(shelf: Shelf, home: Path) -> Iterator[dict[str, str]]:
    """Return what a launch is told whose JupyterLab listens."""
    with socket.create_server(("127.0.0.1", 0)) as lab:
        url = f"http://127.0.0.1:{lab.getsockname()[1]}/"
        yield {
            "VAAS_PORTAL_URL": shelf.url,
            "JUPYTERHUB_API_TOKEN": "t",
            "HOME": str(home),
            "JUPYTERHUB_SERVICE_URL": url,
        }


def test_jupyterlab_is_opened_when_the_data_are_there(shelf: Shelf, home: Path, environ: dict[str, str]) -> None:
    shelf.things = {ID: SHELF, OTHER: b"1"}
    assert place_launch(environ, runs=lambda: True, ends=lambda: False) == ""
    opened = next(post for post in shelf.posts if post["state"] == "ready")
    assert [each["state"] for each in opened["things"].values()] == ["done", "done"]
    assert opened["message"] == "Everything is there."
    waited = [post for post in shelf.posts if post["step"] == "fetching"]
    assert waited and {post["state"] for post in waited} == {"placing"}
    assert "on its way" not in (home / FOLDER / "Data.md").read_text()


@pytest.fixture
def slow(shelf: Shelf, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Future[str]]:
    """Place a launch whose data take long, and return how that ends once JupyterLab is opened."""
    monkeypatch.setattr(placing_module, "_DATA_FIRST", 0.2)
    shelf.things = {ID: SHELF}
    shelf.gives.clear()
    with ThreadPoolExecutor() as pool:
        placed = pool.submit(place_launch, environ, runs=lambda: True, ends=lambda: False)
        until(lambda: any(post["state"] == "ready" for post in shelf.posts), seconds=20, what="JupyterLab to be opened")
        yield placed


def test_data_that_take_long_come_while_one_works(shelf: Shelf, home: Path, slow: Future[str]) -> None:
    assert shelf.posts[-1]["message"] == "Fetching the data."
    assert "It is on its way" in (home / FOLDER / "Data.md").read_text()
    shelf.gives.set()
    assert slow.result(30) == ""
    assert shelf.posts[-1]["message"] == "Everything is there."
    assert "on its way" not in (home / FOLDER / "Data.md").read_text()


def test_what_a_person_has_written_into_the_overview_stays(shelf: Shelf, home: Path, slow: Future[str]) -> None:
    (home / FOLDER / "Data.md").write_text("My notes")
    shelf.gives.set()
    assert slow.result(30) == ""
    assert (home / FOLDER / "Data.md").read_text() == "My notes"
