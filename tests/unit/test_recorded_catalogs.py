"""Catalogs elsewhere as real servers of the kind answered: tests/recorded/README.md says which, and what is in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tornado.httputil import HTTPServerRequest

from tests.servers import web
from vaas.catalogs import foreign
from vaas.catalogs.base import Catalog, Page, Record
from vaas.catalogs.ckan import CkanCatalog
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.stac import StacCatalog
from vaas.errors import NotFound, Unavailable
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import parse

NOBODY = Visitor()
RECORDED = Path(__file__).parents[1] / "recorded"
#: The folders of it that are of catalogs.
CATALOGS = ("ckan", "invenio", "rustac", "stac-fastapi")
#: What stands in the recordings where the server that answered named itself.
PLACE = "http://catalog.example"
KINDS: dict[str, Callable[..., Catalog]] = {
    "invenio": InvenioCatalog,
    "ckan": CkanCatalog,
    "rustac": StacCatalog,
    "stac-fastapi": StacCatalog,
}


class Replay:
    """A server that answers what was recorded to who asks what was asked then, and nothing to anybody else."""

    def __init__(self, kind: str, *names: str) -> None:
        self._left = [json.loads((RECORDED / kind / f"{name}.json").read_text()) for name in names]
        self.others: list[str] = []

    def __call__(self, request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        address = urlsplit(request.uri or "")
        asked = (address.path, dict(parse_qsl(address.query, keep_blank_values=True)))
        for one in self._left:
            said = one["asked"]
            as_then = all(request.headers.get(name) == value for name, value in said["headers"].items())
            if (said["path"], said["query"]) == asked and as_then:
                self._left.remove(one)
                body = json.dumps(one["body"]).replace(PLACE, f"http://{request.host}")
                return one["status"], one["headers"], body.encode()
        self.others.append(request.uri or "")
        return 500, {}, b"{}"

    def check(self) -> None:
        """Fail if anything else was asked, or if something was not."""
        assert not self.others, f"This was not asked when it was recorded: {self.others}"
        assert not self._left, f"This was not asked: {[one['asked'] for one in self._left]}"


@asynccontextmanager
async def answered(kind: str, *names: str, **options: Any) -> AsyncIterator[Catalog]:
    """Yield our side of a server of the kind, which has these answers to give."""
    replay = Replay(kind, *names)
    async with web(replay) as port:
        address = f"127.0.0.1:{port}"
        http = Http(allowed_private=[address])
        yield KINDS[kind]("there", "The catalog", f"http://{address}", http=http, **options)
    replay.check()


async def one(kind: str, name: str, record_id: str) -> Record:
    """Return the record, without the address that is another one in each test."""
    async with answered(kind, name) as catalog:
        found = await catalog.record(record_id, visitor=NOBODY)
    assert urlsplit(found.url).hostname == "127.0.0.1" and found.url.endswith(f"/{record_id}")
    return replace(found, url="")


async def searched(kind: str, name: str, text: str, *, limit: int, cursor: str = "") -> Page:
    async with answered(kind, name) as catalog:
        return await catalog.search(parse(text), visitor=NOBODY, limit=limit, cursor=cursor)


def titles(page: Page) -> list[str]:
    return [record.title for record in page.records]


def test_every_recording_is_replayed() -> None:
    """What nobody replays says nothing: its name stands in this file."""
    source = Path(__file__).read_text()
    names = [file.stem for kind in CATALOGS for file in (RECORDED / kind).glob("*.json")]
    assert len(names) >= 30
    assert [name for name in names if f'"{name}"' not in source] == []


async def test_another_question_than_the_recorded_one_fails() -> None:
    with pytest.raises(AssertionError, match="This was not asked"):
        async with answered("invenio", "since"):
            pass
    with pytest.raises(AssertionError, match="when it was recorded"):
        async with answered("invenio", "since") as catalog:
            with pytest.raises(Unavailable):
                await catalog.search(parse("after:2025"), visitor=NOBODY, limit=2)


ADA = ("Doe, Ada", "Institute of the Sea")
HEIGHTS = Record(
    "sf40t-aht58",
    "data",
    "Heights of the North Sea & tides",
    summary="Hourly heights of the water at three gauges . alert(1) in centimetres",
    authors=ADA,
    tags=("ocean", "Sea level"),
    names=("doi:10.1234/heights.2020", "heights.csv", "grid 2020.nc"),
    catalog="there",
    licence="cc-by-4.0",
    size=2029,
    changed=datetime(2026, 11, 28, 2, 35, 51, 784491, UTC),
    begins=datetime(2001, 1, 1, tzinfo=UTC),
    ends=datetime(2020, 12, 31, 23, 59, 59, tzinfo=UTC),
    box=(-4.0, 51.0, 9.0, 61.0),
    details={"doi": "10.1234/heights.2020"},
)


async def test_a_dataset_of_inveniordm_with_all_that_it_says() -> None:
    assert await one("invenio", "dataset-with-files", HEIGHTS.id) == HEIGHTS
    page = await searched("invenio", "by-doi", "id:10.1234/heights.2020 by:doe", limit=1)
    assert [replace(record, url="") for record in page.records] == [HEIGHTS], "a hit says what the record says"


async def test_a_record_of_inveniordm_without_files_has_no_size_and_a_licence_of_its_own() -> None:
    found = await one("invenio", "metadata-only", "z1gxr-taf70")
    assert (found.size, found.names, found.details) == (None, (), {})
    assert (found.licence, found.summary, found.type) == ("Ask the archive", "Kept in boxes.", "data")


async def test_files_of_inveniordm_that_are_not_for_us_are_told_to_be_so() -> None:
    restricted = await one("invenio", "restricted-files", "46der-c7m22")
    assert (restricted.size, restricted.names) == (None, ())
    assert restricted.details == {"note": "Its files are not for everybody: ask those who published it."}
    embargoed = await one("invenio", "embargoed-files", "1vb8a-tb024")
    assert embargoed.details == {"note": "Its files can be had from 2030-01-01 on."}


async def test_an_article_of_inveniordm_at_a_point() -> None:
    found = await one("invenio", "article-at-a-point", "a9rsp-56k43")
    assert (found.type, found.box, found.licence) == ("folder", (4.5, 54.0, 4.5, 54.0), "cc-by-4.0")
    assert (found.names, found.size) == (("paper.pdf",), 8)


async def test_pages_of_inveniordm_follow_each_other_to_the_last() -> None:
    first = await searched("invenio", "first-page", "ocean", limit=2)
    assert (titles(first), first.total, first.cursor) == (
        ["Ice of the Baltic, second version", "Ocean currents, a paper"],
        8,
        "2",
    )
    last = await searched("invenio", "last-page", "ocean", limit=2, cursor="4")
    assert (titles(last), last.total, last.cursor) == (["Ocean buoys, after an embargo", HEIGHTS.title], 8, "")


@pytest.mark.parametrize(
    ("name", "text", "limit", "total", "first"),
    [
        ("without-a-word", "ocean -tag:ocean -title:notebook", 1, 4, "Ice of the Baltic, second version"),
        ("versions", "title:baltic", 2, 1, "Ice of the Baltic, second version"),
        ("software", "type:app -tag:tides", 1, 1, "Notebook of the ocean"),
        ("since", "after:2026", 2, 1, "Ice of the Baltic, second version"),
        ("nothing", '"AND"', 2, 0, None),
    ],
)
async def test_what_inveniordm_found(name: str, text: str, limit: int, total: int, first: str | None) -> None:
    page = await searched("invenio", name, text, limit=limit)
    assert (page.total, next(iter(titles(page)), None)) == (total, first)


@pytest.mark.parametrize(
    ("kind", "name", "record_id"),
    [
        ("invenio", "no-such-record", "none"),
        ("invenio", "kept-from-us", "4rh1k-f4v46"),
        ("invenio", "a-draft", "nq3q8-bay83"),
        ("ckan", "no-such-dataset", "none"),
        ("ckan", "kept-from-us", "kept-private"),
    ],
)
async def test_what_there_is_not_and_what_is_kept_from_us_is_not_found(kind: str, name: str, record_id: str) -> None:
    async with answered(kind, name) as catalog:
        with pytest.raises(NotFound, match="The catalog has no such record"):
            await catalog.record(record_id, visitor=NOBODY)


async def test_a_search_that_is_refused_is_told_to_be_so() -> None:
    async with answered("invenio", "too-far") as catalog:
        with pytest.raises(Unavailable, match="The catalog does not understand this search"):
            await catalog.search(parse("ocean"), visitor=NOBODY, limit=10, cursor="1001")


TIDES = Record(
    "tide-gauges",
    "data",
    "Tide gauges of the North Sea",
    summary="Hourly heights of the water at three gauges.",
    authors=("Ada Doe", "Institute of the Sea"),
    tags=("ocean", "tide gauge"),
    names=("tide-gauges", "heights 2019", "heights 2020", "all"),
    format="CSV",
    catalog="there",
    licence="cc-by",
    size=9_250_346,
    changed=datetime(2026, 11, 28, 2, 16, 56, 686145, UTC),
    begins=datetime(2001, 1, 1, tzinfo=UTC),
    ends=datetime(2020, 12, 31, 23, 59, 59, tzinfo=UTC),
    box=(-4.0, 51.0, 9.0, 61.0),
)


async def test_a_dataset_of_ckan_with_the_time_and_place_that_extensions_say() -> None:
    assert await one("ckan", "with-time-and-place", "tide-gauges") == TIDES
    page = await searched("ckan", "phrase", '"heights of the water"', limit=1)
    assert [replace(record, url="") for record in page.records] == [TIDES], "a hit says what the dataset says"


async def test_sizes_and_licences_of_ckan_are_told_where_they_are_known() -> None:
    links = await one("ckan", "links-without-sizes", "sea-ice")
    assert (links.title, links.size, links.licence) == ("Meereis in der Ostsee – Ausdehnung", None, "odc-odbl")
    assert links.tags == ("Eis", "Wärme", "ocean")
    uploaded = await one("ckan", "uploaded", "currents")
    assert (uploaded.size, uploaded.names) == (24, ("currents", "uploaded"))
    bare = await one("ckan", "no-files", "no-files")
    assert (bare.size, bare.licence, bare.format, bare.summary) == (None, "", "", "")


async def test_pages_of_ckan_follow_each_other_to_the_last() -> None:
    first = await searched("ckan", "first-page", "ocean", limit=2)
    assert (titles(first), first.total, first.cursor) == (
        ["Surface currents of the ocean", "Soundings without files"],
        4,
        "2",
    )
    last = await searched("ckan", "last-page", "ocean", limit=2, cursor="2")
    assert (titles(last), last.total, last.cursor) == (["Meereis in der Ostsee – Ausdehnung", TIDES.title], 4, "")


@pytest.mark.parametrize(
    ("name", "text", "limit", "total", "first"),
    [
        ("without-a-word", "ocean -radar -tag:Eis", 2, 2, "Soundings without files"),
        ("either", "radar OR harbour after:2026", 1, 5, "Surface currents of the ocean"),
        ("beginning", "surv*", 1, 4, "Survey of the harbour 3"),
        ("format", "format:csv -format:xls title:tide", 1, 1, "Tide gauges of the North Sea"),
        ("everything", "", 1, 8, "Survey of the harbour 3"),
        ("nothing", '"NOT"', 2, 0, None),
    ],
)
async def test_what_ckan_found(name: str, text: str, limit: int, total: int, first: str | None) -> None:
    page = await searched("ckan", name, text, limit=limit)
    assert (page.total, next(iter(titles(page)), None)) == (total, first)


SEAS = ["Heights of the Baltic Sea", "Heights of the Mediterranean Sea", "Heights of the North Sea", "heights-black"]
#: Server, what it answered, how many collections were asked for at a time.
SERVERS = [("stac-fastapi", ("collections-1", "collections-2"), 2), ("rustac", ("collections",), 100)]


@pytest.mark.parametrize(("kind", "names", "size"), SERVERS)
async def test_collections_of_both_stac_servers_are_read_alike(kind: str, names: tuple[str, ...], size: int) -> None:
    async with answered(kind, *names, size=size) as catalog:
        page = await catalog.search(parse(""), visitor=NOBODY, limit=20)
        assert (sorted(titles(page)), page.total, page.cursor) == (SEAS, 4, "")
        with pytest.raises(NotFound):
            await catalog.record("none", visitor=NOBODY)
        by_doi = await catalog.search(parse("id:10.5555"), visitor=NOBODY, limit=20)
    baltic, middle, north, black = sorted(page.records, key=lambda record: SEAS.index(record.title))
    assert by_doi.records == (middle,)
    assert replace(baltic, url="") == Record(
        "heights-baltic",
        "data",
        "Heights of the Baltic Sea",
        summary="From altimeters, see .",
        authors=("Institute of the Sea",),
        tags=("ocean", "baltic"),
        names=("heights-baltic",),
        catalog="there",
        licence="CC-BY-4.0",
        begins=datetime(2001, 1, 1, tzinfo=UTC),
        ends=datetime(2020, 12, 31, tzinfo=UTC),
        box=(-10.0, 30.0, 40.0, 60.0),
    )
    assert (middle.columns, middle.details, middle.ends) == (("B04", "B08"), {"doi": "10.5555/heights"}, None)
    assert middle.changed == datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    assert (set(north.columns), north.box) == ({"height", "error"}, (-4.0, 51.0, 9.0, 61.0))
    assert north.ends == datetime(2022, 6, 30, 12, tzinfo=UTC), "the whole time comes first, its parts after it"
    assert (black.columns, black.box, black.authors) == (("red", "nir"), (27.0, 40.0, 42.0, 47.5), ())


def test_spans_and_shapes_of_strangers_are_read_or_are_none() -> None:
    def day(year: int, month: int, number: int, *, end: bool = False) -> datetime:
        return datetime(year, month, number, *((23, 59, 59) if end else ()), tzinfo=UTC)

    assert foreign.span("2001/2020-02") == (day(2001, 1, 1), day(2020, 2, 29, end=True))
    assert foreign.span("2024") == (day(2024, 1, 1), day(2024, 12, 31, end=True))
    assert foreign.span("2024-05-31/..") == (day(2024, 5, 31), None)
    assert [foreign.span(value) for value in ("soon", "2024-13", "0000", 7, None, "/")] == [(None, None)] * 6
    assert foreign.span("9999")[1] == day(9999, 12, 31, end=True), "the last year that can be counted to"
    many = {"type": "MultiPolygon", "coordinates": [[[[1, 2, 9], [3, 4], [1, 2]]], [[[-5, 0], [0, 7]]]]}
    assert foreign.area(many) == (-5.0, 0.0, 3.0, 7.0)
    deep: Any = [1, 2]
    for _ in range(500):
        deep = [deep]
    shapes = ({"coordinates": deep}, {"coordinates": [900, 0]}, {"coordinates": "1,2"}, {}, [1, 2], None)
    assert [foreign.area(shape) for shape in shapes] == [None] * 6
