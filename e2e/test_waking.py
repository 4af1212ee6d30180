"""An app that sleeps: what a visitor sees at once, and how the live page comes in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.people import DESKTOP, PHONE, Person, Site
from tests.portal_fixture import until

pytestmark = pytest.mark.browser


def _sleeps(site: Site, slug: str) -> None:
    """Stop the app's server, as the portal does when nobody uses it."""
    accounts = (user for user in site.portal.hub("GET", "/users").json() if user["name"].startswith("app-"))
    token = site.portal.token_for("ada")
    app = site.portal.request("GET", f"/services/vaas/api/apps/{slug}", token=token).json()["id"]
    account = next(user["name"] for user in accounts if user["name"].endswith(app))
    site.portal.hub("DELETE", f"/users/{account}/servers/v1")
    gone = f"/users/{account}"
    until(lambda: "v1" not in site.portal.hub("GET", gone).json()["servers"], seconds=30, what="the server's end")


def _waits(page: Page) -> None:
    """Let the page hear nothing of the start, so that there is time to look at it."""
    page.route("**/events*", lambda route: None)


def _looks(page: Page) -> dict[str, object]:
    """Return what must not jump when one page takes the other's place."""
    found: dict[str, object] = page.evaluate(
        """() => {
            const bar = document.querySelector(".waking-bar, .vaas-bar").getBoundingClientRect();
            const ground = getComputedStyle(document.body).backgroundColor;
            return {top: bar.top, height: bar.height, width: bar.width, ground};
        }"""
    )
    return found


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_sleeping_app_shows_at_once_how_it_looked_last(
    site: Site, ada: Person, viewport: dict[str, int], tmp_path: Path
) -> None:
    slug = ada.publishes_waves(audience="signed-in")
    sam = site.person("sam", viewport=viewport)
    _waits(sam.page)
    assert sam.goes(f"apps/{slug}/open") == 200
    outline = sam.page.locator(".outline")
    expect(outline).to_contain_text("Move the slider.")
    expect(outline.locator(".outline-control")).to_contain_text("waves")
    expect(outline.locator("svg.outline-box")).to_be_visible()
    expect(sam.page.get_by_role("status")).to_be_visible()
    # It is a picture: neither read out nor reached by keyboard, and nothing of it sticks out.
    expect(sam.page.get_by_role("heading")).to_have_count(1)
    expect(sam.page.get_by_role("heading", name="Opening")).to_have_count(1)
    assert sam.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sam.page.keyboard.press("Tab")
    expect(sam.page.get_by_role("link", name="About")).to_be_focused()
    sam.page.keyboard.press("Tab")
    assert sam.page.evaluate("!document.activeElement.closest('.outline')")
    sam.shot(tmp_path / "waking.png")


def test_the_live_page_comes_in_its_place_without_a_jump(ada: Person) -> None:
    slug = ada.publishes_waves()
    ada.goes(f"apps/{slug}/")
    with ada.page.expect_response(lambda answer: answer.url.endswith("/open")) as opened:
        ada.page.get_by_role("main").get_by_role("link", name="Open", exact=True).click()
    assert 'class="outline"' in opened.value.text()
    assert opened.value.headers["cache-control"] == "private, no-store"
    before = _looks(ada.page)
    expect(ada.slider).to_be_visible(timeout=60_000)
    assert _looks(ada.page) == before
    ada.moves_the_slider(3)


def test_an_app_that_went_to_sleep_shows_its_outline_on_the_way_back(site: Site, ada: Person) -> None:
    slug = ada.publishes_waves()
    ada.opens(slug)
    _sleeps(site, slug)
    _waits(ada.page)
    ada.page.reload()
    ada.page.wait_for_url(f"**/apps/{slug}/open")
    expect(ada.page.locator(".outline")).to_contain_text("Move the slider.")
    ada.page.unroute("**/events*")
    ada.page.reload()
    expect(ada.slider).to_be_visible(timeout=60_000)


def test_whom_the_app_is_not_shown_to_sees_no_outline(site: Site, ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves()
    assert sam.goes(f"apps/{slug}/open") == 404
    expect(sam.page.locator(".outline")).to_have_count(0)
