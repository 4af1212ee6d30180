"""What programs ask by verbs: over REST as themselves, and as an app server's visitor by a proof of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hub_service.arguments import Arguments
from hub_service.asked import VERBS, record_json
from hub_service.discovery import DISCOVERY, ensure_discovery
from tests.portal_parts import ADA, BOB, EVE, NOBODY, PUBLIC_URL, ROOT, World
from tests.unit.test_handlers import client
from vaas import tickets
from vaas.catalogs.base import Record
from vaas.catalogs.own import Index, OwnCatalog
from vaas.errors import Forbidden, Invalid
from vaas.model import EVERYONE, Access, Grant, ServerName, User, Visitor
from vaas.portal.finding import LONGEST_CURSOR, Finding
from vaas.portal.indexing import Indexing
from vaas.portal.previewing import Previewing
from vaas.portal.things import MOST_ID

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
    world.portal.previewing = Previewing(world.core, world.portal.finding, world.portal.baskets)
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
    assert await asked(site, bob, "me") == {"name": "bob", "signed_in": True, "launch": False}
    assert await asked(site, nobody, "me") == {"name": None, "signed_in": False, "launch": False}
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
    assert await asked(site, bob, "suggest", beginning="title:phys") == {"suggestions": ["title:physics"]}
    assert await asked(site, eve, "suggest", beginning="title:phys") == {"suggestions": []}
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
        ("search", {"text": "", "cursor": "x" * (LONGEST_CURSOR + 1)}, "cursor"),
        ("search", {"text": "", "order": "size"}, "order"),
        ("suggest", {"beginning": None}, "beginning"),
        ("suggest", {"beginning": "a", "limit": 0}, "limit"),
        ("record", {"catalog": "here"}, "id"),
        ("record", {"catalog": "h" * 61, "id": "x"}, "catalog"),
        ("record", {"catalog": "here", "id": "x" * (MOST_ID + 1)}, "id"),
        ("basket_add", {"catalog": "here", "record": "x" * (MOST_ID + 1)}, "record"),
        ("basket_share", {"basket": "x"}, "subjects"),
        ("answer_request", {"id": "x"}, "grant"),
        ("me", {"who": "eve"}, "who"),
    ],
)
async def test_wrong_arguments_are_named(portal: World, site: str, verb: str, args: dict[str, Any], word: str) -> None:
    status, message = await asked(site, await proof(portal, Visitor(BOB)), verb, **args)
    assert status == 400 and word in message


async def test_what_has_a_long_path_can_be_asked_for(portal: World, site: str) -> None:
    said = await proof(portal, Visitor(BOB))
    for verb, name in (("record", "id"), ("preview", "id"), ("basket_add", "record")):
        status, message = await asked(site, said, verb, catalog="here", **{name: "x" * MOST_ID})
        assert status == 404 and "here" in message


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


async def test_apps_say_what_who_asks_may_do_with_them(portal: World, site: str) -> None:
    def grant(slug: str, subject: str, access: Access, *, days: int = 9) -> None:
        with portal.core.database.begin() as records:
            app, until = records.apps.get(slug), portal.core.now() + timedelta(days)
            assert app is not None
            records.grants.save(Grant(app.id, subject, access, "ada", portal.core.now(), until))

    grant("tides-for-physics", "user:bob", Access.READ)
    grant("tides-for-all", "user:bob", Access.WRITE, days=-1)
    grant("tides-for-all", "user:eve", Access.WRITE)
    grant("tides-for-all", "user:root", Access.READ)
    may = {
        BOB: {"Tides for Bob": "VIEW", "Tides for physics": "READ", "Tides for all": "VIEW"},
        EVE: {"Tides for all": "WRITE"},
        ADA: dict.fromkeys(("Tides for Bob", "Tides for physics", "Tides for all"), "WRITE"),
        ROOT: dict.fromkeys(("Tides for Bob", "Tides for physics", "Tides for all"), "WRITE"),
        None: {"Tides for all": "VIEW"},
    }
    for user, expected in may.items():
        said = await proof(portal, Visitor(user))
        found = (await asked(site, said, "search", text="tides"))["records"]
        assert {each["title"]: each["details"].get("access") for each in found} == expected
        for each in found:
            assert await asked(site, said, "record", catalog="here", id=each["id"]) == each


async def test_who_lost_access_that_the_index_still_knows_of_is_told_none(portal: World, site: str) -> None:
    said = await proof(portal, Visitor(BOB))
    with portal.core.database.begin() as records:
        app = records.apps.get("tides-for-bob")
        assert app is not None
        records.grants.remove(app.id, "user:bob")
    (record,) = (await asked(site, said, "search", text='"for bob"'))["records"]
    assert "access" not in record["details"]


async def test_what_apps_say_of_access_is_one_question_for_all_of_them(portal: World, site: str) -> None:
    engine, counted = portal.core.database._engine, list[str]()  # type: ignore[attr-defined]
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, text, *_: counted.append(text))
    finding = portal.portal.finding
    for text, questions in (("tides", 1), ("nothing like that", 0)):
        page = await finding.search(text, visitor=Visitor(BOB))
        counted.clear()
        assert len(portal.portal.gallery.told(Visitor(BOB), page.records)) == 3 * questions
        assert len([each for each in counted if each.startswith("SELECT")]) == questions


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
            assert (await bob.post("api/ask", json={"verb": "me"})).json() == {
                "name": "bob",
                "signed_in": True,
                "launch": False,
            }
            assert (await bob.post("api/ask", json={"verb": "me", "args": []})).status_code == 400
            assert (await reads.post("api/ask", json={"verb": "me"})).status_code == 403
            assert (await nobody.post("api/ask", json={"verb": "me"})).status_code in {401, 403}

    async def test_what_nobody_waits_for_any_more_is_given_up(self, portal: World, site: str) -> None:
        portal.portal.previewing = stuck = Stuck(portal)
        async with client(site, "bob") as bob:
            asking = asyncio.create_task(bob.get("api/previews/here/x"))
            await asyncio.wait_for(stuck.begun.wait(), 30)
            asking.cancel()
            await asyncio.wait_for(stuck.left.wait(), 30)


class Stuck(Previewing):
    """Answers nobody; it notes when somebody asks, and when they go."""

    def __init__(self, world: World) -> None:
        super().__init__(world.core, world.portal.finding, world.portal.baskets)
        self.begun, self.left = asyncio.Event(), asyncio.Event()

    async def preview(self, visitor: Visitor, catalog_id: str, record_id: str) -> dict[str, Any]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError


def test_collections_and_people_have_pages_of_their_own() -> None:
    shared = Record("share:b1", "share", "Tides", catalog="here", details={"basket": "b1"})
    assert record_json(shared, base="https://h/p/")["url"] == "https://h/p/basket/b1"
    person = Record("person:a&b", "person", "a&b", owner="a&b", catalog="here")
    assert record_json(person, base="https://h/p/")["url"] == "https://h/p/?q=a%26b"


def test_lists_are_bounded() -> None:
    assert Arguments({"subjects": ["a", "b"]}).texts("subjects") == ["a", "b"]
    for wrong in ({"subjects": "a"}, {"subjects": [1]}, {"subjects": ["x"] * 201}, {"subjects": ["x" * 3000]}, {}):
        with pytest.raises(Invalid):
            Arguments(wrong).texts("subjects")
    assert set(VERBS) >= {"me", "search", "suggest", "record", "preview"}


async def test_nobody_asks_for_a_server_that_is_no_version(portal: World) -> None:
    said = await proof(portal, Visitor(BOB))
    for server in (ServerName(SERVER.account, "v2"), ServerName("app-abcdefghijkl", "v1"), ServerName("bob", "")):
        with pytest.raises(Forbidden, match="may not ask"):
            await portal.portal.speaking.asker(server, said)
