"""Catalogs of other sites that lie about files, to read what is inside this one or to leave something in a home."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from hub_service.portals import rebuilt
from tests.catalog_site import Repository, repository
from tests.portal_parts import ADA, World
from tests.searchable import Searchable
from tests.servers import raw
from tests.unit.test_carrying import AS_ADA, AS_BOB, FOLDER, TIDES, TOKEN, found, launch, placed, put, states, there
from tests.unit.test_handlers import client, site
from tests.unit.test_lab_placing import Shelf, failed, home, place, shelf, whole
from tests.unit.test_linked import all_of, files
from vaas.catalogs import linked
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.linked import MOST_FILES, Linked, LinkedFiles, name_of
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unavailable
from vaas.http import Http
from vaas.lab.cell import overview
from vaas.lab.manifest import Manifest, Thing
from vaas.launching import launch_server
from vaas.model import Entry
from vaas.parcels import END, part
from vaas.portal import reading
from vaas.portal.carrying import Carrying
from vaas.portal.facilities import Alone, Facilities, Neighbour
from vaas.portal.reading import Reading
from vaas.query import parse
from vaas.stores.base import Piece
from vaas.stores.folder import FolderStore

__all__ = ["found", "home", "shelf", "site", "there"]

pytestmark = pytest.mark.attack


@pytest.fixture
def repo(there: Repository) -> Repository:
    """Return the repository by itself."""
    return there


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://user:secret@example.org/x",
        "javascript:x",
        "https://example.org/\ud800",
        "",
        7,
    ],
)
async def test_addresses_that_are_none_are_left_out(repo: Repository, address: object) -> None:
    repo.lies["a.csv"] = {"links": {"content": address}}
    if address == "":
        assert len(await (await files(repo, "two")).list("")) == 2, "it is where the interface has it"
    else:
        assert [each.path for each in await (await files(repo, "two")).list("")] == ["b.csv"]


async def test_addresses_inside_the_site_are_not_asked(repo: Repository) -> None:
    with repository(inner={"secret": b"secret"}) as inner:
        place = f"{inner.url}/api/records/inner/files/secret/content"
        repo.lies["tides.csv"] = {"links": {"content": place}, "size": 6, "checksum": ""}
        with pytest.raises(Forbidden, match="where this portal does not go"):
            await all_of(await files(repo), "tides.csv")
        repo.lies["tides.csv"] = {"links": {"content": f"{repo.url}/moved"}}
        repo.pages["/moved"] = (302, {"Location": place}, b"")
        with pytest.raises(Forbidden, match="where this portal does not go"):
            await all_of(await files(repo), "tides.csv")
        assert inner.asked == []


async def test_a_catalog_of_the_open_internet_names_nothing_that_only_people_may(repo: Repository) -> None:
    """What configuration lists is for who types an address, and for catalogs that lie there themselves."""
    http = Http(allowed_private=["127.0.0.0/8"])
    place = Linked("x", f"{repo.url}/api/records/one/files/tides.csv/content")
    assert await all_of(LinkedFiles("C", [place], at=repo.url, http=http), "x") == TIDES
    repo.asked.clear()
    with pytest.raises(Forbidden):
        await all_of(LinkedFiles("C", [place], at="https://catalog.example", http=http), "x")
    assert repo.asked == []


async def test_from_a_safe_address_nobody_is_sent_to_an_open_one(repo: Repository) -> None:
    store = LinkedFiles("C", [], at=repo.url, http=Http())
    file = Linked("x", "https://example.org/x")
    with pytest.raises(Forbidden):
        store._onward(file, file.url, "http://example.org/x")
    assert store._onward(file, file.url, "//other.org/y") == "https://other.org/y"


async def test_what_is_sent_on_without_end_ends(repo: Repository) -> None:
    repo.lies["tides.csv"] = {"links": {"content": f"{repo.url}/round"}}
    repo.pages["/round"] = (302, {"Location": "/round"}, b"")
    with pytest.raises(NotFound, match="without an end"):
        await all_of(await files(repo), "tides.csv")
    assert len(repo.asked) < 10


async def test_names_stay_in_the_folder_and_are_told_apart(repo: Repository) -> None:
    odd = [
        "../../etc/passwd",
        "..",
        ".bashrc",
        "a\\..\\b.csv",
        "x/B.csv",
        "\u202egpj.exe",
        "n" * 400 + ".csv",
        "\n",
    ]
    repo.records["odd"] = {name: str(number).encode() for number, name in enumerate(odd)}
    names = [each.path for each in await (await files(repo, "odd")).list("")]
    assert len(names) == len(odd) == len({name.casefold() for name in names})
    assert {"passwd", "bashrc", "b.csv", "b-2.csv"} <= {name.casefold() for name in names}
    for name in names:
        assert "/" not in name and "\\" not in name and not name.startswith(".") and len(name.encode()) < 200
        assert name.isprintable()
    assert name_of("") == "file"


async def test_thousands_of_files_are_refused_before_any_is_asked_for(repo: Repository) -> None:
    repo.records["many"] = {f"{number}.csv": b"" for number in range(MOST_FILES + 1)}
    with pytest.raises(NotFound, match="more than 500 files"):
        await files(repo, "many")


@pytest.mark.parametrize("lie", [{"size": 7}, {"size": 10**9}, {"checksum": f"sha1:{'0' * 40}"}])
async def test_a_file_that_is_not_what_is_said_is_refused(repo: Repository, lie: dict[str, Any]) -> None:
    repo.lies["tides.csv"] = lie
    with pytest.raises(Conflict, match="Nothing of it was kept"):
        await all_of(await files(repo), "tides.csv")


async def test_a_file_without_end_is_ended() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with raw(talk) as port:
        place = f"http://127.0.0.1:{port}"
        http = Http(allowed_private=[place[7:]])
        store = LinkedFiles("C", [Linked("x", f"{place}/x", 1000)], at=place, http=http)
        with pytest.raises(Conflict, match="not as large as"):
            await all_of(store, "x")
        store = LinkedFiles("C", [Linked("x", f"{place}/x")], at=place, http=http)
        with pytest.raises(TooLarge):
            await store.read("x", limit=1_000_000)
        with pytest.raises(Invalid, match="does not say how large"):
            await store.piece("x", 0, 10)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"checksum": f"md5:{'0' * 32}"}, "checksum"),
        ({"size": 3}, "not as large as"),
        ({"size": 10**12}, "most that is fetched at once"),
        ({"links": {"content": "http://127.0.0.1:1/x"}}, "does not go"),
    ],
)
async def test_a_repository_that_lies_leaves_nothing_behind(
    found: Searchable, site: str, tmp_path: Path, there: Repository, lie: dict[str, Any], words: str
) -> None:
    there.lies["tides.csv"] = lie
    last = await placed(site, launch(found, await put(found, "one")), tmp_path / "home")
    ((state, message),) = states(last)
    assert state == "failed" and words in message
    assert [*(tmp_path / "home" / FOLDER / "data").iterdir()] == []


async def test_nobody_gets_a_parcel_of_anothers_basket_or_launch(found: Searchable, site: str) -> None:
    basket = await put(found, "one", visitor=AS_BOB)
    (held,) = (await found.portal.baskets.look(AS_BOB, basket)).things
    made = launch(found, basket)
    path = f"api/launched/things/{held.thing.id}/parcel"
    async with client(site, TOKEN.format(launch_server(made.id))) as hers:
        assert (await hers.get(path)).status_code == 404, "it is not shared with her"
        assert (await hers.get("api/launched/manifest")).json()["things"] == []
    async with client(site, f"bob:server=bob/{launch_server(made.id)}") as his, client(site, "ada") as ada:
        assert (await his.get(path)).status_code == 404, "the launch is hers"
        assert (await ada.get(path)).status_code == 403, "and no launch asks so"


@pytest.mark.parametrize("here", [True, False])
async def test_a_folder_of_more_than_may_be_fetched_is_refused(
    found: Searchable, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.setattr(FolderStore, "here", here)
    for number in range(4):
        found.world.put(ADA, f"cube/{number}", "x" * 30_000)
    found.put("cube", "user:ada", type="folder")
    found.world.limit(basket_read=100_000)
    made = launch(found, await put(found, "file:p/cube", catalog="here"))
    ((state, words),) = states(await placed(site, made, tmp_path / "home"))
    assert state == "failed" and ("Choose less" if here else "most that is fetched at once") in words
    if not here:
        found.world.limit(basket_read=1_000_000, draft_files=3)
        ((state, words),) = states(await placed(site, made, tmp_path / "home"))
        assert state == "failed" and "more than 3 files" in words
    assert [*(tmp_path / "home" / FOLDER / "data").iterdir()] == []


@pytest.mark.parametrize("path", ["../x.csv", "/etc/x", "a/../../x", "a\\x", "a\0x", ".."])
def test_no_file_of_a_parcel_leaves_its_folder(shelf: Shelf, home: Path, path: str) -> None:
    coming = [part({"file": "a.csv"}), part({}, b"1"), part({"file": path}), part({}, b"2"), part(END)]
    whole(shelf, *[coming] * 3)
    place(shelf, home)
    assert "leads elsewhere" in failed(shelf)
    assert [each for each in home.parent.rglob("*") if each.name in {"x.csv", "x", "a.csv"}] == []


@pytest.mark.parametrize(
    "lie",
    [
        {"id": "half \ud800"},
        {"metadata": {"title": "x", "locations": {"features": [{"geometry": {"coordinates": [10**400, 1]}}]}}},
        {"metadata": {"title": "x", "dates": [{"type": {"id": ["valid"]}, "date": "2000"}]}},
    ],
    ids=["half a character", "a number without end", "a list for a word"],
)
async def test_a_record_that_lies_hides_no_other(repo: Repository, lie: dict[str, Any]) -> None:
    hits = [{**repo.record("one"), **lie}, repo.record("two")]
    repo.pages["/api/records"] = (200, {}, json.dumps({"hits": {"hits": hits, "total": 2}}).encode())
    catalog = InvenioCatalog("c", "C", repo.url, http=Http(allowed_private=[repo.url[7:]]))
    found = await catalog.search(parse("x"), visitor=AS_BOB, limit=10)
    assert [each.id for each in found.records][-1:] == ["two"]


async def test_no_word_of_another_portal_takes_the_page_of_facilities_away(world: World, site: str) -> None:
    word = "half \ud800 <b>a</b> character\0"
    facility = {"id": word, "title": word, "kind": word, "description": word, "environments": [word], "sizes": [word]}
    facility |= {"hardware": {"processor": word, "cores": 1e17}, "technology": [word], "status": {"text": word}}
    named = [{"id": word, "title": word, "language": {"name": word, "version": word}}]
    said = {"site": {"name": word, "description": word}, "facilities": [facility], "environments": named}

    class Stranger(Alone):
        def known(self) -> tuple[Neighbour, ...]:
            return (
                Neighbour("Stranger", "https://stranger.example/", "answers", said=rebuilt({**said, "sizes": named})),
            )

    world.portal.facilities = Facilities(world.core, neighbours=Stranger())
    async with client(site, "ada") as ada:
        page = await ada.get("facilities")
        assert page.status_code == 200 and "half" in page.text and "<b>" not in page.text
        assert (await ada.get("api/facilities?all=1")).status_code == 200


async def lies_in_a_basket(found: Searchable, path: str, kind: str) -> tuple[str, str]:
    """Put what lies at ada's path into her basket; return the basket's id, and the thing's."""
    found.put(path, "user:ada", type=kind)
    basket = await put(found, f"file:p/{path}", catalog="here")
    (held,) = (await found.portal.baskets.look(AS_ADA, basket)).things
    return basket, held.thing.id


