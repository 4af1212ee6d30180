"""Copies: an app's files in a person's own store, and never over what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, EVE, World
from vaas.errors import Conflict, Forbidden, Invalid, NotFound
from vaas.model import EVERYONE, Access, App, Visitor
from vaas.portal import Publication
from vaas.stores.folder import FolderStore


async def shared(world: World) -> App:
    """Publish an app with files in folders that bob may copy."""
    files = {"lesson.ipynb": notebook("x = 1"), "data/deep/a.csv": b"1", "data/b.csv": b"2", "model.py": b"y"}
    draft = world.portal.drafts.begin_upload(ADA, files)
    world.report(draft)
    app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(slug="tides", subjects=(EVERYONE,)))
    await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:bob", access=Access.READ)
    return app


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_copy_holds_all_files_and_is_the_persons_own(world: World) -> None:
    await shared(world)
    assert await world.portal.copies.save(BOB, "tides", "home", "") == "tides"
    home = world.homes / "bob" / "tides"
    assert files(home) == {
        "lesson.ipynb": notebook("x = 1"),
        "data/deep/a.csv": b"1",
        "data/b.csv": b"2",
        "model.py": b"y",
    }
    draft = await world.portal.drafts.begin(BOB, "home", "tides/lesson.ipynb")
    assert (draft.owner, draft.slug) == ("bob", "")


async def test_a_second_copy_never_touches_the_first(world: World) -> None:
    await shared(world)
    world.put(BOB, "tides/lesson.ipynb", "my own work")
    world.put(BOB, "tides-2", "a file of mine")
    assert await world.portal.copies.save(BOB, "tides", "home", "") == "tides-3"
    assert await world.portal.copies.save(BOB, "tides", "home", "") == "tides-4"
    assert (world.homes / "bob" / "tides" / "lesson.ipynb").read_text() == "my own work"
    assert (world.homes / "bob" / "tides-2").read_text() == "a file of mine"


async def test_a_copy_is_called_as_the_person_says(world: World) -> None:
    await shared(world)
    world.put(BOB, "courses/2026/.keep", "")
    assert await world.portal.copies.save(BOB, "tides", "home", "/courses/2026/mine/") == "courses/2026/mine"
    assert await world.portal.copies.save(BOB, "tides", "home", "courses/2026/mine") == "courses/2026/mine-2"
    assert (world.homes / "bob" / "courses" / "2026" / "mine" / "data" / "deep" / "a.csv").exists()


@pytest.mark.parametrize(
    ("folder", "refusal"),
    [("none/x", NotFound), ("../ada/x", Invalid), ("a/../../x", Invalid), (".hidden", Invalid), ("a\0", Invalid)],
)
async def test_a_folder_that_is_not_theirs_is_refused(world: World, folder: str, refusal: type[Exception]) -> None:
    await shared(world)
    with pytest.raises(refusal):
        await world.portal.copies.save(BOB, "tides", "home", folder)
    assert files(world.homes) == {}


async def test_copies_are_for_readers_into_stores_of_their_own(world: World) -> None:
    await shared(world)
    with pytest.raises(Forbidden):
        await world.portal.copies.save(EVE, "tides", "home", "")
    with pytest.raises(NotFound):
        await world.portal.copies.save(BOB, "tides", "elsewhere", "")
    with pytest.raises(NotFound):
        await world.portal.copies.save(BOB, "none", "home", "")


async def test_the_copy_is_of_the_current_version(world: World) -> None:
    app = await shared(world)
    await world.published(ADA, "x = 2", slug_of=app.slug)
    await world.portal.copies.save(BOB, "tides", "home", "")
    assert files(world.homes / "bob") == {"tides/lesson.ipynb": notebook("x = 2")}


async def test_a_store_that_can_only_be_read_takes_no_copy(world: World) -> None:
    class Stores(type(world.core.stores)):  # type: ignore[misc]
        def of(self, user: object) -> list[FolderStore]:
            (self.root / "library").mkdir(parents=True, exist_ok=True)
            return [FolderStore("library", "Library", self.root / "library", writable=False)]

    await shared(world)
    world.core.stores = Stores(world.homes)
    with pytest.raises(Forbidden):
        await world.portal.copies.save(BOB, "tides", "library", "")
    assert files(world.homes) == {}


async def test_there_is_an_end_to_copies_of_one_name(world: World) -> None:
    await shared(world)
    for number in range(1, 100):
        world.put(BOB, "tides" + (f"-{number}" if number > 1 else ""), "taken")
    with pytest.raises(Conflict):
        await world.portal.copies.save(BOB, "tides", "home", "")
