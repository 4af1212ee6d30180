"""Opening: one door with the policy before it, a server behind it, and a ticket for exactly that server."""

from __future__ import annotations

import asyncio

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, World
from vaas.errors import Forbidden, NotFound, SignInNeeded, VaasError
from vaas.model import EVERYONE, Access, ServerState, Visitor
from vaas.policy import OWNER
from vaas.portal.opening import draft_server
from vaas.tickets import derive_key, verify

AS_ADA, AS_BOB, AS_EVE = Visitor(ADA), Visitor(BOB), Visitor(EVE)


async def test_an_app_that_sleeps_is_woken_and_then_open(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    server = world.server(app, 1)
    first = await world.portal.opening.begin(NOBODY, app.slug)
    assert (first.phase, first.ticket, first.action) == ("starting", "", "")
    await world.settle()
    assert world.machines.starts[-1] == server
    ready = await world.portal.opening.progress(NOBODY, app.slug)
    assert (ready.phase, ready.action) == ("ready", world.machines.url(server) + "visit")


async def test_who_waits_hears_of_the_end_of_a_start_at_once(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    world.machines.go.clear()
    await world.portal.opening.begin(NOBODY, app.slug)
    waiting = asyncio.create_task(world.portal.opening.pause(NOBODY, app.slug, 30))
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    world.machines.go.set()
    await asyncio.wait_for(waiting, 5)
    assert (await world.portal.opening.progress(NOBODY, app.slug)).phase == "ready"


async def test_a_pause_ends_by_itself_and_is_for_those_who_may_open_the_app(world: World) -> None:
    app = await world.published(ADA, to=("user:bob",))
    await asyncio.wait_for(world.portal.opening.pause(AS_BOB, app.slug, 0.01), 5)
    with pytest.raises(NotFound):
        await world.portal.opening.pause(AS_EVE, app.slug, 0.01)


@pytest.mark.parametrize(("visitor", "access"), [(NOBODY, 1), (AS_EVE, 1), (AS_BOB, 2), (AS_ADA, OWNER)])
async def test_the_ticket_says_who_comes_to_which_server_with_what_access(
    world: World, visitor: Visitor, access: int
) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
    server = world.server(app, 1)
    world.machines.phases[server] = "ready"
    comer = Visitor(visitor.user, frozenset({"l2", "l1"}))
    way_in = await world.portal.opening.begin(comer, app.slug)
    again = await world.portal.opening.begin(comer, app.slug)
    now = world.clock().timestamp()
    key = derive_key(world.core.master_key, server)
    ticket, other = (verify(w.ticket, key=key, purpose="visit", server=server, now=now) for w in (way_in, again))
    assert (ticket.user, ticket.links, ticket.access) == (visitor.name, ("l1", "l2"), access)
    assert ticket.expires == now + world.core.limits.ticket_seconds
    assert ticket.nonce != other.nonce
    assert way_in.ticket not in repr(way_in)


async def test_who_may_not_see_it_starts_nothing(world: World) -> None:
    app = await world.published(ADA, to=("user:bob",))
    starts = len(world.machines.starts)
    for visitor in (AS_EVE, NOBODY):
        for attempt in (world.portal.opening.begin, world.portal.opening.progress):
            with pytest.raises(NotFound):
                await attempt(visitor, app.slug)
    await world.settle()
    assert len(world.machines.starts) == starts


async def test_many_who_come_at_once_start_it_once(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    world.machines.go.clear()
    world.machines.starts.clear()
    for _ in range(3):
        await asyncio.gather(*(world.portal.opening.begin(NOBODY, app.slug) for _ in range(20)))
    world.machines.go.set()
    await world.settle()
    assert world.machines.starts == [world.server(app, 1)]


async def test_a_failed_start_stays_failed_until_somebody_begins_anew(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    server = world.server(app, 1)
    world.machines.broken.add(server)
    world.machines.starts.clear()
    await world.portal.opening.begin(NOBODY, app.slug)
    await world.settle()
    for _ in range(3):
        failed = await world.portal.opening.progress(NOBODY, app.slug)
        assert (failed.phase, failed.error) == ("failed", "The app could not be started.")
        await world.settle()
    assert world.machines.starts == [server]
    world.machines.broken.clear()
    assert (await world.portal.opening.begin(NOBODY, app.slug)).phase == "starting"
    await world.settle()
    assert (await world.portal.opening.progress(NOBODY, app.slug)).phase == "ready"


async def test_a_start_that_fails_while_somebody_asks_is_not_tried_again_behind_their_back(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    server = world.server(app, 1)
    world.machines.broken.add(server)
    world.machines.starts.clear()
    world.machines.go.clear()
    await world.portal.opening.begin(NOBODY, app.slug)
    await asyncio.sleep(0)
    slow = asyncio.Event()

    async def state(_server: object) -> ServerState:
        await slow.wait()
        return ServerState("stopped")

    world.machines.state = state  # type: ignore[method-assign]
    asking = asyncio.create_task(world.portal.opening.progress(NOBODY, app.slug))
    await asyncio.sleep(0)
    world.machines.go.set()
    await world.settle()
    slow.set()
    assert (await asking).phase == "failed"
    await world.settle()
    assert world.machines.starts == [server]


async def test_the_log_is_for_writers(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    world.core.log_of = lambda server: f"log of {server.path}"
    world.machines.broken.add(world.server(app, 1))
    await world.portal.opening.begin(NOBODY, app.slug)
    await world.settle()
    assert (await world.portal.opening.progress(NOBODY, app.slug)).detail == ""
    assert (await world.portal.opening.progress(AS_BOB, app.slug)).detail == ""
    log = f"log of {world.server(app, 1).path}"
    detail = (await world.portal.opening.progress(AS_ADA, app.slug)).detail
    assert detail == f"The app could not be started: no more memory.\n{log}"
    assert world.portal.opening.log(AS_ADA, app.slug) == log
    for visitor, refusal in ((AS_BOB, Forbidden), (NOBODY, SignInNeeded)):
        with pytest.raises(refusal):
            world.portal.opening.log(visitor, app.slug)


async def test_new_visitors_come_to_the_current_version_and_after_going_back_to_the_old_one(world: World) -> None:
    first = await world.published(ADA, "x = 1", to=(EVERYONE,))
    second = await world.published(ADA, "x = 2", slug_of=first.slug)
    for number in (1, 2):
        world.machines.phases[world.server(first, number)] = "ready"
    for app, number in ((second, 2), (first, 1)):
        world.portal.versions.roll_back(AS_ADA, first.slug, app.version)
        went = await world.portal.opening.begin(NOBODY, first.slug)
        assert went.action == world.machines.url(world.server(first, number)) + "visit"


async def test_a_draft_is_previewed_when_its_server_is_up(world: World) -> None:
    draft = world.uploaded(ADA)
    await world.settle()
    server = draft_server(draft)
    action, text = await world.portal.opening.preview(draft, AS_ADA)
    assert action == world.machines.url(server) + "visit"
    key, now = derive_key(world.core.master_key, server), world.clock().timestamp()
    assert verify(text, key=key, purpose="visit", server=server, now=now).user == "ada"
    world.machines.phases.clear()
    assert await world.portal.opening.preview(draft, AS_ADA) == ("", "")


@pytest.mark.parametrize("phase", ["starting", "stopping", "stopped", "failed"])
async def test_until_it_is_ready_there_is_a_message_and_no_ticket(world: World, phase: str) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    world.machines.phases[world.server(app, 1)] = phase
    world.machines.go.clear()
    went = await world.portal.opening.begin(NOBODY, app.slug)
    assert (went.phase, went.ticket) == ("starting", "") and went.message
    world.machines.go.set()


async def test_a_start_that_went_wrong_in_the_background_is_a_line_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise VaasError("for people", log_message="for operators")

    world.core.spawn(broken())
    await world.settle()
    await asyncio.sleep(0)
    assert "for operators" in caplog.text


async def test_a_servers_account_leads_back_to_its_app_for_those_who_may_know_of_it(world: World) -> None:
    app = await world.published(ADA, to=("user:bob",))
    assert world.portal.opening.app_of(AS_BOB, f"app-{app.id}") == app
    said = set()
    for visitor, account in ((AS_EVE, f"app-{app.id}"), (NOBODY, f"app-{app.id}"), (AS_BOB, "app-aaaaaaaaaaaa")):
        with pytest.raises(NotFound) as refused:
            world.portal.opening.app_of(visitor, account)
        said.add(refused.value.message)
    assert len(said) == 1
