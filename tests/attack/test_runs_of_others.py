"""Who knows the id of a run wants to see, end or repeat it; and its result wants to act as the portal's own page."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from hub_service.routes import API, PAGES
from tests.notebooks import notebook
from tests.portal_parts import ADA, BOB, World
from tests.run_desk import AS_ADA, AS_BOB, ASKED, CELLS, HOSTILE, ada, becomes, ended, started
from tests.unit.test_handlers import client, site
from vaas.model import Access

__all__ = ["ada", "site"]

pytestmark = pytest.mark.attack
#: As the browser asks for what is in a frame of our own page.
FRAMED = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-origin"}
ROUTES = [
    (method, route.path)
    for route in PAGES + API
    for method in route.methods
    if re.search(r"\{(run|series|schedule)\}", route.path)
]
assert len(ROUTES) >= 14, ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_another_ones_is_the_same_404_as_none(
    ada: httpx.AsyncClient, world: World, site: str, method: str, path: str
) -> None:
    runs = await world.portal.running.start_series(AS_ADA, ASKED, table=[{"n": 1}], values={}, things={}, title="")
    run = ended(world, runs[0])
    until = world.clock() + timedelta(days=9)
    schedule = await world.portal.running.schedule(AS_ADA, ASKED, cron="0 6 * * *", until=until)
    names = {"run": run.id, "series": run.series, "schedule": schedule.id}
    sent: dict[str, Any] = {"json": {"values": {}}} if path.startswith("api/") else {"data": {"do": "cancel"}}
    sent = sent if method == "post" else {}
    async with client(site, "bob") as bob:
        theirs = await bob.request(method, path.format(**names), **sent)
        none = await bob.request(method, path.format(**dict.fromkeys(names, "a" * 12)), **sent)
    assert (theirs.status_code, theirs.text) == (404, none.text)
    assert world.portal.running.run(AS_ADA, run.id) == run
    assert world.portal.running.schedules(AS_ADA) == [schedule]


async def test_another_ones_is_in_no_list(ada: httpx.AsyncClient, world: World, site: str) -> None:
    run = ended(world, await started(world))
    async with client(site, "bob") as bob:
        for path in ("runs/", "api/runs", "api/schedules", "stores/"):
            answer = await bob.get(path)
            assert answer.status_code == 200 and run.id not in answer.text and "ended since" not in answer.text


async def test_another_ones_is_not_repeated(ada: httpx.AsyncClient, world: World, site: str) -> None:
    run = ended(world, await started(world, name="secret"))
    async with client(site, "bob") as bob:
        for answer in (
            await bob.get(f"runs/new?again={run.id}"),
            await bob.post("runs/new", data={"again": run.id}),
            await bob.post(f"api/runs/{run.id}/repeat", json={}),
        ):
            assert answer.status_code == 404 and "secret" not in answer.text


async def test_a_result_in_its_frame_has_no_scripts_and_no_origin(ada: httpx.AsyncClient, world: World) -> None:
    run = ended(world, await started(world))
    answer = await ada.get(f"runs/{run.id}/result", headers=FRAMED)
    policy = [part.strip() for part in answer.headers["Content-Security-Policy"].split(";")]
    assert "sandbox" in policy and "default-src 'none'" in policy and "frame-ancestors 'self'" in policy
    assert not any(part.startswith(("script-src", "connect-src", "form-action ")) for part in policy)
    assert "Content-Disposition" not in answer.headers and HOSTILE in answer.text
    assert "Origin-Agent-Cluster" not in answer.headers, "a wish that a page without an origin cannot have"


@pytest.mark.parametrize(
    ("dest", "sender"),
    [("", ""), ("document", "none"), ("document", "same-origin"), ("iframe", "same-site"), ("iframe", "cross-site")],
)
async def test_a_result_is_no_page_at_our_address(ada: httpx.AsyncClient, world: World, dest: str, sender: str) -> None:
    run = ended(world, await started(world))
    headers = {"Sec-Fetch-Dest": dest, "Sec-Fetch-Site": sender} if dest else {}
    answer = await ada.get(f"runs/{run.id}/result", headers=headers)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")


async def test_who_may_not_read_the_app_any_more_gets_its_files_through_no_result(
    ada: httpx.AsyncClient, world: World, site: str
) -> None:
    app = await world.published(ADA, *CELLS, to=("user:bob",), title="Waves")
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
    run = await world.portal.running.start(AS_BOB, {"app": app.slug})
    world.put(BOB, "Runs/Waves/lesson.ipynb", notebook("1"))
    becomes(world, run, state="done", result_store="home", result_path="Runs/Waves")
    async with client(site, "bob") as bob, client(site, "eve") as eve:
        assert (await eve.post(f"runs/{run.id}/", data={"do": "publish"})).status_code == 404
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.VIEW)
        assert (await bob.post(f"runs/{run.id}/", data={"do": "publish"})).status_code == 403
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
        assert (await bob.post(f"runs/{run.id}/", data={"do": "publish"})).status_code == 303


async def test_with_whom_a_result_is_shared_gets_nothing_else_of_the_run(
    ada: httpx.AsyncClient, world: World, site: str
) -> None:
    run = ended(world, await started(world, name="mine"))
    await world.portal.showing.share(AS_ADA, run.id, ["user:bob"])
    shown = {"runs/{run}/", "runs/{run}/result", "runs/{run}/notebook"}
    async with client(site, "bob") as bob:
        for method, path in ROUTES:
            if "{run}" not in path or (method == "get" and path in shown):
                continue
            sent = {"data": {"do": "share", "subject": "eve"}} if method == "post" and "api" not in path else {}
            answer = await bob.request(method, path.format(run=run.id), **sent)
            assert answer.status_code == 404, (method, path, answer.status_code)
        assert (await bob.get("api/stores/home/files/Runs/Waves/result.html")).status_code == 404
    assert world.portal.running.run(AS_ADA, run.id).shared_with == ("user:bob",)


async def test_a_result_is_seen_by_nobody_else(ada: httpx.AsyncClient, world: World, site: str) -> None:
    run = ended(world, await started(world))
    await world.portal.showing.share(AS_ADA, run.id, ["user:bob"])
    for who in ("eve", "root"):
        async with client(site, who) as other:
            for end in ("", "result", "notebook"):
                assert (await other.get(f"runs/{run.id}/{end}")).status_code == 404, (who, end)
