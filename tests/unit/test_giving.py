"""What a visit gives is kept for its visitor's launch: for a while, some of it, and for them alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.portal_parts import ADA, BOB, World
from tests.unit.test_handlers import client
from vaas import tickets
from vaas.errors import Forbidden, Invalid, NotFound
from vaas.launching import Launch
from vaas.model import EVERYONE, Access, App, ServerName, User, Visitor
from vaas.portal.opening import draft_server

GIVEN = {"query": "a=1", "widgets": [{"module": "m", "model": "M", "name": "n", "at": 0, "values": {"value": 7}}]}


def launch_proof(world: World, server: ServerName, text: str) -> str:
    """Return what a server gets with a ticket, to keep something for the launch of who has it."""
    key, now = tickets.derive_key(world.core.master_key, server), world.core.now().timestamp()
    return tickets.verify(text, key=key, purpose="visit", server=server, now=now).launch


async def came(world: World, app: App, user: User) -> str:
    """Open the app as somebody, and return what its server gets with their ticket."""
    await world.core.backend.start(world.server(app, 1))
    progress = await world.portal.opening.begin(Visitor(user), app.slug)
    return launch_proof(world, world.server(app, 1), progress.ticket)


@pytest.fixture
async def app(world: World) -> App:
    """Return ada's app, which bob may read and everyone may open."""
    app = await world.published(ADA, "x = 1", to=(EVERYONE,))
    await world.portal.sharing.grant(Visitor(ADA), app.slug, subject="user:bob", access=Access.READ)
    return app


async def test_it_is_there_for_who_came_and_for_that_app(world: World, app: App) -> None:
    server, proof = world.server(app, 1), await came(world, app, BOB)
    given = await world.portal.giving.keep(server, proof, {**GIVEN, "more": "x"})
    assert world.portal.giving.of(Visitor(BOB), app.slug, given) == GIVEN
    assert world.portal.giving.of(Visitor(BOB), app.slug, given) == GIVEN
    other = await world.published(BOB, "x = 2", title="Other")
    assert world.portal.giving.of(Visitor(BOB), other.slug, given) == {}
    assert world.portal.giving.of(Visitor(BOB), app.slug, "another") == {}


async def test_it_goes_after_half_an_hour(world: World, app: App) -> None:
    given = await world.portal.giving.keep(world.server(app, 1), await came(world, app, BOB), GIVEN)
    world.clock.forward(seconds=1799)
    assert world.portal.giving.of(Visitor(BOB), app.slug, given) == GIVEN
    world.clock.forward(seconds=2)
    assert world.portal.giving.of(Visitor(BOB), app.slug, given) == {}


async def test_what_went_along_to_a_launch_goes_along_again_by_its_id_to_its_person_and_app_alone(
    world: World, app: App
) -> None:
    now = world.core.now()
    asked = {"app": app.slug, "version": app.version, "given": GIVEN}
    launch = Launch("abcdefghijkl", "bob", "Mine", asked, "apps", "small", "here", now, now)
    with world.core.database.begin() as records:
        records.launches.save(launch)
        records.launches.save(replace(launch, id="mnopqrstuvwx", asked={"app": app.slug}))
    world.clock.forward(seconds=100_000)
    giving, other = world.portal.giving, await world.published(BOB, "x = 2", title="Other")
    assert giving.of(Visitor(BOB), app.slug, launch.id) == GIVEN
    assert giving.of(Visitor(BOB), app.slug, "mnopqrstuvwx") == {}
    assert giving.of(Visitor(ADA), app.slug, launch.id) == giving.of(Visitor(BOB), other.slug, launch.id) == {}


async def test_of_one_person_the_last_five_are_kept_and_nobody_elses_go_for_them(world: World, app: App) -> None:
    server, bobs, adas = world.server(app, 1), await came(world, app, BOB), await came(world, app, ADA)
    own = await world.portal.giving.keep(server, adas, GIVEN)
    many = [await world.portal.giving.keep(server, bobs, GIVEN) for _ in range(7)]
    assert [bool(world.portal.giving.of(Visitor(BOB), app.slug, each)) for each in many] == [False] * 2 + [True] * 5
    assert world.portal.giving.of(Visitor(ADA), app.slug, own) == GIVEN


async def test_nothing_is_not_kept(world: World, app: App) -> None:
    proof = await came(world, app, BOB)
    several: tuple[object, ...] = ({}, None, {"widgets": []}, {"widgets": [{"values": {}}]})
    for nothing in several:
        with pytest.raises(Invalid):
            await world.portal.giving.keep(world.server(app, 1), proof, nothing)


async def test_only_who_may_launch_brings_a_proof(world: World, app: App) -> None:
    await world.core.backend.start(world.server(app, 1))
    for visitor in (Visitor(), Visitor(User("eve"))):
        progress = await world.portal.opening.begin(visitor, app.slug)
        assert progress.phase == "ready"
        assert launch_proof(world, world.server(app, 1), progress.ticket) == ""
    assert await came(world, app, BOB) and await came(world, app, ADA)


async def test_a_drafts_preview_brings_none(world: World) -> None:
    draft = world.uploaded(ADA)
    server = draft_server(draft)
    await world.core.backend.start(server)
    _, text = await world.portal.opening.preview(draft, Visitor(ADA))
    assert launch_proof(world, server, text) == ""


async def test_who_may_not_launch_any_more_keeps_nothing(world: World, app: App) -> None:
    proof = await came(world, app, BOB)
    world.portal.sharing.revoke(Visitor(ADA), app.slug, "user:bob")
    with pytest.raises(Forbidden):
        await world.portal.giving.keep(world.server(app, 1), proof, GIVEN)
    world.portal.gallery.withdraw(Visitor(ADA), app.slug)
    with pytest.raises(NotFound):
        await world.portal.giving.keep(world.server(app, 1), proof, GIVEN)


async def test_an_app_server_hands_it_over(world: World, app: App, site: str) -> None:
    server, proof = world.server(app, 1), await came(world, app, BOB)
    async with client(site, f"{server.account}:server={server.account}/{server.name}") as asks:
        answer = await asks.post("api/runtime/given", json={"proof": proof, "given": GIVEN})
        empty = await asks.post("api/runtime/given", json={"proof": proof, "given": [1]})
    assert (answer.status_code, empty.status_code) == (200, 400)
    assert world.portal.giving.of(Visitor(BOB), app.slug, answer.json()["id"]) == GIVEN
