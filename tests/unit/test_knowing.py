"""Whether an app is told who is looking: asked of its owner, said to visitors, carried to servers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, EVE, PUBLIC_URL, World
from tests.unit.test_handlers import client
from vaas import tickets
from vaas.errors import Forbidden, NotFound
from vaas.model import Access, App, ServerName, Visitor
from vaas.portal import Publication
from vaas.portal.opening import draft_server
from vaas.portal.servers import Heartbeat
from vaas.tickets import Ticket

AS_ADA = Visitor(ADA)


async def published(world: World, *, knows: bool | None = None) -> App:
    draft = world.uploaded(ADA)
    app, _ = world.portal.drafts.publish(ADA, draft.id, Publication(title="Waves", knows_visitor=knows))
    for name in ("user:bob", "everyone"):
        await world.portal.sharing.grant(AS_ADA, app.slug, subject=name, access=Access.VIEW)
    await world.settle()
    world.poked.clear()
    return app


async def told(world: World, server: ServerName) -> bool:
    """Return what the server is told twice: when it starts and with each heartbeat."""
    manifest = world.portal.servers.manifest(server, public_url=PUBLIC_URL)["knows_visitor"]
    answer = await world.portal.servers.heartbeat(server, Heartbeat((), 0.0))
    assert answer["knows_visitor"] is manifest
    return bool(manifest)


def ticket_of(world: World, app: App, visitor: Visitor) -> Ticket:
    """Return the ticket as the app's server reads it."""
    server = world.server(app, 1)
    text = world.core.ticket(server, visitor, purpose="visit", access=1, known=app.knows_visitor)
    key = tickets.derive_key(world.core.master_key, server)
    return tickets.verify(text, key=key, purpose="visit", server=server, now=world.core.now().timestamp())


async def test_an_app_knows_nobody_until_somebody_says_so(world: World) -> None:
    app = await published(world)
    assert not app.knows_visitor
    assert not await told(world, world.server(app, 1))
    ticket = ticket_of(world, app, Visitor(BOB))
    assert (ticket.known, ticket.groups, ticket.user) == (False, (), "bob")


async def test_a_ticket_names_the_groups_where_the_app_may_know(world: World) -> None:
    app = await published(world, knows=True)
    assert await told(world, world.server(app, 1))
    ticket = ticket_of(world, app, Visitor(BOB))
    assert (ticket.known, set(ticket.groups)) == (True, set(BOB.groups))
    assert ticket.groups == tuple(sorted(ticket.groups))
    assert ticket_of(world, app, Visitor()).groups == ()


async def test_the_door_hands_out_such_tickets(world: World) -> None:
    app = await published(world, knows=True)
    server = world.server(app, 1)
    await world.core.backend.start(server)
    went = await world.portal.opening.begin(Visitor(BOB), app.slug)
    key = tickets.derive_key(world.core.master_key, server)
    ticket = tickets.verify(went.ticket, key=key, purpose="visit", server=server, now=world.core.now().timestamp())
    assert (ticket.known, set(ticket.groups)) == (True, set(BOB.groups))
    assert "bob" not in went.action


async def test_writers_change_it_and_its_servers_hear_of_it(world: World) -> None:
    app = await published(world)
    for visitor, error in ((Visitor(BOB), Forbidden), (Visitor(EVE), Forbidden)):
        with pytest.raises(error):
            world.portal.gallery.introduce(visitor, app.slug, knows_visitor=True)
    with pytest.raises(NotFound):
        world.portal.gallery.introduce(AS_ADA, "no-such-app", knows_visitor=True)
    for knows in (True, False):
        assert world.portal.gallery.introduce(AS_ADA, app.slug, knows_visitor=knows).knows_visitor is knows
        await world.settle()
        assert world.poked == [world.server(app, 1)]
        world.poked.clear()
        assert await told(world, world.server(app, 1)) is knows


async def test_a_new_version_and_its_preview_leave_it_as_it_is(world: World) -> None:
    app = await published(world, knows=True)
    draft = world.portal.drafts.begin_upload(ADA, {"lesson.ipynb": notebook("x = 2")}, slug=app.slug)
    assert await told(world, draft_server(draft))
    world.report(draft)
    app, _ = world.portal.drafts.publish(ADA, draft.id, Publication())
    assert app.knows_visitor


async def test_a_draft_of_a_new_app_knows_nobody(world: World) -> None:
    assert not await told(world, draft_server(world.uploaded(ADA)))


class TestRest:
    """The same over HTTP."""

    async def test_it_is_set_when_it_is_published_and_by_a_patch(self, world: World, site: str) -> None:
        files = {"lesson.ipynb": base64.b64encode(notebook("x = 1")).decode()}
        async with client(site, "ada") as ada:
            draft = (await ada.post("api/uploads", json={"files": files})).json()
            world.report(world.portal.drafts.get(ADA, draft["id"]))
            app = (await ada.post(f"api/drafts/{draft['id']}/publish", json={"knows_visitor": True})).json()
            assert app["knows_visitor"] is True
            address = f"api/apps/{app['slug']}"
            assert (await ada.patch(address, json={"knows_visitor": False})).json()["knows_visitor"] is False
            assert (await ada.patch(address, json={"title": "Other"})).json()["knows_visitor"] is False
            for wrong in ("yes", 1, []):
                refused = await ada.patch(address, json={"knows_visitor": wrong})
                assert (refused.status_code, refused.json()["error"]["kind"]) == (400, "Invalid")

    async def test_visitors_may_read_it_and_not_change_it(self, world: World, site: str) -> None:
        app = await published(world, knows=True)
        async with client(site, "bob") as bob:
            assert (await bob.get(f"api/apps/{app.slug}")).json()["knows_visitor"] is True
            assert (await bob.patch(f"api/apps/{app.slug}", json={"knows_visitor": False})).status_code == 403
            form = {"do": "introduce", "knows": ""}
            assert (await bob.post(f"apps/{app.slug}/settings", data=form)).status_code == 403
        assert world.portal.gallery.app(AS_ADA, app.slug).app.knows_visitor

    @pytest.mark.parametrize(("form", "knows"), [({"knows": "1"}, True), ({}, False)])
    async def test_the_forms_have_a_box_for_it(
        self, world: World, site: str, form: dict[str, Any], knows: bool
    ) -> None:
        app, draft = await published(world, knows=not knows), world.uploaded(ADA)
        async with client(site, "ada") as ada:
            done = await ada.post(f"apps/{app.slug}/settings", data={"do": "introduce", **form})
            assert done.status_code == 303
            said = {"title": "Boxes", "slug": "boxes", "audience": "me", **form}
            assert (await ada.post(f"drafts/{draft.id}/publish", data=said)).status_code == 303
        assert world.portal.gallery.app(AS_ADA, app.slug).app.knows_visitor is knows
        assert world.portal.gallery.app(AS_ADA, "boxes").app.knows_visitor is knows
