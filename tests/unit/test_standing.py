"""How a launch stands: what was noted of it against what the Hub says of its server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hub_service.launch_json import anew_url, copy_url, event_json, launch_json, origin, place_words, steps
from tests.own_servers import OFFERING
from vaas.backends.base import OwnServer
from vaas.launching import LAUNCH_ENDS, LAUNCH_STATES, Launch
from vaas.portal.placed import clean_placed
from vaas.portal.standing import asked_to_stop, settled, standing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
LAUNCH = Launch("abc123abc123", "ada", "Tides", {"app": "tides"}, "apps", "small", "here", NOW, NOW)
URL = "http://ada.vaas.localhost/user/ada/labc123abc123/"


@pytest.mark.parametrize(
    ("state", "phase", "minutes", "expected"),
    [
        # What the Hub starts goes on.
        ("asked", "starting", 0, "starting"),
        ("starting", "queued", 0, "queued"),
        ("placing", "starting", 0, "placing"),
        ("placing", "ready", 0, "ready"),
        ("ready", "starting", 0, "placing"),
        ("failed", "starting", 5, "starting"),
        # What was just asked for may not be known to it yet; what was just stopped may still run.
        ("asked", "stopped", 0, "asked"),
        ("asked", "stopped", 5, "failed"),
        ("asked", "failed", 0, "failed"),
        ("stopped", "starting", 0, "stopped"),
        ("stopped", "ready", 5, "ready"),
        # What has run and does not was stopped; what has not did not start.
        ("ready", "stopped", 5, "stopped"),
        ("ready", "stopping", 0, "ready"),
        ("starting", "stopped", 0, "failed"),
        ("placing", "failed", 0, "failed"),
        ("stopped", "failed", 5, "stopped"),
        ("failed", "stopped", 5, "failed"),
    ],
)
def test_the_hub_has_the_last_word_but_for_what_it_cannot_know_yet(
    state: str, phase: str, minutes: int, expected: str
) -> None:
    server = OwnServer(phase, message="Why not.")
    found = settled(replace(LAUNCH, state=state), server, now=NOW + timedelta(minutes=minutes))
    assert found.state == expected and found.state in LAUNCH_STATES
    if expected == "failed" and state != "failed":
        assert found.error


def test_why_it_failed_is_told_by_what_ran_in_it_before_by_the_hub() -> None:
    launch = replace(LAUNCH, state="placing", error="The disk is full.")
    assert settled(launch, OwnServer("failed", message="exit code 1"), now=LATER).error == "The disk is full."
    told = replace(LAUNCH, state="failed", error="The disk is full.")
    assert settled(told, OwnServer("ready"), now=LATER) == told


def test_why_it_ended_is_told_until_it_runs_again() -> None:
    ended = replace(LAUNCH, state="ready", progress={"ended": "time", "things": {}})
    stopped = settled(ended, OwnServer("stopped"), now=LATER)
    now = standing(stopped, OwnServer("stopped"))
    assert now.end and (now.end.id, now.phase) == ("time", "stopped") and "time was up" in now.message
    assert launch_json(now, base="/")["ended"] == "time"
    runs = settled(stopped, OwnServer("ready", url=URL), now=LATER)
    assert standing(runs, OwnServer("ready", url=URL)).end is None and runs.progress == {"things": {}}
    again = settled(runs, OwnServer("stopped"), now=LATER)
    assert again.state == "stopped" and launch_json(standing(again, OwnServer()), base="/")["ended"] == "untold"
    # What did not even start failed, whatever it said when it was ended.
    failed = settled(replace(ended, state="starting"), OwnServer("failed", message="No room."), now=LATER)
    assert (failed.state, standing(failed, OwnServer("failed")).end) == ("failed", None)


@pytest.mark.parametrize("why", [*LAUNCH_ENDS, "asked", "untold", "", 3, ["time"], {"time": 1}])
def test_a_launch_says_of_its_end_what_it_can_know_and_nothing_else(why: Any) -> None:
    known = {"notice": "Its memory was full.", "ended": "outside"}
    found = clean_placed({"ended": why, "notice": "The  largest\nprocess \x1b[31m" + "x" * 1000}, known=known)
    assert found["ended"] == (why if why in LAUNCH_ENDS else "outside")
    assert (
        found["notice"].startswith("The largest process")
        and len(found["notice"]) <= 300
        and "\x1b" not in found["notice"]
    )
    assert clean_placed({"use": {}}, known=known)["ended"] == "outside"  # what is on its way yet takes nothing back
    assert "ended" not in clean_placed({"ended": why}, known={}) or why in LAUNCH_ENDS


@pytest.mark.parametrize("state", LAUNCH_STATES)
def test_who_stops_it_is_told_so_if_it_ran(state: str) -> None:
    launch = replace(LAUNCH, state=state, progress={"step": "x"})
    found = asked_to_stop(launch)
    if state in {"stopped", "failed"}:
        assert found == launch
    else:
        assert (found.state, found.progress) == ("stopped", {"step": "x", "ended": "asked"})


@pytest.mark.parametrize(
    ("folder", "book", "end"),
    [
        ("", "", "lab"),
        ("", "a.ipynb", "lab/tree/a.ipynb"),
        ("Launches/Tides? #1", "é.ipynb", "lab/tree/Launches/Tides%3F%20%231/%C3%A9.ipynb"),
        ("Launches/x", "", "lab/tree/Launches/x"),
    ],
)
def test_it_leads_to_the_notebook_and_only_while_it_runs(folder: str, book: str, end: str) -> None:
    launch = replace(LAUNCH, state="ready", folder=folder, notebook=book)
    assert standing(launch, OwnServer("ready", url=URL)).url == URL + end
    assert standing(launch, OwnServer("stopping", url=URL)).url == ""
    assert standing(replace(launch, state="starting"), OwnServer("starting", url=URL)).url == ""


def test_it_only_goes_forward_on_the_way() -> None:
    told = replace(LAUNCH, state="ready", progress={"percent": 100, "message": "It listens."})
    seen = [
        standing(replace(LAUNCH, state="asked"), OwnServer()),
        standing(replace(LAUNCH, state="queued"), OwnServer("queued", progress=10)),
        standing(replace(LAUNCH, state="starting"), OwnServer("starting")),
        standing(replace(LAUNCH, state="starting"), OwnServer("starting", progress=80)),
        standing(replace(LAUNCH, state="placing", progress={"percent": 50}), OwnServer("starting")),
        standing(settled(told, OwnServer("starting"), now=NOW), OwnServer("starting")),
        standing(replace(LAUNCH, state="ready"), OwnServer("ready", url=URL)),
    ]
    percents = [each.percent for each in seen]
    assert percents == sorted(set(percents)) and percents[-1] == 100


@pytest.mark.parametrize(
    "progress",
    [{}, {"use": "much", "things": []}, {"use": {"memory": "1"}, "percent": "x"}, {"use": {"memory": -1}}],
)
def test_what_is_said_in_an_odd_way_is_no_error(progress: dict[str, Any]) -> None:
    now = standing(replace(LAUNCH, state="ready", progress=progress), OwnServer("ready", url=URL))
    assert (now.memory, now.staged) == (0, (0, 0))
    assert event_json(now)["things"] == {} and launch_json(now, base="/")["memory"] == 0


def test_what_is_staged_and_used_is_told() -> None:
    things = {
        "a": {"done": 5, "of": 5, "state": "done"},
        "b": {"done": 1, "of": 9, "state": "running"},
        "c": {"state": "mounted"},
    }
    progress = {"things": things, "use": {"memory": 5_000, "cpu": 3}}
    now = standing(replace(LAUNCH, state="ready", progress=progress), OwnServer("ready", url=URL, starts_in=3.0))
    assert (now.staged, now.memory) == ((2, 3), 5_000)
    carrying = replace(now, launch=replace(now.launch, asked={"app": "tides", "given": {"query": "much"}}))
    told = launch_json(carrying, base="https://vaas.example.org/")
    assert told["asked"] == {"app": "tides"}
    assert (told["state"], told["things"], told["page"]) == (
        "ready",
        things,
        "https://vaas.example.org/launches/abc123abc123/",
    )


def test_the_steps_have_a_queue_only_where_there_is_one() -> None:
    here, cluster = OFFERING.facility("here"), OFFERING.facility("cluster")
    starting = standing(replace(LAUNCH, state="starting"), OwnServer("starting"))
    assert [(s["key"], s["is"]) for s in steps(starting, here)] == [
        ("asked", "done"),
        ("starting", "now"),
        ("placing", "later"),
        ("ready", "later"),
    ]
    assert [s["key"] for s in steps(starting, cluster)][1] == "queued"
    queued = standing(replace(LAUNCH, state="queued"), OwnServer("queued"))
    assert [s["is"] for s in steps(queued, None)] == ["done", "now", "later", "later", "later"]


def test_where_it_runs_is_said_also_when_it_is_not_offered_any_more() -> None:
    words = place_words(OFFERING, replace(LAUNCH, size="large"))
    assert words == {
        "facility": "This machine",
        "environment": "As in apps",
        "size": "Large: 8 cores, 16 GB of memory, 1 GPU, up to 2 hours",
    }
    gone = place_words(OFFERING, replace(LAUNCH, facility="moon", environment="old", size="huge"))
    assert gone == {"facility": "moon", "environment": "old", "size": "huge"}


def test_the_copy_is_found_where_the_persons_files_are() -> None:
    moved = replace(LAUNCH, folder="Launches/a b")
    here = replace(OFFERING.facilities[0], id="near", stores=("home",))
    near = replace(OFFERING, facilities=(here, replace(here, id="far", stores=())))
    assert copy_url(near, replace(moved, facility="near")) == "files/home/Launches/a%20b"
    for none in (replace(moved, facility="far"), replace(moved, facility="gone"), replace(moved, folder="")):
        assert copy_url(near, none) == ""


@pytest.mark.parametrize(
    ("asked", "page", "again"),
    [
        ({"app": "tides", "version": "v"}, "apps/tides/", "apps/tides/launch"),
        ({"store": "home", "path": "a b.ipynb"}, "files/home/a%20b.ipynb", "launch?store=home&path=a+b.ipynb"),
        ({"basket": "abcdefghijkl"}, "basket/abcdefghijkl", "launch?basket=abcdefghijkl"),
    ],
)
def test_what_it_is_of_leads_back(asked: dict[str, str], page: str, again: str) -> None:
    assert origin(asked)[1] == page and anew_url(replace(LAUNCH, asked=asked)) == again


def test_with_other_choices_what_a_running_app_gave_goes_along_again() -> None:
    asked = {"app": "tides", "version": "v", "given": {"query": "a"}}
    assert anew_url(replace(LAUNCH, asked=asked)) == f"apps/tides/launch?given={LAUNCH.id}"
