"""Apps that work on a basket: who comes without one finds the app ready, and each works on what they handed over."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.service.visiting import Site, Visiting, serving

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

FIRST = "import uuid, vaas\nshared = uuid.uuid4().hex"
ASKS = "things = vaas.basket()\nprint('things:', [thing.title for thing in things])\nran = uuid.uuid4().hex"
#: Where no code of the notebook's own says that it asks.
HIDDEN = (
    "import asks\nthings, ran = asks.things(), uuid.uuid4().hex\nprint('things:', [thing.title for thing in things])"
)
WARM = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
FACTS = "result = [shared, ran, things.name, [(thing.title, thing.read().decode()) for thing in things]]"


def answered(asked: dict[str, Any]) -> tuple[int, Any]:
    """Hold one file that says whose it is, and by which proof it was asked for."""
    said = asked["proof"].encode()
    if asked["verb"] == "basket":
        thing = {"id": "1", "title": "T", "kind": "file", "uri": "", "size": len(said), "checksum": "", "format": ""}
        return 200, {"id": "b", "name": "Given", "things": [thing | {"name": "t.txt"}]}
    return 200, {"data": base64.b64encode(said).decode(), "size": len(said), "etag": "e"}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["instant", "found", "warm", "cold"])
async def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Return a site whose notebook asks for a basket, in each way in which an app can open."""
    cells = (FIRST, HIDDEN if request.param == "found" else ASKS, *((WARM,) if request.param == "warm" else ()))
    files = {"asks.py": b"import vaas\ndef things():\n    return vaas.basket()\n"}
    limits = {"ahead": int(request.param != "cold")}
    folder = tmp_path_factory.mktemp(request.param)
    async with serving(folder, *cells, files=files, limits=limits, takes_basket=True) as site:
        site.kind, site.portal.answer = request.param, answered
        yield site


async def leave(*visits: Visiting) -> None:
    for visit in visits:
        await visit.leave()


async def test_each_works_on_what_they_handed_over(site: Site) -> None:
    bob, eve, nobody = await asyncio.gather(
        site.visit(user="bob", basket="sea"), site.visit(user="eve", basket="air"), site.visit(user="zoe")
    )
    found = [await visit.do(FACTS) for visit in (bob, eve, nobody)]
    assert [each[2:] for each in found] == [
        ["Given", [["T", "sea-of-bob"]]],
        ["Given", [["T", "air-of-eve"]]],
        ["", []],
    ]
    assert "things: [&#39;T&#39;]" in bob.html and "things: []" in nobody.html
    assert len({each[1] for each in found}) == 3
    await leave(bob, eve, nobody)


async def test_who_comes_without_one_finds_it_ready(site: Site) -> None:
    visits = [await site.visit(user=name) for name in ("bob", "eve")]
    (shared, ran, *_), (also_shared, also_ran, *_) = [await visit.do(FACTS) for visit in visits]
    assert ((shared, ran) == (also_shared, also_ran)) == (site.kind in {"instant", "found"})
    await leave(*visits)


async def test_who_comes_back_with_another_one_gets_that(site: Site) -> None:
    bob = await site.visit(user="bob", basket="sea")
    assert (await bob.do(FACTS))[3] == [["T", "sea-of-bob"]]
    bob.socket.close()
    await bob.visitor.enter(site.portal.ticket(basket="air"))
    page = await bob.visitor.page()
    again = Visiting(bob.visitor, page, await page.connect())
    assert page.kernel != bob.page.kernel
    assert (await again.do(FACTS))[3] == [["T", "air-of-bob"]]
    await leave(again)


async def test_a_callback_may_be_the_first_that_asks(tmp_path: Path) -> None:
    late = "def ask(): return [thing.title for thing in vaas.basket()]"
    async with serving(tmp_path, FIRST, late, takes_basket=True) as site:
        site.portal.answer = answered
        bob, nobody = await site.visit(user="bob", basket="sea"), await site.visit(user="zoe")
        (shared, things), (also_shared, none) = [await visit.do("result = [shared, ask()]") for visit in (bob, nobody)]
        assert shared == also_shared, "both are forks of one run"
        assert (things, none) == (["T"], [])


async def test_what_is_refused_is_said(tmp_path: Path) -> None:
    async with serving(tmp_path, FIRST, ASKS, takes_basket=True) as site:
        site.portal.answer = answered
        bob = await site.visit(user="bob", basket="sea")
        message = "The basket that this app was given is gone, or not shared with you any more."
        site.portal.answer = lambda asked: (403, {"error": {"kind": "Forbidden", "message": message, "fix": "Ask."}})
        tried = "try: things[0].path()\nexcept vaas.client.PortalError as error: result = str(error)"
        assert await bob.do(f"import vaas.client\n{tried}") == f"{message} Ask."
