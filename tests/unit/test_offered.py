"""What is offered where nothing is configured."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hub_service.offered import connected, default_offering, room_here
from hub_service.settings import Settings
from vaas.launching import Facility, Offering, Size

GB = 1_000_000_000


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


def test_large_is_more_than_small_or_is_not_there() -> None:
    rooms = {(1, 3): [1], (1, 16): [1, 1], (2, 8): [1, 2], (3, 8): [1, 3], (4, 8): [1, 2], (16, 64): [1, 8]}
    for (cores, memory), expected in rooms.items():
        offering = default_offering(Settings.from_environ({}), room=(cores, memory * GB))
        assert [size.cores for size in offering.sizes] == expected, (cores, memory)
        assert offering.facilities[0].sizes == tuple(size.id for size in offering.sizes)
        assert all(size.cores <= cores and size.memory <= memory * GB for size in offering.sizes)
        assert connected(offering, everywhere=False, runs={"local"}, room=(cores, memory * GB)) == offering


def test_what_this_machine_does_not_have_is_not_offered_on_it(caplog: pytest.LogCaptureFixture) -> None:
    sizes = (Size("s", "S", 2, GB), Size("cores", "C", 3, GB), Size("memory", "M", 1, 9 * GB))
    ids = tuple(size.id for size in sizes)
    here, far = Facility("here", "Here", "local", (), ids), Facility("far", "Far", "slurm", (), ids)
    told = connected(Offering((here, far), (), sizes), everywhere=True, runs={"local", "slurm"}, room=(2, 8 * GB))
    assert [each.sizes for each in told.facilities] == [("s",), ids]
    assert "“cores” is not offered at “here”" in caplog.text and "“memory” is not offered" in caplog.text
    none = connected(Offering((here,), (), sizes), everywhere=True, runs={"local"}, room=(1, GB // 2)).facilities[0]
    assert none.about["status"] == "down" and "smaller than each size" in none.about["note"]


def test_the_room_of_this_machine_is_what_the_portal_may_use() -> None:
    cores, memory = room_here()
    assert 1 <= cores <= (os.cpu_count() or 1) and 10**8 < memory <= psutil.virtual_memory().total
