"""Previews: what is inside of what was found, for those who may see it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.portal_parts import ADA, BOB, World
from vaas.catalogs.own import Index, OwnCatalog
from vaas.errors import NotFound, Unreadable
from vaas.insides.base import Inside, Looker
from vaas.model import EVERYONE, Visitor
from vaas.portal import Harvesting, Indexing
from vaas.portal.baskets import Baskets
from vaas.portal.finding import Finding
from vaas.portal.previewing import Previewing
from vaas.portal.sharing import Sharing

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


class FirstWords(Looker):
    """Shows how a file begins."""

    async def look(self, path: Path, *, name: str) -> Inside:
        """Tell nothing."""
        return Inside()

    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        """Show the first letters."""
        if name == "broken.csv":
            raise Unreadable("It ends too early.")
        return {"kind": "text", "text": f"{name}: {path.read_text()[:20]}"}

    async def close(self) -> None:
        """Nothing was begun."""


@pytest.fixture
async def previewing(world: World, tmp_path: Path) -> AsyncIterator[Previewing]:
    """Return previews of two files, a folder and an app of ada's."""
    index = Index(tmp_path / "index", memory=30_000_000, now=world.core.now)
    for name, text in {"set/tides.csv": "a,b", "set/broken.csv": "?", "set/README.md": "# About tides"}.items():
        world.put(ADA, name, text)
    await world.published(ADA, title="Waves", to=(EVERYONE,))
    await Harvesting(world.core).sweep()
    Indexing(world.core, index).catch_up()
    finding = Finding([OwnCatalog(index)])
    yield Previewing(world.core, finding, Baskets(world.core, finding, Sharing(world.core)), [FirstWords()])
    index.close()


class Waits(FirstWords):
    """Shows nothing of tides before it is told to."""

    def __init__(self) -> None:
        self.may, self.reading = asyncio.Event(), 0

    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        self.reading += 1
        assert self.reading == 1, "one file at a time"
        try:
            if name == "tides.csv":
                await self.may.wait()
            return await super().preview(path, name=name)
        finally:
            self.reading -= 1


async def shown(previewing: Previewing, name: str, user: Any = ADA) -> Any:
    """Return the preview of the first that is found by this name."""
    page = await previewing._finding.search(name, visitor=Visitor(ADA))
    return await previewing.preview(Visitor(user), page.records[0].catalog, page.records[0].id)


async def test_what_is_inside_of_a_file_is_shown_to_its_owner_alone(previewing: Previewing) -> None:
    assert await shown(previewing, "name:tides.csv") == {"kind": "text", "text": "tides.csv: a,b"}
    for other in (BOB, None):
        with pytest.raises(NotFound):
            await shown(previewing, "name:tides.csv", other)


async def test_what_cannot_be_read_says_why(previewing: Previewing, world: World) -> None:
    assert await shown(previewing, "name:broken.csv") == {"kind": "none", "why": "It ends too early."}
    (world.homes / "ada" / "set" / "tides.csv").unlink()
    gone = await shown(previewing, "name:tides.csv")
    assert gone["kind"] == "none" and gone["why"]


async def test_a_folder_shows_what_it_says_of_itself(previewing: Previewing) -> None:
    assert await shown(previewing, "type:folder name:set") == {
        "kind": "text",
        "text": "# About tides",
        "format": "markdown",
    }


@pytest.mark.parametrize(
    ("name", "format"),
    [("README.rst", "text"), ("readme.txt", "text"), ("README", "markdown"), ("Readme.markdown", "markdown")],
)
async def test_what_speaks_for_a_folder_is_read_as_what_it_is(
    previewing: Previewing, world: World, name: str, format: str
) -> None:
    folder = world.homes / ADA.name / "set"
    (folder / "README.md").rename(folder / name)
    assert (await shown(previewing, "type:folder name:set"))["format"] == format


async def test_a_collection_shows_what_one_may_see_in_it(previewing: Previewing, world: World) -> None:
    baskets, index = previewing._baskets, previewing._finding._catalogs["here"]._index  # type: ignore[attr-defined]
    (app,) = (await previewing._finding.search("waves", visitor=Visitor(ADA))).records
    basket = (await baskets.new(Visitor(ADA), "For bob")).basket.id
    for record in (app.id, (await previewing._finding.search("name:tides.csv", visitor=Visitor(ADA))).records[0].id):
        await baskets.add(Visitor(ADA), "here", record, basket_id=basket)
        world.clock.forward(seconds=1)
    await baskets.share(Visitor(ADA), basket, ["user:bob"])
    Indexing(world.core, index).catch_up()
    told = await shown(previewing, "type:share", ADA)
    assert told == {"kind": "tree", "items": [{"name": "tides.csv", "type": "csv"}, {"name": "Waves", "type": "app"}]}
    assert await shown(previewing, "type:share", BOB) == {"kind": "tree", "items": [{"name": "Waves", "type": "app"}]}
    await baskets.remove(Visitor(ADA), (await baskets.look(Visitor(ADA), basket)).things[1].thing.id, basket_id=basket)
    assert (await shown(previewing, "type:share", BOB))["why"] == "There is nothing in it that you may see."


async def test_a_person_shows_what_one_may_see_of_theirs(previewing: Previewing) -> None:
    told = await shown(previewing, "type:person", ADA)
    assert told["kind"] == "tree"
    assert {each["name"] for each in told["items"]} == {"Waves", "set", "tides.csv", "broken.csv"}
    assert await shown(previewing, "type:person", BOB) == {"kind": "tree", "items": [{"name": "Waves", "type": "app"}]}


async def test_an_app_shows_its_picture(previewing: Previewing, world: World) -> None:
    assert await shown(previewing, "type:app waves") == {"kind": "none", "why": "This app has no picture."}
    with world.core.database.begin() as records:
        app = records.apps.get("waves")
        assert app is not None
        records.apps.save(type(app)(**{**vars(app), "cover": world.core.content.add(PNG)[0]}))
    told = await shown(previewing, "type:app waves", None)
    assert told == {"kind": "image", "picture": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}


async def test_whose_files_take_long_hold_up_nobody_elses(previewing: Previewing, world: World) -> None:
    index = previewing._finding._catalogs["here"]._index  # type: ignore[attr-defined]
    world.put(BOB, "bobs.csv", "b")
    await Harvesting(world.core).sweep()
    Indexing(world.core, index).catch_up()
    (bobs,) = (await previewing._finding.search("name:bobs.csv", visitor=Visitor(BOB))).records
    lookers = [Waits(), Waits()]
    previewing = Previewing(world.core, previewing._finding, previewing._baskets, lookers)
    mine = [asyncio.create_task(shown(previewing, "name:tides.csv")) for _ in range(4)]
    async with asyncio.timeout(30):
        while not any(looker.reading for looker in lookers):
            await asyncio.sleep(0.01)
        assert (await previewing.preview(Visitor(BOB), "here", bobs.id))["text"] == "bobs.csv: b"
        assert (await shown(previewing, "type:app waves", ADA))["kind"] == "none", "what needs no file waits for none"
        assert not any(task.done() for task in mine)
        more = await shown(previewing, "name:tides.csv")
        assert more["kind"] == "none" and "many things at once" in more["why"]
        for looker in lookers:
            looker.may.set()
        assert [await task for task in mine] == [{"kind": "text", "text": "tides.csv: a,b"}] * 4
