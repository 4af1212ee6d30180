"""The portal's own app asks as its visitors: who tries to ask as somebody else, or with another app, hears nothing."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_service.discovery import DISCOVERY, ensure_discovery
from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, ROOT, World
from tests.sandbox import NEEDS_SANDBOX
from tests.service.visiting import Site, serving
from tests.unit.test_handlers import client, site
from vaas import tickets
from vaas.errors import VaasError
from vaas.model import ServerName, User, Visitor
from vaas.tickets import Ticket

__all__ = ["site"]

pytestmark = pytest.mark.attack

SERVER = ServerName(f"app-{DISCOVERY}", "v1")
OTHER = ServerName(f"app-{DISCOVERY}", "v2")

# ---- an app server that was taken over


def token(server: ServerName) -> str:
    """Return a server's own token, as the small Hub of these tests has it."""
    return f"{server.account}:server={server.account}/{server.name}"


def proof(world: World, visitor: Visitor, server: ServerName = SERVER) -> str:
    """Return what that server gets with the visitor's ticket."""
    text = world.core.ticket(server, visitor, purpose="visit", access=1, speaks=True)
    key, now = tickets.derive_key(world.core.master_key, server), world.core.now().timestamp()
    return tickets.verify(text, key=key, purpose="visit", server=server, now=now).proof


async def heard(site: str, said: str, *, server: ServerName = SERVER) -> tuple[int, Any]:
    """Ask who one is, as that server."""
    async with client(site, token(server)) as asks:
        answer = await asks.post("api/runtime/ask", json={"proof": said, "verb": "me", "args": {}})
    return answer.status_code, answer.json().get("name")


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """Return a portal with two versions of its own app."""
    for cell in ("x = 1", "x = 2"):
        (tmp_path / "discovery.ipynb").write_bytes(notebook(cell))
        ensure_discovery(world.portal, folder=tmp_path)
    return world


async def test_an_app_server_does_not_ask_as_a_user_whom_it_names(own: World, site: str) -> None:
    true = proof(own, Visitor(BOB))
    assert await heard(site, true) == (200, "bob")
    # It has the key of its tickets, and may sign with it what it likes.
    key, now = tickets.derive_key(own.core.master_key, SERVER), own.core.now().timestamp()
    made = Ticket("ask", SERVER.path, "root", (), 4, "n", now + 60)
    body, _, signature = true.partition(".")
    other, _, _ = tickets.sign(made, key=key).partition(".")
    guessed = tickets.sign(made, key=secrets.token_bytes(32))
    for forged in (tickets.sign(made, key=key), f"{other}.{signature}", f"{body}.", body, guessed, "", "."):
        assert await heard(site, forged) == (403, None)


async def test_a_proof_that_came_to_another_server_is_worth_nothing(own: World, site: str) -> None:
    said = proof(own, Visitor(ROOT), OTHER)
    assert await heard(site, said, server=OTHER) == (200, "root")
    assert await heard(site, said, server=SERVER) == (403, None)


async def test_the_server_of_another_app_asks_for_nobody(own: World, site: str) -> None:
    app = await own.published(ADA, "x = 1", to=("user:bob",))
    server = own.server(app, 1)
    # Even if the portal had signed it by mistake.
    assert await heard(site, proof(own, Visitor(BOB), server), server=server) == (403, None)
    assert await heard(site, proof(own, Visitor(BOB)), server=server) == (403, None)


async def test_a_visitor_who_is_gone_or_may_not_open_it_any_more_asks_nothing(own: World, site: str) -> None:
    said = proof(own, Visitor(BOB))
    assert await heard(site, said) == (200, "bob")
    bob = own.people.known.pop("bob")
    assert await heard(site, said) == (403, None)
    own.people.known["bob"] = bob
    with own.core.database.begin() as records:
        records.grants.remove(DISCOVERY, "everyone")
    assert await heard(site, said) == (403, None)


async def test_a_proof_does_not_hold_for_ever(own: World, site: str) -> None:
    said = proof(own, Visitor(BOB))
    own.clock.forward(days=2)
    assert await heard(site, said) == (403, None)


