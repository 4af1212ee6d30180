"""Requests for access: who asks, who answers, what a yes gives, and that nobody else learns of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, ROOT, World
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, SignInNeeded
from vaas.model import EVERYONE, SIGNED_IN, Access, App, Grant, User, Visitor
from vaas.portal.gallery import Appearance

AS_ADA, AS_BOB, AS_EVE, AS_ROOT = (Visitor(person) for person in (ADA, BOB, EVE, ROOT))


def grants(world: World, app: App) -> list[Grant]:
    return [each for each in world.portal.sharing.grants(AS_ADA, app.slug)[1] if each.subject.startswith("user:")]


async def test_who_may_look_asks_and_one_click_of_the_owner_lets_them_read(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,), title="Tides"), world.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.READ, message=" For my thesis\n\0 ")
    assert (request.message, request.state, request.title) == ("For my thesis", "open", "Tides")
    assert requests.waiting(AS_ADA) == 1 and requests.last_for(AS_BOB, app) == request
    _, (asked,) = requests.look(AS_ADA)
    assert (asked.request, asked.app) == (request, app)
    with pytest.raises(Forbidden):
        world.portal.versions.list(AS_BOB, app.slug)
    world.poked.clear()
    answered = await requests.answer(AS_ADA, request.id, grant=True)
    assert (answered.request.state, answered.request.answered_by) == ("granted", "ada")
    assert world.portal.versions.list(AS_BOB, app.slug)[0] == app
    (given,) = grants(world, app)
    assert (given.subject, given.access, given.granted_by) == ("user:bob", Access.READ, "ada")
    await world.settle()
    assert world.poked, "servers hear of it as they do when it is shared"
    (mine,), _ = requests.look(AS_BOB)
    assert (mine.request.state, mine.app) == ("granted", app)
    assert requests.waiting(AS_ADA) == 0 and requests.last_for(AS_BOB, app) == answered.request


async def test_a_refusal_is_told_and_one_may_ask_again(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.WRITE)
    await requests.answer(AS_ADA, request.id, grant=False)
    assert [each.request.state for each in requests.look(AS_BOB)[0]] == ["refused"] and grants(world, app) == []
    world.clock.forward(seconds=1)
    requests.ask(AS_BOB, app.slug, access=Access.READ)
    assert [each.request.state for each in requests.look(AS_BOB)[0]] == ["open", "refused"]


async def test_one_request_is_open_until_it_is_answered_or_taken_back(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.READ)
    with pytest.raises(Conflict):  # what the owner looks at must not become another request
        requests.ask(AS_BOB, app.slug, access=Access.WRITE)
    for _ in range(2):
        requests.withdraw(AS_BOB, request.id)
    assert requests.look(AS_BOB) == requests.look(AS_ADA) == ([], [])
    with pytest.raises(Conflict):
        await requests.answer(AS_ADA, request.id, grant=True)
    assert grants(world, app) == []
    requests.ask(AS_BOB, app.slug, access=Access.WRITE)


async def test_who_may_publish_and_share_answers_as_well_and_nobody_else_knows_of_it(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    world.people.known |= {name: User(name) for name in ("wim", "rita")}
    as_wim, as_rita = Visitor(User("wim")), Visitor(User("rita"))
    for name, access in (("wim", Access.WRITE), ("rita", Access.READ)):
        await world.portal.sharing.grant(AS_ADA, app.slug, subject=f"user:{name}", access=access)
    request = requests.ask(AS_BOB, app.slug, access=Access.READ, message="SECRET")
    for visitor in (as_rita, AS_EVE, AS_BOB):
        assert "SECRET" not in repr(requests.look(visitor)[1]) and requests.waiting(visitor) == 0
        for request_id in (request.id, "000000000000"):
            with pytest.raises(NotFound) as refused:
                await requests.answer(visitor, request_id, grant=True)
            assert refused.value.message == "There is no such request, or it is not for you to answer."
    for visitor in (as_rita, AS_EVE, AS_ADA, AS_ROOT):
        assert requests.look(visitor)[0] == []
        with pytest.raises(NotFound):
            requests.withdraw(visitor, request.id)
    for attempt in (lambda: requests.look(NOBODY), lambda: requests.withdraw(NOBODY, request.id)):
        with pytest.raises(SignInNeeded):
            attempt()
    assert requests.waiting(NOBODY) == 0
    assert requests.look(AS_ROOT)[1] == [], "admins are not asked, though the policy lets them answer"
    assert [each.request.id for each in requests.look(as_wim)[1]] == [request.id]
    await requests.answer(as_wim, request.id, grant=True)
    assert {each.subject: each.granted_by for each in grants(world, app)}["user:bob"] == "wim"


async def test_an_app_that_one_may_not_see_is_as_good_as_none(world: World) -> None:
    app, requests = await world.published(ADA), world.portal.requests
    said = set()
    for visitor in (AS_BOB, NOBODY):
        for slug in (app.slug, "none"):
            for access in Access:
                with pytest.raises(NotFound) as refused:
                    requests.ask(visitor, slug, access=access, message="x" * 5000)
                said.add(refused.value.message)
    assert len(said) == 1 and requests.look(AS_ADA)[1] == []


async def test_one_asks_for_more_than_one_has(world: World) -> None:
    app, requests = await world.published(ADA, to=(EVERYONE,)), world.portal.requests
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
    for visitor, access in ((AS_BOB, Access.READ), (AS_EVE, Access.VIEW), (AS_ADA, Access.WRITE), (AS_ROOT, 3)):
        with pytest.raises(Invalid):
            requests.ask(visitor, app.slug, access=Access(access))
    with pytest.raises(SignInNeeded):
        requests.ask(NOBODY, app.slug, access=Access.READ)
    with pytest.raises(Invalid, match="1000 characters"):
        requests.ask(AS_EVE, app.slug, access=Access.READ, message="x" * 1001)
    requests.ask(AS_BOB, app.slug, access=Access.WRITE)


async def test_of_an_app_that_one_may_see_no_more_the_kept_title_is_left(world: World) -> None:
    app, requests = await world.published(ADA, title="Tides"), world.portal.requests
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.VIEW)
    request = requests.ask(AS_BOB, app.slug, access=Access.READ)
    world.portal.sharing.revoke(AS_ADA, app.slug, "user:bob")
    world.portal.gallery.edit(AS_ADA, app.slug, Appearance("SECRET"))
    (mine,), _ = requests.look(AS_BOB)
    assert (mine.request.title, mine.app) == ("Tides", None) and "SECRET" not in repr(mine)
    assert requests.look(AS_ADA)[1][0].request == request, "its owner still decides"
    world.portal.gallery.withdraw(AS_ADA, app.slug)
    await world.settle()
    assert requests.look(AS_BOB) == requests.look(AS_ADA) == ([], [])


async def test_a_yes_takes_nothing_away_that_was_given_meanwhile(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.READ)
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
    await requests.answer(AS_ADA, request.id, grant=True)
    assert [each.access for each in grants(world, app)] == [Access.WRITE]


async def test_of_two_answers_the_first_counts(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.READ)
    answers = await asyncio.gather(
        *(requests.answer(AS_ADA, request.id, grant=grant) for grant in (True, False, True)), return_exceptions=True
    )
    states = [each.request.state for each in answers if not isinstance(each, BaseException)]
    assert len(states) == 1 and sum(isinstance(each, Conflict) for each in answers) == 2
    assert len(grants(world, app)) == (states == ["granted"])


async def test_who_lost_the_right_to_share_meanwhile_grants_nothing(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:eve", access=Access.WRITE)
    request = requests.ask(AS_BOB, app.slug, access=Access.READ)
    answering = asyncio.ensure_future(requests.answer(AS_EVE, request.id, grant=True))
    await asyncio.sleep(0)  # it asks the Hub for bob
    world.portal.sharing.revoke(AS_ADA, app.slug, "user:eve")
    with pytest.raises(NotFound):
        await answering
    assert grants(world, app) == [] and requests.last_for(AS_BOB, app) == request


async def test_nobody_is_let_in_whom_the_hub_does_not_know_any_more(world: World) -> None:
    app, requests = await world.published(ADA, to=(SIGNED_IN,)), world.portal.requests
    request = requests.ask(AS_BOB, app.slug, access=Access.READ)
    del world.people.known["bob"]
    with pytest.raises(Invalid, match="bob"):
        await requests.answer(AS_ADA, request.id, grant=True)
    assert grants(world, app) == []
    await requests.answer(AS_ADA, request.id, grant=False)


async def test_there_is_a_limit_to_what_one_waits_for(world: World) -> None:
    world.limit(requests_each=2)
    apps = [await world.published(ADA, to=(SIGNED_IN,)) for _ in range(3)]
    first = world.portal.requests.ask(AS_BOB, apps[0].slug, access=Access.READ)
    world.portal.requests.ask(AS_BOB, apps[1].slug, access=Access.READ)
    with pytest.raises(Conflict, match="2 answers"):
        world.portal.requests.ask(AS_BOB, apps[2].slug, access=Access.READ)
    world.portal.requests.withdraw(AS_BOB, first.id)
    world.portal.requests.ask(AS_BOB, apps[2].slug, access=Access.READ)
