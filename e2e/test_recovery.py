"""Killed processes: published apps and grants are all there afterwards, and open again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Browser

from e2e.people import Site
from hub_service.settings import ROOT
from tests.portal_fixture import RunningPortal, app_python, running, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal of our own, whose parts may be killed."""
    with running(tmp_path_factory.mktemp("fragile") / "data", app_python=app_python()) as portal:
        yield portal


def _process(portal: RunningPortal, *ending: str) -> psutil.Process:
    """Return the portal's process whose command line ends with these words."""
    own = {"VAAS_DATA": str(portal.data), "VAAS_PORTAL_URL": portal.settings.portal_internal_url}
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if tuple(line[len(line) - len(ending) :]) == ending:
            environ = process.environ()
            if any(environ.get(name) == value for name, value in own.items()):
                return process
    raise AssertionError(f"No process ends with {ending}")


@pytest.mark.parametrize(
    "ending",
    [("-m", "vaas.runtime"), ("-m", "hub_service"), ("--config", str(ROOT / "hub_service" / "jupyterhub_config.py"))],
    ids=["the app server", "the portal", "the Hub"],
)
def test_after_a_kill_apps_and_grants_are_there_and_open_again(
    fragile: RunningPortal, browser: Browser, ending: tuple[str, ...]
) -> None:
    site = Site(fragile, browser)
    ada = site.person("ada")
    slug = ada.publishes_waves(audience="signed-in")
    ada.opens(slug)
    victim = _process(fragile, *ending)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait(10)
    until(fragile.answers, seconds=40, what="the portal's page")
    sam = site.person("sam")
    sam.opens(slug)
    sam.moves_the_slider(3)
    site.close()
