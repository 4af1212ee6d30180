"""The portal's own app in a browser: everybody opens it, types, and finds what they may see."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from e2e.people import Person, Site

pytestmark = pytest.mark.browser


def finds(person: Person, text: str) -> None:
    """Open the app and type something."""
    person.goes("apps/discover/open")
    expect(person.page.locator("#vaas-loading")).to_be_hidden(timeout=60_000)
    box = person.page.get_by_role("textbox").first
    box.fill(text)
    box.press("Enter")


def test_each_finds_what_they_may_see(site: Site, ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves()
    nobody = site.visitor()
    for person in (sam, nobody):
        finds(person, f"id:{slug}")
        expect(person.page.get_by_text("0 found")).to_be_visible(timeout=30_000)
    finds(ada, f"id:{slug}")
    expect(ada.page.locator(f'a[href$="apps/{slug}/"]').first).to_be_visible(timeout=30_000)
    # Examples that everybody may see, for who is not signed in too.
    finds(nobody, "climate explorer")
    expect(nobody.page.locator('a[href$="apps/climate-explorer/"]').first).to_be_visible(timeout=30_000)


def test_nobody_is_offered_to_change_it(ada: Person) -> None:
    assert ada.goes("apps/discover/") == 200
    for path in ("settings", "share"):
        assert ada.goes(f"apps/discover/{path}") == 403
