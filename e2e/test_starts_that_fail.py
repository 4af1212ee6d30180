"""An app server that does not start is soon a page with the reason and a way to try again, never a 500 of the Hub."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.people import Person, Site, watched
from tests.portal_fixture import RunningPortal, app_python

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_HUB_SECONDS = "\nc.Spawner.start_timeout = 14\nc.Spawner.http_timeout = 14\n"
_BROKEN = {
    "exits": "echo 'ImportError: numpy is not what it was' >&2\nexit 3",
    "sleeps for ever": "echo 'Loading a very large model' >&2\nexec sleep 600",
    "listens and never answers": f"echo 'Waiting for nothing' >&2\nexec {sys.executable} -c '{{deaf}}'",
}
_DEAF = (
    "import os, socket, time; from urllib.parse import urlsplit; "
    'place = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]); '
    "listening = socket.create_server((place.hostname, place.port)); time.sleep(600)"
)
#: An example that everyone may open.
APP = "climate-explorer"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the "python" of apps, which a test makes do something else."""
    return tmp_path_factory.mktemp("program") / "python"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Iterator[RunningPortal]:
    """Return a portal whose apps do what ``program`` says, and whose Hub is impatient."""
    _write(program, f'exec {app_python()} "$@"')
    portal = RunningPortal(tmp_path_factory.mktemp("broken") / "data", app_python=program)
    with portal.settings.site_config.open("a") as site:  # type: ignore[union-attr]
        site.write(_HUB_SECONDS)
    portal.start()
    yield portal
    portal.stop()


def _write(program: Path, script: str) -> None:
    # Put in its place whole: the one before may be starting at this moment.
    new = program.with_suffix(".new")
    new.write_text(f"#!/bin/sh\n{script}\n")
    new.chmod(0o755)
    new.replace(program)


@pytest.fixture
def site(broken: RunningPortal, browser: Browser) -> Iterator[Site]:
    with watched(broken, browser) as site:
        yield site


def _sees_the_failure(person: Person, slug: str) -> str:
    """Open the app until the page says that it did not start; return all that the page shows."""
    began = time.monotonic()
    person.goes(f"apps/{slug}/open")
    expect(person.page.get_by_role("heading", name="did not start")).to_be_visible(timeout=90_000)
    assert time.monotonic() - began < 60
    expect(person.page.get_by_role("link", name="Try again")).to_be_visible()
    return person.page.get_by_role("main").inner_text()


@pytest.mark.parametrize("how", _BROKEN)
def test_visitors_read_that_it_did_not_start_and_its_owner_reads_why(site: Site, program: Path, how: str) -> None:
    said = _BROKEN[how].split("'")[1]
    _write(program, _BROKEN[how].replace("{deaf}", _DEAF))
    shown = _sees_the_failure(site.visitor(), APP)
    assert said not in shown
    ada = site.person("ada")
    shown = _sees_the_failure(ada, APP)
    assert "The app could not be started" in shown
    assert "SpawnException" not in shown
    expect(ada.page.get_by_text(said).first).to_be_visible()


def test_after_it_was_mended_try_again_opens_it(site: Site, program: Path) -> None:
    _write(program, "exit 1")
    visitor = site.visitor()
    _sees_the_failure(visitor, APP)
    _write(program, f'exec {app_python()} "$@"')
    visitor.page.get_by_role("link", name="Try again").click()
    expect(visitor.page.locator("#rendered_cells")).to_be_attached(timeout=60_000)
