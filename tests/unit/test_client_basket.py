"""A basket as a notebook has it: files come in pieces, are checked, and what goes wrong is said."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest

from tests.portal_fixture import app_python
from tests.servers import web
from vaas.client import PortalError
from vaas.client.basket import Basket, Thing, _folder_of, basket
from vaas.facts import Way

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a notebook would throw away at its end lie where tests throw it away."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    _folder_of.cache_clear()


@dataclass
class Shelf:
    """A portal with a basket in which one file lies; ``etags`` are said in turn."""

    data: bytes = b"a,b\n1,2\n"
    name: str = "t.csv"
    written: dict[str, Any] = field(default_factory=dict)
    checksum: str = ""
    seen: str = "e"
    etags: list[str] = field(default_factory=lambda: ["e"])
    busy: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        said = json.loads(request.body)
        self.asked.append(said)
        if said["verb"] == "basket":
            thing = {"id": "0123456789abcdef", "title": "T", "kind": "file", "uri": "", "size": len(self.data)}
            thing |= {
                "etag": self.seen,
                "checksum": self.checksum,
                "access": {"via": {"path": f"some/{self.name}"}, "written": self.written},
                "state": "there",
            }
            gone = {**thing, "id": "1", "state": "gone"}
            return 200, JSON, json.dumps({"id": "b", "name": "Sea", "things": [thing, gone]}).encode()
        if self.busy:
            self.busy -= 1
            return 429, JSON, b'{"error": {"message": "This page asks for too much at once."}}'
        args = said["args"]
        piece = self.data[args["offset"] :][: args["size"]]
        etag = self.etags.pop(0) if len(self.etags) > 1 else self.etags[0]
        told = {"data": base64.b64encode(piece).decode(), "size": len(self.data), "etag": etag}
        return 200, JSON, json.dumps(told).encode()


async def done(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, use: Callable[[Basket], Any]) -> Any:
    """Take the basket from that portal, and do something with it in a thread of its own."""
    async with web(shelf) as port:
        monkeypatch.setenv("VAAS_URL", f"http://127.0.0.1:{port}/portal/")
        monkeypatch.setenv("VAAS_TOKEN", "t")
        return await asyncio.to_thread(lambda: use(basket("b")))


async def run(shelf: Shelf, script: str, *, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run a script that asks that portal."""
    async with web(shelf) as port:
        environ = {"PATH": os.environ["PATH"], "VAAS_URL": f"http://127.0.0.1:{port}/portal/", "VAAS_TOKEN": "t"}
        ran = partial(subprocess.run, [python, "-c", script], env=environ, capture_output=True, text=True)
        return await asyncio.to_thread(partial(ran, timeout=60, check=False))


async def test_a_file_is_fetched_once_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 20_000
    shelf = Shelf(data, "large file?.bin", f"sha256:{hashlib.sha256(data).hexdigest()}")

    def use(things: Basket) -> list[Any]:
        (thing,) = things
        path = thing.path()
        with thing.open() as file:
            begin = file.read(3)
        return [things.name, path.name, thing.path() == path, path.read_bytes() == data, begin, thing.read() == data]

    assert await done(shelf, monkeypatch, use) == ["Sea", "large file_.bin", True, True, b"\0\1\2", True]
    reads = [asked["args"] for asked in shelf.asked if asked["verb"] == "read"]
    assert [args["offset"] for args in reads] == [0, 2_000_000, 4_000_000]
    assert {args["basket"] for args in reads} == {"b"}


async def test_an_empty_file_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await done(Shelf(b""), monkeypatch, lambda things: things[0].read()) == b""


async def test_who_asks_for_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(busy=2)
    assert await done(shelf, monkeypatch, lambda things: things[0].read()) == shelf.data


@pytest.mark.parametrize(
    ("shelf", "words"),
    [
        (Shelf(checksum=f"sha256:{'0' * 64}"), "did not arrive"),
        (Shelf(b"x" * 3_000_000, etags=["one", "other"] * 2), "was changed"),
    ],
    ids=["checksum", "etag"],
)
async def test_what_is_another_file_by_now_is_none(monkeypatch: pytest.MonkeyPatch, shelf: Shelf, words: str) -> None:
    def use(things: Basket) -> list[Any]:
        said = []
        for _ in range(2):
            with pytest.raises(PortalError, match=words) as error:
                things[0].path()
            said.append(error.value.message)
        return said

    assert len(await done(shelf, monkeypatch, use)) == 2, "nothing of it is left behind"


