"""A STAC server that others wrote, with an index of our own beside it: what it lists is found."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.portal_fixture import free_ports
from vaas.catalogs.base import Record
from vaas.catalogs.stac import StacCatalog
from vaas.errors import NotFound
from vaas.http import Http
from vaas.model import Visitor
from vaas.query import parse

_SEAS = ("Baltic", "North", "Mediterranean")


def _collection(number: int, sea: str) -> dict[str, Any]:
    """Return what STAC 1.0.0 asks of a collection, and some more."""
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": f"heights-{sea.lower()}",
        "title": f"Heights of the {sea} Sea",
        "description": "From altimeters.",
        "keywords": ["ocean", sea.lower()],
        "license": "CC-BY-4.0",
        "providers": [{"name": "Institute of the Sea"}],
        "extent": {
            "spatial": {"bbox": [[-10.0, 30.0 + number, 40.0, 60.0]]},
            "temporal": {"interval": [["2001-01-01T00:00:00Z", None if number else "2020-12-31T00:00:00Z"]]},
        },
        "links": [],
    }


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[str]:
    """Start the server with one collection for each sea, and yield its address."""
    files = [folder / f"{sea}.json" for sea in _SEAS]
    for number, (file, sea) in enumerate(zip(files, _SEAS, strict=True)):
        file.write_text(json.dumps(_collection(number, sea)))
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).with_name("rustac")), "serve", "--addr", f"127.0.0.1:{port}"]
    log = folder / "server.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, *map(str, files), stdout=out, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        await _answers(address, process, log)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(address: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(30):
        while True:
            assert process.returncode is None, log.read_text()
            try:
                (await client.get(address)).raise_for_status()
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[StacCatalog]:
    """Return our side of that server."""
    async with _serving(tmp_path) as address:
        http = Http(allowed_private=[address.removeprefix("http://")])
        yield StacCatalog("seas", "The seas", address, http=http)


async def test_what_it_lists_is_found_with_its_time_and_place(catalog: StacCatalog) -> None:
    page = await catalog.search(parse("baltic"), visitor=Visitor(), limit=20)
    assert page.records == (
        Record(
            "heights-baltic",
            "data",
            "Heights of the Baltic Sea",
            summary="From altimeters.",
            authors=("Institute of the Sea",),
            tags=("ocean", "baltic"),
            names=("heights-baltic",),
            catalog="seas",
            licence="CC-BY-4.0",
            begins=datetime(2001, 1, 1, tzinfo=UTC),
            ends=datetime(2020, 12, 31, tzinfo=UTC),
            box=(-10.0, 30.0, 40.0, 60.0),
            url=page.records[0].url,
        ),
    )
    async with httpx.AsyncClient() as client:
        assert (await client.get(page.records[0].url)).json()["id"] == "heights-baltic"


async def test_fields_and_pages_work_on_what_it_lists(catalog: StacCatalog) -> None:
    async def found(text: str) -> set[str]:
        page = await catalog.search(parse(text), visitor=Visitor(), limit=20)
        return {record.id for record in page.records}

    assert await found("ocean after:2021") == {"heights-north", "heights-mediterranean"}
    assert await found("sea -tag:north") == {"heights-baltic", "heights-mediterranean"}
    assert await found("salinity") == set()
    first = await catalog.search(parse("sea"), visitor=Visitor(), limit=2)
    rest = await catalog.search(parse("sea"), visitor=Visitor(), limit=2, cursor=first.cursor)
    assert (first.total, len(first.records), len(rest.records), rest.cursor) == (3, 2, 1, "")
    assert await catalog.record("heights-north", visitor=Visitor()) in (*first.records, *rest.records)
    with pytest.raises(NotFound):
        await catalog.record("none", visitor=Visitor())
