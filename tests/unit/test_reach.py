"""What apps may reach: asked by owners, bounded by the site, told to servers; in the portal and over REST."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from hub_service.handlers.reach import network_in_json, shown, wanted
from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, EVE, PUBLIC_URL, World
from tests.unit.test_handlers import client
from vaas.errors import Forbidden, Invalid, NotFound
from vaas.model import Access, App, Draft, ServerName, Visitor
from vaas.network import ALL
from vaas.portal import Publication
from vaas.portal.opening import draft_server
from vaas.portal.servers import Heartbeat

AS_ADA = Visitor(ADA)
LESSON = {"lesson.ipynb": notebook("x = 1")}


def upload(world: World, **said: Any) -> Draft:
    draft = world.portal.drafts.begin_upload(ADA, LESSON, **said)
    world.report(draft)
    return draft


async def published(world: World, *network: str) -> App:
    app, _ = world.portal.drafts.publish(ADA, upload(world, network=network).id, Publication(title="Waves"))
    await world.settle()
    world.poked.clear()
    return app


async def told(world: World, server: ServerName) -> list[str]:
    """Return what the server is told twice: when it starts and with each heartbeat."""
    manifest = world.portal.servers.manifest(server, public_url=PUBLIC_URL)["network"]
    answer = await world.portal.servers.heartbeat(server, Heartbeat((), 0.0))
    assert answer["network"] == manifest
    return list(manifest)


async def test_an_app_reaches_nothing_until_somebody_says_so(world: World) -> None:
    draft = world.uploaded(ADA)
    assert draft.network == () and await told(world, draft_server(draft)) == []
    app = await world.published(ADA)
    assert app.network == () and await told(world, world.server(app, 1)) == []


async def test_what_the_check_may_reach_is_what_the_app_may_reach(world: World) -> None:
    draft = upload(world, network=("a.org",))
    assert await told(world, draft_server(draft)) == ["a.org"]
    app, _ = world.portal.drafts.publish(ADA, draft.id, Publication())
    assert app.network == ("a.org",)
    assert await told(world, world.server(app, 1)) == ["a.org"]


async def test_a_new_version_begins_with_what_its_app_may_reach(world: World) -> None:
    app = await published(world, "a.org")
    again = upload(world, slug=app.slug)
    assert again.network == ("a.org",)
    other = upload(world, slug=app.slug, network=())
    assert other.network == ()
    app, _ = world.portal.drafts.publish(ADA, other.id, Publication())
    assert app.network == ()


async def test_a_check_is_run_again_with_more_in_reach(world: World) -> None:
    draft = upload(world)
    again = world.portal.drafts.check_again(ADA, draft.id, network=("a.org",))
    assert (again.network, again.state, again.snapshot) == (("a.org",), "waiting", draft.snapshot)
    await world.settle()
    assert world.portal.drafts.check_again(ADA, draft.id).network == ("a.org",)
    with pytest.raises(NotFound):
        world.portal.drafts.check_again(BOB, draft.id, network=ALL)


async def test_writers_change_it_and_all_its_servers_hear_of_it(world: World) -> None:
    app = await published(world)
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:eve", access=Access.READ)
    await world.settle()
    world.poked.clear()
    with pytest.raises(Forbidden):
        world.portal.gallery.reach(Visitor(EVE), app.slug, ALL)
    assert world.portal.gallery.reach(Visitor(BOB), app.slug, ("a.org", "b.org:5432")).network == (
        "a.org",
        "b.org:5432",
    )
    await world.settle()
    assert world.poked == [world.server(app, 1)]
    assert await told(world, world.server(app, 1)) == ["a.org", "b.org:5432"]


async def test_a_site_lets_through_no_more_than_it_says(world: World) -> None:
    app = await published(world, "*")
    draft = upload(world, slug=app.slug, network=("*.b.org",))
    for site, of_app, of_draft in (
        (ALL, ["*"], ["*.b.org"]),
        (("a.org", "x.b.org"), ["a.org", "x.b.org"], ["x.b.org"]),
        ((), [], []),
    ):
        world.core.network = site
        assert await told(world, world.server(app, 1)) == of_app
        assert await told(world, draft_server(draft)) == of_draft
    assert world.portal.gallery.app(AS_ADA, app.slug).app.network == ALL  # what was asked for is kept


async def test_only_hosts_that_the_site_names_may_be_private(world: World) -> None:
    app = await published(world, "db.internal")
    for site in (ALL, (), ("db.internal",)):
        world.core.network = site
        sent = world.portal.servers.manifest(world.server(app, 1), public_url=PUBLIC_URL)
        assert sent["network_trusted"] == ([] if site == ALL else list(site))


@pytest.mark.parametrize("network", [("b.org",), ("a.org", "b.org")])
async def test_what_the_site_closes_cannot_be_asked_for(world: World, network: tuple[str, ...]) -> None:
    app = await published(world)
    world.core.network = ("a.org",)
    for ask in (
        lambda: world.portal.gallery.reach(AS_ADA, app.slug, network),
        lambda: world.portal.drafts.begin_upload(ADA, LESSON, network=network),
        lambda: world.portal.drafts.check_again(ADA, upload(world).id, network=network),
    ):
        with pytest.raises(Invalid, match="This site lets no app reach b.org") as refused:
            ask()
        assert refused.value.field == "network"
    assert world.portal.gallery.reach(AS_ADA, app.slug, ALL).network == ALL


async def test_whoever_may_not_change_an_app_learns_nothing_of_hosts(world: World) -> None:
    app = await published(world)
    world.core.network = ()
    with pytest.raises(NotFound):
        world.portal.gallery.reach(Visitor(EVE), app.slug, ("closed.org",))


async def test_the_check_tells_which_hosts_would_have_to_be_allowed(world: World) -> None:
    draft = upload(world, network=("a.org", "c.org:5432"))
    said = [("a.org", "connects"), ("b.org", "connects"), ("b.org", "connects"), ("tiles.org", "in the page")]
    said += [("c.org", "connects"), ("192.0.2.1", "connects"), ("2001:db8::1", "connects")]
    said += [("", "connects"), ("<b>", "connects"), ("all", "connects"), ("x.org y.org", "connects")]
    draft = replace(draft, report={"addresses": [{"host": host, "how": how} for host, how in said]})
    found = wanted(draft, site=ALL)
    assert found["hosts"] == ["b.org", "192.0.2.1", "2001:db8::1"]
    assert (found["closed"], found["asked"]) == ([], "a.org c.org:5432")
    assert found["network"] == "a.org c.org:5432 b.org 192.0.2.1 [2001:db8::1]"
    narrow = wanted(draft, site=("a.org", "c.org", "b.org:443"))
    assert (narrow["hosts"], narrow["closed"]) == (["b.org"], ["192.0.2.1", "2001:db8::1"])
    assert wanted(replace(draft, network=ALL), site=ALL)["hosts"] == []
    everything = wanted(replace(draft, network=ALL), site=("a.org",))
    assert (everything["hosts"], everything["network"]) == ([], "all")
    assert "b.org" in everything["closed"]


def test_the_fields_show_what_was_asked_for() -> None:
    assert shown((), site=ALL)["choice"] == "none"
    assert shown(ALL, site=("a.org",)) == {
        "network": ALL,
        "choice": "all",
        "hosts": "",
        "site": ("a.org",),
        "left": ("a.org",),
    }
    assert shown(("a.org", "b.org"), site=ALL)["hosts"] == "a.org\nb.org"


@pytest.mark.parametrize("said", [3, True, {}, ["a.org", 3], {"hosts": []}])
def test_a_network_of_another_kind_is_refused(said: object) -> None:
    with pytest.raises(Invalid, match="network"):
        network_in_json({"network": said})


def test_a_network_in_json_is_a_text_or_a_list() -> None:
    assert network_in_json({}) is network_in_json({"network": None}) is None
    assert network_in_json({"network": ""}) == network_in_json({"network": []}) == ()
    assert network_in_json({"network": "a.org, b.org"}) == network_in_json({"network": ["a.org", "B.org"]})
    assert network_in_json({"network": ["*"]}) == network_in_json({"network": "all"}) == ALL


class TestRest:
    """The same over HTTP."""

    async def test_it_is_set_with_an_upload_and_changed_by_a_patch(self, world: World, site: str) -> None:
        files = {name: base64.b64encode(data).decode() for name, data in LESSON.items()}
        async with client(site, "ada") as ada:
            draft = (await ada.post("api/uploads", json={"files": files, "network": "a.org"})).json()
            assert draft["network"] == ["a.org"]
            world.report(world.portal.drafts.get(ADA, draft["id"]))
            app = (await ada.post(f"api/drafts/{draft['id']}/publish", json={})).json()
            assert app["network"] == ["a.org"]
            address = f"api/apps/{app['slug']}"
            for said, kept in (("none", []), (["b.org:1"], ["b.org:1"]), ("all", ["*"])):
                changed = await ada.patch(address, json={"network": said})
                assert changed.json()["network"] == kept == (await ada.get(address)).json()["network"]
            refused = await ada.patch(address, json={"network": "http://a.org/"})
            assert (refused.status_code, refused.json()["error"]["kind"]) == (400, "Invalid")
            assert "Write only a.org" in refused.json()["error"]["message"]
        world.put(ADA, "l.ipynb", LESSON["lesson.ipynb"])
        async with client(site, "ada") as ada:
            begun = await ada.post("api/drafts", json={"store": "home", "path": "l.ipynb", "network": ["c.org"]})
            assert begun.json()["network"] == ["c.org"]

    async def test_what_an_app_may_reach_is_told_to_its_writers_alone(self, world: World, site: str) -> None:
        app = await published(world, "db.internal")
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
        async with client(site, "bob") as bob:
            assert "network" not in (await bob.get(f"api/apps/{app.slug}")).json()
            assert "db.internal" not in (await bob.get("api/apps")).text
            assert (await bob.patch(f"api/apps/{app.slug}", json={"network": "all"})).status_code == 403
            assert (
                await bob.post(f"apps/{app.slug}/settings", data={"do": "reach", "reach": "all"})
            ).status_code == 403
        assert world.portal.gallery.app(AS_ADA, app.slug).app.network == ("db.internal",)

    @pytest.mark.parametrize(
        ("form", "network"),
        [
            ({"reach": "none", "hosts": "a.org"}, ()),
            ({"reach": "all", "hosts": "a.org"}, ALL),
            ({"reach": "hosts", "hosts": "a.org\r\nb.org"}, ("a.org", "b.org")),
            ({"network": "a.org"}, ("a.org",)),
            ({"network": "none"}, ()),
            ({}, ("before.org",)),
        ],
    )
    async def test_the_forms_choose_in_words(
        self, world: World, site: str, form: dict[str, str], network: tuple[str, ...]
    ) -> None:
        app, draft = await published(world, "before.org"), upload(world, network=("before.org",))
        async with client(site, "ada") as ada:
            assert (await ada.post(f"apps/{app.slug}/settings", data={"do": "reach", **form})).status_code == 303
            assert (await ada.post(f"drafts/{draft.id}/check", data={"x": "1", **form})).status_code == 303
        assert world.portal.gallery.app(AS_ADA, app.slug).app.network == network
        assert world.portal.drafts.get(ADA, draft.id).network == network
