"""Killed processes: published apps and grants are all there afterwards, and open again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Browser

from e2e.people import Site
from tests.portal_fixture import RunningPortal, app_python, running, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal of our own, whose parts may be killed."""
    with running(tmp_path_factory.mktemp("fragile") / "data", app_python=app_python()) as portal:
        yield portal


def _process(portal: RunningPortal, *words: str) -> psutil.Process:
    """Return the portal's process whose command line holds all the words."""
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if all(word in line for word in words):
            try:
                if process.environ().get("VAAS_DATA", "") == str(portal.data) or _belongs(process, portal):
                    return process
            except psutil.Error:
                continue
    raise AssertionError(f"No process with {words}")


def _belongs(process: psutil.Process, portal: RunningPortal) -> bool:
    return process.environ().get("VAAS_PORTAL_URL", "") == portal.settings.portal_internal_url


@pytest.mark.parametrize(
    "words",
    [("-m vaas.runtime",), ("-m hub_service",), ("jupyterhub",)],
    ids=["the app server", "the portal", "the Hub"],
)
def test_after_a_kill_apps_and_grants_are_there_and_open_again(
    fragile: RunningPortal, browser: Browser, words: tuple[str, ...]
) -> None:
    site = Site(fragile, browser)
    ada = site.person("ada")
    slug = ada.publishes_waves(audience="signed-in")
    ada.opens(slug)
    victim = _process(fragile, *words)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait(10)
    until(fragile.answers, seconds=40, what="the portal's page")
    sam = site.person("sam")
    sam.opens(slug)
    sam.moves_the_slider(3)
    site.close()
