"""The portal's own app in a browser: everybody opens it, types, and finds what they may see."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from e2e.people import DESKTOP, PHONE, Person, Site

pytestmark = pytest.mark.browser


def finds(person: Person, text: str) -> None:
    """Open the app and type something."""
    person.goes("apps/discover/open")
    expect(person.page.locator("#vaas-loading")).to_be_hidden(timeout=60_000)
    box = person.page.get_by_role("combobox", name="Search apps, notebooks and data")
    box.fill(text)
    box.press("Enter")


def test_each_finds_what_they_may_see(site: Site, ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves()
    nobody = site.visitor()
    for person in (sam, nobody):
        finds(person, f"id:{slug}")
        expect(person.page.get_by_role("heading", name="Nothing fits")).to_be_visible(timeout=30_000)
    finds(ada, f"id:{slug}")
    expect(ada.page.locator(f'a[href$="apps/{slug}/"]').first).to_be_visible(timeout=30_000)
    # Examples that everybody may see, for who is not signed in too.
    finds(nobody, "climate explorer")
    expect(nobody.page.locator('a[href$="apps/climate-explorer/"]').first).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_open_data_are_looked_into_and_kept(site: Site, viewport: dict[str, int]) -> None:
    emil = site.person("emil", viewport=viewport)
    finds(emil, "name:wine.csv")
    title = emil.page.get_by_role("button", name="wine.csv", exact=True)
    expect(title).to_be_visible(timeout=60_000)
    title.click()
    # Beside the results, or above them where there is no room.
    preview = emil.page.get_by_role("article", name="wine.csv")
    expect(preview.get_by_role("columnheader", name="alcohol")).to_be_visible(timeout=60_000)
    add = preview.get_by_role("button", name="Add to basket")
    if add.is_visible():
        add.click()
    expect(preview.get_by_role("button", name="In the basket")).to_be_visible()
    # Kept by the portal, not by the page.
    finds(emil, "name:wine.csv")
    kept = emil.page.get_by_role("button", name="In the basket: wine.csv")
    expect(kept).to_have_attribute("aria-pressed", "true", timeout=30_000)
    kept.click()
    expect(kept).to_have_attribute("aria-pressed", "false")


def test_nobody_is_offered_to_change_it(ada: Person) -> None:
    assert ada.goes("apps/discover/") == 200
    for path in ("settings", "share"):
        assert ada.goes(f"apps/discover/{path}") == 403
