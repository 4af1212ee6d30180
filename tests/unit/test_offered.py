"""What is offered where nothing is configured."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hub_service.advice import advice, written
from hub_service.facilities_file import read_facilities
from hub_service.offered import Able, able, connected, default_offering, gaps, lacking_here, room_here
from hub_service.settings import Settings
from vaas.launching import Facility, Offering, Size

GB = 1_000_000_000
LOCAL = Able(frozenset({"local"}), frozenset({"local"}))


def installed(folder: Path, *names: str, **said: str) -> tuple[Settings, dict[str, str]]:
    """Return the settings of a machine on which these programs are, and its environment."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    environ = {"VAAS_LAB_PYTHON": str(folder / "python"), "PATH": str(folder), **said}
    return Settings.from_environ(environ), environ


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
    ("launches", "runs", "at_here", "at_far"),
    [
        (None, {"local", "slurm"}, (True, True, "up"), (True, True, "up")),
        (None, {"local"}, (True, True, "up"), (True, False, "up")),
        ({"local"}, {"local", "slurm"}, (True, True, "up"), (False, True, "up")),
        ({"local"}, {"local"}, (True, True, "up"), (True, True, "down")),
        ({"slurm"}, {"local", "slurm"}, (False, True, "up"), (True, True, "up")),
        ({"slurm"}, {"slurm"}, (True, True, "down"), (True, True, "up")),
        ({"docker"}, {"local"}, (False, True, "up"), (True, True, "down")),
    ],
)
def test_what_nothing_here_can_do_is_not_offered(
    launches: set[str] | None, runs: set[str], at_here: tuple[bool, bool, str], at_far: tuple[bool, bool, str]
) -> None:
    here, far = Facility("here", "Here", "local", (), ()), Facility("far", "Far", "slurm", (), ())
    can = Able(None if launches is None else frozenset(launches), frozenset(runs))
    offering = connected(Offering((here, far), (), ()), can)
    told = [(each.interactive, each.batch, each.about.get("status", "up")) for each in offering.facilities]
    assert told == [at_here, at_far]
    said = " ".join(gaps(Offering((here, far), (), ()), can))
    assert ("“far”" in said, "“here”" in said) == (at_far != (True, True, "up"), at_here != (True, True, "up"))


@pytest.mark.parametrize(
    ("status", "note"), [("up", "It is not connected to this portal yet."), ("down", "In spring.")]
)
def test_what_is_written_of_a_place_is_no_reason_unless_it_says_that_it_is_closed(status: str, note: str) -> None:
    far = Facility("far", "Far", "slurm", (), (), about={"status": status, "note": "In spring."})
    told = connected(Offering((far,), (), ()), LOCAL).facilities[0]
    assert (told.about["status"], told.about["note"]) == ("down", note)


def test_large_is_more_than_small_or_is_not_there() -> None:
    rooms = {(1, 3): [1], (1, 16): [1, 1], (2, 8): [1, 2], (3, 8): [1, 3], (4, 8): [1, 2], (16, 64): [1, 8]}
    for (cores, memory), expected in rooms.items():
        offering = default_offering(Settings.from_environ({}), room=(cores, memory * GB))
        assert [size.cores for size in offering.sizes] == expected, (cores, memory)
        assert offering.facilities[0].sizes == tuple(size.id for size in offering.sizes)
        assert all(size.cores <= cores and size.memory <= memory * GB for size in offering.sizes)
        assert connected(offering, replace(LOCAL, room=(cores, memory * GB))) == offering


