"""Launches with data of other sites and with folders: from the repository through the portal into the home."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.catalog_site import Repository, repository
from tests.portal_parts import ADA, BOB, World
from tests.run_parts import offering
from tests.searchable import Searchable, searchable
from vaas.catalogs.invenio import InvenioCatalog
from vaas.catalogs.own import OwnCatalog
from vaas.catalogs.sparing import Sparing
from vaas.errors import Invalid, Unavailable
from vaas.http import Http
from vaas.lab.placing import Placing
from vaas.lab.portal import PortalClient
from vaas.launching import Launch, launch_server
from vaas.model import Visitor
from vaas.portal import Portal
from vaas.portal.whereabouts import folder_name

AS_ADA, AS_BOB = Visitor(ADA), Visitor(BOB)
TIDES = b"year,level\n2000,1\n" * 10_000
TOKEN, FOLDER = "ada:server=ada/{}", "Launches/Waves 2026-03-01"


@pytest.fixture
def there() -> Iterator[Repository]:
    with repository(one={"tides.csv": TIDES}, two={"a.csv": b"1", "b.csv": b"22"}) as made:
        yield made


@pytest.fixture
def found(world: World, tmp_path: Path, there: Repository) -> Iterator[Searchable]:
    """Return a portal that asks the repository, and has one machine on which no store lies."""
    with searchable(world, tmp_path) as made:
        own = OwnCatalog(made.index, is_fresh=lambda: True)
        elsewhere = InvenioCatalog("there", "The repository", there.url, http=Http(allowed_private=[there.url[7:]]))
        made.portal = world.portal = Portal(world.core, catalogs=[own, Sparing(elsewhere)], indexing=made.indexing)
        there.asked.clear()
        (here,) = offering("slurm").facilities
        world.core.offering = replace(offering(), facilities=(replace(here, stores=()),))
        yield made


async def put(found: Searchable, *records: str, catalog: str = "there", visitor: Visitor = AS_ADA) -> str:
    """Put these into the visitor's basket, and return its id."""
    for record in records:
        look = await found.portal.baskets.add(visitor, catalog, record)
    return look.basket.id


def launch(found: Searchable, basket: str, owner: str = "ada") -> Launch:
    """Note a launch with this basket."""
    now = found.world.core.now()
    made = Launch("abcabcabcabc", owner, "Waves", {"basket": basket}, "apps", "small", "here", now, now)
    with found.world.core.database.begin() as records:
        records.launches.save(made)
    return made


async def placed(site: str, made: Launch, home: Path) -> dict[str, Any]:
    """Place it as a launch does, and return what it said last."""
    home.mkdir(exist_ok=True)
    said: list[dict[str, Any]] = []

    class Told(PortalClient):
        def post(self, what: Any) -> bool:
            said.append(json.loads(json.dumps(what)))
            return super().post(what)

    def place() -> None:
        portal = Told(site, token=TOKEN.format(launch_server(made.id)))
        placing = Placing(portal, home=home, shared=home.parent / "shared")
        placing.copy()
        placing.ready()
        placing.fetch()

    await asyncio.to_thread(place)
    return {"posts": said, **said[-1]}


def states(last: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["state"], each["message"]) for each in last["things"].values()]


async def test_records_of_another_site_lie_beside_the_notebook(
    found: Searchable, site: str, tmp_path: Path, there: Repository
) -> None:
    made = launch(found, await put(found, "one", "two"))
    last = await placed(site, made, tmp_path / "home")
    data = tmp_path / "home" / FOLDER / "data"
    assert (data / "tides.csv").read_bytes() == TIDES
    assert {each.name: each.read_bytes() for each in (data / "Record two").iterdir()} == {"a.csv": b"1", "b.csv": b"22"}
    assert states(last) == [("done", ""), ("done", "")] and last["message"] == "Everything is there."
    cell = json.loads((tmp_path / "home" / FOLDER / "Notebook.ipynb").read_bytes())["cells"][0]["source"]
    assert "'Record one': 'data/tides.csv'," in cell and "pandas reads it" in cell
    asked = [path for path, _ in there.asked if path == "/api/records/one"]
    assert len(asked) == 2, "once for the basket, and once for all that is fetched"


