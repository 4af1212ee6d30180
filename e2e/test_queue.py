"""An app that is full, in the browser: two are in, a third one waits, sees how long, and comes in by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from e2e.people import Person, Site
from tests.portal_fixture import app_python, running

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_OPEN = 60_000


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Site]:
    """Return a portal of our own, whose apps take two visits each."""
    data = tmp_path_factory.mktemp("small") / "data"
    with running(
        data, app_python=app_python(), environ={"VAAS_LIMIT_VISITS": "2", "VAAS_LIMIT_LOST_AFTER": "10"}
    ) as portal:
        site = Site(portal, browser)
        yield site
        site.close()


def goes_in(person: Person, slug: str) -> None:
    """Click on Open; what comes is the app or the line before it."""
    assert person.goes(f"apps/{slug}/") == 200
    person.page.get_by_role("main").get_by_role("link", name="Open", exact=True).click()


def test_the_third_one_waits_and_comes_in_by_itself_when_the_first_leaves(small: Site) -> None:
    ada = small.person("ada")
    slug = ada.publishes_waves(audience="everyone")
    ada.opens(slug)
    second = small.visitor()
    second.opens(slug)
    third = small.visitor(viewport={"width": 390, "height": 844})
    goes_in(third, slug)
    line = third.page.get_by_role("status")
    expect(line).to_contain_text("You are next.", timeout=_OPEN)
    expect(line).to_contain_text("We cannot tell yet how long it takes.")
    expect(third.page).to_have_title(re.compile(r"^\(1\) Waves"))
    # How the app looked when it was checked lies below.
    expect(third.page.locator(".outline h1", has_text="Waves")).to_be_visible()
    fourth = small.visitor()
    goes_in(fourth, slug)
    expect(fourth.page.get_by_role("status")).to_contain_text("You are number 2 in line.", timeout=_OPEN)
    # The app's own page knows within a heartbeat.
    looks = small.visitor()
    for _ in range(30):
        looks.goes(f"apps/{slug}/")
        if looks.page.get_by_text("It is full: 2 people wait in line.").is_visible():
            break
        looks.page.wait_for_timeout(500)
    expect(looks.page.get_by_text("It is full: 2 people wait in line.")).to_be_visible()
    # A reload keeps the place, and the two who are in keep theirs.
    third.page.reload()
    expect(line).to_contain_text("You are next.")
    second.page.reload()
    expect(second.slider).to_be_visible(timeout=_OPEN)
    ada.page.close()
    expect(third.slider).to_be_visible(timeout=_OPEN)
    third.moves_the_slider(3)
    expect(fourth.page.get_by_role("status")).to_contain_text("You are next.")
    # Who gives up leaves the line.
    fifth = small.visitor()
    goes_in(fifth, slug)
    expect(fifth.page.get_by_role("status")).to_contain_text("You are number 2 in line.", timeout=_OPEN)
    fourth.page.close()
    expect(fifth.page.get_by_role("status")).to_contain_text("You are next.", timeout=_OPEN)
    assert small.complaints == []


def test_without_javascript_the_line_moves_too(small: Site, browser: Browser) -> None:
    ada = small.person("ada")
    slug = ada.publishes_waves(audience="everyone")
    ada.opens(slug)
    second = small.visitor()
    second.opens(slug)
    third = small.visitor()
    goes_in(third, slug)
    expect(third.page.get_by_role("status")).to_contain_text("You are next.", timeout=_OPEN)
    address = third.page.url
    plain = browser.new_context(java_script_enabled=False, storage_state=third.context.storage_state())
    third.page.close()
    page = plain.new_page()
    page.goto(address)
    expect(page.get_by_role("status")).to_contain_text("You are next.")
    second.page.close()
    # The page that came in its place is the app's.
    expect(page.locator("header.vaas-bar")).to_be_visible(timeout=_OPEN)
    plain.close()
