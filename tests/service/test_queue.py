"""An app that is full: who waits, sees where, and comes in when it is their turn; and what makes it full."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.service.portal_stub import AppProcess, PortalStub, Visitor
from tests.service.test_app_server_life import Start, soon, start

__all__ = ["start"]
pytestmark = pytest.mark.app
HOG = "held = []\nheld.append(b'x' * {megabytes}_000_000)"


async def comes(app: AppProcess, portal: PortalStub) -> Visitor:
    """Return somebody new who has a visit."""
    visitor = Visitor(app, portal=portal)
    assert (await visitor.enter()).code == 303
    return visitor


async def asks(visitor: Visitor, known: int | str = "") -> dict[str, Any]:
    """Ask as a waiting page does; without ``known`` the answer comes at once."""
    answer = await visitor.ask(f"vaas/queue?known={known}")
    assert answer.code == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


async def waits(visitor: Visitor) -> str:
    """Load the page, which has to be the one of those who wait, and return it."""
    answer = await visitor.ask()
    assert (answer.code, answer.headers["Retry-After"]) == (503, "10")
    return answer.body.decode()


async def test_who_finds_the_app_full_sees_their_place_and_comes_in_when_somebody_leaves(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    page = await first.page()
    second, third = await comes(app, portal), await comes(app, portal)
    assert "You are next." in await waits(second)
    html = await waits(third)
    assert "You are number 2 in line." in html
    assert "We cannot tell yet how long it takes." in html
    assert "Waves &amp; &lt;tides&gt;" in html
    assert '<noscript><meta http-equiv="refresh"' in html
    asking = asyncio.ensure_future(asks(second, known=1))
    assert (await asks(third))["position"] == 2
    assert await first.leave(page.token) == 204
    assert (await asyncio.wait_for(asking, 8))["position"] == 0
    # Who comes new is not quicker than who was called.
    assert "You are number 2 in line." in await waits(await comes(app, portal))
    await second.page()
    assert (await asks(third))["position"] == 1


async def test_who_waits_sees_how_the_app_looked_last(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    portal.picture = '<p class="outline-h outline-h1">Tides of the week</p>'
    await first.page()
    assert f'aria-hidden="true" inert>{portal.picture}</section>' in await waits(await comes(app, portal))


async def test_a_portal_without_a_picture_is_no_trouble_for_who_waits(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    await first.page()
    visitor = await comes(app, portal)
    portal.away = True
    assert "<section" not in await waits(visitor)


async def test_a_question_is_held_until_there_is_news_but_not_for_ever(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    await first.page()
    second = await comes(app, portal)
    await waits(second)
    began = asyncio.get_running_loop().time()
    assert (await asks(second, known=1))["position"] == 1
    assert 8 < asyncio.get_running_loop().time() - began < 14


async def test_a_place_is_the_visits_and_nobody_elses(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    await first.page()
    second, third = await comes(app, portal), await comes(app, portal)
    await waits(second)
    await waits(third)
    assert "You are next." in await waits(second)
    assert (await Visitor(app, portal=portal).ask("vaas/queue")).code == 404
    assert (await second.ask("vaas/queue", method="POST")).code == 404


async def test_who_closes_the_tab_leaves_the_line(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    await first.page()
    second, third = await comes(app, portal), await comes(app, portal)
    await waits(second)
    await waits(third)
    asking = asyncio.ensure_future(asks(third, known=2))
    # The second one never asks.
    for _ in range(3):
        told = await asking
        if told["position"] == 1:
            break
        asking = asyncio.ensure_future(asks(third, known=2))
    assert told["position"] == 1


async def test_somebody_whose_access_ends_has_no_place(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    await first.page()
    second, third = await comes(app, portal), await comes(app, portal)
    await waits(second)
    await waits(third)
    asking = asyncio.ensure_future(second.ask("vaas/queue?known=1"))
    await asyncio.sleep(0.3)
    ids = [visit["id"] for visit in portal.heartbeats[-1]["visits"]]
    portal.revoked.add(ids[1])
    assert (await asyncio.wait_for(asking, 8)).code == 404
    assert (await asks(third))["position"] == 1


async def test_the_portal_hears_how_many_wait_and_how_the_app_opens(start: Start) -> None:
    portal, app, first = await start(visits=1, connect_within=60)
    await first.page()
    second = await comes(app, portal)
    await waits(second)
    assert await soon(lambda: portal.heartbeats[-1]["load"] == {"pages": 1, "waiting": 1, "memory": 0})
    assert portal.heartbeats[-1]["opens"] == {"mode": "cold", "why": ["This site runs notebooks for each visit."]}
    assert portal.heartbeats[-1]["idle_seconds"] == 0


async def test_no_more_pages_open_than_the_portal_says(start: Start) -> None:
    portal, app, first = await start(visits=5, connect_within=60)
    portal.shares["site_visits"] = 1
    count = len(portal.heartbeats)
    assert await soon(lambda: len(portal.heartbeats) > count + 1)
    await first.page()
    second = await comes(app, portal)
    assert "Many apps are in use here" in await waits(second)
    asking = asyncio.ensure_future(asks(second, known=1))
    portal.shares["site_visits"] = 2
    assert (await asyncio.wait_for(asking, 8))["position"] == 0
    await second.page()


@pytest.mark.parametrize("query", ["", "?x=1"])
async def test_who_left_for_so_long_that_another_has_the_place_waits_in_line(start: Start, query: str) -> None:
    portal, app, first = await start(connect_within=60, leave_after=60)
    portal.shares["site_visits"] = 1
    page = await first.page()
    await soon(lambda: portal.heartbeats[-1]["load"]["pages"] == 1)
    assert await first.leave(page.token) == 204
    second = await comes(app, portal)
    await waits(second)
    for _ in range(80):
        if (await asks(second))["position"] == 0:
            break
        await asyncio.sleep(0.5)
    await second.page()
    assert (await first.ask(query)).code == 503
    assert await soon(lambda: portal.heartbeats[-1]["load"] == {"pages": 1, "waiting": 1, "memory": 0})


async def test_an_app_whose_memory_is_full_lets_nobody_in(start: Start) -> None:
    portal, app, first = await start(HOG.format(megabytes=150), memory=400_000_000, connect_within=60)
    page = await first.page()
    second = await comes(app, portal)
    await second.page()
    assert await soon(lambda: portal.heartbeats[-1]["load"]["memory"] > 300_000_000)
    assert "You are next." in await waits(await comes(app, portal))
    await first.leave(page.token)
    assert await soon(lambda: 100_000_000 < portal.heartbeats[-1]["load"]["memory"] < 300_000_000)
    assert len(app.kernels) == 1


@pytest.mark.parametrize("ahead", [0, 1], ids=["kernels", "forks"])
async def test_the_visit_that_makes_the_app_too_large_dies_alone(start: Start, ahead: int) -> None:
    grow = "from vaas import visitor\nif 'grow' in str(visitor().query):\n    held = bytearray(b'x' * 300_000_000)"
    portal, app, first = await start(grow, memory=250_000_000, connect_within=60, ahead=ahead)
    page = await first.page()
    modest = await page.connect()
    second = await comes(app, portal)
    assert (await second.ask("?grow=1")).code in {200, 503}
    assert await soon(lambda: any("together used more" in one["text"] for one in incidents(portal)), within=20)
    assert modest.close_code is None
    assert (await first.ask(f"api/kernels/{page.kernel}")).code == 200


async def test_forks_that_are_kept_ready_give_way_to_visits(start: Start) -> None:
    wanted = {"connect_within": 60, "ahead": 1, "spares": 6}
    _, ample, _ = await start("1 + 1", **wanted)
    assert await soon(lambda: len(ample.kernels) > 6, within=30)
    portal, app, first = await start("1 + 1", memory=5_000_000, **wanted)
    assert await soon(lambda: portal.heartbeats and portal.heartbeats[-1]["load"]["memory"] > 5_000_000, within=30)
    assert await soon(lambda: portal.heartbeats[-1]["opens"]["mode"] == "instant", within=30)
    await asyncio.sleep(3)
    assert len(app.kernels) < 4
    # The template alone has more than the app may: a first visit comes in all the same, a second one waits.
    await first.page()
    await waits(await comes(app, portal))


def incidents(portal: PortalStub) -> list[dict[str, str]]:
    return [one for beat in portal.heartbeats for one in beat["incidents"]]
