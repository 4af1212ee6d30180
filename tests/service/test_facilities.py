"""What a site offers, on a real portal: its file is followed, what hangs is named, another real portal is listed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.portal_fixture import RunningPortal, app_python, running, stand_in_app, until

pytestmark = pytest.mark.hub
HERE = "/services/vaas/"


def table(name: str, **said: Any) -> str:
    """Return a table of the site's file; what JSON writes, TOML reads."""
    return "\n".join([f"[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in said.items()), ""])


def file_of(*, other: str, python: Path, hanging: Path, spy: Path) -> str:
    """Return the site's file."""
    here = {"kind": "local", "environments": ["real", "hanging"]}
    cluster = {"kind": "slurm", "environments": ["real", "spy"], "groups": ["physics"], "profile": "secret-profile"}
    tables = [
        table("portal", title="The other one", url=other),
        table("size", id="small", title="Small"),
        table("environment", id="real", title="Real", kind="python", path=str(python)),
        table("environment", id="hanging", title="Hanging", kind="kernelspec", path=str(hanging)),
        table("environment", id="spy", title="Spy", kind="python", path=str(spy)),
        table("facility", id="here", title="This machine", sizes=["small"], **here),
        table("facility", id="cluster", title="Cluster", sizes=["small"], **cluster),
    ]
    return "".join(['[site]\nname = "Institute of Seas"\n', *tables])


@pytest.fixture(scope="module")
def offering(hub: RunningPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal with a file of facilities, beside the one that all tests share."""
    folder = tmp_path_factory.mktemp("offering")
    hanging = folder / "hanging"
    hanging.mkdir()
    os.mkfifo(hanging / "kernel.json")
    spy = folder / "spy"
    seen = f"$(ls {folder / 'data'} 2>&1 | tr '\\n' ' ' | head -c 30)"
    spy.write_text(f'#!/bin/sh\nprintf \'vaas-probe:{{"kernel": true, "version": "%s"}}\\n\' "{seen}"\n')
    spy.chmod(0o755)
    file = folder / "facilities.toml"
    file.write_text(file_of(other=hub.url, python=app_python(), hanging=hanging, spy=spy))
    environ = {"VAAS_FACILITIES": str(file), "VAAS_ALLOWED_PRIVATE": f"vaas.localhost:{hub.settings.port}"}
    environ["VAAS_LIMIT_PROBE_SECONDS"] = "3"
    jobs = folder / "jobs"
    jobs.mkdir()
    jobs.chmod(0o711)
    environ["VAAS_SLURM_FOLDER"] = str(jobs)
    with running(folder / "data", app_python=stand_in_app(folder), environ=environ) as portal:
        yield portal


def told(portal: RunningPortal, token: str = "", at: str = "") -> Any:
    """Return what is told, which has to be of the schema that the portal serves."""
    answer = portal.get(f"{HERE}api/facilities{at}", token=token)
    assert answer.status_code == 200, answer.text
    schema = portal.get(f"{HERE}api/facilities/schema.json").json()
    jsonschema.Draft202012Validator(schema).validate(answer.json())
    return answer.json()


def test_the_file_is_what_is_offered_and_its_environments_are_looked_at(offering: RunningPortal) -> None:
    until(lambda: told(offering)["environments"][0]["state"] == "ready", seconds=30, what="a look at the environments")
    said, mine = told(offering), told(offering, offering.token_for("ada"))
    assert said["site"]["name"] == "Institute of Seas"
    assert [each["title"] for each in said["facilities"]] == ["This machine", "Cluster"]
    real = mine["environments"][0]
    assert real["language"]["version"].startswith("3.") and real["packages"]["voila"]
    assert "packages" not in said["environments"][0]
    text = offering.get(f"{HERE}api/facilities").text + offering.get(f"{HERE}facilities").text
    assert str(app_python()) not in text and str(offering.data.parent) not in text and "secret-profile" not in text


@pytest.mark.attack
def test_an_environment_that_looks_around_sees_nothing_of_the_data_folder(offering: RunningPortal) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("There is no sandbox here.")
    until(lambda: told(offering)["environments"][2]["state"] == "ready", seconds=30, what="a look at the environments")
    assert told(offering)["environments"][2]["language"] == {"name": "python", "version": ""}


def test_the_groups_of_the_hub_say_who_may(offering: RunningPortal) -> None:
    for person, may in (("ada", True), ("emil", False)):
        cluster = told(offering, offering.token_for(person))["facilities"][1]
        assert (cluster["you"]["may"], cluster["groups"]) == (may, ["physics"])


def test_a_cluster_at_which_the_hub_starts_no_servers_takes_jobs_alone(offering: RunningPortal) -> None:
    here, cluster = told(offering)["facilities"]
    assert here["accepts"] == ["interactive", "batch"] and cluster["accepts"] == ["batch"]
    assert "you" not in told(offering)["facilities"][1]


def test_an_environment_that_hangs_is_named_while_the_portal_answers(offering: RunningPortal) -> None:
    # The portal has been answering all the while.
    until(lambda: told(offering)["environments"][1]["state"] == "broken", seconds=30, what="the look to be given up")
    assert told(offering)["facilities"][0]["status"] == {
        "state": "limited",
        "text": "Not to be used at the moment: “Hanging”.",
    }
    (hanging,) = told(offering, offering.token_for("ada"))["environments"][1:2]
    assert hanging["why"] == "It does not answer: the place where it lies may be away."
    assert offering.get(f"{HERE}facilities").status_code == 200


def test_another_portal_is_listed_with_what_it_offers(offering: RunningPortal, hub: RunningPortal) -> None:
    until(lambda: told(offering, at="?all=1")["portals"][0]["state"] != "unknown", seconds=20, what="the other portal")
    (other,) = told(offering, at="?all=1")["portals"]
    assert (other["title"], other["url"], other["state"]) == ("The other one", hub.url, "answers")
    own = told(hub)
    assert [each["title"] for each in other["facilities"]] == [each["title"] for each in own["facilities"]]
    assert own["facilities"][0]["hardware"]["cores"] == os.cpu_count() and "portals" not in own
    page = offering.get(f"{HERE}facilities").text
    assert "The other one" in page and hub.url in page


def test_what_was_found_is_kept_in_the_data_folder(offering: RunningPortal) -> None:
    until(lambda: (offering.data / "probed.json").exists(), seconds=30, what="what was found")
    kept: Path = offering.data / "probed.json"
    assert kept.stat().st_mode & 0o077 == 0 and "voila" in kept.read_text()
