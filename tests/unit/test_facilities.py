"""What the site offers as it is told: by its schema, less to strangers than to people, never where anything lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from typing import Any

import jsonschema
import pytest

from hub_service.facilities_schema import KINDS, schema
from hub_service.facilities_shown import shown
from hub_service.portals import rebuilt
from tests.portal_parts import ADA, EVE, NOBODY, PUBLIC_URL, World
from tests.unit.test_handlers import client
from vaas.launching import Environment, Facility, Offering, Size
from vaas.model import Visitor
from vaas.portal.facilities import Facilities, Neighbour, Neighbours, Site

APPS = Environment(
    "apps", "As in apps", "python", "/secret/bin/python", packages={"numpy": "2.4"}, state="ready", version="3.11.7"
)
LCG = Environment("lcg", "LCG", "kernelspec", "/secret/*/spec", state="broken", why="It does not answer.")
IMAGE = Environment("r", "R", "image", "registry.secret.example/r:1", language="R", state="ready")
ABOUT = {
    "description": "For what takes long.",
    "hardware": {"cores": 64, "memory": 512_000_000_000, "gpus": 2, "processor": "AMD EPYC"},
    "technology": ["Slurm 24.11"],
    "storage": [{"title": "Scratch", "size": 10**15, "protocols": ["NFS"], "about": "30 days."}],
    "profile": "secret-profile",
}
HERE = Facility("here", "This machine", "local", ("apps", "lcg"), ("small",), stores=("home", "shared"))
FAR = Facility("far", "Cluster", "slurm", ("apps",), ("small", "large"), groups=("physics",), about=ABOUT)
OFFERING = Offering(
    (HERE, FAR), (APPS, LCG, IMAGE), (Size("small", "Small"), Size("large", "Large", 8, 64 * 10**9, 1, 5400))
)
SITE = Site("Institute of Seas", "All about seas.", "help@seas.example.org", "https://seas.example.org/")
VALID = jsonschema.Draft202012Validator(schema(PUBLIC_URL))


class Friends(Neighbours):
    """Two other portals."""

    def known(self) -> tuple[Neighbour, ...]:
        offered = rebuilt({"site": {"name": "Skies"}, "facilities": [{"id": "x", "title": "Sky", "kind": "slurm"}]})
        asked = datetime(2026, 3, 1, tzinfo=UTC)
        return (
            Neighbour("Skies", "https://skies.example.org/", "answers", asked=asked, said=offered),
            Neighbour("Lakes", "https://lakes.example.org/", "silent", "Lakes does not answer in time."),
        )

    async def follow(self) -> None:
        return None


@pytest.fixture
def offers(world: World) -> World:
    world.core.offering, world.core.public_url = OFFERING, PUBLIC_URL
    world.portal.facilities = Facilities(world.core, SITE, Friends())
    return world


def told(world: World, visitor: Visitor = NOBODY, *, everywhere: bool = False) -> dict[str, Any]:
    said = world.portal.facilities.told(visitor, everywhere=everywhere)
    VALID.validate(json.loads(json.dumps(said)))
    return said


def test_the_schema_is_one_and_refuses_what_is_not_of_it(offers: World) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(PUBLIC_URL))
    said = told(offers)
    for broken in (
        {**said, "facilities": [{**said["facilities"][0], "where": "/secret"}]},
        {**said, "environments": [{**said["environments"][0], "where": "/secret"}]},
        {**said, "sizes": [{**said["sizes"][0], "memory": "2 GB"}]},
        {name: value for name, value in said.items() if name != "site"},
    ):
        assert not VALID.is_valid(broken)


def test_strangers_hear_what_there_is(offers: World) -> None:
    said = told(offers)
    here, far = said["facilities"]
    assert said["site"]["name"] == "Institute of Seas" and said["site"]["portal"] == PUBLIC_URL
    assert said["schema"] == f"{PUBLIC_URL}api/facilities/schema.json"
    assert far["hardware"] == ABOUT["hardware"] and far["technology"] == ["Slurm 24.11"]
    assert far["storage"] == ABOUT["storage"] and (here["restricted"], far["restricted"]) == (False, True)
    assert (here["accepts"], here["stores"]) == (["interactive", "batch"], ["home", "shared"])
    assert said["environments"][0] == {
        "id": "apps",
        "title": "As in apps",
        "kind": "python",
        "language": {"name": "python", "version": "3.11.7"},
        "state": "ready",
    }
    assert said["sizes"][1] == {
        "id": "large",
        "title": "Large",
        "cores": 8,
        "memory": 64 * 10**9,
        "gpus": 1,
        "hours": 1.5,
    }
    assert "portals" not in said


def test_people_hear_what_is_in_it_and_whether_they_may(offers: World) -> None:
    said = told(offers, Visitor(EVE))
    assert said["environments"][0]["packages"] == {"numpy": "2.4"}
    assert said["environments"][1]["why"] == "It does not answer."
    assert [each["groups"] for each in said["facilities"]] == [[], ["physics"]]
    assert [each["you"] for each in said["facilities"]] == [
        {"may": True, "why": "", "member": True},
        {"may": False, "why": "It is for members of physics.", "member": False},
    ]
    assert told(offers, Visitor(ADA))["facilities"][1]["you"] == {"may": True, "why": "", "member": True}


@pytest.mark.attack
@pytest.mark.parametrize("visitor", [NOBODY, Visitor(ADA), Visitor(replace(ADA, admin=True))])
def test_nobody_hears_where_anything_lies(offers: World, visitor: Visitor) -> None:
    text = json.dumps(told(offers, visitor, everywhere=True))
    assert "secret" not in text
    if visitor.user is None:
        assert "numpy" not in text and "physics" not in text and "does not answer." not in text


@pytest.mark.parametrize(
    ("change", "states", "status"),
    [
        ({}, ("ready", "ready"), {"state": "up", "text": ""}),
        ({"note": "New: GPUs."}, ("ready", "unknown"), {"state": "up", "text": "New: GPUs."}),
        (
            {"note": "New: GPUs."},
            ("ready", "broken"),
            {"state": "limited", "text": "Not to be used at the moment: “LCG”."},
        ),
        ({}, ("broken", "broken"), {"state": "down", "text": "None of its environments can be used at the moment."}),
        ({"status": "down"}, ("ready", "ready"), {"state": "down", "text": "It is closed at the moment."}),
        ({"status": "down", "note": "Until May."}, ("broken", "ready"), {"state": "down", "text": "Until May."}),
    ],
)
def test_a_facility_is_as_well_as_its_environments(
    offers: World, change: Mapping[str, str], states: tuple[str, str], status: Mapping[str, str]
) -> None:
    environments = tuple(replace(each, state=state) for each, state in zip((APPS, LCG), states, strict=True))
    offers.core.offering = Offering((replace(HERE, about=change),), environments, OFFERING.sizes)
    assert told(offers)["facilities"][0]["status"] == status


def test_a_place_whose_batch_system_does_not_answer_is_limited_and_says_why(offers: World) -> None:
    offers.core.silent = lambda kind: kind == "slurm"
    here, far = told(offers, Visitor(ADA))["facilities"]
    assert here["status"]["state"] == "limited" and "does not answer" not in here["status"]["text"]
    assert far["status"]["state"] == "limited"
    assert far["status"]["text"].startswith("Its batch system does not answer at the moment.")
    assert far["you"]["may"]
    offers.core.silent = lambda _kind: False
    assert told(offers)["facilities"][1]["status"] == {"state": "up", "text": ""}


def test_what_one_person_may_have_at_once_is_told(offers: World) -> None:
    offers.core.limits = replace(offers.core.limits, running_each=7, runs_each=3, schedules_each=9)
    assert told(offers)["limits"] == {
        "launches": {"running": 7, "kept": 50},
        "runs": {"running": 3, "waiting": 500},
        "schedules": 9,
    }


def test_other_portals_are_told_of_when_asked_for(offers: World) -> None:
    skies, lakes = told(offers, everywhere=True)["portals"]
    assert (skies["title"], skies["state"], skies["facilities"][0]["title"]) == ("Skies", "answers", "Sky")
    assert skies["asked"] == "2026-03-01T00:00:00+00:00"
    assert lakes == {
        "title": "Lakes",
        "url": "https://lakes.example.org/",
        "state": "silent",
        "why": "Lakes does not answer in time.",
        "asked": None,
    }


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_every_kind_has_words(offers: World, kind: str) -> None:
    offers.core.offering = replace(OFFERING, facilities=(replace(HERE, kind=kind),))
    assert shown(told(offers, everywhere=True))["facilities"][0]["kind_words"]


async def test_rest_answers_by_its_schema_and_serves_it(offers: World, site: str) -> None:
    async with client(site) as stranger, client(site, "ada") as ada:
        answer = await stranger.get("api/facilities/schema.json")
        assert answer.status_code == 200 and answer.json() == schema(PUBLIC_URL)
        valid = jsonschema.Draft202012Validator(answer.json())
        for asker, query, portals in ((stranger, "", 0), (ada, "", 0), (stranger, "?all=1", 2), (ada, "?all=0", 0)):
            said = (await asker.get(f"api/facilities{query}")).json()
            valid.validate(said)
            assert len(said.get("portals", ())) == portals
            assert ("you" in said["facilities"][0]) == (asker is ada)


async def test_the_page_says_it_in_words(offers: World, site: str) -> None:
    async with client(site) as stranger, client(site, "ada") as ada, client(site, "eve") as eve:
        seen = unescape((await stranger.get("facilities")).text)
        for words in (
            "What Institute of Seas offers",
            'href="mailto:help@seas.example.org"',
            "Slurm cluster, for JupyterLab and batch jobs.",
            "8 cores, 64 GB of memory, 1 GPU, up to 1.5 hours",
            "512 GB",
            "1 PB, NFS",
            "Python 3.11.7",
            "For some of the people who can sign in here.",
            "Lakes does not answer in time.",
            "5 at once, 50 kept",
            "2 at once, 500 waiting",
            "Not to be used at the moment: “LCG”.",
        ):
            assert words in seen, words
        assert "numpy" not in seen and "secret" not in seen and "physics" not in seen
        mine = unescape((await ada.get("facilities")).text)
        assert "numpy" in mine and "secret" not in mine
        # The small Hub of these tests puts nobody into groups.
        assert "For members of physics. You are none of them" in unescape((await eve.get("facilities")).text)


@pytest.mark.parametrize(
    ("contact", "url"),
    [
        ("help@example.org", "mailto:help@example.org"),
        ("https://example.org/help", "https://example.org/help"),
        ("Room 12", ""),
        ("javascript:alert(1)", ""),
        ("help@example.org?body=x", ""),
    ],
)
def test_whom_to_ask_is_a_link_where_it_can_be_one(offers: World, contact: str, url: str) -> None:
    offers.portal.facilities = Facilities(offers.core, Site("S", contact=contact))
    assert shown(told(offers, everywhere=True))["site"]["contact_url"] == url


async def test_administrators_alone_are_told_what_to_write(offers: World, site: str) -> None:
    told = {"missing": ["Facility “here” takes no launches: <why>"], "write": '[[size]]\nid = "small"'}
    offers.portal.facilities = Facilities(offers.core, SITE, missing=told["missing"], write=str(told["write"]))
    for name, sees in (("", False), ("ada", False), ("root", True)):
        async with client(site, name) as asker:
            page = unescape((await asker.get("facilities")).text)
            assert "takes no launches" not in (await asker.get("api/facilities?all=1")).text
        assert all((each in page) is sees for each in (*told["missing"], str(told["write"]), "Administrators alone"))
