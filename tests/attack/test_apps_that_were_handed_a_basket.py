"""An app was handed a basket, or hopes for one: it wants more of its visitor than they gave, or without being given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.portal_parts import ADA, BOB, World
from tests.sandbox import NEEDS_SANDBOX
from tests.searchable import Searchable, searchable
from tests.service.visiting import serving
from tests.unit.test_handlers import client, site
from vaas import tickets
from vaas.keeping import Handed
from vaas.model import EVERYONE, SIGNED_IN, App, ServerName, Visitor
from vaas.network import ALL

__all__ = ["site"]

pytestmark = pytest.mark.attack
AS_ADA, AS_BOB = Visitor(ADA), Visitor(BOB)
TAKES = "import vaas\nbasket = vaas.basket()"
ONLY = "This app may only ask for the basket that it was given."


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    """Return a world in which ada has files, and bob an app that takes a basket."""
    with searchable(world, tmp_path) as made:
        for name in ("sea.csv", "air.csv", "secret.csv"):
            world.put(ADA, name, f"this is {name}")
            made.put(name, "user:ada", title=name)
        yield made


async def published(found: Searchable, **said: Any) -> tuple[App, ServerName]:
    """Publish bob's app for everyone, and wake it."""
    app = await found.world.published(BOB, TAKES, to=(EVERYONE,), **said)
    server = found.world.server(app, 1)
    await found.world.core.backend.start(server)
    return app, server


async def basket_of(found: Searchable, *names: str, called: str = "") -> str:
    """Return a basket of ada's with these files in it."""
    basket = (await found.portal.baskets.new(AS_ADA, called)).basket.id if called else ""
    for name in names:
        look = await found.portal.baskets.add(AS_ADA, "here", f"file:p/{name}", basket_id=basket)
    return look.basket.id


async def handed(found: Searchable, app: App, basket: str, *, visitor: Visitor = AS_ADA) -> tuple[str, Handed]:
    """Return the proof that the server gets when the visitor says yes, and what they gave."""
    server = found.world.server(app, 1)
    given = (await found.portal.handing.offer(visitor, app.slug, basket)).handed
    ticket = found.world.core.ticket(server, visitor, purpose="visit", access=1, handed=given)
    key, now = tickets.derive_key(found.world.core.master_key, server), found.world.core.now().timestamp()
    return tickets.verify(ticket, key=key, purpose="visit", server=server, now=now).proof, given


async def ask(site: str, server: ServerName, proof: str, verb: str, **args: Any) -> tuple[int, Any]:
    """Ask as that server; return the status and the answer, or what is wrong."""
    token = f"{server.account}:server={server.account}/{server.name}"
    async with client(site, token) as asks:
        answer = await asks.post("api/runtime/ask", json={"proof": proof, "verb": verb, "args": args})
    told = answer.json()
    return answer.status_code, told if answer.status_code == 200 else told["error"]["message"]


async def test_an_address_hands_nothing_over(found: Searchable, site: str) -> None:
    app, _ = await published(found)
    basket = await basket_of(found, "sea.csv")
    async with client(site, "ada") as ada:
        for query in (f"basket={basket}", "basket=current", f"basket={basket}&yes=1", "basket=current&yes=&yes=x"):
            page = (await ada.get(f"apps/{app.slug}/open?{query}")).text
            assert 'name="ticket"' not in page
            told = (await ada.get(f"apps/{app.slug}/events?{query}")).text
            assert "ticket" not in told


async def test_no_form_without_what_was_shown_hands_it_over(found: Searchable, site: str) -> None:
    app, _ = await published(found)
    await basket_of(found, "sea.csv")
    async with client(site, "ada") as ada:
        page = (await ada.get(f"apps/{app.slug}/open?basket=current")).text
        mark = re.search(r'name="mark" value="([0-9a-f]+)"', page)[1]  # type: ignore[index]
        await basket_of(found, "secret.csv")
        answer = await ada.post(f"apps/{app.slug}/hand?basket=current", data={"mark": mark})
        assert answer.status_code == 409 and "Location" not in answer.headers


async def test_it_asks_for_nothing_but_its_basket(found: Searchable, site: str) -> None:
    app, server = await published(found)
    basket = await basket_of(found, "sea.csv", called="Given")
    proof, given = await handed(found, app, basket)
    status, told = await ask(site, server, proof, "basket")
    assert status == 200 and [thing["title"] for thing in told["things"]] == ["sea.csv"]
    # It may not know whose basket it is, nor what others they have.
    assert set(told) == {"id", "name", "things"} and "ada" not in str(told)
    for verb, args in (
        ("me", {}),
        ("search", {"text": "secret"}),
        ("record", {"catalog": "here", "id": "file:p/secret.csv"}),
        ("preview", {"catalog": "here", "id": "file:p/sea.csv"}),
        ("basket_add", {"catalog": "here", "record": "file:p/secret.csv", "basket": basket}),
        ("basket_share", {"basket": basket, "subjects": [SIGNED_IN]}),
        ("saved", {}),
        ("requests", {}),
        ("no such verb", {}),
    ):
        assert await ask(site, server, proof, verb, **args) == (403, ONLY), verb
    assert (await ask(site, server, proof, "read", thing=given.things[0]))[0] == 200


async def test_it_asks_for_no_other_basket(found: Searchable, site: str) -> None:
    app, server = await published(found)
    basket, other = await basket_of(found, "sea.csv"), await basket_of(found, "secret.csv", called="Other")
    proof, given = await handed(found, app, basket)
    secret = (await handed(found, app, other))[1].things[0]
    assert await ask(site, server, proof, "basket", basket=other) == (403, ONLY)
    assert await ask(site, server, proof, "read", basket=other, thing=given.things[0]) == (403, ONLY)
    for args in ({"thing": secret}, {"basket": other, "thing": secret}, {"thing": ""}, {"thing": "0" * 16}):
        assert await ask(site, server, proof, "read", **args) == (403, ONLY)


