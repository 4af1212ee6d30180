"""The portal's own app in a browser: everybody opens it, types, and finds what they may see."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from e2e.people import DESKTOP, PHONE, Person, Site
from tests.notebooks import code, markdown

pytestmark = pytest.mark.browser
#: Whether what is shown is the answer to this.
_ANSWERED = (
    "(q) => { const { flying, answer } = document.querySelector('.dv').__vue__; return !flying && answer.q === q }"
)


def finds(person: Person, text: str) -> None:
    """Open the app and type something."""
    person.goes("apps/discover/open")
    expect(person.page.locator("#vaas-loading")).to_be_hidden(timeout=60_000)
    box = person.page.get_by_role("combobox", name="Search apps, notebooks and data")
    # Its server may have to start first.
    expect(box).to_be_visible(timeout=60_000)
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


def test_a_stranger_signs_in_once_and_finds_more(site: Site) -> None:
    nobody = site.visitor()
    finds(nobody, "")
    page = nobody.page
    # Whatever is suggested finds something, for a stranger too.
    hints = page.locator(".dv-hints button")
    expect(hints.first).to_be_visible()
    for hint in hints.all_inner_texts():
        page.get_by_role("combobox").fill(hint)
        page.wait_for_function(_ANSWERED, arg=hint)
        expect(page.locator("[data-title]").first).to_be_visible()
    finds(nobody, "wine.csv")
    expect(page.get_by_text("You are not signed in, so you find only what is public.")).to_be_visible(timeout=30_000)
    page.locator(".dv-head").get_by_role("link", name="Sign in").click()
    nobody.fills_in("sam")
    expect(page.get_by_role("button", name="Saved")).to_be_visible(timeout=60_000)
    # Back at what was searched for.
    expect(page.get_by_role("button", name="wine.csv", exact=True)).to_be_visible(timeout=30_000)


def test_who_signs_in_at_the_hub_has_signed_in_here(site: Site) -> None:
    emil = site.visitor()
    emil.page.goto(site.url.replace("/services/vaas/", "/hub/login"))
    emil.fills_in("emil")
    emil.page.wait_for_url(site.url)
    expect(emil.page.get_by_text("Your account: emil")).to_be_attached()
    expect(emil.page.get_by_role("link", name="Sign in")).to_have_count(0)


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


@pytest.mark.parametrize(
    ("query", "title", "button", "heading", "chosen"),
    [
        ("name:wine.csv", "wine.csv", "Launch in JupyterLab", "Launch “wine.csv”", "wine.csv"),
        ("tides of mine", "Tides of mine", "Launch in JupyterLab", "Launch “tides-of-mine”", "tides-of-mine"),
        (
            "type:app penguins",
            "Penguins of the Palmer Archipelago",
            "Launch in JupyterLab",
            "Launch “Penguins",
            "apps/",
        ),
        ("tides of mine", "Tides of mine", "Run with other values", "Run “", "tides-of-mine"),
    ],
)
def test_what_was_found_is_launched_and_run_from_there(
    site: Site, ada: Person, query: str, title: str, button: str, heading: str, chosen: str
) -> None:
    ada.keeps("tides-of-mine.ipynb", markdown("# Tides of mine"), code("depth = 3", tags=["parameters"]))
    finds(ada, query)
    ada.page.wait_for_function(_ANSWERED, arg=query)
    found = ada.page.get_by_role("button", name=title, exact=True)
    expect(found).to_be_visible(timeout=60_000)
    found.click()
    preview = ada.page.get_by_role("article", name=title)
    preview.get_by_role("link", name=button).click()
    expect(ada.page.get_by_role("heading", level=1)).to_contain_text(heading)
    assert chosen in unquote(ada.page.url)
    verb = "Launch in JupyterLab" if button.startswith("Launch") else re.compile("^(Run|Start)")
    expect(ada.page.get_by_role("main").get_by_role("button", name=verb).first).to_be_enabled()
    ada.pictures(f"found-{button.split()[0]}-{title[:5]}")


def test_nobody_is_offered_to_change_it(ada: Person) -> None:
    assert ada.goes("apps/discover/") == 200
    for path in ("settings", "share"):
        assert ada.goes(f"apps/discover/{path}") == 403
