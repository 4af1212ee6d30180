"""Baskets: what is put in stays in, and nobody sees of it more than they may see of its records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World
from tests.searchable import Searchable, searchable
from vaas.catalogs.base import Record
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, SignInNeeded
from vaas.model import EVERYONE, SIGNED_IN, Access, Visitor
from vaas.portal.baskets import Look

AS_ADA, AS_BOB, AS_EVE, AS_ROOT = (Visitor(person) for person in (ADA, BOB, EVE, ROOT))
SEA = "file:p/sea.csv"


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    with searchable(world, tmp_path) as made:
        yield made


def names(look: Look) -> list[tuple[str, str]]:
    return [(held.thing.title, held.state) for held in look.things]


async def test_what_is_put_in_is_there_until_it_is_taken_out(found: Searchable, world: World) -> None:
    baskets = found.portal.baskets
    found.put("sea.csv", "user:ada", title="Sea level", size=12, checksum="sha256:1", format="CSV", owner="ada")
    app = await world.published(ADA, title="Tides")
    found.indexing.catch_up()
    await baskets.add(AS_ADA, "here", SEA)
    world.clock.forward(seconds=1)
    look = await baskets.add(AS_ADA, "here", f"app:{app.id}")
    assert names(look) == [("Tides", "there"), ("Sea level", "there")]
    tides, sea = (held.thing for held in look.things)
    assert (tides.kind, tides.uri, tides.access) == (
        "app",
        f"apps/{app.slug}/",
        {"how": "portal", "via": {"slug": app.slug}},
    )
    assert (sea.kind, sea.uri, sea.size, sea.checksum) == ("file", "files/home/sea.csv", 12, "sha256:1")
    assert sea.access == {"how": "store", "via": {"store": "home", "path": "sea.csv"}}
    assert sea.shown["format"] == "CSV" and sea.shown["owner"] == "ada"
    again = await baskets.add(AS_ADA, "here", SEA)
    assert again.things == look.things, "what is in there stays as and where it is"
    for _ in range(2):
        look = await baskets.remove(AS_ADA, tides.id)
        assert names(look) == [("Sea level", "there")]


async def test_data_have_a_basket_of_their_own_once(found: Searchable) -> None:
    baskets = found.portal.baskets
    found.put("sea.csv", "user:ada", title="Sea level", size=12)
    found.put("tides.csv", "user:ada", title="Sea level")
    held = await baskets.found(AS_ADA, "here", SEA)
    assert (held.thing.title, held.thing.size) == ("Sea level", 12)
    assert (await baskets.look(AS_ADA)).baskets == (), "whoever only looks keeps nothing"
    first = await baskets.alone(AS_ADA, "here", SEA)
    assert (first.basket.name, names(first)) == ("Sea level", [("Sea level", "there")])
    assert (await baskets.alone(AS_ADA, "here", SEA)).basket.id == first.basket.id
    other = await baskets.alone(AS_ADA, "here", "file:p/tides.csv")
    assert other.basket.name == "Sea level (2)" and [each.thing.record for each in other.things] == ["file:p/tides.csv"]
    await baskets.add(AS_ADA, "here", "file:p/tides.csv", basket_id=first.basket.id)
    again = await baskets.alone(AS_ADA, "here", SEA)
    assert again.basket.id not in {first.basket.id, other.basket.id}, "what somebody has put more into is theirs"
    for visitor, error in ((AS_EVE, NotFound), (NOBODY, SignInNeeded)):
        for verb in (baskets.found, baskets.alone):
            with pytest.raises(error):
                await verb(visitor, "here", SEA)


async def test_there_is_always_a_basket_without_a_name(found: Searchable) -> None:
    baskets = found.portal.baskets
    empty = await baskets.look(AS_ADA)
    assert (empty.basket.name, empty.things, empty.baskets) == ("", (), ())
    await baskets.remove(AS_ADA, "none")
    found.put("sea.csv", SIGNED_IN)
    first = (await baskets.add(AS_ADA, "here", SEA)).basket
    named = (await baskets.rename(AS_ADA, " Oceans  of data ")).basket
    assert (named.id, named.name) == (first.id, "Oceans of data")
    assert (await baskets.look(AS_ADA)).things == ()
    other = await baskets.add(AS_ADA, "here", SEA)
    assert other.basket.id != first.id
    assert [(each.name, count) for each, count in other.baskets] == [("", 1), ("Oceans of data", 1)]
    assert (await baskets.look(AS_BOB)).baskets == ()


async def test_one_can_have_many_each_under_a_name_of_its_own(found: Searchable) -> None:
    baskets = found.portal.baskets
    first = (await baskets.new(AS_ADA, "Sea")).basket
    second = (await baskets.new(AS_ADA, "Air")).basket
    await baskets.new(AS_BOB, "Sea")
    for attempt in (baskets.new(AS_ADA, "Sea"), baskets.rename(AS_ADA, "Sea", basket_id=second.id)):
        with pytest.raises(Conflict) as refused:
            await attempt
        assert refused.value.field == "name" and "Sea" in refused.value.message
    await baskets.rename(AS_ADA, "Sea", basket_id=first.id)
    assert [each.name for each, _ in (await baskets.delete(AS_ADA, second.id)).baskets] == ["Sea"]
    with pytest.raises(NotFound):
        await baskets.look(AS_ADA, second.id)


@pytest.mark.parametrize("name", ["", "  ", "\0\u202e", "x" * 101])
async def test_a_name_is_a_line_that_can_be_read(found: Searchable, name: str) -> None:
    baskets = found.portal.baskets
    for attempt in (baskets.new(AS_ADA, name), baskets.rename(AS_ADA, name)):
        with pytest.raises(Invalid):
            await attempt
    assert (await baskets.look(AS_ADA)).baskets == ()


async def test_of_what_one_may_see_no_more_the_title_is_left_and_nothing_of_what_it_is_now(found: Searchable) -> None:
    baskets = found.portal.baskets
    found.put("sea.csv", "user:ada", "user:bob", title="Sea", summary="old words", size=1, checksum="a")
    await baskets.add(AS_BOB, "here", SEA)
    found.put("sea.csv", "user:ada", title="SECRET title", summary="SECRET", size=4711, checksum="SECRET")
    look = await baskets.look(AS_BOB)
    (held,) = look.things
    assert names(look) == [("Sea", "gone")]
    assert "SECRET" not in repr(look) and "4711" not in repr(look) and "old words" not in repr(look)
    assert (held.thing.uri, held.thing.size, held.thing.access, held.changed) == ("", None, {}, False)
    found.drop("sea.csv")
    assert names(await baskets.look(AS_BOB)) == [("Sea", "gone")]
    found.put("sea.csv", SIGNED_IN, title="Sea, once more", checksum="b")
    (held,) = (await baskets.look(AS_BOB)).things
    assert (held.thing.title, held.state, held.changed) == ("Sea, once more", "there", True)


async def test_while_the_index_is_behind_the_titles_are_still_there(found: Searchable) -> None:
    found.put("sea.csv", "user:ada", title="Sea", summary="words")
    await found.portal.baskets.add(AS_ADA, "here", SEA)
    found.fresh = False
    look = await found.portal.baskets.look(AS_ADA)
    assert names(look) == [("Sea", "unknown")] and "words" not in repr(look)


async def test_what_one_may_not_see_cannot_be_put_in(found: Searchable) -> None:
    found.put("sea.csv", "user:bob")
    said = set()
    for record in (SEA, "file:p/none", "", "\0", "app:x"):
        with pytest.raises(NotFound) as refused:
            await found.portal.baskets.add(AS_ADA, "here", record)
        said.add(refused.value.message)
    assert len(said) == 1
    with pytest.raises(NotFound):
        await found.portal.baskets.add(AS_ADA, "nowhere", SEA)
    found.put("bob", SIGNED_IN, type="person")
    with pytest.raises(Invalid, match="People"):
        await found.portal.baskets.add(AS_ADA, "here", "file:p/bob")
    found.put("all", SIGNED_IN, type="share", details={"basket": "b"})
    with pytest.raises(Invalid, match="A collection"):
        await found.portal.baskets.add(AS_ADA, "here", "file:p/all")
    assert (await found.portal.baskets.look(AS_ADA)).baskets == ()


async def test_anothers_basket_is_as_good_as_none_even_for_an_admin(found: Searchable) -> None:
    baskets = found.portal.baskets
    found.put("sea.csv", SIGNED_IN)
    mine = (await baskets.new(AS_ADA, "Sea")).basket.id
    (held,) = (await baskets.add(AS_ADA, "here", SEA, basket_id=mine)).things
    for visitor in (AS_BOB, AS_ROOT):
        for basket in (mine, "000000000000"):
            for attempt in (
                baskets.look(visitor, basket),
                baskets.add(visitor, "here", SEA, basket_id=basket),
                baskets.remove(visitor, held.thing.id, basket_id=basket),
                baskets.rename(visitor, "Mine", basket_id=basket),
                baskets.share(visitor, basket, ["user:bob"]),
                baskets.delete(visitor, basket),
            ):
                with pytest.raises(NotFound) as refused:
                    await attempt
                assert refused.value.message == "There is no such basket, or it is not shared with you."
    await baskets.remove(AS_BOB, held.thing.id)
    assert names(await baskets.look(AS_ADA, mine)) == [("sea.csv", "there")]


async def test_nobody_in_particular_has_no_basket(found: Searchable) -> None:
    baskets = found.portal.baskets
    for attempt in (baskets.look(NOBODY), baskets.add(NOBODY, "here", SEA), baskets.new(NOBODY, "x")):
        with pytest.raises(SignInNeeded):
            await attempt


class TestCollections:
    """A basket that is shared."""

    async def shared(self, found: Searchable, *subjects: str) -> str:
        basket = (await found.portal.baskets.new(AS_ADA, "For all")).basket.id
        for name, readers in (("a", ("user:ada",)), ("b", ("user:ada", "group:physics")), ("c", (SIGNED_IN,))):
            found.put(name, *readers, title=f"Title {name}")
            await found.portal.baskets.add(AS_ADA, "here", f"file:p/{name}", basket_id=basket)
            found.world.clock.forward(seconds=1)
        await found.portal.baskets.share(AS_ADA, basket, subjects)
        return basket

    async def test_each_sees_of_it_what_they_may_see_themselves_and_how_much_there_is_more(
        self, found: Searchable
    ) -> None:
        basket = await self.shared(found, SIGNED_IN)
        for visitor, titles in ((AS_ADA, "cba"), (AS_BOB, "cb"), (AS_EVE, "c")):
            look = await found.portal.baskets.look(visitor, basket)
            assert names(look) == [(f"Title {name}", "there") for name in titles]
            assert (look.count, look.hidden) == (3, 3 - len(titles))
            assert [(each.name, each.owner, count) for each, count in look.baskets] == [("For all", "ada", 3)]
        found.put("c", "user:ada", title="SECRET")
        look = await found.portal.baskets.look(AS_EVE, basket)
        assert look.things == () and look.hidden == 3 and "SECRET" not in repr(look) and "Title" not in repr(look)
        assert look.basket.shared_with == look.baskets[0][0].shared_with == (), "who else sees it is its owner's alone"

    async def test_those_it_is_shared_with_read_it_and_change_nothing(self, found: Searchable) -> None:
        baskets, basket = found.portal.baskets, await self.shared(found, "group:physics")
        thing = (await baskets.look(AS_BOB, basket)).things[0].thing.id
        for attempt in (
            baskets.add(AS_BOB, "here", "file:p/c", basket_id=basket),
            baskets.remove(AS_BOB, thing, basket_id=basket),
            baskets.rename(AS_BOB, "Mine", basket_id=basket),
            baskets.share(AS_BOB, basket, [SIGNED_IN]),
            baskets.delete(AS_BOB, basket),
        ):
            with pytest.raises(Forbidden, match="collection of ada"):
                await attempt
        with pytest.raises(NotFound):
            await baskets.look(AS_EVE, basket)
        assert (await baskets.look(AS_EVE)).baskets == ()

    async def test_what_is_not_shared_any_more_is_not_there(self, found: Searchable) -> None:
        baskets, basket = found.portal.baskets, await self.shared(found, "user:bob", "user:eve")
        for subjects in (["user:eve"], ["user:eve"]):
            look = await baskets.share(AS_ADA, basket, subjects)
            assert look.basket.shared_with == ("user:eve",)
        with pytest.raises(NotFound):
            await baskets.look(AS_BOB, basket)
        await baskets.delete(AS_ADA, basket)
        with pytest.raises(NotFound):
            await baskets.look(AS_EVE, basket)

    @pytest.mark.parametrize(
        "subject", [EVERYONE, "link:l1", "user:", "nobody", "", "user:nobody", "group:none", "a\0"]
    )
    async def test_one_shares_with_people_and_groups_that_there_are(self, found: Searchable, subject: str) -> None:
        basket = await self.shared(found, "user:bob")
        with pytest.raises(Invalid):
            await found.portal.baskets.share(AS_ADA, basket, ["user:eve", subject])
        assert (await found.portal.baskets.look(AS_ADA, basket)).basket.shared_with == ("user:bob",)

    async def test_a_bare_name_is_that_of_a_person_or_a_group(self, found: Searchable) -> None:
        basket = await self.shared(found, "bob", "physics", "user:bob")
        look = await found.portal.baskets.look(AS_ADA, basket)
        assert look.basket.shared_with == ("group:physics", "user:bob")
        with pytest.raises(Invalid, match="“nobody” is neither a person nor a group.*user:emil"):
            await found.portal.baskets.share(AS_ADA, basket, ["bob", "nobody"])

    async def test_the_basket_without_a_name_is_nobodys_but_ones_own(self, found: Searchable) -> None:
        found.put("c", SIGNED_IN)
        current = (await found.portal.baskets.add(AS_ADA, "here", "file:p/c")).basket.id
        for basket in ("", current):
            with pytest.raises(Invalid, match="name"):
                await found.portal.baskets.share(AS_ADA, basket, ["user:bob"])


async def test_an_apps_end_of_access_is_seen_in_the_basket(found: Searchable, world: World) -> None:
    app = await world.published(ADA, title="Tides")
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.VIEW)
    found.indexing.catch_up()
    await found.portal.baskets.add(AS_BOB, "here", f"app:{app.id}")
    found.portal.sharing.revoke(AS_ADA, app.slug, "user:bob")
    found.indexing.catch_up()
    assert names(await found.portal.baskets.look(AS_BOB)) == [("Tides", "gone")]


async def test_things_from_elsewhere_are_kept_as_they_were_and_nobody_is_asked_again(found: Searchable) -> None:
    work = Record("1", "data", "Ocean heat", catalog="lies", url="https://e.org/1", size=5, details={"doi": "10.1/x"})
    found.elsewhere.kept = {"1": work, "2": replace(work, id="2", title="Page", details={"doi": 3, "checksum": ["x"]})}
    baskets = found.portal.baskets
    basket = (await baskets.new(AS_ADA, "Heat")).basket.id
    for number in "12":
        await baskets.add(AS_ADA, "elsewhere", number, basket_id=basket)
        found.world.clock.forward(seconds=1)
    await baskets.share(AS_ADA, basket, ["user:bob"])
    asked, found.elsewhere.kept = found.elsewhere.asked, {}
    look = await baskets.look(AS_BOB, basket)
    page, heat = (held.thing for held in look.things)
    assert (heat.kind, heat.catalog, heat.uri, heat.size) == ("doi", "elsewhere", "https://e.org/1", 5)
    assert heat.access == {"how": "http", "via": {"url": "https://e.org/1", "doi": "10.1/x"}}
    assert (page.kind, page.checksum, page.access["via"]) == ("url", "", {"url": "https://e.org/1"})
    assert found.elsewhere.asked == asked and look.hidden == 0


async def test_there_is_a_limit_to_everything_and_it_is_said(found: Searchable, world: World) -> None:
    world.limit(basket_things=2, baskets_each=2, basket_subjects=2)
    baskets = found.portal.baskets
    for name in "abc":
        found.put(name, SIGNED_IN)
    for name in "ab":
        await baskets.add(AS_ADA, "here", f"file:p/{name}")
    with pytest.raises(Conflict, match="2 things"):
        await baskets.add(AS_ADA, "here", "file:p/c")
    await baskets.add(AS_ADA, "here", "file:p/a")  # which is in there
    one = (await baskets.rename(AS_ADA, "One")).basket.id
    await baskets.new(AS_ADA, "Two")
    for attempt in (baskets.new(AS_ADA, "Three"), baskets.rename(AS_ADA, "Three")):
        with pytest.raises(Conflict, match="2 baskets"):
            await attempt
    with pytest.raises(Invalid, match="2 people"):
        await baskets.share(AS_ADA, one, ["user:bob", "user:eve", "group:physics"])
    long = found.put("x" * 5000, SIGNED_IN)
    with pytest.raises(Invalid, match="long"):
        await baskets.add(AS_BOB, "here", long.id)


async def test_what_records_say_is_bounded_and_clean(found: Searchable) -> None:
    words = "\u202e\0<b>" + "é" * 10_000
    found.put(
        "x", SIGNED_IN, title=words, summary=words, owner=words, licence=words, tags=(words,) * 50, checksum=words
    )
    (held,) = (await found.portal.baskets.add(AS_ADA, "here", "file:p/x")).things
    assert len(repr(held)) < 10_000 and "\\u202e" not in repr(held) and "\u202e" not in repr(held)
    assert held.thing.title.startswith("<b>é") and len(held.thing.title) <= 300