@pytest.mark.parametrize("seen", ["before", ""])
async def test_the_checksum_of_another_state_says_nothing(monkeypatch: pytest.MonkeyPatch, seen: str) -> None:
    shelf = Shelf(checksum=f"sha256:{'0' * 64}", seen=seen)
    assert await done(shelf, monkeypatch, lambda things: things[0].read()) == shelf.data


async def test_there_may_be_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    class Vast(Shelf):
        def __call__(self, request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            status, head, said = super().__call__(request)
            return status, head, said.replace(b'"size": 8', b'"size": 9000000000000000')

    with pytest.raises(PortalError, match="there is room for"):
        await done(Vast(), monkeypatch, lambda things: things[0].path())


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", ".", ".hidden", "a\0b", "/", "x" * 500])
async def test_a_name_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = await done(Shelf(name=name), monkeypatch, lambda things: things[0].path())
    assert path.parent.name == "0123456789abcdef" and path.parent.parent.name.startswith("basket-")
    assert not path.name.startswith(".") and len(path.name) <= 200


@pytest.mark.parametrize(("name", "end"), [("数" * 82 + ".csv", ".csv"), ("数" * 200 + ".csv.gz", ".csv.gz")])
async def test_a_long_name_is_cut_before_its_end(monkeypatch: pytest.MonkeyPatch, name: str, end: str) -> None:
    path = await done(Shelf(name=name), monkeypatch, lambda things: things[0].path())
    assert path.name.startswith("数数") and path.name.endswith(f"数{end}") and len(path.name.encode()) <= 200


async def test_where_nothing_can_be_written_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def use(things: Basket) -> None:
        folder = things[0]._folder
        assert folder is not None
        folder.rmdir()
        folder.write_text("no folder any more")
        things[0].path()

    with pytest.raises(PortalError, match="cannot be written here"):
        await done(Shelf(), monkeypatch, use)


def test_a_visit_has_one_folder() -> None:
    one, other = Way(1, "one"), Way(2, "other")
    assert _folder_of(one) == _folder_of(one) != _folder_of(other)


async def test_what_can_be_a_table_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await done(Shelf(), monkeypatch, lambda things: [thing.name for thing in things.tables]) == ["t.csv"]
    assert await done(Shelf(name="t.png"), monkeypatch, lambda things: things.tables) == []
    with pytest.raises(PortalError, match="no table"):
        await done(Shelf(name="t.png"), monkeypatch, lambda things: things[0].table())


@pytest.mark.app
async def test_a_table_is_loaded_as_the_index_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And as its caller says, where that is something else."""
    written = {"delimiter": "semicolon", "encoding": "windows-1252", "decimal": "comma"}
    shelf = Shelf("Ort;Höhe\nBüsum;2,5\n".encode("cp1252"), "pegel.tab", written=written)
    assert await done(shelf, monkeypatch, lambda things: [each.name for each in things.tables]) == ["pegel.tab"]
    script = (
        "import vaas; (thing,) = vaas.basket('b'); data = thing.table(); print(data.columns[1], data.iloc[0, 1] * 2);"
        "print(list(thing.table(delimiter='|', header=None)[0]))"
    )
    said = await run(shelf, script, python=str(app_python()))
    assert said.stdout.splitlines() == ["Höhe 5.0", "['Ort;Höhe', 'Büsum;2,5']"], said.stderr


@pytest.mark.parametrize("ask", ["vaas.basket('b')[0].table()", "vaas.search('sea')"])
async def test_where_pandas_is_missing_it_says_what_to_do(ask: str) -> None:
    shelf = Shelf()
    said = await run(shelf, f"import sys; sys.modules['pandas'] = None; import vaas; {ask}")
    assert said.stderr.splitlines()[-1].startswith(
        "vaas.client.errors.PortalError: Tables need pandas, which is not in"
    )
    assert not [asked for asked in shelf.asked if asked["verb"] != "basket"], "nothing is fetched for nothing"


def test_a_basket_is_like_a_list() -> None:
    things = [Thing(str(n), f"T{n}", "file", "") for n in range(3)]
    made = Basket(things, name="Sea")
    assert list(made) == things and made[1] is things[1] and list(made[1:]) == things[1:] and things[2] in made
    assert "T0" in repr(made) and not Basket()


async def test_with_a_token_it_is_that_ones_basket_in_an_apps_kernel_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in plain Voilà, where nobody hands anything over."""
    shelf = Shelf()
    script = (
        "from vaas.runtime import asking; asking.install(template=True); import vaas; print(vaas.basket('b')[0].title)"
    )
    done = await run(shelf, script)
    assert (done.stdout.strip(), done.returncode) == ("T", 0), done.stderr
    assert shelf.asked[0]["args"] == {"basket": "b"}
