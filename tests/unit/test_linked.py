"""The files of records elsewhere: which there are, their bytes, and what a catalog that lies gets out of us."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.catalog_site import Repository, repository
from tests.servers import raw, web
from tests.unit.test_recorded_catalogs import answered
from vaas.catalogs.base import Catalog
from vaas.catalogs.ckan import CkanCatalog
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.linked import MOST_FILES, Linked, LinkedFiles, checksum_of, name_of
from vaas.catalogs.stac import StacCatalog
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unavailable, VaasError
from vaas.http import Http
from vaas.model import Visitor
from vaas.stores.base import Store

NOBODY = Visitor()
TIDES = b"year,level\n2000,1\n" * 200


@pytest.fixture
def site() -> Iterator[Repository]:
    with repository(one={"tides.csv": TIDES}, two={"a.csv": b"1", "b.csv": b"22"}) as made:
        yield made


def catalog(site: Repository, **more: Any) -> Catalog:
    """Return our side of it."""
    return InvenioCatalog("there", "The catalog", site.url, http=Http(allowed_private=[site.url[7:]]), **more)


async def files(site: Repository, record: str = "one") -> Store:
    return await catalog(site).files(record, visitor=NOBODY)


async def all_of(store: Store, name: str) -> bytes:
    async with aclosing(store.chunks(name)) as chunks:
        return b"".join([chunk async for chunk in chunks])


class TestWhichThereAre:
    """What real catalogs say of files."""

    async def test_files_of_inveniordm_come_with_size_and_checksum(self) -> None:
        async with answered("invenio", "dataset-with-files") as there:
            entries = await (await there.files("sf40t-aht58", visitor=NOBODY)).list("")
        assert [(each.path, each.size, each.checksum) for each in entries] == [
            ("grid 2020.nc", 2004, "md5:bc9a68e8b75dabc750cb1c8505ed7934"),
            ("heights.csv", 25, "md5:9bacaa289e8c325534051ed1649007fa"),
        ]

    @pytest.mark.parametrize(
        ("name", "record", "why"),
        [
            ("restricted-files", "46der-c7m22", "not for everybody"),
            ("embargoed-files", "1vb8a-tb024", "from 2030-01-01 on"),
            ("metadata-only", "z1gxr-taf70", "no files of it that can be had"),
        ],
    )
    async def test_why_inveniordm_gives_none_is_said(self, name: str, record: str, why: str) -> None:
        async with answered("invenio", name) as there:
            with pytest.raises(NotFound, match=why):
                await there.files(record, visitor=NOBODY)

    async def test_files_of_ckan_have_the_names_of_their_addresses_and_pages_are_none(self) -> None:
        async with answered("ckan", "uploaded") as there:
            (entry,) = await (await there.files("currents", visitor=NOBODY)).list("")
        assert (entry.path, entry.size, entry.checksum) == ("speeds.csv", 24, "")
        async with answered("ckan", "links-without-sizes") as there:
            entries = await (await there.files("sea-ice", visitor=NOBODY)).list("")
        assert [each.path for each in entries] == ["ice.zip"]
        async with answered("ckan", "with-time-and-place") as there:
            entries = await (await there.files("tide-gauges", visitor=NOBODY)).list("")
        # A link's size is what it was once; and “sha256:aa” is no checksum.
        assert [(each.path, each.size, each.checksum) for each in entries] == [
            ("2019.csv", 0, ""),
            ("2020.csv", 0, ""),
            ("all.nc", 0, ""),
        ]

    async def test_files_of_ckan_without_a_name_get_one_with_their_format(self) -> None:
        linked = {"name": "Levels / all", "format": "CSV", "url": "https://example.org/export?id=7"}
        entries = await ckan([linked, {**linked, "url": "https://example.org/export?id=8"}])
        assert entries == ["Levels - all-2.csv", "Levels - all.csv"]

    async def test_assets_of_stac_that_are_data_come_and_pictures_and_folders_do_not(self) -> None:
        digest = hashlib.sha256(b"x").hexdigest()
        assets = {
            "grid": {"href": "grids/a.nc", "file:size": 1, "file:checksum": f"1220{digest}", "roles": ["data"]},
            "more": {"href": "https://example.org/b.nc", "roles": ["data"], "file:checksum": "1220zz"},
            "picture": {"href": "https://example.org/a.png", "roles": ["thumbnail"]},
            "cube": {"href": "https://example.org/a.zarr", "type": "application/vnd+zarr", "roles": ["data"]},
            "bucket": {"href": "s3://bucket/a.nc", "roles": ["data"]},
        }
        entries = await (await stac(assets)).list("")
        assert [(each.path, each.size, each.checksum) for each in entries] == [
            ("a.nc", 1, f"sha256:{digest}"),
            ("b.nc", 0, ""),
        ]

    async def test_a_collection_of_stac_with_items_alone_says_so(self) -> None:
        with pytest.raises(NotFound, match="one for each scene"):
            await stac(None)

    def test_checksums_are_those_that_can_be_compared(self) -> None:
        for kind in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"):
            digest = hashlib.new(kind, b"x").hexdigest()
            assert checksum_of(f"{kind.upper().replace('_', '-')}:{digest}") == f"{kind}:{digest}"
        assert checksum_of(hashlib.sha256(b"x").hexdigest()).startswith("sha256:")
        for none in ("", None, 7, "md5:", "md5:zz", "crc32:12345678", "shake_128:00", "sha256:aa", "x" * 32):
            assert checksum_of(none) == ""


async def ckan(resources: list[dict[str, Any]]) -> list[str]:
    """Return the names of the files of a dataset with these resources."""
    body = json.dumps({"result": {"name": "x", "resources": resources}}).encode()
    async with web(lambda _: (200, {}, body)) as port:
        there = CkanCatalog("c", "C", f"http://127.0.0.1:{port}", http=Http(allowed_private=[f"127.0.0.1:{port}"]))
        return [each.path for each in await (await there.files("x", visitor=NOBODY)).list("")]


async def stac(assets: dict[str, Any] | None) -> Store:
    body = json.dumps({"id": "x", "assets": assets}).encode()
    async with web(lambda _: (200, {}, body)) as port:
        there = StacCatalog("c", "C", f"http://127.0.0.1:{port}", http=Http(allowed_private=[f"127.0.0.1:{port}"]))
        return await there.files("x", visitor=NOBODY)


class TestTheirBytes:
    """Whole, in pieces, and as a folder."""

    async def test_a_file_comes_whole_and_in_pieces(self, site: Repository) -> None:
        store = await files(site)
        assert await all_of(store, "tides.csv") == TIDES
        for site.ranges in (True, False):
            piece = await store.piece("tides.csv", 11, 7)
            assert (piece.data, piece.size) == (b"2000,1\n", len(TIDES))
        assert (await store.piece("tides.csv", 10_000, 7)).data == b""

    async def test_a_folder_of_all_is_taken(self, site: Repository, tmp_path: Path) -> None:
        store = await files(site, "two")
        assert await store.take("", tmp_path / "new", limit=3) == 3
        assert {each.name: each.read_bytes() for each in (tmp_path / "new").iterdir()} == {
            "a.csv": b"1",
            "b.csv": b"22",
        }
        with pytest.raises(TooLarge):
            await store.take("", tmp_path / "other", limit=2)

    async def test_many_files_that_the_record_does_not_name_are_asked_for(self, site: Repository) -> None:
        listed = [*site.record("two")["files"]["entries"].values()]
        record = site.record("two")
        record["files"]["entries"] = {}
        site.pages["/api/records/two"] = (200, {}, json.dumps(record).encode())
        site.pages["/api/records/two/files"] = (200, {}, json.dumps({"entries": listed}).encode())
        assert [each.path for each in await (await files(site, "two")).list("")] == ["a.csv", "b.csv"]

    async def test_where_a_file_is_moved_to_is_followed_without_what_the_catalog_is_asked_with(
        self, site: Repository
    ) -> None:
        site.lies["tides.csv"] = {"links": {"content": f"{site.url}/moved"}}
        site.pages["/moved"] = (302, {"Location": "/api/records/one/files/tides.csv/content"}, b"")
        store = await catalog(site, token="secret").files("one", visitor=NOBODY)
        assert await all_of(store, "tides.csv") == TIDES
        sent = {path: headers.get("Authorization") for path, headers in site.asked}
        assert sent == {
            "/api/records/one": "Bearer secret",
            "/moved": None,
            "/api/records/one/files/tides.csv/content": None,
        }

    @pytest.mark.parametrize(
        ("status", "kind", "words"),
        [
            (403, Forbidden, "not for everybody"),
            (404, NotFound, "is not where The catalog says"),
            (429, Unavailable, "too often"),
            (500, Unavailable, "status 500"),
        ],
    )
    async def test_what_does_not_come_is_said(
        self, site: Repository, status: int, kind: type[VaasError], words: str
    ) -> None:
        store = await files(site)
        site.pages["/api/records/one/files/tides.csv/content"] = (status, {}, b"")
        with pytest.raises(kind, match=words):
            await all_of(store, "tides.csv")

    async def test_a_web_page_is_not_taken_for_the_file(self, site: Repository) -> None:
        store = await files(site)
        page = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html>")
        site.pages["/api/records/one/files/tides.csv/content"] = page
        with pytest.raises(NotFound, match="web page in its place"):
            await all_of(store, "tides.csv")

    async def test_nothing_is_written_there(self, site: Repository) -> None:
        with pytest.raises(Forbidden):
            await (await files(site)).write("x", b"", if_match=None)
        with pytest.raises(NotFound):
            await (await files(site)).stat("y")


@pytest.mark.attack
class TestCatalogsThatLie:
    """A catalog names whatever it likes, and gets nothing of it."""

    @pytest.mark.parametrize(
        "address",
        ["file:///etc/passwd", "ftp://example.org/x", "http://user:secret@example.org/x", "javascript:x", "", 7],
    )
    async def test_addresses_that_are_none_are_left_out(self, site: Repository, address: object) -> None:
        site.lies["a.csv"] = {"links": {"content": address}}
        if address == "":
            assert len(await (await files(site, "two")).list("")) == 2, "it is where the interface has it"
        else:
            assert [each.path for each in await (await files(site, "two")).list("")] == ["b.csv"]

    async def test_addresses_inside_the_site_are_not_asked(self, site: Repository) -> None:
        with repository(inner={"secret": b"secret"}) as inner:
            place = f"{inner.url}/api/records/inner/files/secret/content"
            site.lies["tides.csv"] = {"links": {"content": place}, "size": 6, "checksum": ""}
            with pytest.raises(Forbidden, match="where this portal does not go"):
                await all_of(await files(site), "tides.csv")
            site.lies["tides.csv"] = {"links": {"content": f"{site.url}/moved"}}
            site.pages["/moved"] = (302, {"Location": place}, b"")
            with pytest.raises(Forbidden, match="where this portal does not go"):
                await all_of(await files(site), "tides.csv")
            assert inner.asked == []

    async def test_a_catalog_of_the_open_internet_names_nothing_that_only_people_may(self, site: Repository) -> None:
        """What configuration lists is for who types an address, and for catalogs that lie there themselves."""
        http = Http(allowed_private=["127.0.0.0/8"])
        place = Linked("x", f"{site.url}/api/records/one/files/tides.csv/content")
        assert await all_of(LinkedFiles("C", [place], at=site.url, http=http), "x") == TIDES
        site.asked.clear()
        with pytest.raises(Forbidden):
            await all_of(LinkedFiles("C", [place], at="https://catalog.example", http=http), "x")
        assert site.asked == []

    async def test_from_a_safe_address_nobody_is_sent_to_an_open_one(self, site: Repository) -> None:
        store = LinkedFiles("C", [], at=site.url, http=Http())
        file = Linked("x", "https://example.org/x")
        with pytest.raises(Forbidden):
            store._onward(file, file.url, "http://example.org/x")
        assert store._onward(file, file.url, "//other.org/y") == "https://other.org/y"

    async def test_what_is_sent_on_without_end_ends(self, site: Repository) -> None:
        site.lies["tides.csv"] = {"links": {"content": f"{site.url}/round"}}
        site.pages["/round"] = (302, {"Location": "/round"}, b"")
        with pytest.raises(NotFound, match="without an end"):
            await all_of(await files(site), "tides.csv")
        assert len(site.asked) < 10

    async def test_names_stay_in_the_folder_and_are_told_apart(self, site: Repository) -> None:
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
        site.records["odd"] = {name: str(number).encode() for number, name in enumerate(odd)}
        names = [each.path for each in await (await files(site, "odd")).list("")]
        assert len(names) == len(odd) == len({name.casefold() for name in names})
        assert {"passwd", "bashrc", "b.csv", "b-2.csv"} <= {name.casefold() for name in names}
        for name in names:
            assert "/" not in name and "\\" not in name and not name.startswith(".") and len(name.encode()) < 200
            assert name.isprintable()
        assert name_of("") == "file"

    async def test_thousands_of_files_are_refused_before_any_is_asked_for(self, site: Repository) -> None:
        site.records["many"] = {f"{number}.csv": b"" for number in range(MOST_FILES + 1)}
        with pytest.raises(NotFound, match="more than 500 files"):
            await files(site, "many")

    @pytest.mark.parametrize("lie", [{"size": 7}, {"size": 10**9}, {"checksum": f"sha1:{'0' * 40}"}])
    async def test_a_file_that_is_not_what_is_said_is_refused(self, site: Repository, lie: dict[str, Any]) -> None:
        site.lies["tides.csv"] = lie
        with pytest.raises(Conflict, match="Nothing of it was kept"):
            await all_of(await files(site), "tides.csv")

    async def test_a_file_without_end_is_ended(self) -> None:
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
