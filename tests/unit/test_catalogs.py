"""Catalogs elsewhere: what they are asked, what is believed of their answers, and how they may fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tornado.httputil import HTTPServerRequest

from tests.servers import raw, web
from vaas.catalogs import foreign
from vaas.catalogs.base import Record
from vaas.catalogs.ckan import CkanCatalog
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.stac import StacCatalog
from vaas.errors import Invalid, NotFound, Unavailable, VaasError
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import Search, parse

NOBODY = Visitor()
HIT = {
    "id": "abc-12",
    "updated": "2026-03-01T12:00:00+00:00",
    "pids": {"doi": {"identifier": "10.5281/zenodo.12"}},
    "files": {"entries": {"heights.nc": {}, "read me.txt": {}}, "total_bytes": 1234},
    "links": {"self_html": "https://evil.example/phish"},
    "metadata": {
        "title": "Sea <b>level</b> &amp; tides",
        "description": "<p>Monthly <script>x()</script>means.</p>",
        "creators": [{"person_or_org": {"name": "Doe, Ada"}}, {"person_or_org": {}}, 7],
        "subjects": [{"subject": "ocean"}, {"subject": "ocean"}],
        "rights": [{"id": "cc-by-4.0"}],
        "resource_type": {"id": "dataset"},
        "publication_date": "2025-01-01",
    },
}


def found(*hits: Any, total: Any = None) -> bytes:
    return json.dumps({"hits": {"total": len(hits) if total is None else total, "hits": list(hits)}}).encode()


class Site:
    """A repository that answers what it is told to, and notes what it was asked."""

    def __init__(self, port: int, **options: Any) -> None:
        http = Http(allowed_private=[f"127.0.0.1:{port}"])
        self.catalog = InvenioCatalog("zenodo", "Zenodo", f"http://127.0.0.1:{port}/", http=http, **options)


def asked(requests: list[HTTPServerRequest]) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(requests[-1].uri or "").query).items()}


def answering(body: bytes, requests: list[HTTPServerRequest], status: int = 200) -> Callable[..., Any]:
    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        requests.append(request)
        return status, {"Content-Type": "application/json"}, body

    return answer


async def test_a_record_is_read_and_nothing_in_it_is_markup_or_a_foreign_address() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(found(HIT), requests)) as port:
        page = await Site(port).catalog.search(parse("sea level"), visitor=NOBODY, limit=20)
        assert page.records == (
            Record(
                "abc-12",
                "data",
                "Sea level & tides",
                summary="Monthly x() means.",
                authors=("Doe, Ada",),
                tags=("ocean",),
                names=("doi:10.5281/zenodo.12", "heights.nc", "read me.txt"),
                catalog="zenodo",
                licence="cc-by-4.0",
                size=1234,
                changed=datetime(2026, 3, 1, 12, tzinfo=UTC),
                url=f"http://127.0.0.1:{port}/records/abc-12",
                details={"doi": "10.5281/zenodo.12"},
            ),
        )
    assert (page.total, page.cursor) == (1, "")
    assert requests[0].headers["Accept"] == "application/vnd.inveniordm.v1+json"
    assert asked(requests) == {"q": "(sea) AND (level)", "size": "20", "page": "1", "sort": "bestmatch"}


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('"sea level" -old', '("sea level") AND (NOT old)'),
        ("title:sea* by:ada", "(metadata.title:sea*) AND (metadata.creators.person_or_org.name:ada)"),
        ("type:data OR type:app", "(metadata.resource_type.id:dataset OR metadata.resource_type.id:software*)"),
        ("a:b/c(d)", r"(a\:b\/c\(d\))"),
        ('x OR "y z"', '(x OR "y z")'),
        ('sea "AND" not "NOT" TO', '(sea) AND ("AND") AND (not) AND ("NOT") AND ("TO")'),
    ],
)
async def test_a_search_is_written_in_its_words_and_signs_mean_nothing(text: str, query: str) -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(found(), requests)) as port:
        await Site(port).catalog.search(parse(text), visitor=NOBODY, limit=5)
    assert asked(requests)["q"] == query


async def test_dates_bound_what_was_published() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(found(), requests)) as port:
        await Site(port).catalog.search(Search(after=date(2026, 1, 1)), visitor=NOBODY, limit=5)
    assert asked(requests) | {"q": "metadata.publication_date:[2026-01-01 TO *}", "sort": "newest"} == asked(requests)


async def test_pages_are_as_large_as_allowed_and_end_where_there_is_no_more() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(found(*[HIT] * 25, total=60), requests)) as port:
        first = await Site(port).catalog.search(parse("sea"), visitor=NOBODY, limit=500)
        assert (asked(requests)["size"], first.cursor, len(first.records)) == ("25", "2", 25)
        last = await Site(port).catalog.search(parse("sea"), visitor=NOBODY, limit=500, cursor="3")
        assert (asked(requests)["page"], last.cursor) == ("3", "")
        await Site(port, token="secret").catalog.search(parse("sea"), visitor=NOBODY, limit=500)
        assert (asked(requests)["size"], requests[-1].headers["Authorization"]) == ("100", "Bearer secret")
        assert "secret" not in (requests[-1].uri or "")


@pytest.mark.parametrize(
    "body",
    [
        found(total=10**9),
        found(None, 7, "x", {}, {"id": "a"}, {"id": {"b": 1}, "metadata": []}),
        found(*[{"id": "a", "metadata": {"title": "x" * 10_000, "creators": "many", "subjects": {"a": 1}}}] * 99),
        b'{"hits": []}',
        b'{"hits": {"hits": "x", "total": true}}',
        b"{}",
    ],
)
async def test_lies_about_records_and_pages_end_nowhere(body: bytes) -> None:
    async with web(answering(body, [])) as port:
        page = await Site(port).catalog.search(parse("sea"), visitor=NOBODY, limit=20)
    assert len(page.records) <= 20 and all(len(record.title) <= 302 for record in page.records)
    assert not page.records or page.records[0].id == "a"
    assert page.records or not page.cursor, "an empty page leads to another one"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (429, b"{}", "asked too often"),
        (500, b"{}", "does not answer as it should"),
        (200, b"<html>", "cannot be read"),
        (200, b"[1]", "cannot be read"),
    ],
)
async def test_how_it_fails_is_said_with_its_name(status: int, body: bytes, words: str) -> None:
    async with web(answering(body, [], status)) as port:
        with pytest.raises(Unavailable, match=words) as said:
            await Site(port).catalog.search(parse("sea"), visitor=NOBODY, limit=20)
    assert said.value.message.startswith("Zenodo ") and "127.0.0.1" not in said.value.message


@pytest.mark.attack
async def test_nobody_is_told_the_address_of_one_that_cannot_be_reached() -> None:
    hidden = InvenioCatalog("inside", "Inside", "http://127.0.0.1:9/", http=Http())
    with pytest.raises(Unavailable) as said:
        await hidden.search(parse("sea"), visitor=NOBODY, limit=20)
    assert said.value.message == "Inside does not answer at the moment."
    assert "127.0.0.1" in said.value.log_message


async def test_one_that_hangs_is_given_up() -> None:
    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with raw(hang) as port:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await Site(port, patience=0.3).catalog.search(parse("sea"), visitor=NOBODY, limit=20)


async def test_one_that_leads_to_a_private_address_is_not_followed() -> None:
    seen: list[HTTPServerRequest] = []
    async with web(answering(found(HIT), seen)) as inside:

        def away(_: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            return 302, {"Location": f"http://127.0.0.1:{inside}/api/records"}, b""

        async with web(away) as port:
            with pytest.raises(VaasError):
                await Site(port).catalog.search(parse("sea"), visitor=NOBODY, limit=20)
    assert seen == []


async def test_what_it_has_no_field_for_finds_nothing_and_says_so() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(found(HIT), requests)) as port:
        page = await Site(port).catalog.search(parse("column:height sea"), visitor=NOBODY, limit=20)
    assert (page.records, page.notes, requests) == ((), ("Zenodo cannot be asked for column.",), [])


async def test_one_record_is_had_by_its_id() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(json.dumps(HIT).encode(), requests)) as port:
        record = await Site(port).catalog.record("../abc 12", visitor=NOBODY)
        assert (record.id, requests[0].path) == ("abc-12", "/api/records/..%2Fabc%2012")
    async with web(answering(b"{}", requests)) as port:
        with pytest.raises(NotFound):
            await Site(port).catalog.record("abc", visitor=NOBODY)


def test_what_strangers_say_is_of_the_right_kind_or_nothing() -> None:
    assert [foreign.number(value) for value in (3, 3.7, True, -1, "3", 1e300, float("nan"), None)] == [3, 3] + [
        None
    ] * 6
    assert foreign.moment("2026-01-01") == datetime(2026, 1, 1, tzinfo=UTC)
    assert [foreign.moment(value) for value in ("soon", 3, None, "2026-13-01")] == [None] * 4
    assert foreign.box([1, 2, 0, 3, 4, 9]) == (1.0, 2.0, 3.0, 4.0)
    assert [foreign.box(value) for value in ([1, 2, 3], [500, 0, 0, 0], "1,2,3,4", [0, 9, 0, 1])] == [None] * 4
    assert foreign.text("a\u202eb\x00 <img src=x onerror=y>c") == "ab c"


DATASET = {
    "name": "tide-gauges",
    "title": "Tide <i>gauges</i>",
    "notes": "Heights of the water.",
    "author": "Ada Doe",
    "organization": {"title": "Institute of the Sea"},
    "tags": [{"display_name": "ocean", "name": "ocean"}],
    "license_id": "cc-by",
    "metadata_modified": "2026-02-03T04:05:06.789",
    "resources": [{"name": "2025", "format": "CSV", "size": 100}, {"name": "2026", "format": "CSV", "size": 23}],
    "url": "https://evil.example/",
}


def ckan(port: int, **options: Any) -> CkanCatalog:
    http = Http(allowed_private=[f"127.0.0.1:{port}"])
    return CkanCatalog("data-portal", "The data portal", f"http://127.0.0.1:{port}", http=http, **options)


def datasets(*hits: Any, count: Any = None) -> bytes:
    result = {"count": len(hits) if count is None else count, "results": list(hits)}
    return json.dumps({"success": True, "result": result}).encode()


async def test_a_dataset_of_ckan_is_read() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(datasets(DATASET, {}, "x"), requests)) as port:
        page = await ckan(port).search(parse("tide by:ada type:data"), visitor=NOBODY, limit=20)
        assert page.records == (
            Record(
                "tide-gauges",
                "data",
                "Tide gauges",
                summary="Heights of the water.",
                authors=("Ada Doe", "Institute of the Sea"),
                tags=("ocean",),
                names=("tide-gauges", "2025", "2026"),
                format="CSV",
                catalog="data-portal",
                licence="cc-by",
                size=123,
                changed=datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC),
                url=f"http://127.0.0.1:{port}/dataset/tide-gauges",
            ),
        )
    assert requests[0].path == "/api/3/action/package_search"
    assert asked(requests) == {"q": "(tide) AND (author:ada)", "defType": "edismax", "rows": "20", "start": "0"}


async def test_ckan_is_paged_by_offset_and_asked_for_data_alone() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(datasets(*[DATASET] * 20, count=30), requests)) as port:
        first = await ckan(port).search(parse("after:2026"), visitor=NOBODY, limit=20)
        assert asked(requests) == {
            "q": "metadata_modified:[2026-01-01T00:00:00Z TO *}",
            "defType": "edismax",
            "rows": "20",
            "start": "0",
            "sort": "metadata_modified desc",
        }
        last = await ckan(port).search(parse("tide"), visitor=NOBODY, limit=20, cursor=first.cursor)
        assert (asked(requests)["start"], first.cursor, last.cursor) == ("20", "20", "")
        asks = len(requests)
        assert (await ckan(port).search(parse("type:app"), visitor=NOBODY, limit=20)).records == ()
        assert (await ckan(port).search(parse("column:x"), visitor=NOBODY, limit=20)).notes
        assert len(requests) == asks
        assert (await ckan(port).search(Search(), visitor=NOBODY, limit=1)).records and asked(requests)["q"] == "*:*"


async def test_one_dataset_of_ckan_is_had_by_its_name() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(json.dumps({"result": DATASET}).encode(), requests)) as port:
        assert (await ckan(port).record("tide-gauges", visitor=NOBODY)).title == "Tide gauges"
        assert asked(requests) == {"id": "tide-gauges"}
    async with web(answering(b"{}", requests)) as port:
        with pytest.raises(NotFound):
            await ckan(port).record("none", visitor=NOBODY)


SCENES = {
    "id": "sea-heights",
    "title": "Heights of the <b>sea</b>",
    "description": "From altimeters.",
    "keywords": ["ocean", "altimetry"],
    "license": "CC-BY-4.0",
    "providers": [{"name": "Institute of the Sea"}],
    "extent": {
        "spatial": {"bbox": [[-10.0, 30.0, 40.0, 60.0]]},
        "temporal": {"interval": [["2001-01-01T00:00:00Z", "2020-12-31T00:00:00Z"]]},
    },
    "cube:variables": {"height": {}, "error": {}},
}


def stac(port: int, **options: Any) -> StacCatalog:
    http = Http(allowed_private=[f"127.0.0.1:{port}"])
    return StacCatalog("scenes", "The scenes", f"http://127.0.0.1:{port}/stac", http=http, **options)


def collections(*members: Any, following: str = "") -> bytes:
    links = [{"rel": "self", "href": "x"}, *([{"rel": "next", "href": following}] if following else [])]
    return json.dumps({"collections": list(members), "links": links}).encode()


async def test_a_collection_of_stac_is_read_with_its_time_and_place() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(collections(SCENES, {}, 7), requests)) as port:
        catalog = stac(port)
        page = await catalog.search(parse("sea"), visitor=NOBODY, limit=20)
        assert page.records == (
            Record(
                "sea-heights",
                "data",
                "Heights of the sea",
                summary="From altimeters.",
                authors=("Institute of the Sea",),
                tags=("ocean", "altimetry"),
                names=("sea-heights",),
                columns=("height", "error"),
                catalog="scenes",
                licence="CC-BY-4.0",
                begins=datetime(2001, 1, 1, tzinfo=UTC),
                ends=datetime(2020, 12, 31, tzinfo=UTC),
                box=(-10.0, 30.0, 40.0, 60.0),
                url=f"http://127.0.0.1:{port}/stac/collections/sea-heights",
            ),
        )
        assert await catalog.record("sea-heights", visitor=NOBODY) == page.records[0]
        with pytest.raises(NotFound):
            await catalog.record("none", visitor=NOBODY)
    assert [request.path for request in requests] == ["/stac/collections"], "they are kept for a while"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("altimeters", True),
        ("sea -ocean", False),
        ("sea -land", True),
        ("tag:altimetry column:height", True),
        ("column:salinity", False),
        ("type:data by:institute", True),
        ("type:app", False),
        ("uses:xarray", False),
        ("land OR ocean", True),
        ("after:2019", True),
        ("after:2021", False),
        ("before:2001", False),
        ("in:scenes", True),
        ("", True),
    ],
)
async def test_collections_of_stac_are_matched_here(text: str, fits: bool) -> None:
    async with web(answering(collections(SCENES), [])) as port:
        page = await stac(port).search(parse(text).without("catalog"), visitor=NOBODY, limit=20)
    assert (len(page.records), page.total) == (int(fits), int(fits))


async def test_the_best_come_first_and_pages_follow_each_other() -> None:
    members = [{"id": f"c{n}", "title": "wind", "description": "sea"} for n in range(4)] + [SCENES]
    async with web(answering(collections(*members), [])) as port:
        catalog = stac(port)
        first = await catalog.search(parse("sea"), visitor=NOBODY, limit=3)
        assert (first.records[0].id, first.total, first.cursor) == ("sea-heights", 5, "3")
        last = await catalog.search(parse("sea"), visitor=NOBODY, limit=3, cursor=first.cursor)
        assert (len(last.records), last.cursor) == (2, "")


async def test_a_server_of_stac_that_sends_all_at_once_is_read_to_the_end() -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(collections(*({"id": f"c{n}"} for n in range(300))), requests)) as port:
        assert (await stac(port).search(Search(), visitor=NOBODY, limit=1)).total == 300
    assert asked(requests) == {"limit": "100"}


@pytest.mark.parametrize("following", ["collections", "?page={page}", "http://127.0.0.1:{other}/stac/collections"])
async def test_the_next_page_is_no_trap(following: str) -> None:
    elsewhere: list[HTTPServerRequest] = []
    requests: list[HTTPServerRequest] = []

    async with web(answering(collections(SCENES), elsewhere)) as other:

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            requests.append(request)
            following_page = following.format(page=len(requests), other=other)
            return 200, {}, collections({"id": f"c{len(requests)}"}, following=following_page)

        async with web(answer) as port:
            page = await stac(port).search(Search(), visitor=NOBODY, limit=100)
    assert elsewhere == [], "another server was asked"
    assert 1 <= len(requests) <= 20 and page.total == len(requests)


@pytest.mark.parametrize("cursor", ["9" * 1500, "-1", "x", "1.5", " 1"])
@pytest.mark.parametrize("kind", [InvenioCatalog, CkanCatalog, StacCatalog])
async def test_no_catalog_is_asked_for_a_page_that_we_never_named(kind: Any, cursor: str) -> None:
    requests: list[HTTPServerRequest] = []
    async with web(answering(b"{}", requests)) as port:
        http = Http(allowed_private=("127.0.0.1",))
        catalog = kind("c", "C", f"http://127.0.0.1:{port}", http=http)
        with pytest.raises(Invalid, match="So many hits"):
            await catalog.search(parse("sea"), visitor=NOBODY, limit=5, cursor=cursor)
    assert not requests