async def test_nobody_puts_code_into_the_app_that_speaks(own: World) -> None:
    """Not an admin, and not who has the name of its owner: all who open it would do what that code says."""
    for user in (ROOT, User("This portal"), ADA):
        with pytest.raises(VaasError):
            own.portal.drafts.begin_upload(user, {"a.ipynb": notebook("evil")}, slug="discover")
        with pytest.raises(VaasError):
            await own.portal.gallery.give(Visitor(user), "discover", "ada")


async def test_the_door_of_another_app_hands_no_proof_out(own: World) -> None:
    app = await own.published(ADA, "x = 1", title="Discover")
    server = own.server(app, 1)
    await own.core.backend.start(server)
    went = await own.portal.opening.begin(Visitor(ADA), app.slug)
    key, now = tickets.derive_key(own.core.master_key, server), own.core.now().timestamp()
    assert tickets.verify(went.ticket, key=key, purpose="visit", server=server, now=now).proof == ""


# ---- kernels

#: What the kernel of a visit that went bad has: the client, and the gate itself.
CELL = """
import gc, json, socket
import vaas
from vaas import client
from vaas.facts import Way
from vaas.runtime import asking
def raw(secret, size=None, body=b'{"verb": "me", "args": {}}', port=3128, more="", host="portal.vaas.internal"):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            head = f"POST http://{host}/ask HTTP/1.1\\r\\nAuthorization: Visit {secret}\\r\\n{more}"
            s.sendall(f"{head}Content-Length: {len(body) if size is None else size}\\r\\n\\r\\n".encode() + body)
            return s.recv(300).decode().partition("\\r\\n")[0].split()[1]
    except OSError as error: return type(error).__name__
def said():
    try: return client.here().me()
    except client.PortalError as error: return str(error)
"""
REFUSED = "This app may not ask for its visitor."


async def portal_hears(site: Site, source: str) -> tuple[Any, int]:
    """Do something in the kernel of somebody new; return what it gave, and how often the portal was asked."""
    before = len(site.portal.asked)
    visit = await site.visit(user="eve")
    found = await visit.do(source)
    await visit.leave()
    return found, len(site.portal.asked) - before


@pytest.mark.app
@NEEDS_SANDBOX
@pytest.mark.parametrize("network", [(), ("*",), ("portal.vaas.internal",)], ids=["none", "all", "by name"])
@pytest.mark.parametrize("ahead", [0, 1])
async def test_the_kernel_of_another_app_asks_nothing(tmp_path: Path, network: tuple[str, ...], ahead: int) -> None:
    async with serving(tmp_path, CELL, network=network, limits={"ahead": ahead}) as site:
        guesses = "[raw(s) for s in ('', 'x', 'x' * 43)]"
        found, asked = await portal_hears(site, f"result = [said(), asking.facts().way is None, {guesses}]")
        assert asked == 0
        assert found[0] == REFUSED and found[1] is True
        assert set(found[2]) <= {"403", "ConnectionRefusedError"}


@pytest.mark.app
@NEEDS_SANDBOX
async def test_a_visit_without_its_secret_asks_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True) as site:
        bob = await site.visit(user="bob")
        assert await bob.do("result = said()") == {"name": None, "signed_in": False, "launch": False}, (
            "the stub answers what it is asked"
        )
        guesses = "[raw(s) for s in ('', 'x', 'x' * 43, asking.facts().way.secret[:-1], ' ', '../bob')]"
        found, asked = await portal_hears(site, f"result = {guesses}")
        assert (set(found), asked) == ({"403"}, 0)


@pytest.mark.app
@NEEDS_SANDBOX
async def test_a_fork_holds_nobodys_secret_but_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True) as site:
        look = "result = [asking.facts().way.secret, [o.secret for o in gc.get_objects() if isinstance(o, Way)]]"
        visits = [await site.visit(user=name) for name in ("bob", "eve", "bob")]
        found = [await visit.do(look) for visit in visits]
        assert len({own for own, _ in found}) == 3
        assert all(set(seen) <= {own} for own, seen in found)


