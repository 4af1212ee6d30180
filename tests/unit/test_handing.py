"""A basket is handed to an app: after a yes to what was shown, these things and no others, for that opening alone."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pytest import MonkeyPatch

from hub_service.asked import answer_asker
from hub_service.handlers.opening import HandPage, OpenPage
from tests.notebooks import code, notebook
from tests.portal_parts import ADA, BOB, World
from tests.searchable import Searchable, searchable
from tests.unit.test_handlers import PREFIX, client
from vaas import tickets
from vaas.catalogs.base import Entry, Record
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, SignInNeeded, TooLarge
from vaas.http import Http
from vaas.insides.base import Inside, Looker
from vaas.keeping import Handed
from vaas.model import EVERYONE, SIGNED_IN, App, Visitor
from vaas.model import Entry as FileEntry
from vaas.network import ALL
from vaas.portal import Publication
from vaas.portal.previewing import Previewing
from vaas.portal.speaking import Asker
from vaas.runtime.gate import Gate
from vaas.stores.base import Piece
from vaas.stores.folder import FolderStore
from vaas.stores.mounted import MountedStores, SharedFolder
from vaas.tickets import Ticket

AS_ADA, AS_BOB, NOBODY = Visitor(ADA), Visitor(BOB), Visitor()
TAKES = "import vaas\nbasket = vaas.basket()"


class Shows(Looker):
    """Shows what is in a file."""

    async def look(self, path: Path, *, name: str) -> Inside:
        """Tell nothing."""
        return Inside()

    async def preview(self, path: Path, *, name: str) -> dict[str, Any]:
        """Show all of it."""
        return {"kind": "text", "text": path.read_text()}

    async def close(self) -> None:
        """Nothing was begun."""


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    with searchable(world, tmp_path) as made:
        for name, text in (("sea.csv", "year,level\n2000,1\n"), ("air.csv", "year,co2\n2000,370\n")):
            for user in (ADA, BOB):
                world.put(user, name, text)
            made.put(name, SIGNED_IN, title=name.partition(".")[0].title(), size=len(text))
        yield made


async def takes(found: Searchable, *cells: Any, **said: Any) -> App:
    """Publish bob's app for everyone, and wake it."""
    said.setdefault("title", "Look at tables")
    app = await found.world.published(BOB, *(cells or (TAKES,)), to=(EVERYONE,), **said)
    await found.world.core.backend.start(found.world.server(app, 1))
    found.indexing.catch_up()
    return app


async def filled(found: Searchable, *names: str, visitor: Visitor = AS_ADA) -> str:
    """Put these files into the visitor's basket and return its id."""
    for name in names:
        look = await found.portal.baskets.add(visitor, "here", f"file:p/{name}")
    return look.basket.id


def proof_in(world: World, app: App, ticket: str) -> Ticket | None:
    """Return the proof that a ticket brings along, as only the portal can read it."""
    server, now = world.server(app, 1), world.core.now().timestamp()
    key = tickets.derive_key(world.core.master_key, server)
    proof = tickets.verify(ticket, key=key, purpose="visit", server=server, now=now).proof
    key = tickets.derive_proof_key(world.core.master_key, server)
    return tickets.verify(proof, key=key, purpose="ask", server=server, now=now) if proof else None


def ticket_in(page: str) -> str:
    """Return the ticket that a page of the door holds."""
    return re.search(r'name="ticket" value="([^"]+)"', page)[1]  # type: ignore[index]


def mark_in(page: str) -> str:
    return re.search(r'name="mark" value="([^"]+)"', page)[1]  # type: ignore[index]


def below(address: str) -> str:
    """Return an address of the portal as it is from the portal on."""
    return address.partition(PREFIX)[2]


async def says_yes(person: httpx.AsyncClient, app: App, basket: str, *, more: str = "") -> httpx.Response:
    """Look at what is asked and say yes; return where that leads."""
    page = await person.get(f"apps/{app.slug}/open?basket={basket}{more}")
    action = re.search(r'action="([^"]+/hand[^"]*)"', page.text)[1].replace("&amp;", "&")  # type: ignore[index]
    answer = await person.post(below(action), data={"mark": mark_in(page.text)})
    assert answer.status_code == 303, answer.text
    # The cookie is for https alone, which this is not.
    (kept,) = [each for each in answer.headers.get_list("Set-Cookie") if "handed" in each]
    assert {"HttpOnly", "Secure", "SameSite=Lax"} <= {part.strip() for part in kept.split(";")}
    person.headers["Cookie"] = kept.partition(";")[0]
    return answer