async def test_a_folder_that_is_not_mounted_comes_with_what_it_says_of_itself(
    found: Searchable, site: str, tmp_path: Path
) -> None:
    for path in ("cube/.zgroup", "cube/t/.zarray", "cube/t/0"):
        found.world.put(ADA, path, "{}")
    found.put("cube", "user:ada", type="folder")
    made = launch(found, await put(found, "file:p/cube", catalog="here"))
    last = await placed(site, made, tmp_path / "home")
    folder = tmp_path / "home" / FOLDER / "data" / "cube"
    assert sorted(str(each.relative_to(folder)) for each in folder.rglob("*")) == [".zgroup", "t", "t/.zarray", "t/0"]
    assert next(iter(last["things"].values())) == {"done": 6, "of": 6, "state": "done", "message": ""}
    assert [*found.world.core.content.root.glob(".pending-*")] == [], "what was copied for it is gone"


async def test_what_cannot_be_had_is_named_with_its_page_and_why(
    found: Searchable, site: str, tmp_path: Path, there: Repository
) -> None:
    made = launch(found, await put(found, "one"))
    there.access = {"status": "restricted"}
    last = await placed(site, made, tmp_path / "home")
    ((state, words),) = states(last)
    page = f"{there.url}/records/one"
    assert state == "failed" and "not for everybody" in words and page in words
    cell = json.loads((tmp_path / "home" / FOLDER / "Notebook.ipynb").read_bytes())["cells"][0]["source"]
    assert f"# Not here: 'Record one'. Its address is '{page}'" in cell
    assert last["message"] == "1 of 1 could not be fetched."
    there.access = {"status": "open"}
    assert states(await placed(site, made, tmp_path / "home")) == [("done", "")], "the next start fetches it"


async def test_a_repository_that_is_down_holds_up_no_launch(
    found: Searchable, site: str, tmp_path: Path, there: Repository
) -> None:
    basket = await put(found, "one", "two")
    there.pages["/api/records/one"] = (503, {}, b"")
    last = await placed(site, launch(found, basket), tmp_path / "home")
    assert sorted(state for state, _ in states(last)) == ["done", "failed"]
    assert "The repository does not answer as it should." in " ".join(words for _, words in states(last))


async def test_what_is_fetched_counts_as_what_the_person_reads_today(
    found: Searchable, site: str, tmp_path: Path, there: Repository
) -> None:
    found.world.limit(basket_read=200_000)
    made = launch(found, await put(found, "one"))
    assert states(await placed(site, made, tmp_path / "home")) == [("done", "")]
    for _ in range(4):
        found.portal.reading.count(AS_ADA, "", 180_000)
    (tmp_path / "home" / FOLDER / "data" / "tides.csv").unlink()
    ((state, words),) = states(await placed(site, made, tmp_path / "home"))
    assert state == "failed" and words.startswith("Today you have read 0 MB of baskets")


async def test_so_much_and_no_more_is_carried_at_once(found: Searchable, there: Repository) -> None:
    basket = await put(found, "one")
    (held,) = (await found.portal.baskets.look(AS_ADA, basket)).things
    carrying = found.portal.placing._carrying
    open_ones = [carrying.parcel(AS_ADA, basket, held.thing.id) for _ in range(6)]
    for each in open_ones[:5]:
        await anext(each)
    with pytest.raises(Unavailable, match="Much is fetched"):
        await anext(open_ones[5])
    for each in open_ones:
        await each.aclose()
    assert b"".join([each async for each in carrying.parcel(AS_ADA, basket, held.thing.id)]).endswith(
        b'{"end": true}\n'
    )


async def test_apps_read_a_record_of_one_file_as_any_other(found: Searchable, there: Repository) -> None:
    basket = await put(found, "one", "two")
    look = await found.portal.baskets.look(AS_ADA, basket)
    one, two = sorted((held.thing.title, held.thing.id) for held in look.things)
    piece = await found.portal.reading.piece(AS_ADA, basket, one[1], offset=11, size=7)
    assert (piece.data, piece.size) == (b"2000,1\n", len(TIDES))
    with pytest.raises(Invalid, match="several files"):
        await found.portal.reading.piece(AS_ADA, basket, two[1], offset=0, size=7)


def test_a_folder_is_called_so_that_every_disk_takes_it() -> None:
    assert len(folder_name("𐍈" * 200).encode()) <= 200 and folder_name("𐍈 ").strip() == "𐍈"
    assert folder_name("..") == folder_name("\ud800") == "Notebook"
