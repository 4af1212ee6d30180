"""What goes wrong in app servers: rebuilt, counted once, kept a while, and told to writers alone."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from tests.portal_parts import ADA, BOB, EVE, NOBODY, World
from tests.unit.test_handlers import client
from vaas.errors import Forbidden, NotFound, SignInNeeded
from vaas.model import EVERYONE, Access, App, ServerName, Visitor
from vaas.portal.incidents import KINDS, clean_incidents
from vaas.portal.opening import draft_server
from vaas.portal.servers import Heartbeat
from vaas.runtime.endings import Kind

AS_ADA = Visitor(ADA)


async def report(world: World, server: ServerName, *said: tuple[str, str]) -> None:
    await world.portal.servers.heartbeat(server, Heartbeat((), 0.0, incidents=said))


def texts(world: World, app: App) -> list[str]:
    return [incident.text for incident in world.portal.incidents.of(AS_ADA, app.slug)]


async def test_a_report_is_kept_with_its_version_and_time(world: World) -> None:
    app = await world.published(ADA, "x = 1")
    await world.published(ADA, "x = 2", slug_of=app.slug)
    await report(world, world.server(app, 1), ("memory", "It used 2 GB."))
    world.clock.forward(seconds=1)
    await report(world, world.server(app, 2), ("died", "It ended."))
    newest, oldest = world.portal.incidents.of(AS_ADA, app.slug)
    assert (newest.version, newest.kind, newest.text) == (2, "died", "It ended.")
    assert (oldest.version, oldest.kind, oldest.app_id) == (1, "memory", app.id)
    assert newest.created == world.clock.time


async def test_the_same_within_a_minute_counts_once(world: World) -> None:
    app = await world.published(ADA)
    server = world.server(app, 1)
    await report(world, server, ("memory", "a"), ("memory", "a"), ("memory", "b"))
    world.clock.forward(seconds=59)
    await report(world, server, ("memory", "a"), ("cpu", "a"))
    assert sorted(texts(world, app)) == ["a", "a", "b"]
    world.clock.forward(seconds=2)
    await report(world, server, ("memory", "a"))
    assert sorted(texts(world, app)) == ["a", "a", "a", "b"]


async def test_fifty_are_kept(world: World) -> None:
    app = await world.published(ADA)
    for number in range(60):
        await report(world, world.server(app, 1), ("slow", str(number)))
        world.clock.forward(seconds=1)
    assert texts(world, app) == [str(number) for number in range(59, 9, -1)]


async def test_a_drafts_incidents_are_dropped_and_an_apps_go_with_it(world: World) -> None:
    app = await world.published(ADA)
    draft = world.uploaded(ADA, "x = 2", slug=app.slug)
    await report(world, draft_server(draft), ("memory", "a"))
    await report(world, draft_server(world.uploaded(ADA, "x = 3")), ("memory", "a"))
    assert texts(world, app) == []
    await report(world, world.server(app, 1), ("memory", "a"))
    world.portal.gallery.withdraw(AS_ADA, app.slug)
    await report(world, world.server(app, 1), ("memory", "b"))
    with world.core.database.begin() as records:
        assert records.incidents.of(app.id) == []


async def test_they_are_for_those_who_may_read_the_log(world: World) -> None:
    app = await world.published(ADA, to=(EVERYONE,))
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.WRITE)
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:eve", access=Access.READ)
    await report(world, world.server(app, 1), ("memory", "a"))
    assert len(world.portal.incidents.of(Visitor(BOB), app.slug)) == 1
    for visitor, refusal in ((Visitor(EVE), Forbidden), (NOBODY, SignInNeeded)):
        with pytest.raises(refusal):
            world.portal.incidents.of(visitor, app.slug)
    with pytest.raises(NotFound):
        world.portal.incidents.of(AS_ADA, "none")


@pytest.mark.parametrize(
    "said",
    [
        None,
        3,
        "memory",
        {},
        {"kind": "memory", "text": "a"},
        [],
        [None, 3, "memory", []],
        [{}],
        [{"kind": "memory"}],
        [{"text": "a"}],
        [{"kind": "memory", "text": 3}],
        [{"kind": ["memory"], "text": "a"}],
        [{"kind": {}, "text": "a"}],
        [{"kind": "Memory", "text": "a"}],
        [{"kind": "hacked", "text": "a"}],
    ],
)
def test_what_is_no_incident_is_left_out(said: Any) -> None:
    assert clean_incidents(said) == ()


def test_texts_are_one_short_line_without_marks_that_turn_them_around() -> None:
    text = "a\x1b[31m\u202eb\n\n  c\0" + "d" * 1_000_000
    ((kind, kept),) = clean_incidents([{"kind": "died", "text": text, "more": "x"}])
    assert kind == "died" and kept.startswith("a[31mb c") and len(kept) == 300


def test_so_many_of_one_heartbeat_are_looked_at() -> None:
    said = [{"kind": "hacked", "text": "x"}] * 30 + [{"kind": "slow", "text": str(n)} for n in range(1000)]
    assert clean_incidents(said) == tuple(("slow", str(n)) for n in range(20))


def test_every_kind_has_words() -> None:
    known = set(get_args(Kind))
    assert set(KINDS) == known
    assert all(words[0].isupper() and not words.endswith(".") for words in KINDS.values())


async def test_a_server_reports_them_with_its_heartbeat_and_writers_read_them_over_rest(
    world: World, site: str
) -> None:
    app = await world.published(ADA, to=("user:bob",))
    beat = {"visits": [], "idle_seconds": 0, "incidents": [{"kind": "memory", "text": "It used <b>2 GB</b>."}, 3]}
    async with client(site, f"app-{app.id}:server=app-{app.id}/v1") as server:
        assert (await server.post("api/runtime/heartbeat", json=beat)).status_code == 200
        for odd in ("x", {"kind": 3}, [[]], None):
            assert (await server.post("api/runtime/heartbeat", json={**beat, "incidents": odd})).status_code == 200
    async with client(site, "ada") as ada:
        (found,) = (await ada.get(f"api/apps/{app.slug}/incidents")).json()
    assert found == {
        "kind": "memory",
        "title": "Out of memory",
        "text": "It used <b>2 GB</b>.",
        "version": 1,
        "created": world.clock.time.isoformat(),
    }
    async with client(site, "bob") as bob:
        assert (await bob.get(f"api/apps/{app.slug}/incidents")).status_code == 403
