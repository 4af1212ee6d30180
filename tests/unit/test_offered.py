"""What is offered where nothing is configured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hub_service.offered import default_offering
from hub_service.settings import Settings


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