class TestWhatIsAsked:
    async def test_nothing_is_handed_over_by_an_address(self, found: Searchable, site: str) -> None:
        app, basket = await takes(found), await filled(found, "sea.csv", "air.csv")
        async with client(site, "ada") as ada:
            for named in (basket, "current"):
                page = await ada.get(f"apps/{app.slug}/open?basket={named}&yes=x&year=1")
                assert page.status_code == 200 and 'name="ticket"' not in page.text
                words = " ".join(re.sub("<[^>]+>", "", page.text).split())
                assert "Look at tables by bob would like to use these 2 things" in words
                assert "While you visit, the app can read them." in words and "nothing else of yours" in words
                assert "Sea" in words and "Air" in words
                assert f'href="{PREFIX}apps/{app.slug}/open?year=1"' in page.text
                assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
                assert "Set-Cookie" not in page.headers or "handed" not in page.headers["Set-Cookie"]

    async def test_no_other_site_frames_the_question(
        self, found: Searchable, site: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where a site may frame the door."""
        sites = ("https://wiki.example",)
        told = property(lambda self: {**self.application.settings, "frame_ancestors": sites})
        app, _ = await takes(found), await filled(found, "sea.csv")
        monkeypatch.setattr(OpenPage, "settings", told)
        monkeypatch.setattr(HandPage, "settings", told)
        async with client(site, "ada") as ada:
            question = await ada.get(f"apps/{app.slug}/open?basket=current")
            answer = await ada.post(f"apps/{app.slug}/hand?basket=current", data={"mark": "x"})
            for page in (question, answer):
                assert 'name="mark"' in page.text
                assert page.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")
            door = await ada.get(f"apps/{app.slug}/open")
            assert door.headers["Content-Security-Policy"].endswith("frame-ancestors https://wiki.example")

    @pytest.mark.parametrize(
        ("network", "words"),
        [((), "Nothing outside"), (("a.example", "b.example"), "a.example, b.example"), (ALL, "Anything on the")],
    )
    async def test_it_says_where_it_can_go_and_whose_it_is(
        self, found: Searchable, site: str, network: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = await takes(found)
        found.portal.gallery.reach(AS_BOB, app.slug, network)
        found.put("sea.csv", SIGNED_IN, title="Harmless")
        found.put("air.csv", "user:ada")
        await filled(found, "sea.csv", "air.csv")
        basket = (await found.portal.baskets.rename(AS_ADA, "Both")).basket.id
        await found.portal.baskets.share(AS_ADA, basket, ["user:bob"])
        settings = property(lambda self: {**self.application.settings, "isolation": SimpleNamespace(holds=False)})
        async with client(site, "ada") as ada, client(site, "bob") as bob:
            pages = [await person.get(f"apps/{app.slug}/open?basket={basket}") for person in (ada, bob)]
            mine, others = (" ".join(re.sub("<[^>]+>", "", page.text).split()) for page in pages)
            assert f"It can reach: {words}" in mine and "can read what it prints" in mine
            assert "Harmless" in mine and "File: sea.csv" in mine and "File: air.csv" not in mine and "air.csv" in mine
            assert "from the collection" not in mine and "from the collection “Both” of ada" in others
            monkeypatch.setattr(OpenPage, "settings", settings)
            assert "all that this machine reaches" in (await ada.get(f"apps/{app.slug}/open?basket={basket}")).text

    async def test_a_yes_leads_in_once(self, found: Searchable, site: str) -> None:
        app, _ = await takes(found), await filled(found, "sea.csv")
        async with client(site, "ada") as ada:
            where = below((await says_yes(ada, app, "current")).headers["Location"])
            page = await ada.get(where)
            assert 'name="ticket"' in page.text
            assert any("handed" in each and '=""' in each for each in page.headers.get_list("Set-Cookie"))
            # With the cookie as it was kept.
            again, events = await ada.get(where), await ada.get(where.replace("/open?", "/events?"))
            assert 'name="mark"' in again.text and 'name="ticket"' not in again.text
            assert "ticket" not in events.text and "Nothing was handed over" in events.text
            where = below((await says_yes(ada, app, "current")).headers["Location"])
            assert "ticket" in (await ada.get(where.replace("/open?", "/events?"))).text
            assert 'name="ticket"' not in (await ada.get(where)).text
        yes = "one"
        assert [found.portal.handing.spend(yes, seconds=900) for _ in range(2)] == [True, False]

    async def test_a_yes_leads_in_with_what_was_shown(self, found: Searchable, site: str) -> None:
        app, basket = await takes(found), await filled(found, "sea.csv")
        async with client(site, "ada") as ada:
            answer = await says_yes(ada, app, "current", more="&year=1")
            page = await ada.get(below(answer.headers["Location"]))
            proof = proof_in(found.world, app, ticket_in(page.text))
            assert proof is not None and (proof.user, proof.basket, len(proof.things)) == ("ada", basket, 1)
            assert 'name="query" value="year=1"' in page.text, "the app is told neither basket nor yes"
            # The door of who comes without a basket, meanwhile.
            plain = await ada.get(f"apps/{app.slug}/open")
            assert proof_in(found.world, app, ticket_in(plain.text)) is None
            # And a link to the same basket asks again.
            assert 'name="mark"' in (await ada.get(f"apps/{app.slug}/open?basket=current")).text

    async def test_while_the_app_wakes_the_yes_is_not_lost(self, found: Searchable, site: str) -> None:
        app, _ = await takes(found), await filled(found, "sea.csv")
        await found.world.core.backend.stop(found.world.server(app, 1))
        async with client(site, "ada") as ada:
            where = below((await says_yes(ada, app, "current", more="&year=1")).headers["Location"])
            page = await ada.get(where)
            events = re.search(r'data-events="([^"]+)"', page.text)[1].replace("&amp;", "&")  # type: ignore[index]
            told = (await ada.get(below(events))).text
            assert '"query": "year=1"' in told
            proof = proof_in(found.world, app, re.search(r'"ticket": "([^"]+)"', told)[1])  # type: ignore[index]
            assert proof is not None and proof.things

    async def test_a_yes_is_for_its_person_basket_app_and_time(self, found: Searchable, site: str) -> None:
        app, other = await takes(found), await takes(found, title="Another")
        await filled(found, "sea.csv")
        await filled(found, "sea.csv", visitor=AS_BOB)
        named = (await found.portal.baskets.new(AS_ADA, "Other")).basket.id
        await found.portal.baskets.add(AS_ADA, "here", "file:p/air.csv", basket_id=named)
        async with client(site, "ada") as ada, client(site, "bob") as bob:
            where = below((await says_yes(ada, app, "current")).headers["Location"])
            yes = parse_qs(urlsplit(where).query)["yes"][0]
            bob.headers["Cookie"] = ada.headers["Cookie"]
            asks = [
                await bob.get(where),
                await ada.get(f"apps/{app.slug}/open?basket={named}&yes={yes}"),
                await ada.get(f"apps/{other.slug}/open?basket=current&yes={yes}"),
                await ada.get(f"apps/{app.slug}/open?basket=current&yes={yes}x"),
                await ada.get(f"apps/{app.slug}/open?basket=current&yes=é"),
            ]
            assert all('name="mark"' in page.text and 'name="ticket"' not in page.text for page in asks)
            assert 'name="ticket"' in (await ada.get(where)).text
            where = below((await says_yes(ada, app, "current")).headers["Location"])
            found.world.clock.forward(minutes=16)
            assert 'name="ticket"' not in (await ada.get(where)).text

    async def test_what_came_in_since_it_was_shown_is_not_handed_over_unasked(
        self, found: Searchable, site: str
    ) -> None:
        app, _ = await takes(found), await filled(found, "sea.csv")
        async with client(site, "ada") as ada:
            shown = mark_in((await ada.get(f"apps/{app.slug}/open?basket=current")).text)
            where = below((await says_yes(ada, app, "current")).headers["Location"])
            await filled(found, "air.csv")
            answer = await ada.post(f"apps/{app.slug}/hand?basket=current", data={"mark": shown})
            assert answer.status_code == 409 and "has changed since you looked" in answer.text
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            page = await ada.get(where)
            assert 'name="ticket"' not in page.text and "Air" in page.text
            for mark in ("", "x", "é"):
                answer = await ada.post(f"apps/{app.slug}/hand?basket=current", data={"mark": mark})
                assert answer.status_code == 409

    async def test_it_is_asked_again_when_the_app_is_not_what_was_shown(self, found: Searchable, site: str) -> None:
        """Whose it is, what it is called, what it may reach and know, what the basket is called, and its version."""
        app, _ = await takes(found), await filled(found, "sea.csv")
        basket = (await found.portal.baskets.rename(AS_ADA, "Mine")).basket.id

        def saved(**said: Any) -> None:
            with found.world.core.database.begin() as records:
                now = records.apps.by_id(app.id)
                assert now is not None
                records.apps.save(replace(now, **said))

        async def renamed() -> None:
            await found.portal.baskets.rename(AS_ADA, "Yours", basket_id=basket)

        async with client(site, "ada") as ada:
            for change in ({"title": "B"}, {"owner": "eve"}, {"network": ("a.example",)}, {"knows_visitor": True}, {}):
                page = await ada.get(f"apps/{app.slug}/open?basket={basket}")
                where = below((await says_yes(ada, app, basket)).headers["Location"])
                saved(**change) if change else await renamed()
                answer = await ada.post(f"apps/{app.slug}/hand?basket={basket}", data={"mark": mark_in(page.text)})
                assert answer.status_code == 409, change
                assert 'name="ticket"' not in (await ada.get(where)).text, change

    @pytest.mark.parametrize("what", ["version", "network"])
    async def test_a_version_that_is_published_meanwhile_gets_nothing(
        self, found: Searchable, site: str, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the last look at the yes and the ticket."""
        app, _ = await takes(found), await filled(found, "sea.csv")
        given, happened = found.portal.handing.given, []

        async def and_then(*said: Any) -> Any:
            handed = await given(*said)
            if what == "version":
                another = TAKES + "\n# another"
                await found.world.published(BOB, another, slug_of=app.slug, title=app.title, to=(EVERYONE,))
                await found.world.core.backend.start(found.world.server(app, 2))
            else:
                found.portal.gallery.reach(AS_BOB, app.slug, ("a.example",))
            happened.append(handed)
            return handed

        async with client(site, "ada") as ada:
            where = below((await says_yes(ada, app, "current")).headers["Location"])
            monkeypatch.setattr(found.portal.handing, "given", and_then)
            page = await ada.get(where)
            assert page.status_code == 409 and 'name="mark"' in page.text and 'name="ticket"' not in page.text
        (handed,) = happened
        with pytest.raises(Conflict, match="Nothing was handed over"):
            await found.portal.opening.progress(AS_ADA, app.slug, handed=handed)

    async def test_who_has_nothing_to_hand_over_is_told_so(self, found: Searchable, site: str) -> None:
        app, basket = await takes(found), await filled(found, "sea.csv")
        async with client(site) as nobody, client(site, "bob") as bob:
            page = await nobody.get(f"apps/{app.slug}/open?basket=current")
            assert "Sign in to open" in page.text and 'name="ticket"' not in page.text
            assert (await nobody.post(f"apps/{app.slug}/hand?basket=current", data={})).status_code in {401, 403}
            page = await bob.get(f"apps/{app.slug}/open?basket={basket}")
            assert "no such basket" in page.text and "Sea" not in page.text
            assert (await bob.post(f"apps/{app.slug}/hand?basket={basket}", data={})).status_code == 404
            page = await bob.get(f"apps/{app.slug}/open?basket=current")
            assert "The basket is empty" in page.text
            assert (await bob.post(f"apps/{app.slug}/hand?basket=current", data={})).status_code == 400

    async def test_of_a_collection_each_hands_over_what_they_may_see(self, found: Searchable, site: str) -> None:
        app = await takes(found)
        found.put("secret.csv", "user:ada", title="Secret")
        await filled(found, "sea.csv", "secret.csv")
        basket = (await found.portal.baskets.rename(AS_ADA, "Both")).basket.id
        await found.portal.baskets.share(AS_ADA, basket, ["user:bob"])
        offer = await found.portal.handing.offer(AS_BOB, app.slug, basket)
        assert [each.thing.title for each in offer.things] == ["Sea"] and offer.left == 1
        assert len((await found.portal.handing.offer(AS_ADA, app.slug, basket)).things) == 2

    async def test_an_app_that_takes_none_keeps_its_own_parameter(self, found: Searchable, site: str) -> None:
        app = await takes(found, "x = 1")
        await filled(found, "sea.csv")
        async with client(site, "ada") as ada:
            page = await ada.get(f"apps/{app.slug}/open?basket=current")
            assert 'name="query" value="basket=current"' in page.text
            assert proof_in(found.world, app, ticket_in(page.text)) is None
            mark = (await found.portal.handing.offer(AS_ADA, app.slug, "")).mark
            answer = await ada.post(f"apps/{app.slug}/hand?basket=current", data={"mark": mark})
            assert answer.status_code == 400
            assert await found.portal.handing.given(AS_ADA, app.slug, "", mark) is None


class TestWhichApps:
    @pytest.mark.parametrize(
        ("cells", "does"),
        [
            ((TAKES,), True),
            (("import vaas as v", "def later():\n    return v.basket()"), False),
            (("import vaas as v\ndef later():\n    return v.basket()",), True),
            (("from vaas import visitor, basket",), True),
            (("%matplotlib inline\nimport vaas\nvaas.basket()",), True),
            (("import vaas\nif (: vaas.basket()",), True),
            (("basket = {}; basket.basket",), False),
            (("import vaas; vaas.visitor() # basket",), False),
        ],
    )
    async def test_it_is_read_from_the_code(self, found: Searchable, cells: tuple[str, ...], does: bool) -> None:
        app = await takes(found, *cells)
        assert found.portal.handing.takes_basket(AS_ADA, app.slug) is does

    async def test_a_module_or_a_tag_says_it_too(self, found: Searchable) -> None:
        for sent in (
            {"a.ipynb": notebook("import model"), "model.py": b"import vaas\nthings = vaas.basket()"},
            {"a.ipynb": notebook(code("x = 1", tags=["basket"]))},
        ):
            draft = found.portal.drafts.begin_upload(BOB, sent)
            found.world.report(draft)
            app, _ = found.portal.drafts.publish(BOB, draft.id, Publication(title="Module"))
            assert found.portal.handing.takes_basket(AS_BOB, app.slug)

    async def test_they_are_found_and_listed_for_who_may_open_them(self, found: Searchable, site: str) -> None:
        app, basket = await takes(found), await filled(found, "sea.csv")
        await found.world.published(BOB, TAKES, title="For Bob alone")
        await found.world.published(BOB, "x = 1", title="Takes nothing", to=(EVERYONE,))
        found.indexing.catch_up()
        page = await found.portal.finding.search("takes:basket", visitor=AS_ADA)
        assert [record.title for record in page.records] == ["Look at tables"]
        async with client(site, "ada") as ada:
            page = (await ada.get(f"basket/{basket}/apps")).text
            assert f"apps/{app.slug}/open?basket={basket}" in page and "For Bob" not in page and "nothing" not in page
            assert f"basket/{basket}/apps" in (await ada.get("basket/current")).text


class TestWhatIsRead:
    async def test_a_file_comes_in_pieces(self, found: Searchable) -> None:
        data = bytes(range(256)) * 20_000
        found.world.put(ADA, "large.bin", data)
        found.put("large.bin", "user:ada")
        basket = await filled(found, "large.bin")
        (thing,) = (await found.portal.baskets.look(AS_ADA, basket)).things
        read, got = found.portal.reading, b""
        while True:
            piece = await read.piece(AS_ADA, basket, thing.thing.id, offset=len(got), size=10**9)
            got += piece.data
            if len(got) >= piece.size:
                break
            assert len(piece.data) == 2_000_000
        assert got == data
        assert (await read.piece(AS_ADA, basket, thing.thing.id, offset=10**9, size=1)).data == b""

    async def test_an_app_is_told_how_its_tables_are_written(self, found: Searchable) -> None:
        found.put("sea.csv", "user:ada", details={"delimiter": "semicolon", "encoding": "windows-1252", "rows": 7})
        basket = await filled(found, "sea.csv", "air.csv")
        look = await found.portal.baskets.look(AS_ADA, basket)
        handed = Handed(basket, tuple(each.thing.id for each in look.things), "a", "v", "")
        told = await answer_asker(found.portal, Asker(AS_ADA, handed=handed), "basket", {}, base="")
        assert {each["name"]: each["written"] for each in told["things"]} == {
            "sea.csv": {"delimiter": "semicolon", "encoding": "windows-1252"},
            "air.csv": {},
        }

    async def test_of_folders_with_the_same_id_the_one_that_was_shown_is_read(self, found: Searchable) -> None:
        """And previewed: what Team_A and team-a share has the same store's id and the same path."""
        world, root = found.world, found.world.homes.parent / "shared"
        for name in ("Team_A", "team-a"):
            (root / name).mkdir(parents=True)
            (root / name / "plan.csv").write_text(f"of {name}")
        shared = tuple(SharedFolder("shared-team-a", name, root / name, name) for name in ("Team_A", "team-a"))
        both = replace(ADA, groups=frozenset({"Team_A", "team-a"}))
        stores = MountedStores(homes=world.homes, shared=shared, database=world.core.database, http=Http())
        world.core.stores = stores
        previewing = Previewing(world.core, found.portal.finding, found.portal.baskets, [Shows()])
        for place in (each for each in stores.places(both) if each.store.id == "shared-team-a"):
            details = {"store": place.store.id, "path": "plan.csv"}
            record = Record(f"file:{place.id}/plan.csv", "data", place.store.title, details=details)
            found.index.put([Entry(record, frozenset({"user:ada"}))])
            look = await found.portal.baskets.add(Visitor(both), "here", record.id)
            (held,) = [each for each in look.things if each.thing.record == record.id]
            ask = (look.basket.id, held.thing.id)
            piece = await found.portal.reading.piece(Visitor(both), *ask, offset=0, size=99)
            assert piece.data.decode() == f"of {place.store.title}"
            told = await previewing.preview(Visitor(both), "here", record.id)
            assert told["text"] == f"of {place.store.title}"
            # Who is in the other group alone gets nothing, although they have a store of that id.
            other = replace(ADA, groups=both.groups - {place.store.title})
            with pytest.raises(NotFound):
                await found.portal.reading.piece(Visitor(other), *ask, offset=0, size=99)
            assert (await previewing.preview(Visitor(other), "here", record.id))["kind"] == "none"
        # As if two places had one id: nobody can tell which is meant.
        monkey = stores.places
        stores.places = lambda *said, **named: monkey(*said, **named) * 2  # type: ignore[method-assign]
        with pytest.raises(NotFound):
            await found.portal.reading.piece(Visitor(both), *ask, offset=0, size=99)

    async def test_a_visit_and_a_person_read_so_much_and_no_more(self, found: Searchable) -> None:
        basket = await filled(found, "sea.csv")
        (held,) = (await found.portal.baskets.look(AS_ADA, basket)).things
        found.world.limit(basket_read=128_000)  # each question costs 64 kB, however little it reads

        async def read(visit: str) -> None:
            await found.portal.reading.piece(AS_ADA, basket, held.thing.id, offset=0, size=1, visit=visit)

        await read("one")
        found.portal.reading.count(AS_ADA, "one")
        with pytest.raises(TooLarge, match="This visit has read 0 MB"):
            await read("one")
        for number in range(8):
            await read(str(number))
        with pytest.raises(TooLarge, match="Today you have read 0 MB"):
            await read("another")

    async def test_what_is_larger_than_what_is_left_is_refused_at_its_start(self, found: Searchable) -> None:
        found.world.put(ADA, "large.bin", b"x" * 300_000)
        found.put("large.bin", "user:ada")
        basket = await filled(found, "large.bin")
        (held,) = (await found.portal.baskets.look(AS_ADA, basket)).things
        found.world.limit(basket_read=200_000)
        with pytest.raises(TooLarge):
            await found.portal.reading.piece(AS_ADA, basket, held.thing.id, offset=0, size=9, visit="one")

    async def test_what_was_read_for_nothing_counts(self, found: Searchable, monkeypatch: MonkeyPatch) -> None:
        basket = await filled(found, "sea.csv")
        (held,) = (await found.portal.baskets.look(AS_ADA, basket)).things
        found.world.limit(basket_read=5_000_000)
        asked = 0

        async def piece(store: FolderStore, path: str, offset: int, size: int, entry: FileEntry | None = None) -> Piece:
            nonlocal asked
            asked += 1
            return Piece(b"x", 18, "e", skipped=6_000_000)

        monkeypatch.setattr(FolderStore, "piece", piece)
        for _ in range(3):
            with pytest.raises(TooLarge):
                await found.portal.reading.piece(AS_ADA, basket, held.thing.id, offset=1, size=1, visit="one")
        assert asked == 1

    async def test_two_are_read_at_once_for_one_person(self, found: Searchable, monkeypatch: MonkeyPatch) -> None:
        basket = await filled(found, "sea.csv")
        (held,) = (await found.portal.baskets.look(AS_ADA, basket)).things
        running, most, go = 0, 0, asyncio.Event()

        async def slowly(
            store: FolderStore, path: str, offset: int, size: int, entry: FileEntry | None = None
        ) -> Piece:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 2:
                asyncio.get_running_loop().call_later(0.05, go.set)
            await go.wait()
            running -= 1
            return Piece(b"", 0, "e")

        monkeypatch.setattr(FolderStore, "piece", slowly)
        reading = found.portal.reading
        await asyncio.gather(*(reading.piece(AS_ADA, basket, held.thing.id, offset=0, size=1) for _ in range(6)))
        assert most == 2

    async def test_what_is_no_file_says_what_to_do(self, found: Searchable) -> None:
        app = await takes(found)
        await found.portal.baskets.add(AS_ADA, "here", f"app:{app.id}")
        found.elsewhere.kept["one"] = Record(
            "one", "data", "Far away", url="https://far.example/one", catalog="elsewhere"
        )
        await found.portal.baskets.add(AS_ADA, "elsewhere", "one")
        found.world.put(ADA, "folder/a.csv", "a")
        found.put("folder", "user:ada", type="folder")
        look = await found.portal.baskets.add(AS_ADA, "here", "file:p/folder")
        said = []
        for held in look.things:
            with pytest.raises((Invalid, NotFound)) as error:
                await found.portal.reading.piece(AS_ADA, look.basket.id, held.thing.id, offset=0, size=9)
            said.append(error.value.message)
        words = " ".join(said)
        assert "can be opened at" in words and "is a folder" in words
        assert "Elsewhere hands out no files. The page of “Far away” is https://far.example/one" in words

    async def test_rest_reads_ones_own_baskets(self, found: Searchable, site: str) -> None:
        basket = await filled(found, "sea.csv")
        thing = (await found.portal.baskets.look(AS_ADA, basket)).things[0].thing.id
        ask = {"verb": "read", "args": {"basket": basket, "thing": thing, "size": 4}}
        async with client(site, "ada") as ada, client(site, "bob") as bob:
            answer = (await ada.post("api/ask", json=ask)).json()
            assert base64.b64decode(answer["data"]) == b"year" and answer["size"] == 18
            assert (await bob.post("api/ask", json=ask)).status_code == 404
            for wrong in ({"offset": -1}, {"offset": "0"}, {"size": 0}, {"size": 2_000_001}, {"thing": "x"}):
                answer = await ada.post("api/ask", json={"verb": "read", "args": {**ask["args"], **wrong}})
                assert answer.status_code in {400, 404}

    async def test_nobody_reads_without_a_name(self, found: Searchable) -> None:
        with pytest.raises(SignInNeeded):
            await found.portal.reading.piece(NOBODY, "", "x", offset=0, size=1)
        with pytest.raises(NotFound):
            await found.portal.reading.piece(AS_BOB, "", "x", offset=0, size=1)


async def test_a_proof_for_no_basket_is_signed_for_nobody(found: Searchable) -> None:
    """It would be good for everything."""
    app = await takes(found)
    with pytest.raises(Invalid):
        found.world.core.ticket(
            found.world.server(app, 1),
            AS_ADA,
            purpose="visit",
            access=1,
            handed=Handed("", ("x",), app.id, app.version, ""),
        )
    with pytest.raises(Forbidden):
        await found.portal.speaking.asker(found.world.server(app, 1), "")


async def test_a_server_that_was_handed_something_reaches_no_more_than_before() -> None:
    """What is in its kernels was given for what could be reached then."""
    handed, other = Gate(("a.example", "b.example")), Gate(("a.example",))
    for gate, wider, reached in ((handed, False, ("b.example",)), (other, True, ("b.example", "c.example"))):
        gate.change(("b.example", "c.example"), wider=wider)
        assert gate.allowed == reached
    handed.change(("*",), wider=False)
    assert handed.allowed == ("b.example",)
