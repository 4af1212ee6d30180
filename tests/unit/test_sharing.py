"""Sharing: grants and links, who may give them, and that a link which does not work says nothing."""

from __future__ import annotations

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World
from vaas.errors import Forbidden, Invalid, NotFound, SignInNeeded
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Visitor
from vaas.portal.sharing import check_subject

AS_ADA, AS_BOB, AS_EVE = Visitor(ADA), Visitor(BOB), Visitor(EVE)


def sees(world: World, visitor: Visitor, app: App) -> bool:
    try:
        world.portal.gallery.app(visitor, app.slug)
    except NotFound:
        return False
    return True


@pytest.mark.parametrize(
    "subject", [EVERYONE, SIGNED_IN, "user:bob", "group:a b", "user:b@x.org", "group:a:b", "user:é"]
)
def test_a_subject_that_people_can_name(subject: str) -> None:
    assert check_subject(subject) == subject


@pytest.mark.parametrize(
    "subject",
    ["", "bob", "user:", "group:", "user: bob", "link:l1", "Everyone", "everyone ", "user:a\nb", "user:\0", "x" * 400]
    + ["user:" + "x" * 300, "owner:ada", ":bob", "user::bob"],
)
def test_a_subject_that_people_cannot_name(subject: str) -> None:
    with pytest.raises(Invalid):
        check_subject(subject)


class TestGrants:
    """Who may do what."""

    @pytest.mark.parametrize("subject", ["user:bob", "group:physics", SIGNED_IN, EVERYONE])
    async def test_a_grant_lets_in_whom_it_names_until_it_is_revoked(self, world: World, subject: str) -> None:
        app = await world.published(ADA)
        assert not sees(world, AS_BOB, app)
        await world.portal.sharing.grant(AS_ADA, app.slug, subject=subject, access=Access.VIEW)
        assert sees(world, AS_BOB, app)
        assert sees(world, AS_EVE, app) == (subject in {SIGNED_IN, EVERYONE})
        assert sees(world, NOBODY, app) == (subject == EVERYONE)
        world.portal.sharing.revoke(AS_ADA, app.slug, subject)
        world.portal.sharing.revoke(AS_ADA, app.slug, subject)
        assert not sees(world, AS_BOB, app)

    async def test_a_new_grant_takes_the_place_of_the_old(self, world: World) -> None:
        app = await world.published(ADA)
        for access in (Access.WRITE, Access.VIEW):
            await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=access)
        assert world.portal.gallery.app(AS_BOB, app.slug).access == Access.VIEW

    @pytest.mark.parametrize("subject", ["user:nobody", "group:chemists", "user:app-abcdefghijkl"])
    async def test_who_is_not_known_here_gets_nothing(self, world: World, subject: str) -> None:
        app = await world.published(ADA)
        with pytest.raises(Invalid):
            await world.portal.sharing.grant(AS_ADA, app.slug, subject=subject, access=Access.VIEW)
        assert world.portal.gallery.grants(app) == []

    @pytest.mark.parametrize("subject", [EVERYONE, SIGNED_IN])
    async def test_writing_is_for_people_and_groups_by_name(self, world: World, subject: str) -> None:
        app = await world.published(ADA)
        with pytest.raises(Invalid):
            await world.portal.sharing.grant(AS_ADA, app.slug, subject=subject, access=Access.WRITE)
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="group:physics", access=Access.WRITE)
        assert world.portal.gallery.app(AS_BOB, app.slug).access == Access.WRITE

    async def test_sharing_is_for_writers_and_hidden_from_strangers(self, world: World) -> None:
        app = await world.published(ADA, to=("user:bob",))
        sharing = world.portal.sharing
        for visitor, refusal in ((AS_BOB, Forbidden), (AS_EVE, NotFound), (NOBODY, NotFound)):
            with pytest.raises(refusal):
                sharing.grants(visitor, app.slug)
            with pytest.raises(refusal):
                await sharing.grant(visitor, app.slug, subject="user:eve", access=Access.VIEW)
            with pytest.raises(refusal):
                sharing.revoke(visitor, app.slug, "user:bob")
            with pytest.raises(refusal):
                sharing.make_link(visitor, app.slug)
            with pytest.raises(refusal):
                sharing.drop_link(visitor, app.slug, "l1")
        await sharing.grant(AS_ADA, app.slug, subject=EVERYONE, access=Access.VIEW)
        with pytest.raises(SignInNeeded):
            sharing.grants(NOBODY, app.slug)

    async def test_a_stranger_cannot_find_out_who_there_is(self, world: World) -> None:
        app = await world.published(ADA)
        said = set()
        for name in ("bob", "nobody"):
            with pytest.raises(NotFound) as refused:
                await world.portal.sharing.grant(AS_EVE, app.slug, subject=f"user:{name}", access=Access.VIEW)
            said.add(refused.value.message)
        assert len(said) == 1

    async def test_nobody_takes_the_owners_or_an_admins_access_away(self, world: World) -> None:
        app = await world.published(ADA)
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
        world.portal.sharing.revoke(AS_BOB, app.slug, "user:ada")
        assert sees(world, AS_ADA, app) and sees(world, Visitor(ROOT), app)

    async def test_running_servers_are_told_of_each_change(self, world: World) -> None:
        app = await world.published(ADA)
        link = world.portal.sharing.make_link(AS_ADA, app.slug)
        changes = 0
        world.poked.clear()
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.VIEW)
        world.portal.sharing.revoke(AS_ADA, app.slug, "user:bob")
        world.portal.sharing.drop_link(AS_ADA, app.slug, link.id)
        await world.portal.gallery.give(AS_ADA, app.slug, "bob")
        changes = 4
        await world.settle()
        assert world.poked == [world.server(app, 1)] * changes


