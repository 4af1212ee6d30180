"""Portals of other sites: asked over real HTTP; silent, slow, broken and hostile ones are named and hurt nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from tornado.httputil import HTTPServerRequest

from hub_service.facilities_file import PortalElsewhere
from hub_service.facilities_schema import schema
from hub_service.facilities_shown import shown
from hub_service.portals import OtherPortals, rebuilt
from tests.portal_fixture import free_ports
from tests.portal_parts import NOBODY, PUBLIC_URL, World
from tests.servers import raw, recorded, web
from tests.unit.test_handlers import client
from vaas.http import Http
from vaas.portal.facilities import Facilities, Neighbour

SAID: Mapping[str, Any] = {
    "schema": "https://skies.example.org/api/facilities/schema.json",
    "site": {"name": "Skies", "description": "Above.", "contact": "a@b.example", "url": "javascript:x", "portal": "x"},
    "facilities": [
        {
            "id": "far",
            "title": "Cluster",
            "kind": "slurm",
            "description": "Large.",
            "hardware": {"cores": 64, "memory": 10**12, "processor": "EPYC", "gpus": 0},
            "technology": ["Slurm"],
            "storage": [{"title": "Disk", "size": 10**15, "protocols": ["NFS"]}],
            "accepts": ["interactive"],
            "stores": ["home"],
            "environments": ["e"],
            "sizes": ["s"],
            "status": {"state": "up", "text": "Fine."},
            "restricted": True,
        }
    ],
    "environments": [
        {
            "id": "e",
            "title": "Env",
            "kind": "python",
            "language": {"name": "python", "version": "3.12"},
            "state": "ready",
        }
    ],
    "sizes": [{"id": "s", "title": "S", "cores": 1, "memory": 2, "gpus": 0, "hours": 1.5}],
}


def sends(body: bytes | Mapping[str, Any], status: int = 200, **headers: str) -> Callable[..., Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _request: (status, {"Content-Type": "application/json", **headers}, data)


def others(*ports: int, patience: float = 3.0, allowed: str = "127.0.0.0/8", **more: Any) -> OtherPortals:
    portals = [PortalElsewhere(f"Portal {n}", f"http://127.0.0.1:{port}/vaas/") for n, port in enumerate(ports)]
    return OtherPortals(portals, Http(allowed_private=(allowed,) if allowed else ()), patience=patience, **more)


def valid(world: World, portals: OtherPortals) -> list[dict[str, Any]]:
    """Return what is told of the portals, which has to be of our schema, and can be shown."""
    told = Facilities(world.core, neighbours=portals).told(NOBODY, everywhere=True)
    jsonschema.Draft202012Validator(schema(PUBLIC_URL)).validate(json.loads(json.dumps(told)))
    assert shown(told)
    return list(told["portals"])


async def test_a_portal_is_asked_as_a_stranger_and_what_it_says_is_told(world: World) -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, sends(SAID))) as port:
        portals = others(port, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
        assert portals.known() == (Neighbour("Portal 0", f"http://127.0.0.1:{port}/vaas/"),)
        await portals.ask()
    (request,) = asked
    assert (request.uri, request.headers.get("Authorization")) == ("/vaas/api/facilities", None)
    (told,) = valid(world, portals)
    assert (told["state"], told["why"], told["asked"]) == ("answers", "", "2026-03-01T00:00:00+00:00")
    assert told["facilities"] == [
        {**SAID["facilities"][0], "hardware": {"cores": 64, "memory": 10**12, "processor": "EPYC"}}
    ]
    assert (told["environments"], told["sizes"]) == (SAID["environments"], SAID["sizes"])
    assert told["site"] == {"name": "Skies", "contact": "a@b.example", "software": "", "description": "Above."}
    assert told["url"] == f"http://127.0.0.1:{port}/vaas/", "where people are sent is ours to say"


async def test_a_real_portal_lists_another_one(world: World, site: str) -> None:
    port = int(site.split(":")[2].split("/")[0])
    portals = OtherPortals([PortalElsewhere("Twin", site)], Http(allowed_private=(f"127.0.0.1:{port}",)))
    await portals.ask()
    (told,) = valid(world, portals)
    assert told["state"] == "answers" and told["site"]["software"].startswith("VaaS ")


async def test_portals_that_list_each_other_say_what_they_offer_and_not_what_the_other_says(
    world: World, site: str
) -> None:
    port = int(site.split(":")[2].split("/")[0])
    portals = OtherPortals([PortalElsewhere("Twin", site)], Http(allowed_private=(f"127.0.0.1:{port}",)))
    # The other one has this one in its list, too.
    world.portal.facilities = Facilities(world.core, neighbours=portals)
    for _ in range(3):
        await portals.ask()
    (told,) = valid(world, portals)
    assert told["state"] == "answers" and "portals" not in told
    async with client(site, "") as stranger:
        (listed,) = (await stranger.get("api/facilities?all=1")).json()["portals"]
        assert listed == told
        assert (await stranger.get("facilities")).text.count("Twin") == 1


async def test_all_are_asked_at_once_and_who_is_silent_is_named(world: World) -> None:
    async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with web(sends(SAID)) as good, raw(never) as slow, raw(never) as slower:
        portals = others(good, slow, slower, free_ports(1)[0], patience=3)
        began = time.monotonic()
        await portals.ask()
        assert time.monotonic() - began < 5.5
        states = [(each["state"], each["why"]) for each in valid(world, portals)]
    assert states[0] == ("answers", "")
    assert [state for state, _ in states[1:]] == ["silent"] * 3
    assert states[1][1] == "Portal 1 does not answer in time."
    assert states[3][1] == "Portal 3 cannot be reached, or does not answer as a portal does."


async def test_who_falls_silent_is_told_with_what_it_said_before(world: World) -> None:
    state = {"status": 200}
    async with web(lambda request: sends(SAID, state["status"])(request)) as port:
        portals = others(port)
        await portals.ask()
        state["status"] = 503
        await portals.ask()
        (told,) = valid(world, portals)
        assert (told["state"], told["why"]) == (
            "silent",
            "Portal 0 cannot be reached, or does not answer as a portal does.",
        )
        assert told["facilities"][0]["title"] == "Cluster" and told["asked"]
        state["status"] = 200
        await portals.ask()
        assert valid(world, portals)[0]["state"] == "answers"


async def test_it_follows_until_it_is_cancelled() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, sends(SAID))) as port:
        following = asyncio.create_task(others(port, again=0.05).follow())
        async with asyncio.timeout(10):
            while len(asked) < 3:
                await asyncio.sleep(0.02)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    await others().follow()  # there is nobody to ask


HOSTILE = {
    "no JSON": sends(b"<html>Welcome</html>"),
    "no text": sends(b"\xff\xfe\x00"),
    "deep": sends(b"[" * 100_000 + b"]" * 100_000),
    "a list": sends(b"[]"),
    "nothing": sends(b"{}"),
    "facilities of another kind": sends({"facilities": {"id": "x"}}),
    "huge": sends(b'{"facilities": [' + b" " * 3_000_000 + b"]}"),
    "an error": sends(SAID, 500),
    "sign in": sends(b"", 302, Location="/hub/login?next="),
    "to a private address": sends(b"", 302, Location="http://169.254.169.254/latest/meta-data/"),
    "to itself": sends(b"", 302, Location="/vaas/api/facilities"),
    "to a file": sends(b"", 302, Location="file:///etc/passwd"),
}


@pytest.mark.attack
@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
async def test_an_answer_that_is_none_is_silence(world: World, answer: Callable[..., Any]) -> None:
    async with web(answer) as port:
        portals = others(port)
        await portals.ask()
    (told,) = valid(world, portals)
    assert told["state"] == "silent" and told["why"].endswith(".") and "facilities" not in told
    assert "127.0.0.1" not in told["why"] and "169.254" not in told["why"]


@pytest.mark.attack
async def test_a_redirect_to_a_private_host_is_not_followed(world: World) -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, sends(SAID))) as inside:
        location = f"http://127.0.0.1:{inside}/vaas/api/facilities"
        async with web(sends(b"", 302, Location=location)) as outside:
            portals = others(outside, allowed=f"127.0.0.1:{outside}")
            await portals.ask()
    assert asked == [] and valid(world, portals)[0]["state"] == "silent"


@pytest.mark.attack
async def test_a_private_address_is_asked_only_where_the_site_allows_it(world: World) -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, sends(SAID))) as port:
        portals = others(port, allowed="")
        await portals.ask()
    assert asked == [] and valid(world, portals)[0]["state"] == "silent"


@pytest.mark.attack
async def test_markup_wrong_types_and_numbers_without_end_are_rebuilt_within_bounds(world: World) -> None:
    evil = "<script>alert(1)</script>"
    wrong = [7, None, "text", [], {}, {"id": [1], "title": {"a": 1}, "kind": ["slurm"], "hardware": "fast"}]
    long = [{"id": f"f{n}", "title": evil + "x" * 900, "storage": [{"title": 7}] * 100} for n in range(500)]
    numbers = {"hardware": {"cores": -5, "memory": 1e400, "gpus": True, "nodes": "9", "network": "\u202e" + evil}}
    said = {
        "site": {"name": evil, "description": evil * 9000, "contact": 7},
        "facilities": [*wrong, {**numbers, "status": {"state": "hacked", "text": evil}, "accepts": ["root"]}, *long],
        "environments": [{"language": "python", "state": 7, "packages": {"a": "b"}}, *wrong],
        "sizes": [{"cores": 1e400, "memory": "2 GB", "hours": -1}, *wrong],
        "portals": [{"title": "loop"}],
    }
    async with web(sends(json.dumps(said).encode())) as port:
        portals = others(port)
        await portals.ask()
    (told,) = valid(world, portals)
    text = json.dumps(told)
    assert told["state"] == "answers" and len(told["facilities"]) <= 50 and len(text) < 500_000
    assert "<script" not in text and "\\u202e" not in text and "Infinity" not in text and "loop" not in text
    odd = told["facilities"][2]
    assert odd["hardware"] == {"network": "alert(1)"} and odd["status"]["state"] == "unknown" and odd["accepts"] == []
    assert told["sizes"][0] | {"title": ""} == {"id": "", "title": "", "cores": 0, "memory": 0, "gpus": 0, "hours": 0}


def test_nothing_that_another_portal_says_is_an_address() -> None:
    said = rebuilt(SAID)
    assert "javascript" not in json.dumps(said) and "url" not in said["site"] and "schema" not in said
