"""Asking for access: one form for who asks, one click for who answers; and the basket, on a desk and on a phone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from e2e.people import PHONE, Person, Site
from tests.portal_fixture import until

pytestmark = pytest.mark.browser
SLOW = 20_000


def shot(person: Person, name: str) -> None:
    """Take a picture of the whole page for who looks at them, if anybody does."""
    if folder := os.environ.get("VAAS_SHOTS", ""):
        person.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def sideways(person: Person) -> int:
    """Return by how many pixels the page is too wide."""
    return int(person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_who_asks_may_read_after_one_click_of_the_owner(site: Site, ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves(audience="signed-in")
    assert sam.goes(f"apps/{slug}/versions") == 403
    sam.goes(f"apps/{slug}/")
    sam.page.get_by_label("Message").fill("I would like to see how the waves are made.\nFor my thesis.")
    shot(sam, "app-ask")
    # By keyboard alone.
    sam.page.keyboard.press("Tab")
    sam.page.keyboard.press("Enter")
    expect(sam.page.get_by_text("Asked. ada sees it")).to_be_visible(timeout=SLOW)
    expect(sam.page.get_by_role("button", name="Take it back")).to_be_visible(timeout=SLOW)
    shot(sam, "app-asked")
    ada.goes("")
    ada.page.get_by_role("link", name=re.compile("request.* for your answer")).click()
    expect(ada.page.get_by_text("For my thesis.")).to_be_visible(timeout=SLOW)
    shot(ada, "requests")
    row = ada.page.get_by_role("listitem").filter(has=ada.page.locator(f"a[href$='/apps/{slug}/']"))
    row.get_by_role("button", name="Give access").click()
    expect(ada.page.get_by_text("sam has access now.")).to_be_visible(timeout=SLOW)
    assert sam.goes(f"apps/{slug}/versions") == 200
    sam.goes("requests")
    expect(sam.page.get_by_text("Granted").first).to_be_visible(timeout=SLOW)
    shot(sam, "requests-asked")


def test_what_is_put_into_the_basket_is_kept_named_shared_and_taken_out(site: Site, ada: Person) -> None:
    slug = ada.publishes_waves(audience="signed-in")
    secret = ada.publishes_waves()
    ada.goes("basket/current")
    shot(ada, "basket-empty")

    def added(one: str) -> bool:
        """Tell whether it could be added: the index follows within a second or two."""
        ada.goes(f"apps/{one}/")
        ada.page.get_by_role("button", name="Add to basket").click()
        return bool(ada.page.get_by_text("It is in the basket.").count())

    for one in (slug, secret):
        until(lambda one=one: added(one), seconds=30, what="the app to be found")  # type: ignore[misc]
    ada.page.get_by_role("button", name=re.compile("Copy link")).first.click()
    expect(ada.page.get_by_text("Copied", exact=True)).to_be_visible(timeout=SLOW)
    shot(ada, "basket")
    name = f"Waves {slug[-6:]}"
    ada.page.get_by_label("Name of the basket").fill(name)
    ada.page.keyboard.press("Enter")
    expect(ada.page.get_by_role("heading", name=name)).to_be_visible(timeout=SLOW)
    form = ada.page.locator("form.invite").filter(has=ada.page.get_by_label("Add a group"))
    form.get_by_label("Add a group").select_option("students")
    form.get_by_role("button").click()
    expect(ada.page.get_by_text("Shared with Group students.", exact=True)).to_be_visible(timeout=SLOW)
    shot(ada, "collection")
    address = ada.page.url.removeprefix(site.url)
    sam = site.person("sam", viewport=PHONE)
    assert sam.goes(address) == 200
    expect(sam.page.locator(f"main a[href$='/apps/{slug}/']")).to_be_visible(timeout=SLOW)
    expect(sam.page.get_by_text("1 more thing is in it that you may not see.")).to_be_visible(timeout=SLOW)
    assert sam.page.get_by_role("button", name="Remove").count() == 0 and secret not in sam.page.content()
    assert sideways(sam) <= 0
    shot(sam, "collection-phone")
    ada.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    ada.goes(address)
    assert sideways(ada) <= 0
    shot(ada, "collection-mine-phone")
    for _ in range(2):
        ada.page.get_by_role("button", name=re.compile("^Remove Waves")).first.click()
        expect(ada.page.get_by_text("Taken out of the basket.")).to_be_visible(timeout=SLOW)
    ada.page.get_by_role("button", name="Delete").click()
    expect(ada.page.get_by_text("The basket is deleted.")).to_be_visible(timeout=SLOW)
    assert sam.goes(address) == 404


def test_pages_fit_a_phone(site: Site, ada: Person) -> None:
    slug = ada.publishes_waves(audience="signed-in")
    sam = site.person("sam", viewport=PHONE)
    sam.goes(f"apps/{slug}/")
    assert sideways(sam) <= 0
    shot(sam, "app-ask-phone")
    sam.page.get_by_role("button", name="Ask ada").click()
    expect(sam.page.get_by_text("Asked. ada sees it")).to_be_visible(timeout=SLOW)
    ada.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path, name in (("requests", "requests-phone"), ("basket/current", "basket-phone"), ("", "gallery-phone")):
        ada.goes(path)
        assert sideways(ada) <= 0, path
        shot(ada, name)
    ada.goes("requests")
    row = ada.page.get_by_role("listitem").filter(has=ada.page.locator(f"a[href$='/apps/{slug}/']"))
    row.get_by_role("button", name="Refuse").click()
    expect(ada.page.get_by_text("sam is told that you said no.")).to_be_visible(timeout=SLOW)