async def test_what_is_put_in_later_is_not_handed_over(found: Searchable, site: str) -> None:
    app, server = await published(found)
    basket = await basket_of(found, "sea.csv")
    proof, given = await handed(found, app, basket)
    await basket_of(found, "secret.csv")
    (later,) = set((await handed(found, app, basket))[1].things) - set(given.things)
    titles = [thing["title"] for thing in (await ask(site, server, proof, "basket"))[1]["things"]]
    assert titles == ["sea.csv"]
    assert await ask(site, server, proof, "read", thing=later) == (403, ONLY)


async def test_a_proof_is_worth_nothing_at_another_server(found: Searchable, site: str) -> None:
    app, server = await published(found)
    other, at = await published(found, title="Another")
    proof, given = await handed(found, app, await basket_of(found, "sea.csv"))
    assert (await ask(site, server, proof, "basket"))[0] == 200
    assert (await ask(site, at, proof, "basket"))[0] == 403
    assert (await ask(site, at, proof, "read", thing=given.things[0]))[0] == 403


async def test_what_was_taken_back_is_not_read_any_more(found: Searchable, site: str) -> None:
    """The share of the collection, the file itself, and the way into the app."""
    app, server = await published(found)
    for name in ("sea.csv", "air.csv"):
        found.put(name, "user:ada", "user:bob", title=name)
        found.world.put(BOB, name, f"this is {name}")
    basket = await basket_of(found, "sea.csv", "air.csv", called="Shared")
    await found.portal.baskets.share(AS_ADA, basket, ["user:bob"])
    proof, given = await handed(found, app, basket, visitor=AS_BOB)
    assert len((await ask(site, server, proof, "basket"))[1]["things"]) == 2
    found.put("air.csv", "user:ada", title="air.csv")
    titles = {thing["title"]: thing["id"] for thing in (await ask(site, server, proof, "basket"))[1]["things"]}
    assert set(titles) == {"sea.csv"}
    (hidden,) = set(given.things) - set(titles.values())
    assert (await ask(site, server, proof, "read", thing=hidden))[0] == 404
    await found.portal.baskets.share(AS_ADA, basket, [])
    status, words = await ask(site, server, proof, "basket")
    assert status == 403 and "not shared with you any more" in words
    assert (await ask(site, server, proof, "read", thing=titles["sea.csv"]))[0] == 404


async def test_who_may_not_open_the_app_any_more_hands_it_nothing(found: Searchable, site: str) -> None:
    app, server = await published(found)
    proof, _ = await handed(found, app, await basket_of(found, "sea.csv"))
    assert (await ask(site, server, proof, "basket"))[0] == 200
    with found.world.core.database.begin() as records:
        records.grants.remove(app.id, EVERYONE)
    assert (await ask(site, server, proof, "basket"))[0] == 403


@pytest.mark.parametrize("change", ["network", "knows_visitor", "site"])
async def test_what_it_may_reach_and_know_does_not_change_after_a_yes(
    found: Searchable, site: str, change: str
) -> None:
    app, server = await published(found)
    proof, given = await handed(found, app, await basket_of(found, "sea.csv"))
    assert (await ask(site, server, proof, "read", thing=given.things[0]))[0] == 200
    if change == "network":
        found.portal.gallery.reach(AS_BOB, app.slug, ("elsewhere.example",))
    elif change == "knows_visitor":
        found.portal.gallery.introduce(AS_BOB, app.slug, knows_visitor=True)
    else:
        found.portal.gallery.reach(AS_BOB, app.slug, ALL)
        proof, given = await handed(found, app, given.basket)
        assert (await ask(site, server, proof, "basket"))[0] == 200
        found.world.core.network = ("elsewhere.example",)
    for verb, args in (("basket", {}), ("read", {"thing": given.things[0]})):
        status, words = await ask(site, server, proof, verb, **args)
        assert status == 403 and "was changed since you opened it" in words
    proof, _ = await handed(found, app, given.basket)
    assert (await ask(site, server, proof, "basket"))[0] == 200


# ---- kernels

CELL = """
import json, vaas
from vaas import client
def told(ask=lambda: vaas.basket()):
    try: return [thing.title for thing in ask()]
    except client.PortalError as error: return str(error)
"""


def answered(asked: dict[str, Any]) -> tuple[int, Any]:
    """Answer with one thing that is called as the proof is."""
    thing = {"id": "1", "title": asked["proof"], "kind": "file", "uri": "", "size": 1, "checksum": "", "format": ""}
    return 200, {"id": "b", "name": "Given", "things": [thing]}


@pytest.mark.app
@NEEDS_SANDBOX
async def test_a_page_keeps_to_the_basket_that_it_was_opened_with(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, takes_basket=True) as site:
        site.portal.answer = answered
        bob = await site.visit(user="bob", basket="sea")
        assert await bob.do("result = told()") == ["sea-of-bob"]
        # The same person opens it in another tab, with another basket, and without one.
        for basket in ("air", ""):
            await bob.visitor.enter(site.portal.ticket(basket=basket))
            assert await bob.do("result = told()") == ["sea-of-bob"]
        eve = await site.visit(user="eve")
        assert await eve.do("result = told()") == []
        assert {asked["proof"] for asked in site.portal.asked} == {"sea-of-bob"}
