"""The files of records elsewhere: which there are, their bytes, and what a catalog that lies gets out of us."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.catalog_site import Repository, repository
from tests.servers import web
from tests.unit.test_recorded_catalogs import answered
from vaas.catalogs.base import Catalog
from vaas.catalogs.ckan import CkanCatalog
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.linked import checksum_of
from vaas.catalogs.stac import StacCatalog
from vaas.errors import Forbidden, Invalid, NotFound, TooLarge, Unavailable, VaasError
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
        site.pages["/api/records/one/files/tides.csv/content"] = (206, {}, TIDES[11:18])
        with pytest.raises(Invalid, match="from its start alone"):
            await store.piece("tides.csv", 11, 7)

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
