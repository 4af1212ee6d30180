"""What is offered where nothing is configured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hub_service.offered import connected, default_offering
from hub_service.settings import Settings
from vaas.launching import Facility, Offering


def test_without_a_word_of_the_site_this_machine_is_offered_with_the_environment_of_apps() -> None:
    settings = replace(Settings.from_environ({}), app_python=Path("/opt/apps/bin/python"))
    offering = default_offering(settings)
    (here,) = offering.facilities
    assert here.kind == "local" and here.interactive and here.batch and not here.groups
    found = offering.environment(here.environments[0])
    assert found and found.where == "/opt/apps/bin/python"
    sizes = [offering.size(each) for each in here.sizes]
    assert all(size and size.memory > 0 and size.cores >= 1 for size in sizes)
    assert offering.facility("there") is offering.environment("x") is offering.size("x") is None


@pytest.mark.parametrize(
    ("everywhere", "runs", "can"),
    [
        (True, {"local", "slurm"}, (True, True, "up")),
        (True, {"local"}, (True, False, "up")),
        (False, {"local", "slurm"}, (False, True, "up")),
        (False, {"local"}, (True, True, "down")),
    ],
)
def test_what_nothing_here_can_do_is_not_offered(
    everywhere: bool, runs: set[str], can: tuple[bool, bool, str], caplog: pytest.LogCaptureFixture
) -> None:
    here, far = Facility("here", "Here", "local", (), ()), Facility("far", "Far", "slurm", (), ())
    offering = connected(Offering((here, far), (), ()), everywhere=everywhere, runs=runs)
    assert offering.facilities[0] == here
    told = offering.facilities[1]
    assert (told.interactive, told.batch, told.about.get("status", "up")) == can
    assert ("“far”" in caplog.text) is not (everywhere and "slurm" in runs)
    assert "“here”" not in caplog.text


@pytest.mark.parametrize(
    ("status", "note"), [("up", "It is not connected to this portal yet."), ("down", "In spring.")]
)
def test_what_is_written_of_a_place_is_no_reason_unless_it_says_that_it_is_closed(status: str, note: str) -> None:
    far = Facility("far", "Far", "slurm", (), (), about={"status": status, "note": "In spring."})
    told = connected(Offering((far,), (), ()), everywhere=False, runs={"local"}).facilities[0]
    assert (told.about["status"], told.about["note"]) == ("down", note)
