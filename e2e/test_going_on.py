"""In the browser: who launches from an app takes along what its widgets hold, and its address shows none of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.people import Person, Site

pytestmark = pytest.mark.browser


def test_launching_from_an_app_takes_along_what_was_moved(ada: Person, site: Site) -> None:
    slug = ada.publishes_waves(audience="everyone")
    page = ada.opens(slug)
    ada.slider.press("ArrowRight")
    expect(page.get_by_text("waves: 2")).to_be_visible()
    page.get_by_role("navigation", name="This app").get_by_role("link", name="Launch").click()
    page.wait_for_url(re.compile(rf"^{re.escape(site.url)}apps/{slug}/launch\?given=[\w-]{{24}}$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Launch")
    # Nobody who may only look has a way there.
    visitor = site.visitor()
    visitor.opens(slug)
    expect(visitor.page.get_by_role("navigation", name="This app").get_by_role("link", name="Launch")).to_have_count(0)


def test_in_another_tab_the_app_stays_as_it_is(ada: Person, site: Site) -> None:
    slug = ada.publishes_waves()
    page = ada.opens(slug)
    ada.slider.press("ArrowRight")
    expect(page.get_by_text("waves: 2")).to_be_visible()
    with ada.context.expect_page() as opened:
        link = page.get_by_role("navigation", name="This app").get_by_role("link", name="Launch")
        link.click(modifiers=["ControlOrMeta"])
    expect(opened.value).to_have_url(f"{site.url}apps/{slug}/launch")
    expect(page.get_by_text("waves: 2")).to_be_visible()
