"""A Chromium for all browser tests, and people who are signed in with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from e2e.people import Person, Site, watched
from tests.portal_fixture import RunningPortal, chromium

_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


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