class TestLinks:
    """Addresses that open an app for whoever has them."""

    async def test_a_link_opens_the_app_it_was_made_for(self, world: World) -> None:
        app, other = await world.published(ADA, "1"), await world.published(ADA, "2", title="Other")
        link = world.portal.sharing.make_link(AS_ADA, app.slug)
        assert len(link.token) == 32 and link.token not in repr(link)
        assert world.portal.sharing.enter(link.token) == (app, link)
        comer = Visitor(links=frozenset({link.id}))
        assert sees(world, comer, app) and not sees(world, comer, other)
        assert world.portal.gallery.app(comer, app.slug).access == Access.VIEW

    async def test_links_that_do_not_work_all_say_the_same(self, world: World) -> None:
        app, gone = await world.published(ADA, "1"), await world.published(ADA, "2", title="Gone")
        sharing = world.portal.sharing
        expired, revoked, ungranted = (sharing.make_link(AS_ADA, app.slug, days=days) for days in (1, 0, 0))
        withdrawn = sharing.make_link(AS_ADA, gone.slug)
        sharing.drop_link(AS_ADA, app.slug, revoked.id)
        sharing.revoke(AS_ADA, app.slug, f"link:{ungranted.id}")
        world.portal.gallery.withdraw(AS_ADA, gone.slug)
        assert sharing.enter(expired.token)
        world.clock.forward(days=1)
        said = set()
        for token in (expired.token, revoked.token, ungranted.token, withdrawn.token, "x" * 32, "", expired.id):
            with pytest.raises(NotFound) as refused:
                sharing.enter(token)
            said.add((refused.value.message, refused.value.log_message))
        assert len(said) == 1

    async def test_a_link_works_until_the_moment_it_expires(self, world: World) -> None:
        app = await world.published(ADA)
        link = world.portal.sharing.make_link(AS_ADA, app.slug, days=7)
        comer = Visitor(links=frozenset({link.id}))
        world.clock.forward(days=7, seconds=-1)
        assert world.portal.sharing.enter(link.token) and sees(world, comer, app)
        world.clock.forward(seconds=1)
        assert not sees(world, comer, app)

    async def test_a_link_whose_grant_is_revoked_is_not_listed_as_if_it_worked(self, world: World) -> None:
        app = await world.published(ADA)
        link = world.portal.sharing.make_link(AS_ADA, app.slug)
        world.portal.sharing.revoke(AS_ADA, app.slug, f"link:{link.id}")
        assert world.portal.sharing.grants(AS_ADA, app.slug)[1:] == ([], [])

    async def test_a_link_of_another_app_cannot_be_dropped(self, world: World) -> None:
        mine, theirs = await world.published(ADA, "1"), await world.published(BOB, "2", title="Theirs")
        link = world.portal.sharing.make_link(AS_BOB, theirs.slug)
        world.portal.sharing.drop_link(AS_ADA, mine.slug, link.id)
        world.portal.sharing.revoke(AS_ADA, mine.slug, f"link:{link.id}")
        assert world.portal.sharing.enter(link.token)[0] == theirs

    @pytest.mark.parametrize("days", [-1, 3651, 10**9])
    async def test_a_link_lasts_ten_years_at_most(self, world: World, days: int) -> None:
        app = await world.published(ADA)
        with pytest.raises(Invalid):
            world.portal.sharing.make_link(AS_ADA, app.slug, days=days)
        with pytest.raises(Invalid):
            world.portal.sharing.make_link(AS_ADA, app.slug, access=Access.WRITE)

    async def test_a_link_that_is_public_as_well_is_still_revoked_by_itself(self, world: World) -> None:
        app = await world.published(ADA, to=(EVERYONE,))
        revoked, expired = (world.portal.sharing.make_link(AS_ADA, app.slug, days=days) for days in (0, 1))
        world.portal.sharing.drop_link(AS_ADA, app.slug, revoked.id)
        world.clock.forward(days=1)
        for link in (revoked, expired):
            with pytest.raises(NotFound):
                world.portal.sharing.enter(link.token)

    async def test_links_are_listed_newest_first_for_writers(self, world: World) -> None:
        app = await world.published(ADA)
        first = world.portal.sharing.make_link(AS_ADA, app.slug)
        world.clock.forward(seconds=1)
        second = world.portal.sharing.make_link(AS_ADA, app.slug, days=1)
        assert world.portal.sharing.grants(AS_ADA, app.slug)[2] == [second, first]
