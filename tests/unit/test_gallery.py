"""The gallery: who finds what, and changing how an app presents itself, whose it is, and whether it is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub_service import demo_content
from hub_service.settings import ROOT as ROOT_FOLDER
from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World
from vaas.db.base import Query
from vaas.errors import Forbidden, Invalid, NotFound, SignInNeeded, TooLarge
from vaas.model import EVERYONE, SIGNED_IN, Access, User, Visitor
from vaas.portal import Publication
from vaas.portal.gallery import Appearance, clean_tags, picture_type

AS_ADA, AS_BOB, AS_EVE, AS_ROOT = Visitor(ADA), Visitor(BOB), Visitor(EVE), Visitor(ROOT)
EXAMPLES = ROOT_FOLDER / "dashboards" / "examples"
PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/webp": b"RIFF\0\0\0\0WEBPVP8 ",
    "image/gif": b"GIF89a",
}


def listed(world: World, visitor: Visitor, query: Query | None = None) -> list[tuple[str, str, str]]:
    return sorted((x.app.title, x.access, x.why) for x in world.portal.gallery.apps(visitor, query or Query()))


class TestFinding:
    """What is in whose list."""

    async def test_everybody_finds_what_they_may_see_with_the_reason(self, world: World) -> None:
        for title, to in (("Mine", ()), ("All", (EVERYONE,)), ("In", (SIGNED_IN,)), ("Bob", ("user:bob", EVERYONE))):
            await world.published(ADA, f"'{title}'", title=title, to=to)
        await world.published(ADA, "'g'", title="Group", to=("group:physics", SIGNED_IN))
        assert listed(world, NOBODY) == [("All", "view", "Public"), ("Bob", "view", "Public")]
        assert listed(world, AS_EVE) == [
            ("All", "view", "Public"),
            ("Bob", "view", "Public"),
            ("Group", "view", "Everyone here"),
            ("In", "view", "Everyone here"),
        ]
        assert ("Bob", "view", "Shared with you") in listed(world, AS_BOB)
        assert ("Group", "view", "Shared with physics") in listed(world, AS_BOB)
        assert {(access, why) for _, access, why in listed(world, AS_ADA)} == {("owner", "Yours")}
        assert ("Mine", "owner", "As admin") in listed(world, AS_ROOT)
        assert len(listed(world, AS_ROOT)) == 5

    async def test_what_came_by_link_is_in_the_list_for_as_long_as_the_link_works(self, world: World) -> None:
        app = await world.published(ADA)
        link = world.portal.sharing.make_link(AS_ADA, app.slug, days=1)
        comer = Visitor(EVE, frozenset({link.id}))
        assert [why for *_, why in listed(world, comer)] == ["By link"]
        await world.portal.sharing.grant(AS_ADA, app.slug, subject=EVERYONE, access=Access.VIEW)
        world.clock.forward(days=2)
        assert [why for *_, why in listed(world, comer)] == ["Public"]

    async def test_a_hidden_app_is_the_same_as_none(self, world: World) -> None:
        app = await world.published(ADA)
        for visitor in (AS_EVE, NOBODY):
            said = set()
            for slug in (app.slug, "none"):
                for attempt in (world.portal.gallery.app, world.portal.gallery.cover, world.portal.gallery.withdraw):
                    with pytest.raises(NotFound) as refused:
                        attempt(visitor, slug)
                    said.add(refused.value.message)
            assert len(said) == 1


class TestEditing:
    """How an app presents itself."""

    async def test_writers_change_it_and_others_do_not(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        change = Appearance(" New ", " Text ", " Earth ", ("a", " a ", "b  c"))
        for visitor, refusal in ((AS_BOB, Forbidden), (NOBODY, SignInNeeded)):
            with pytest.raises(refusal):
                world.portal.gallery.edit(visitor, app.slug, change)
        world.clock.forward(seconds=1)
        edited = world.portal.gallery.edit(AS_ADA, app.slug, change)
        assert (edited.title, edited.description, edited.category, edited.tags) == (
            "New",
            "Text",
            "Earth",
            ("a", "b c"),
        )
        assert (edited.slug, edited.version, edited.owner) == (app.slug, app.version, "ada")
        assert edited.updated > app.updated
        assert world.portal.gallery.app(NOBODY, app.slug).app == edited

    @pytest.mark.parametrize("title", ["", "   ", "x" * 201])
    async def test_a_title_is_needed(self, world: World, title: str) -> None:
        app = await world.published(ADA)
        with pytest.raises(Invalid):
            world.portal.gallery.edit(AS_ADA, app.slug, Appearance(title))
        assert world.portal.gallery.app(AS_ADA, app.slug).app == app

    async def test_the_picture_is_changed_kept_or_refused(self, world: World) -> None:
        app = await world.published(ADA)
        for mime, data in PICTURES.items():
            world.portal.gallery.edit(AS_ADA, app.slug, Appearance("T", cover=data))
            world.portal.gallery.edit(AS_ADA, app.slug, Appearance("T"))
            assert world.portal.gallery.cover(AS_ADA, app.slug)[1:] == (data, mime)
        for bad in (b"<svg/>", b"<html>", b"RIFF\0\0\0\0WAVE", b"MZ"):
            with pytest.raises(Invalid):
                world.portal.gallery.edit(AS_ADA, app.slug, Appearance("T", cover=bad))
        world.limit(cover_bytes=10)
        with pytest.raises(TooLarge):
            world.portal.gallery.edit(AS_ADA, app.slug, Appearance("T", cover=PICTURES["image/png"] + b"\0" * 10))

    @pytest.mark.parametrize("data", [b"", b"RIFF", b"GIF", b"\x89PN", b"<?xml"])
    def test_what_is_no_picture_has_no_type(self, data: bytes) -> None:
        assert picture_type(data) == ""

    def test_tags_are_clean_few_and_in_order(self) -> None:
        assert clean_tags(("b", " a\n c ", "b", "", "  ")) == ("b", "a c")
        assert clean_tags(("x" * 50,)) == ("x" * 40,)
        assert len(clean_tags(tuple(map(str, range(30))))) == 20


class TestGivingAndWithdrawing:
    """Whose an app is, and whether it is there."""

    async def test_the_new_owner_has_it_all_and_the_old_one_nothing(self, world: World) -> None:
        app = await world.published(ADA)
        assert (await world.portal.gallery.give(AS_ADA, app.slug, "bob")).owner == "bob"
        assert listed(world, AS_BOB) == [(app.title, "owner", "Yours")]
        with pytest.raises(NotFound):
            world.portal.gallery.app(AS_ADA, app.slug)

    async def test_giving_away_is_for_the_owner_and_admins_to_people_who_are_known(self, world: World) -> None:
        app = await world.published(ADA)
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        with pytest.raises(Forbidden):
            await world.portal.gallery.give(AS_BOB, app.slug, "bob")
        for nobody in ("nobody", "", "app-abcdefghijkl"):
            with pytest.raises(Invalid):
                await world.portal.gallery.give(AS_ADA, app.slug, nobody)
        assert (await world.portal.gallery.give(AS_ROOT, app.slug, "eve")).owner == "eve"

    async def test_what_is_published_while_it_is_given_away_is_not_lost(self, world: World) -> None:
        app = await world.published(ADA, "x = 1")
        draft = world.uploaded(ADA, "x = 2", slug=app.slug)
        giving = asyncio.create_task(world.portal.gallery.give(AS_ADA, app.slug, "bob"))
        await asyncio.sleep(0)
        world.portal.drafts.publish(ADA, draft.id, Publication(title="Second"))
        given = await giving
        assert (given.owner, given.title, given.version) == ("bob", "Second", draft.snapshot.hash)

    async def test_withdrawing_takes_versions_grants_links_and_the_account(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", to=(EVERYONE, "user:bob"))
        await world.published(ADA, "x = 2", slug_of=app.slug)
        link = world.portal.sharing.make_link(AS_ADA, app.slug)
        world.portal.gallery.withdraw(AS_ADA, app.slug)
        await world.settle()
        with world.core.database.begin() as records:
            assert records.apps.by_id(app.id) is None
            assert records.versions.of(app.id) == records.grants.of([app.id]) == records.links.of(app.id) == []
        assert world.machines.forgotten == [f"app-{app.id}"]
        for visitor in (AS_ADA, AS_ROOT, NOBODY, Visitor(links=frozenset({link.id}))):
            assert listed(world, visitor) == []
            with pytest.raises(NotFound):
                world.portal.gallery.app(visitor, app.slug)
        with pytest.raises(NotFound):
            world.portal.servers.manifest(world.server(app, 1), public_url="http://p/services/vaas/")

    async def test_a_withdrawn_address_is_free_for_an_app_with_new_grants(self, world: World) -> None:
        app = await world.published(ADA, "x = 1", slug="tides", to=(EVERYONE,))
        world.portal.gallery.withdraw(AS_ADA, app.slug)
        again = await world.published(BOB, "x = 2", slug="tides")
        assert again.id != app.id and listed(world, NOBODY) == []

    async def test_withdrawing_is_for_the_owner_and_admins(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        for visitor, refusal in ((AS_BOB, Forbidden), (AS_EVE, Forbidden), (NOBODY, SignInNeeded)):
            with pytest.raises(refusal):
                world.portal.gallery.withdraw(visitor, app.slug)
        world.portal.gallery.withdraw(AS_ROOT, app.slug)


class TestDemo:
    """The examples that a new portal shows."""

    async def test_the_examples_are_published_once_and_stay_as_people_left_them(
        self, world: World, tmp_path: Path
    ) -> None:
        demo_content.ensure_demo(world.portal, tmp_path)
        first = {x.app.slug: x.app for x in world.portal.gallery.apps(AS_ROOT, Query())}
        assert set(first) == {path.parent.name for path in EXAMPLES.glob("*/app.json")}
        assert len(first) > 1
        gone, *kept = first
        world.portal.gallery.withdraw(AS_ROOT, gone)
        if kept:
            world.portal.gallery.edit(AS_ROOT, kept[0], Appearance("Mine now"))
        world.clock.forward(hours=1)
        demo_content.ensure_demo(world.portal, tmp_path)
        second = {x.app.slug: x.app.title for x in world.portal.gallery.apps(AS_ROOT, Query())}
        assert second == {slug: first[slug].title for slug in kept} | ({kept[0]: "Mine now"} if kept else {})

    async def test_every_example_can_be_served_and_copied_by_whom_it_is_for(self, world: World, tmp_path: Path) -> None:
        demo_content.ensure_demo(world.portal, tmp_path)
        for found in world.portal.gallery.apps(AS_ROOT, Query()):
            manifest = world.portal.servers.manifest(world.server(found.app, 1), public_url="http://p/services/vaas/")
            names = [file["path"] for file in manifest["files"]]
            assert manifest["notebook"] in names
            assert not {"app.json", "cover.png"} & set(names)
            assert sum(map(len, world.portal.servers.content(world.server(found.app, 1)))) > 1000
            author = User(found.app.owner)
            home = world.portal.core.store(author, "home")
            draft = await world.portal.drafts.begin(author, home.id, found.app.origin_path)
            assert draft.app_id == found.app.id

    async def test_an_example_never_overwrites_what_lies_in_a_home(self, world: World, tmp_path: Path) -> None:
        for path in EXAMPLES.glob("*/app.json"):
            mine = tmp_path / "homes" / "ada" / "examples" / path.parent.name / "mine.txt"
            mine.parent.mkdir(parents=True)
            mine.write_text("mine")
        demo_content.ensure_demo(world.portal, tmp_path)
        for folder in (tmp_path / "homes" / "ada" / "examples").iterdir():
            if (folder / "mine.txt").exists():
                assert (folder / "mine.txt").read_text() == "mine"