def carrying(found: Searchable) -> Carrying:
    core, baskets = found.world.core, found.portal.baskets
    return Carrying(core, baskets, Reading(core, baskets))


async def test_a_folder_without_an_end_is_no_endless_walk(found: Searchable, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = list[str]()

    async def inner(_: FolderStore, path: str) -> tuple[Entry, ...]:
        looked.append(path)
        assert len(looked) < 100, "nobody comes back from there"
        return (Entry(f"{path}/a", folder=True),)

    found.world.put(ADA, "cube/a", "x")
    found.world.limit(draft_files=20)
    where = await lies_in_a_basket(found, "cube", "folder")
    monkeypatch.setattr(FolderStore, "here", False)
    monkeypatch.setattr(FolderStore, "list", inner)
    with pytest.raises(TooLarge, match="more than 20 files and folders"):
        await anext(carrying(found).parcel(AS_ADA, *where))


async def test_who_goes_away_has_had_copied_what_was_copied(found: Searchable) -> None:
    """A folder is copied before its first byte is sent: who leaves then, again and again, is stopped as who stays."""
    found.world.put(ADA, "cube/a", "x" * 900_000)
    found.world.limit(basket_read=1_000_000)
    where, carries = await lies_in_a_basket(found, "cube", "folder"), carrying(found)
    with pytest.raises(TooLarge, match="Today you have"):
        for _ in range(10):
            parts = carries.parcel(AS_ADA, *where)
            for _ in range(2):
                await anext(parts)
            await parts.aclose()


async def test_a_folder_of_very_many_files_holds_up_nobody(found: Searchable, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find a hundred thousand, or to remove them, takes more than a second, in which nobody else is answered."""
    threads = list[threading.Thread]()

    def watch(cls: type[Any], name: str) -> None:
        before = getattr(cls, name)

        def watched(*asked: Any, **more: Any) -> Any:
            threads.append(threading.current_thread())
            return before(*asked, **more)

        monkeypatch.setattr(cls, name, watched)

    found.world.put(ADA, "cube/a", "x")
    where = await lies_in_a_basket(found, "cube", "folder")
    watch(Path, "rglob")
    watch(tempfile.TemporaryDirectory, "cleanup")
    assert [each async for each in carrying(found).parcel(AS_ADA, *where)][-1] == part(END)
    assert len(threads) == 2 and threading.main_thread() not in threads


async def test_who_sends_a_file_byte_by_byte_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    monkeypatch.setattr(linked, "_SILENCE", 0.2)
    async with raw(talk) as port, asyncio.timeout(5):
        place = f"http://127.0.0.1:{port}"
        store = LinkedFiles("C", [Linked("x", f"{place}/x")], at=place, http=Http(allowed_private=[place[7:]]))
        with pytest.raises(Unavailable, match="does not come from where"):
            await all_of(store, "x")


async def test_a_store_that_does_not_come_to_an_end_takes_no_place_for_long(
    found: Searchable, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> Piece:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    found.world.put(ADA, "a.csv", "x")
    where = await lies_in_a_basket(found, "a.csv", "data")
    for name, value in (("here", False), ("piece", never)):
        monkeypatch.setattr(FolderStore, name, value)
    monkeypatch.setattr(reading, "_SECONDS", 0.05)
    reads = Reading(found.world.core, found.portal.baskets)
    async with asyncio.timeout(5):
        for _ in range(5):
            with pytest.raises(Unavailable, match="too slowly"):
                await reads.piece(AS_ADA, *where, offset=0, size=1)


@pytest.mark.parametrize("failed", [{}, {"0": "It is gone."}], ids=["fetched", "not fetched"])
def test_no_name_of_a_file_is_markdown_beside_the_notebook(failed: dict[str, str]) -> None:
    name = name_of("`[sign in](mailto:x@evil.example)<img src=x>``.csv")
    manifest = Manifest("id", "Waves", "Launches/Waves", "", things=(Thing("0", "Tides", name),))
    shown = MarkdownIt("commonmark").render(
        overview(manifest, {"0": f"data/{name}"}, failed=failed, notebook="Notebook.ipynb")
    )
    assert "sign in" in shown and "<a " not in shown and "<img" not in shown
