"""What programs ask by verbs: over REST as themselves, and as an app server's visitor by a proof of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub_service.arguments import Arguments
from hub_service.asked import VERBS
from hub_service.discovery import DISCOVERY, ensure_discovery
from tests.portal_parts import ADA, BOB, EVE, NOBODY, PUBLIC_URL, World
from tests.unit.test_handlers import client
from vaas import tickets
from vaas.catalogs.own import Index, OwnCatalog
from vaas.errors import Forbidden, Invalid
from vaas.model import EVERYONE, ServerName, User, Visitor
from vaas.portal.finding import Finding
from vaas.portal.indexing import Indexing
from vaas.portal.previewing import Previewing

SERVER = ServerName(f"app-{DISCOVERY}", "v1")
TOKEN = f"{SERVER.account}:server={SERVER.account}/{SERVER.name}"


@pytest.fixture
async def portal(world: World, tmp_path: Path) -> AsyncIterator[World]:
    """Return a world with its own app, one of ada's for bob, and one for everyone; all of it can be found."""
    index = Index(tmp_path / "index", memory=30_000_000, now=world.core.now)
    ensure_discovery(world.portal)
    await world.published(ADA, title="Tides for Bob", to=("user:bob",))
    await world.published(ADA, title="Tides for physics", to=("group:physics",))
    await world.published(ADA, title="Tides for all", to=(EVERYONE,))
    indexing = Indexing(world.core, index)
    indexing.catch_up()
    world.portal.finding = Finding([OwnCatalog(index)])
    world.portal.previewing = Previewing(world.core, world.portal.finding)
    yield world
    index.close()


async def proof(world: World, visitor: Visitor, server: ServerName = SERVER) -> str:
    """Return what a visitor's ticket brings along."""
    await world.core.backend.start(server)
    went = await world.portal.opening.begin(visitor, "discover")
    key, now = tickets.derive_key(world.core.master_key, server), world.core.now().timestamp()
    return tickets.verify(went.ticket, key=key, purpose="visit", server=server, now=now).proof


async def asked(site: str, proof: str, verb: str, *, token: str = TOKEN, **args: Any) -> Any:
    async with client(site, token) as server:
        answer = await server.post("api/runtime/ask", json={"proof": proof, "verb": verb, "args": args})
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json()["error"]["message"])


async def titles(site: str, proof: str) -> set[str]:
    page = await asked(site, proof, "search", text="tides")
    return {record["title"] for record in page["records"]}


async def test_a_server_is_answered_as_its_visitor(portal: World, site: str) -> None:
    bob, eve, nobody = [await proof(portal, visitor) for visitor in (Visitor(BOB), Visitor(EVE), NOBODY)]
    assert await titles(site, bob) == {"Tides for Bob", "Tides for physics", "Tides for all"}
    assert await titles(site, eve) == await titles(site, nobody) == {"Tides for all"}
    assert await asked(site, bob, "me") == {"name": "bob", "signed_in": True}
    assert await asked(site, nobody, "me") == {"name": None, "signed_in": False}
    facets = (await asked(site, eve, "search", text="tides"))["facets"]
    assert facets["type"] == {"app": 1}


async def test_groups_count_as_they_are_now(portal: World, site: str) -> None:
    said = await proof(portal, Visitor(BOB))
    portal.people.known["bob"] = User("bob")
    assert await titles(site, said) == {"Tides for Bob", "Tides for all"}


async def test_links_that_the_visitor_came_by_count(portal: World, site: str) -> None:
    with portal.core.database.begin() as records:
        (app,) = [a for a in records.apps.visible(Visitor(ADA), _all(), now=portal.core.now()) if "Bob" in a.title]
    link = portal.portal.sharing.make_link(Visitor(ADA), app.slug)
    said = await proof(portal, Visitor(links=frozenset({link.id})))
    record = await asked(site, said, "record", catalog="here", id=f"app:{app.id}")
    assert record[0] == 404  # the index has not followed
    Indexing(portal.core, portal.portal.finding._catalogs["here"]._index).catch_up()  # type: ignore[attr-defined]
    assert (await asked(site, said, "record", catalog="here", id=f"app:{app.id}"))["title"] == "Tides for Bob"


def _all() -> Any:
    from vaas.db.base import Query

    return Query()


async def test_suggestions_records_and_previews_are_what_the_visitor_may_see(portal: World, site: str) -> None:
    bob, eve = await proof(portal, Visitor(BOB)), await proof(portal, Visitor(EVE))
    assert await asked(site, bob, "suggest", beginning="phys") == {"suggestions": ["physics"]}
    assert await asked(site, eve, "suggest", beginning="phys") == {"suggestions": []}
    hidden = next(r for r in (await asked(site, bob, "search", text="physics"))["records"])
    assert hidden["url"] == f"{PUBLIC_URL}apps/tides-for-physics/" and "text" not in hidden
    for verb in ("record", "preview"):
        assert (await asked(site, eve, verb, catalog="here", id=hidden["id"]))[0] == 404
        assert (await asked(site, bob, verb, catalog="none", id=hidden["id"]))[0] == 404
    assert await asked(site, bob, "record", catalog="here", id=hidden["id"]) == hidden
    assert (await asked(site, bob, "preview", catalog="here", id=hidden["id"]))["kind"] == "none"


