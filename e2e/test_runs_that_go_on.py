"""A run goes on while Hub and portal are away, and so does the page of who watches it."""

from __future__ import annotations

import os
import re
import signal

import pytest
from playwright.sync_api import expect

from e2e.people import Person, Site
from e2e.test_runs import SLOW, keeps_waves, starts
from tests.portal_fixture import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_page_of_a_run_goes_on_after_the_hub_was_killed(site: Site, ada: Person) -> None:
    portal = site.portal
    starts(ada, keeps_waves(ada, "import time\nprint('begun', flush=True)\ntime.sleep(n)\nprint('through')"), n="6")
    log = ada.page.locator("[data-run-log]")
    expect(log).to_contain_text("begun", timeout=SLOW)
    before = portal.note.hub.pid
    os.kill(before, signal.SIGKILL)
    expect(ada.page.get_by_text("The connection to the portal is interrupted")).to_be_visible()
    ada.pictures("hub-away")
    until(lambda: portal.note.hub.pid != before and portal.answers(), seconds=60, what="the Hub")
    # Nobody reloads the page: it finds the portal again by itself.
    expect(ada.page.locator(".run-state")).to_contain_text("Done", timeout=SLOW)
    expect(log).to_have_text(re.compile(r"begun\s+through"))
    ada.pictures("after-hub")