@pytest.mark.app
@NEEDS_SANDBOX
async def test_the_secret_of_a_page_that_ended_is_worth_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True) as site:
        bob = await site.visit(user="bob")
        stolen = await bob.do("result = asking.facts().way.secret")
        await bob.leave()
        found, asked = await portal_hears(site, f"result = raw({stolen!r})")
        assert (found, asked) == ("403", 0)


@pytest.mark.app
@NEEDS_SANDBOX
async def test_a_stolen_secret_is_worth_nothing_in_another_app(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with (
        serving(tmp_path / "one", CELL, speaks=True) as own,
        serving(tmp_path / "two", CELL, network=("*",)) as other,
    ):
        bob = await own.visit(user="bob")
        stolen = await bob.do("result = asking.facts().way.secret")
        found, asked = await portal_hears(other, f"result = raw({stolen!r})")
        assert (found, asked, own.portal.asked) == ("403", 0, [])


@pytest.mark.app
@NEEDS_SANDBOX
async def test_questions_and_answers_have_an_end(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True) as site:
        own = "asking.facts().way.secret"
        large = 'b\'{"verb": "me", "args": {"a": "\' + b\'x\' * 200_000 + b\'"}}\''
        tries = [
            f"raw({own}, body={large})",
            f"raw({own}, size=10**12)",
            f"raw({own}, size='-1')",
            f"raw({own}, size='1, 1')",
            f"raw({own}, more='Transfer-Encoding: chunked\\r\\n')",
            f"raw({own}, body=b'[' * 60_000)",
            f"raw({own}, body=b'[1]')",
        ]
        found, asked = await portal_hears(site, f"result = [{', '.join(tries)}]")
        assert asked == 0 and set(found) <= {"400", "413", "ConnectionResetError"}
        site.portal.answer = lambda asked: (200, {"much": "x" * 6_000_000})
        found, _ = await portal_hears(site, "result = said()")
        assert "cannot answer" in found
        site.portal.answer = lambda asked: (200, {"name": "eve"})
        found, _ = await portal_hears(site, "result = said()")
        assert found["name"] == "eve"


@pytest.mark.app
@NEEDS_SANDBOX
async def test_a_visit_that_asks_without_end_is_slowed_down_and_others_are_not(tmp_path: Path) -> None:
    async with serving(tmp_path, CELL, speaks=True) as site:
        flood = """
import threading, time
told, until = [], time.monotonic() + 3
def ask():
    from vaas.client.wires import Visit
    c = client.Client(Visit(asking.facts().way))
    while time.monotonic() < until:
        try: c.me(); told.append("answered")
        except client.PortalError as error: told.append(str(error))
threads = [threading.Thread(target=ask) for _ in range(12)]
[t.start() for t in threads]; [t.join() for t in threads]
result = [told.count("answered"), sorted(set(told) - {"answered"})]
"""
        eve, bob = await site.visit(user="eve"), await site.visit(user="bob")
        doing = asyncio.ensure_future(eve.do(flood))
        site.portal.answer = lambda asked: (200, {"name": asked["proof"]})
        assert (await bob.do("result = said()"))["name"] == "proof-of-bob"
        answered, refused = await doing
        # Sixty at once, and twenty a second after that, whatever the machine does meanwhile.
        assert answered <= 60 + 20 * 30
        assert "This page asks for too much at once. Wait a moment, then try again." in refused
        asked = [each for each in site.portal.asked if each["proof"] == "proof-of-eve"]
        assert len(asked) == answered


def test_a_secret_shows_in_no_repr() -> None:
    from vaas.facts import Facts, Way
    from vaas.runtime.visits import Visit

    way = Way(1, "unmistakable")
    visit = Visit("id", "cookie", "bob", (), False, 0.0, proof="unmistakable")
    ticket = replace(Ticket("visit", "s", "bob", (), 1, "n", 1.0), proof="unmistakable")
    for shown in (way, Facts(way=way), visit, ticket):
        assert "unmistakable" not in repr(shown)
    assert "unmistakable" not in repr(Facts(way=way).environ) + repr(Facts(way=way).variables)