@pytest.mark.parametrize(
    ("verb", "args", "word"),
    [
        ("search", {}, "text"),
        ("search", {"text": 3}, "text"),
        ("search", {"text": "x" * 2001}, "text"),
        ("search", {"text": "", "limit": 101}, "limit"),
        ("search", {"text": "", "limit": True}, "limit"),
        ("search", {"text": "", "typing": "yes"}, "typing"),
        ("search", {"text": "", "cursor": "x"}, "Search again"),
        ("suggest", {"beginning": None}, "beginning"),
        ("suggest", {"beginning": "a", "limit": 0}, "limit"),
        ("record", {"catalog": "here"}, "id"),
        ("record", {"catalog": "h" * 61, "id": "x"}, "catalog"),
    ],
)
async def test_wrong_arguments_are_named(portal: World, site: str, verb: str, args: dict[str, Any], word: str) -> None:
    status, message = await asked(site, await proof(portal, Visitor(BOB)), verb, **args)
    assert status == 400 and word in message


async def test_what_is_no_question_is_refused(portal: World, site: str) -> None:
    said = await proof(portal, Visitor(BOB))
    assert (await asked(site, said, "withdraw"))[0] == 404
    assert (await asked(site, said, "__class__"))[0] == 404
    async with client(site, TOKEN) as server:
        for body in (
            {},
            {"proof": said, "verb": "me"},
            {"proof": 3, "verb": "me", "args": {}},
            {"args": [], "verb": "me"},
        ):
            assert (await server.post("api/runtime/ask", json=body)).status_code == 400
        half = json.dumps({"proof": said, "verb": "search", "args": {"text": "half a pair \ud800"}})
        assert (await server.post("api/runtime/ask", content=half)).json()["records"] == []


async def test_a_visit_asks_for_a_day(portal: World, site: str) -> None:
    said = await proof(portal, Visitor(BOB))
    portal.clock.forward(hours=23)
    assert (await asked(site, said, "me"))["signed_in"]
    portal.clock.forward(hours=2)
    status, message = await asked(site, said, "me")
    assert status == 403 and "Open the app again" in message


class TestRest:
    """The same as the holder of a token."""

    async def test_addresses_of_their_own(self, portal: World, site: str) -> None:
        async with client(site, "bob:read") as bob, client(site) as nobody:
            (record,) = (await bob.get("api/search", params={"q": '"for bob"'})).json()["records"]
            for kind in ("records", "previews"):
                address = f"api/{kind}/here/{record['id'].replace(':', '%3A')}"
                assert (await bob.get(address)).status_code == 200
                assert (await nobody.get(address)).status_code == 404
            assert (await bob.get("api/search/suggest", params={"q": "bo"})).json() == {"suggestions": ["bob"]}
            assert (await nobody.get("api/search/suggest", params={"q": "bo"})).json() == {"suggestions": []}
            for wrong in ("0", "51", "x", "9" * 5000):
                assert (await bob.get("api/search/suggest", params={"q": "a", "limit": wrong})).status_code == 400

    async def test_any_verb_by_one_address(self, portal: World, site: str) -> None:
        async with client(site, "bob") as bob, client(site, "bob:read") as reads, client(site) as nobody:
            assert (await bob.post("api/ask", json={"verb": "me"})).json() == {"name": "bob", "signed_in": True}
            assert (await bob.post("api/ask", json={"verb": "me", "args": []})).status_code == 400
            assert (await reads.post("api/ask", json={"verb": "me"})).status_code == 403
            assert (await nobody.post("api/ask", json={"verb": "me"})).status_code in {401, 403}


def test_lists_are_bounded() -> None:
    assert Arguments({"subjects": ["a", "b"]}).texts("subjects") == ["a", "b"]
    for wrong in ("a", [1], ["x"] * 101, ["x" * 3000]):
        with pytest.raises(Invalid):
            Arguments({"subjects": wrong}).texts("subjects")
    assert set(VERBS) >= {"me", "search", "suggest", "record", "preview"}


async def test_nobody_asks_for_a_server_that_is_no_version(portal: World) -> None:
    said = await proof(portal, Visitor(BOB))
    for server in (ServerName(SERVER.account, "v2"), ServerName("app-abcdefghijkl", "v1"), ServerName("bob", "")):
        with pytest.raises(Forbidden, match="may not ask"):
            await portal.portal.speaking.asker(server, said)
