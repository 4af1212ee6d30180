"""An app that brings its own packages, and a notebook of one's own that does: launched and run in just these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.launched import Launches
from tests.notebooks import write_notebook
from tests.portal_fixture import app_python, lab_python, running, until
from tests.published import call
from tests.service.test_environments import Place
from tests.wheels import packages, wheel
from vaas import jobs
from vaas.launching import Launch

pytestmark = [pytest.mark.hub, pytest.mark.app, pytest.mark.slow]

#: Says which Python runs it, and what it has; it can find the portal's package, and write nothing of its own.
LESSON = (
    "import os, sys, tiny, vaas\n"
    "written = os.access(sys.prefix, os.W_OK) or os.access(vaas.__file__, os.W_OK)\n"
    "print('tiny', tiny.VERSION, 'in', sys.prefix, 'written' if written else 'read-only')"
)


#: The files beside a notebook that ask for packages.
FILES = {
    "requirements.txt": "tiny==1.0\n",
    "pyproject.toml": '[project]\nname = "lesson"\nversion = "1"\ndependencies = ["tiny==1.0"]\n',
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Return a portal with an index of its own."""
    with packages() as index:
        index.add_kernel()
        index.add(wheel("tiny", "1.0", {"tiny.py": "VERSION = '1.0'"}))
        data = tmp_path_factory.mktemp("own") / "data"
        environ = {"VAAS_PACKAGE_INDEX": index.url, "VAAS_LAB_PYTHON": str(lab_python())}
        with running(data, app_python=app_python(), environ=environ) as portal:
            yield Place(portal, index, portal.token_for("ada"))


@pytest.fixture(scope="module")
def app(place: Place) -> dict[str, Any]:
    """Return the app; its package has a newer version since."""
    app = place.published("tiny\n", LESSON, title="Own")
    place.index.add(wheel("tiny", "2.0", {"tiny.py": "VERSION = '2.0'"}))
    return app


def said(place: Place, app: dict[str, Any]) -> str:
    return f"tiny 1.0 in {place.environments / app['lock']} read-only\n"


def launched(place: Place, made: dict[str, Any]) -> tuple[Launches, Launch]:
    """Return the launch that was asked for, and what looks at it."""
    launches = Launches(place.portal, "ada")
    return launches, launches.known(made["id"])


def over(place: Place, run: dict[str, Any]) -> dict[str, Any]:
    """Return the run when it is over."""
    found: dict[str, Any] = {}

    def ended() -> bool:
        found.update(call(place.portal, "GET", f"runs/{run['id']}", place.token))
        return found["state"] in {"done", "failed", "cancelled"}

    until(ended, seconds=90, what=lambda: f"the run: {found}")
    return found


async def test_a_launch_of_it_has_the_packages_that_it_was_published_with(place: Place, app: dict[str, Any]) -> None:
    made = call(place.portal, "POST", "launches", place.token, {"app": app["slug"]})
    assert made["environment"] == f"lock-{app['lock'][:12]}"
    launches, launch = launched(place, made)
    try:
        until(lambda: launches.ready(launch), seconds=60, what=lambda: f"the launch\n{launches.said(launch)}")
        assert await launches.run(launch, LESSON) == said(place, app)
        assert "As published" in place.portal.get(f"/services/vaas/launches/{launch.id}/", token=place.token).text
    finally:
        call(place.portal, "DELETE", f"launches/{launch.id}", place.token)


def test_a_run_of_it_has_them_too_made_again_where_they_are_lost(place: Place, app: dict[str, Any]) -> None:
    place.stop(app)
    for path in (place.environments / f"{app['lock']}.json", place.environments / app["lock"]):
        path.rename(path.with_name(f"{path.name}.lost"))
    run = call(place.portal, "POST", "runs", place.token, {"app": app["slug"]})
    assert run["environment"] == f"lock-{app['lock'][:12]}"
    found = over(place, run)
    results = place.portal.data / "homes" / "ada" / "Runs"
    (log,) = Path(results).glob("*/log.txt")
    assert (found["state"], log.read_text()) == ("done", said(place, app)), found
    about = jobs.read_json(log.with_name("run.json"))["environment"]
    assert (about["kind"], about["digest"], about["packages"]["tiny"]) == ("lock", app["lock"], "1.0")


@pytest.mark.parametrize("file", FILES)
async def test_a_notebook_of_ones_own_has_what_the_file_beside_it_asks_for(place: Place, file: str) -> None:
    kind = file.rpartition(".")[2]
    home = place.portal.data / "homes" / "ada" / kind
    write_notebook(home / f"{kind}.ipynb", LESSON)
    (home / file).write_text(FILES[file])
    asked = {"store": "home", "path": f"{kind}/{kind}.ipynb"}
    run = call(place.portal, "POST", "runs", place.token, asked)
    made = call(place.portal, "POST", "launches", place.token, asked)
    assert run["environment"] == made["environment"] == "beside"
    launches, launch = launched(place, made)
    try:
        until(lambda: launches.ready(launch), seconds=90, what=lambda: f"the launch\n{launches.said(launch)}")
        said = await launches.run(launch, LESSON)
        ended = over(place, run)
        (log,) = (place.portal.data / "homes" / "ada" / "Runs").glob(f"{kind}*/log.txt")
        assert (ended["state"], log.read_text()) == ("done", said), ended
    finally:
        call(place.portal, "DELETE", f"launches/{launch.id}", place.token)
    about = jobs.read_json(log.with_name("run.json"))["environment"]
    assert (about["kind"], about["packages"]["tiny"]) == ("lock", "1.0")
    assert said == f"tiny 1.0 in {place.environments / about['digest']} read-only\n"
