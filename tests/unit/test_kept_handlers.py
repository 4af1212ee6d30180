"""Baskets, saved searches and requests over HTTP: REST, the dashboard's verbs, and the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub_service.arguments import Arguments
from hub_service.asked_keeping import KEEPING
from tests.portal_parts import ADA, BOB, PUBLIC_URL, World
from tests.searchable import Searchable, searchable
from tests.unit.test_handlers import client
from vaas.errors import Invalid, NotFound, SignInNeeded, VaasError
from vaas.model import SIGNED_IN, Access, Visitor

AS_ADA, AS_BOB, NOBODY = Visitor(ADA), Visitor(BOB), Visitor()
SEA = {"catalog": "here", "record": "file:p/sea.csv"}
HOSTILE = "<script>alert(1)</script>'\"{{7*7}}\u202e"


@pytest.fixture
def found(world: World, tmp_path: Path) -> Iterator[Searchable]:
    with searchable(world, tmp_path) as made:
        made.put("sea.csv", SIGNED_IN, title="Sea level", size=12)
        yield made


async def test_a_basket_by_rest(found: Searchable, site: str) -> None:
    async with client(site, "ada") as ada, client(site, "bob") as bob:
        empty = (await ada.get("api/baskets/current")).json()
        assert (empty["id"], empty["count"], empty["things"], empty["baskets"]) == ("", 0, [], [])
        for _ in range(2):
            answer = await ada.post("api/baskets/current/things", json=SEA)
            assert answer.status_code == 200, answer.text
        (thing,) = answer.json()["things"]
        assert (thing["title"], thing["state"], thing["kind"]) == ("Sea level", "there", "file")
        assert thing["uri"] == f"{PUBLIC_URL}files/home/sea.csv"
        assert "pd.read_csv(url" in thing["code"] and f"{PUBLIC_URL}api/stores/home/files/sea.csv" in thing["code"]
        named = (await ada.patch("api/baskets/current", json={"name": "Sea", "shared_with": ["user:bob"]})).json()
        path = f"api/baskets/{named['id']}"
        assert (named["name"], named["shared_with"]) == ("Sea", ["user:bob"])
        theirs = (await bob.get(path)).json()
        assert (theirs["things"][0]["title"], theirs["owner"], theirs["shared_with"]) == ("Sea level", "ada", [])
        assert (await bob.get("api/baskets")).json() == {"baskets": theirs["baskets"]}
        assert (await bob.delete(path)).status_code == 403
        assert (await bob.patch(path, json={"name": "x"})).status_code == 403
        async with client(site, "eve") as eve:
            answers = [await eve.get(f"api/baskets/{one}") for one in (named["id"], "aaaaaaaaaaaa")]
            assert {(each.status_code, each.text) for each in answers} == {(404, answers[0].text)}
        for _ in range(2):
            assert (await ada.delete(f"{path}/things/{thing['id']}")).status_code == 204
        assert (await ada.get(path)).json()["count"] == 0
        made = await ada.post("api/baskets", json={"name": "Air"})
        assert (made.status_code, made.json()["name"]) == (201, "Air")
        again = await ada.post("api/baskets", json={"name": "Air"})
        assert (again.status_code, again.json()["error"]["kind"]) == (409, "Conflict")
        assert [(await ada.delete(path)).status_code for _ in range(2)] == [204, 404]


async def test_a_folder_has_no_lines_that_would_load_it(found: Searchable, site: str) -> None:
    found.put("tides", SIGNED_IN, type="folder")
    async with client(site, "ada") as ada:
        for record in ("file:p/tides", "file:p/sea.csv"):
            answer = await ada.post("api/baskets/current/things", json={**SEA, "record": record})
            assert answer.status_code == 200, answer.text
        codes = {thing["record"]: bool(thing["code"]) for thing in answer.json()["things"]}
        assert codes == {"file:p/tides": False, "file:p/sea.csv": True}


async def test_saved_searches_by_rest(found: Searchable, site: str) -> None:
    async with client(site, "ada") as ada, client(site, "bob") as bob:
        (search,) = (await ada.post("api/saved", json={"q": "sea"})).json()["searches"]
        assert (search["name"], search["q"], search["new"]) == ("sea", "sea", 1), "of this very second"
        assert (await bob.get("api/saved")).json() == {"searches": []}
        assert (await bob.put(f"api/saved/{search['id']}/seen")).status_code == 404
        found.world.clock.forward(seconds=5)
        found.indexing.catch_up()
        (seen,) = (await ada.put(f"api/saved/{search['id']}/seen")).json()["searches"]
        assert seen["new"] == 0 and seen["seen"] > search["seen"]
        found.fresh = False
        assert (await ada.get("api/saved")).json()["searches"][0]["new"] is None
        for token in (bob, ada, ada):
            assert (await token.delete(f"api/saved/{search['id']}")).status_code == 204
        assert (await ada.get("api/saved")).json() == {"searches": []}


async def test_requests_by_rest(found: Searchable, world: World, site: str) -> None:
    app = await world.published(ADA, to=(SIGNED_IN,), title="Tides")
    hidden = await world.published(ADA)
    async with client(site, "ada") as ada, client(site, "bob") as bob, client(site, "eve") as eve:
        said = {"slug": app.slug, "access": "READ", "message": "please"}
        made = await bob.post("api/requests", json=said)
        assert (made.status_code, made.json()["state"], made.json()["title"]) == (201, "open", "Tides")
        path = f"api/requests/{made.json()['id']}"
        assert (await bob.post("api/requests", json=said)).status_code == 409
        assert (await eve.get("api/requests")).json() == {"asked": [], "to_answer": []}
        for method, sent in (("PUT", {"grant": True}), ("DELETE", {})):
            assert (await eve.request(method, path, json=sent)).status_code == 404
        assert (await bob.put(path, json={"grant": True})).status_code == 404
        for slug in (hidden.slug, "none", "", "../x"):
            answer = await bob.post("api/requests", json={"slug": slug, "access": "NONSENSE"})
            assert (answer.status_code, answer.json()["error"]["kind"]) == (404, "NotFound")
        assert (await eve.post("api/requests", json={**said, "access": "NONSENSE"})).status_code == 400
        (waits,) = (await ada.get("api/requests")).json()["to_answer"]
        assert (waits["who"], waits["message"], waits["access"]) == ("bob", "please", "READ")
        assert (await ada.put(path, json={})).status_code == 400
        granted = await ada.put(path, json={"grant": True})
        assert (granted.status_code, granted.json()["state"]) == (200, "granted")
        assert (await bob.get(f"api/apps/{app.slug}/versions")).status_code == 200
        (told,) = (await bob.get("api/requests")).json()["asked"]
        assert told["state"] == "granted" and "ada" not in str(told), "who of those who may answer did so is theirs"
        assert (await ada.put(path, json={"grant": False})).status_code == 409


@pytest.mark.parametrize("token", ["", "ada:read"])
async def test_nothing_is_changed_without_the_right_to(found: Searchable, site: str, token: str) -> None:
    changes = [
        ("POST", "api/baskets"),
        ("PATCH", "api/baskets/current"),
        ("DELETE", "api/baskets/current"),
        ("POST", "api/baskets/current/things"),
        ("DELETE", f"api/baskets/current/things/{'0' * 16}"),
        ("POST", "api/saved"),
        ("DELETE", "api/saved/aaaaaaaaaaaa"),
        ("PUT", "api/saved/aaaaaaaaaaaa/seen"),
        ("POST", "api/requests"),
        ("PUT", "api/requests/aaaaaaaaaaaa"),
        ("DELETE", "api/requests/aaaaaaaaaaaa"),
        ("POST", "basket/current"),
        ("POST", "requests"),
        ("POST", "apps/none/ask"),
    ]
    async with client(site, token) as caller:
        answers = [
            (await caller.request(method, path, json={**SEA, "name": "x"})).status_code for method, path in changes
        ]
    assert set(answers) == {403 if token else 401}


@pytest.mark.parametrize("wrong", [3, None, [], {}, True, "\ud800", "x" * 20_000])
async def test_what_makes_no_sense_is_refused_in_the_one_shape(found: Searchable, site: str, wrong: Any) -> None:
    asked = [
        ("POST", "api/baskets", "name"),
        ("PATCH", "api/baskets/current", "shared_with"),
        ("POST", "api/baskets/current/things", "record"),
        ("POST", "api/baskets/current/things", "catalog"),
        ("POST", "api/saved", "q"),
        ("POST", "api/requests", "slug"),
        ("PUT", "api/requests/aaaaaaaaaaaa", "grant"),
    ]
    async with client(site, "ada") as ada:
        for method, path, name in asked:
            import json

            answer = await ada.request(method, path, content=json.dumps({**SEA, name: wrong}).encode())
            fine = (name, wrong) in {("name", "\ud800"), ("q", "\ud800")} if isinstance(wrong, str) else False
            if fine or (name == "shared_with" and wrong == []):
                assert answer.status_code < 300, (name, answer.text)
            else:
                assert answer.status_code in {400, 404}, (name, answer.text)
                assert answer.json()["error"].keys() >= {"kind", "message", "fix"}


class TestVerbs:
    """What the dashboard asks."""

    async def ask(self, found: Searchable, visitor: Visitor, verb: str, **args: Any) -> Any:
        return await KEEPING[verb](found.portal, visitor, Arguments(args, base=PUBLIC_URL))

    async def test_all_of_them_answer_as_agreed(self, found: Searchable, world: World) -> None:
        app = await world.published(ADA, to=(SIGNED_IN,), title="Tides")

        async def ask(verb: str, **args: Any) -> Any:
            return await self.ask(found, AS_BOB, verb, **args)

        basket = await ask("basket_add", **SEA)
        (thing,) = basket["things"]
        assert thing.keys() >= {"id", "added", "kind", "uri", "title", "catalog", "record", "size", "checksum"}
        assert thing["access"] == {"how": "store", "via": {"store": "home", "path": "sea.csv"}}
        assert (await ask("basket"))["count"] == 1
        named = await ask("basket_rename", name="Sea")
        assert named["name"] == "Sea" and (await ask("basket", basket=named["id"])) == named
        assert (await ask("basket_share", basket=named["id"], subjects=["user:ada"]))["shared_with"] == ["user:ada"]
        assert (await ask("basket_remove", thing=thing["id"], basket=named["id"]))["things"] == []
        assert [each["name"] for each in (await ask("basket_new", name="Air"))["baskets"]] == ["Air", "Sea"]
        assert [each["name"] for each in (await ask("basket_delete", basket=named["id"]))["baskets"]] == ["Air"]
        (search,) = (await ask("save_search", q="sea", name="Sea"))["searches"]
        assert search.keys() == {"id", "name", "q", "created", "seen", "new"}
        assert await ask("saved") == await ask("mark_seen", id=search["id"])
        assert await ask("forget_search", id=search["id"]) == {"searches": []}
        request = await ask("ask_access", slug=app.slug, access="READ", message="please")
        assert (await ask("requests"))["asked"] == [request]
        granted = await self.ask(found, AS_ADA, "answer_request", id=request["id"], grant=True)
        assert granted["state"] == "granted"
        assert world.portal.core.see(AS_BOB, app.slug).access == Access.READ

    async def test_there_is_a_function_for_each_verb_that_was_agreed_on(self) -> None:
        baskets = {"basket", *(f"basket_{what}" for what in ("add", "remove", "rename", "new", "delete", "share"))}
        searches = {"saved", "save_search", "forget_search", "mark_seen"}
        assert set(KEEPING) == baskets | searches | {"ask_access", "requests", "answer_request"}

    @pytest.mark.parametrize("verb", KEEPING)
    async def test_arguments_are_checked(self, found: Searchable, verb: str) -> None:
        names = ("basket", "catalog", "record", "thing", "name", "subjects", "q", "id", "slug", "access", "grant")
        with pytest.raises(Invalid):
            await self.ask(found, AS_ADA, verb, nonsense=1)
        for wrong in (3, None, ["x", 3], {"a": 1}, "x" * 20_000, ["x"] * 500):
            for name in names:
                # Whatever is sent, it is an error that has words, or one that there is no such thing.
                try:
                    await self.ask(found, AS_ADA, verb, **{name: wrong})
                except VaasError as error:
                    assert isinstance(error, Invalid | NotFound) and error.message
                else:
                    raise AssertionError(f"{verb} took {name}={wrong!r}")

    @pytest.mark.parametrize("verb", KEEPING)
    async def test_nobody_in_particular_keeps_nothing(self, found: Searchable, verb: str) -> None:
        full: dict[str, dict[str, Any]] = {
            "basket_add": SEA,
            "basket_remove": {"thing": "x"},
            "basket_rename": {"name": "x"},
            "basket_new": {"name": "x"},
            "basket_delete": {"basket": ""},
            "basket_share": {"basket": "", "subjects": []},
            "save_search": {"q": "x"},
            "forget_search": {"id": "x"},
            "mark_seen": {"id": "x"},
            "ask_access": {"slug": "x"},
            "answer_request": {"id": "x", "grant": True},
        }
        with pytest.raises(NotFound if verb == "ask_access" else SignInNeeded):
            await self.ask(found, NOBODY, verb, **full.get(verb, {}))


class TestPages:
    """The pages, as a browser without JavaScript uses them."""

    async def test_a_basket_is_looked_at_and_changed(self, found: Searchable, site: str) -> None:
        async with client(site, "ada") as ada, client(site, "bob") as bob:

            async def do(basket: str, **form: str) -> str:
                answer = await ada.post(f"basket/{basket}", data=form)
                assert answer.status_code == 303, answer.text
                return answer.headers["Location"].rpartition("/")[2]

            assert "Nothing in it yet" in (await ada.get("basket/current")).text
            await ada.post("api/baskets/current/things", json=SEA)
            page = (await ada.get("basket/current")).text
            assert "Sea level" in page and "pd.read_csv(url" in page and "Share it" not in page
            basket = await do("current", do="rename", name="Sea")
            await do(basket, do="share", who="person", subject="bob")
            await do(basket, do="share", who="group", subject="physics")
            await do(basket, do="share", who="signed-in", subject="signed-in")
            assert (await ada.get(f"api/baskets/{basket}")).json()["shared_with"] == [
                "group:physics",
                "signed-in",
                "user:bob",
            ]
            theirs = (await bob.get(f"basket/{basket}")).text
            assert "A collection of ada" in theirs and "Sea level" in theirs and 'value="remove"' not in theirs
            found.put("sea.csv", "user:ada", title="SECRET")
            assert "SECRET" not in (await bob.get(f"basket/{basket}")).text
            assert "1 thing is in this collection" in (await bob.get(f"basket/{basket}")).text
            await do(basket, do="unshare", subject="signed-in")
            await do(basket, do="unshare", subject="user:bob")
            thing = (await ada.get(f"api/baskets/{basket}")).json()["things"][0]["id"]
            await do(basket, do="remove", thing=thing)
            assert await do("current", do="new", new_name="Air") != basket
            assert await do(basket, do="delete") == "current"
            assert (await ada.get(f"basket/{basket}")).status_code == 404

    async def test_what_is_wrong_is_said_at_its_field(self, found: Searchable, site: str) -> None:
        async with client(site, "ada") as ada:
            basket = (await ada.post("api/baskets", json={"name": "Sea"})).json()["id"]
            for form, field in (
                ({"do": "new", "new_name": "Sea"}, "new_name"),
                ({"do": "rename", "name": " "}, "name"),
                ({"do": "share", "who": "person", "subject": "nobody"}, "subject"),
                ({"do": "share", "who": "group", "subject": ""}, None),
            ):
                answer = await ada.post(f"basket/{basket}", data=form)
                assert answer.status_code in {400, 409}
                assert not field or f'id="f-{field}-error"' in answer.text
            assert (await ada.post(f"basket/{basket}", data={"do": "nonsense"})).status_code == 400

    async def test_ask_answer_and_read(self, found: Searchable, world: World, site: str) -> None:
        app = await world.published(ADA, to=(SIGNED_IN,), title="Tides")
        async with client(site, "ada") as ada, client(site, "bob") as bob:
            assert "Ask for access" in (await bob.get(f"apps/{app.slug}/")).text
            mine = (await ada.get(f"apps/{app.slug}/")).text
            assert "Ask for access" not in mine and f'value="app:{app.id}"' in mine
            found.indexing.catch_up()
            assert (await ada.post("basket/current", data={"do": "add", "record": f"app:{app.id}"})).status_code == 303
            assert "Tides" in (await ada.get("basket/current")).text
            asked = await bob.post(f"apps/{app.slug}/ask", data={"access": "READ", "message": HOSTILE})
            assert asked.status_code == 303
            page = (await bob.get(f"apps/{app.slug}/")).text
            assert "Take it back" in page and "/ask" not in page
            assert "1 request for access waits" in (await ada.get("basket/current")).text
            assert "request for access waits" not in (await bob.get("basket/current")).text
            waiting = (await ada.get("requests")).text
            assert "<script>alert" not in waiting and "&lt;script&gt;alert(1)" in waiting and "{{7*7}}" in waiting
            (request,) = re.findall(r'name="request" value="(\w+)"', waiting)
            assert (await bob.post("requests", data={"request": request, "do": "grant"})).status_code == 404
            assert (await ada.post("requests", data={"request": request, "do": "nonsense"})).status_code == 400
            assert (await ada.post("requests", data={"request": request, "do": "grant"})).status_code == 303
            assert "Granted" in (await bob.get("requests")).text
            page = (await bob.get(f"apps/{app.slug}/")).text
            assert "What is inside" in page and "Publish new versions" not in page

    async def test_a_refusal_is_told_and_a_request_taken_back(self, found: Searchable, world: World, site: str) -> None:
        app = await world.published(ADA, to=(SIGNED_IN,), title="Tides")
        async with client(site, "ada") as ada, client(site, "bob") as bob:
            for who, do, told in ((bob, "withdraw", "Nothing yet"), (ada, "refuse", "Refused")):
                await bob.post(f"apps/{app.slug}/ask", data={"access": "WRITE", "message": ""})
                (request,) = re.findall(r'name="request" value="(\w+)"', (await ada.get("requests")).text)
                assert (await who.post("requests", data={"request": request, "do": do})).status_code == 303
                assert told in (await bob.get("requests")).text
                assert ("was refused" in (await bob.get(f"apps/{app.slug}/")).text) == (do == "refuse")

    async def test_whatever_a_record_says_is_shown_as_text(self, found: Searchable, site: str) -> None:
        found.put("x", SIGNED_IN, title=HOSTILE, owner=HOSTILE, format=HOSTILE, url="javascript:alert(1)")
        found.put("y", SIGNED_IN, title="Odd", url="http://[")
        async with client(site, "ada") as ada:
            for name in "xy":
                await ada.post("api/baskets/current/things", json={"catalog": "here", "record": f"file:p/{name}"})
            page = (await ada.get("basket/current")).text
            assert "<script>alert" not in page and "javascript:" not in page and "&lt;script&gt;" in page
            assert [each["uri"] for each in (await ada.get("api/baskets/current")).json()["things"]] == ["", ""]
