"""What a visit gives to a launch is its visitor's own, and data: nobody else's, no code, no more than is allowed."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.portal_parts import ADA, BOB, EVE, World
from tests.service.going_on import launch, rerun
from tests.service.visiting import Site, serving
from tests.unit.test_giving import GIVEN, came
from tests.unit.test_handlers import client, site
from vaas import tickets
from vaas.errors import NotFound
from vaas.model import SIGNED_IN, Access, App, ServerName, Visitor
from vaas.tickets import Ticket

__all__ = ["site"]

pytestmark = pytest.mark.attack

# ---- a page, and who asks for it

CELL = """
import ipywidgets
depth = ipywidgets.IntSlider(description="Depth")
box = ipywidgets.VBox([ipywidgets.Text(description="Inside")])
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return an app in which everybody has a kernel of their own."""
    async with serving(tmp_path_factory.mktemp("given"), CELL, limits={"ahead": 0}) as found:
        yield found


@pytest.mark.app
@pytest.mark.asyncio(loop_scope="module")
async def test_who_may_only_look_gives_nothing(running: Site) -> None:
    for user, access in (("eve", 1), ("", 2), ("", 1)):
        visit = await running.visit("a=1", user=user, access=access)
        assert visit.page.facts["give"] == ""
        assert (await launch(visit))[0] == 404
        await visit.leave()
    assert running.portal.given == []


@pytest.mark.app
@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_has_another_visits_page_given(running: Site) -> None:
    bob, eve = await running.visit("a=1", access=2), await running.visit("b=1", user="eve", access=2)
    given = len(running.portal.given)
    for token in (bob.page.token, "", "x", f"{eve.page.token}x"):
        assert (await launch(eve, token))[0] == 404
    stranger = await running.visitor("mallory", access=2)
    stranger.cookie = secrets.token_urlsafe(32)
    assert (await stranger.ask("vaas/given", method="POST", body=bob.page.token)).code == 404
    assert len(running.portal.given) == given
    await bob.leave()
    await eve.leave()


@pytest.mark.app
@pytest.mark.asyncio(loop_scope="module")
async def test_a_widget_that_is_as_large_as_it_likes_gives_what_is_allowed(running: Site) -> None:
    visit = await running.visit("a=1", access=2)
    await visit.do("for _ in range(60): ipywidgets.Text(value='x' * 7000)\nresult = 1")
    await visit.set("Depth", value=7)
    assert (await launch(visit))[0] == 200
    told = running.portal.given[-1]["given"]
    assert len(json.dumps(told)) < 50_000
    assert [each["values"] for each in told["widgets"] if each["name"] == "Depth"] == [{"value": 7}]
    await visit.leave()


# ---- an app server that was taken over, and what the portal keeps


@pytest.fixture
async def app(world: World) -> App:
    """Return ada's app, which bob and eve may read."""
    app = await world.published(ADA, "x = 1", to=(SIGNED_IN,))
    for subject in ("user:bob", "user:eve"):
        await world.portal.sharing.grant(Visitor(ADA), app.slug, subject=subject, access=Access.READ)
    return app


async def keeps(site: str, server: ServerName, proof: str) -> int:
    """Have something kept, as that server; return the status."""
    async with client(site, f"{server.account}:server={server.account}/{server.name}") as asks:
        return (await asks.post("api/runtime/given", json={"proof": proof, "given": GIVEN})).status_code


async def test_an_app_server_gives_nothing_to_who_did_not_come(world: World, app: App, site: str) -> None:
    server, true = world.server(app, 1), await came(world, app, BOB)
    key, now = tickets.derive_key(world.core.master_key, server), world.core.now().timestamp()
    # It has the key of its tickets, and may sign with it what it likes.
    made = Ticket("launch", server.path, "eve", (), 4, "n", now + 60)
    body, _, signature = true.partition(".")
    other, _, _ = tickets.sign(made, key=key).partition(".")
    for forged in (tickets.sign(made, key=key), f"{other}.{signature}", f"{body}.", "", "."):
        assert await keeps(site, server, forged) == 403
    assert await keeps(site, server, true) == 200


async def test_a_proof_for_one_server_or_purpose_is_worth_nothing_for_another(
    world: World, app: App, site: str
) -> None:
    other = await world.published(BOB, "x = 2", to=("user:ada",), title="Other")
    assert await keeps(site, world.server(other, 1), await came(world, app, BOB)) == 403
    server, key = world.server(app, 1), tickets.derive_proof_key(world.core.master_key, world.server(app, 1))
    launches = await came(world, app, BOB)
    asks = tickets.verify(launches, key=key, purpose="launch", server=server, now=world.core.now().timestamp())
    assert await keeps(site, server, tickets.sign(replace(asks, purpose="ask"), key=key)) == 403
    async with client(site, f"{server.account}:server={server.account}/{server.name}") as asking:
        answer = await asking.post("api/runtime/ask", json={"proof": launches, "verb": "me", "args": {}})
    assert answer.status_code == 403


async def test_nobody_else_goes_on_with_what_was_given(world: World, app: App) -> None:
    server, keep = world.server(app, 1), world.portal.giving.keep
    given = await keep(server, await came(world, app, BOB), GIVEN)
    for visitor in (Visitor(EVE), Visitor(ADA)):
        assert world.portal.giving.of(visitor, app.slug, given) == {}
    with pytest.raises(NotFound):
        world.portal.giving.of(Visitor(), app.slug, given)
    assert world.portal.giving.of(Visitor(BOB), app.slug, given) == GIVEN


# ---- the copy


@pytest.mark.app
def test_what_is_given_is_never_run_nor_another_widget(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    place = {"module": "@jupyter-widgets/controls", "at": 0}
    hostile: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("TextModel", "Inside", {"value": f'"""\n{code}\n"""', "description": code, "_trait_values": {}}),
        ("VBoxModel", "", {"children": ["IPY_MODEL_x"], "value": f"{{{code}}}"}),
        ("IntSliderModel", "Depth", {"value": f"')\n{code}\n('"}),
        (f"X')\n{code}", f"'); {code}", {"value": code}),
    )
    widgets = [{**place, "model": model, "name": name, "values": values} for model, name, values in hostile]
    query = f"a='\"\n{code}"
    shown = "import os\ninside = box.children[0]\n"
    shown += "print([depth.value, inside.description, inside.value, os.environ['QUERY_STRING']])"
    printed = rerun(tmp_path / "copy", {"query": query, "widgets": widgets, "code": code}, CELL, shown)[-1]
    assert printed == f"{[0, 'Inside', hostile[0][2]['value'], query]}\n"
    assert not mark.exists()
