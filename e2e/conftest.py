"""A Chromium for all browser tests, and people who are signed in with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import IO

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from e2e.people import Person, Site, watched
from tests.portal_fixture import RunningPortal, chromium

_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module", autouse=True)
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Wait for a core: a browser keeps one busy, and people's patience is what these tests are about."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    folder = tmp_path_factory.getbasetemp().parent  # of all workers of this run
    with contextlib.ExitStack() as stack:
        cores = [stack.enter_context((folder / f"core-{n}").open("w")) for n in range(os.cpu_count() or 1)]
        time.sleep(0.5)  # who waits already goes first
        while not any(_taken(core) for core in cores):
            time.sleep(0.1)
        yield


def _taken(core: IO[str]) -> bool:
    try:
        fcntl.flock(core, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a headless Chromium."""
    expect.set_options(timeout=20_000)  # a busy machine is no fault
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_QUIET.split())
        yield browser
        browser.close()


@pytest.fixture
def site(hub: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return the portal as people see it; at the end no page may have complained in its console."""
    with watched(hub, browser) as site:
        yield site


@pytest.fixture
def ada(site: Site) -> Person:
    """Return a signed-in scientist."""
    return site.person("ada")


@pytest.fixture
def sam(site: Site) -> Person:
    """Return a signed-in student, of the groups physics and students."""
    return site.person("sam")