def test_what_this_machine_does_not_have_is_not_offered_on_it() -> None:
    sizes = (
        Size("s", "S", 2, GB),
        Size("cores", "C", 3, GB),
        Size("memory", "M", 1, 9 * GB),
        Size("gpu", "G", 1, GB, gpus=1),
    )
    ids = tuple(size.id for size in sizes)
    here, far = Facility("here", "Here", "local", (), ids), Facility("far", "Far", "slurm", (), ids)
    offering, can = Offering((here, far), (), sizes), Able(None, frozenset({"local", "slurm"}), room=(2, 8 * GB))
    assert [each.sizes for each in connected(offering, can).facilities] == [("s",), ids]
    assert [each.lacks_sizes for each in connected(offering, can).facilities] == [
        {
            "cores": "This machine has 2 cores and 8.0 GB of memory.",
            "memory": "This machine has 2 cores and 8.0 GB of memory.",
            "gpu": "What runs on this machine gets no GPU.",
        },
        {},
    ]
    said = " ".join(gaps(offering, can))
    assert "“cores” is not offered at “here”" in said and "“memory” is not offered" in said and "far" not in said
    assert "“gpu” is not offered at “here”: what runs on this machine gets no GPU" in said
    none = connected(Offering((here,), (), sizes), replace(LOCAL, room=(1, GB // 2))).facilities[0]
    assert none.about["status"] == "down" and "smaller than each size" in none.about["note"]


def test_the_room_of_this_machine_is_what_the_portal_may_use() -> None:
    cores, memory = room_here()
    assert 1 <= cores <= (os.cpu_count() or 1) and 10**8 < memory <= psutil.virtual_memory().total


@pytest.mark.parametrize("kind", ["slurm", "htcondor", "docker", "kubernetes"])
def test_where_the_hub_starts_nothing_here_nothing_is_offered_here_and_it_is_said_what_to_write(
    kind: str, tmp_path: Path
) -> None:
    # Neither a launch environment nor bubblewrap: as in the pod of a Hub.
    settings, environ = installed(tmp_path, VAAS_LOCAL_APPS="0", VAAS_LAUNCH_KINDS=kind)
    offering, can = default_offering(settings, room=(4, 8 * GB)), able(settings, environ)
    (here,) = connected(offering, can).facilities
    assert here.about["status"] == "down" and "Nothing can be started" in here.about["note"]
    told = advice(offering, can, settings)
    assert any(kind in each or "launch environment is missing" in each for each in told.missing)
    assert "VAAS_FACILITIES" in told.missing[-1] and f'kind = "{kind}"' in told.write
    # What is to be written works.
    path = tmp_path / "facilities.toml"
    path.write_text(told.write)
    settings = replace(settings, facilities=path)
    said = read_facilities(path, apps=settings.app_python).offering
    (facility,) = connected(said, able(settings, environ)).facilities
    assert (facility.kind, facility.interactive, facility.about.get("status")) == (kind, True, "up")
    assert not advice(said, able(settings, environ), settings).lines


def test_where_the_spawner_runs_apps_alone_no_launches_are_offered_and_it_is_said_why(tmp_path: Path) -> None:
    settings, environ = installed(tmp_path, "python", "bwrap", VAAS_LOCAL_APPS="0", VAAS_LAUNCH_KINDS="nowhere")
    path = tmp_path / "facilities.toml"
    path.write_text(written("htcondor", Offering(), python=str(settings.app_python), jobs=True))
    said, can = read_facilities(path, apps=settings.app_python).offering, able(settings, environ)
    (pool,) = connected(said, can).facilities
    assert pool.about["status"] == "down"
    told = advice(said, can, settings)
    assert "takes no launches: the Hub's spawner runs app servers alone." in told.missing[0]
    assert not told.write


def test_in_a_file_that_leads_nowhere_it_is_said_what_to_add(tmp_path: Path) -> None:
    settings, environ = installed(tmp_path, "python", "bwrap", VAAS_LOCAL_APPS="0", VAAS_LAUNCH_KINDS="docker")
    path = tmp_path / "facilities.toml"
    path.write_text(written("local", Offering(), python="/p", jobs=True))
    settings = replace(settings, facilities=path)
    said = read_facilities(path, apps=settings.app_python).offering
    told = advice(said, able(settings, environ), settings)
    assert "“local” takes no launches: the Hub's spawner starts them at facilities of kind docker." in told.missing[0]
    assert f"add this to {path}" in told.missing[-1] and 'kind = "docker"' in told.write
    # What is added goes with what is there.
    path.write_text(path.read_text() + told.write)
    added = read_facilities(path, apps=settings.app_python).offering
    assert [each.kind for each in connected(added, able(settings, environ)).facilities] == ["local", "docker"]
    more = written("local", added, python="/p", jobs=True)
    assert 'id = "local-2"' in more and "[[size]]" not in more and "[[environment]]" not in more


def test_runs_stay_on_this_machine_where_they_can_be(tmp_path: Path) -> None:
    settings, environ = installed(tmp_path, "python", "bwrap", VAAS_LOCAL_APPS="0", VAAS_LAUNCH_KINDS="slurm")
    (here,) = connected(default_offering(settings, room=(4, 8 * GB)), able(settings, environ)).facilities
    assert (here.interactive, here.batch, here.about.get("status")) == (False, True, None)


@pytest.mark.parametrize(
    ("programs", "said", "why"),
    [
        (("python", "bwrap"), {}, ""),
        (("python",), {"VAAS_SANDBOX": "off"}, ""),
        (("python",), {}, "apt install bubblewrap"),
        (("bwrap",), {}, "Run “make up”"),
    ],
)
def test_what_is_missing_on_this_machine_is_offered_by_nobody_and_named(
    programs: tuple[str, ...], said: dict[str, str], why: str, tmp_path: Path
) -> None:
    settings, environ = installed(tmp_path, *programs, **said)
    assert why in lacking_here(settings, environ) and bool(lacking_here(settings, environ)) is bool(why)
    offering, can = default_offering(settings, room=(4, 8 * GB)), able(settings, environ)
    assert (connected(offering, can).facilities[0].about.get("status") == "down") is bool(why)
    told = advice(offering, can, settings)
    assert all(why in each for each in told.missing) and bool(told.missing) is bool(why) and not told.write
