"""An app that greets its visitors: off by default, said to visitors before they open it, and only then true."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from e2e.people import PHONE, Person, Site
from tests.notebooks import markdown

pytestmark = pytest.mark.browser

GREETING = (
    markdown("# Greeting"),
    "import vaas\nwho = vaas.visitor()\n"
    'print(f\'Hello {who.name} of {", ".join(who.groups) or "no group"}, in {who.query.get("place", "nowhere")}.\')',
)
NOTICE = "This app sees your name and groups"


def shots() -> Path | None:
    """Return where to put pictures for who looks at them; None for nowhere."""
    folder = os.environ.get("VAAS_SHOTS", "")
    return Path(folder) if folder else None


def greets(person: Person, slug: str, words: str) -> None:
    """Open the app with a parameter, and see that it says these words."""
    person.goes(f"apps/{slug}/open?place=Ispra")
    expect(person.page.get_by_text(words)).to_be_visible(timeout=60_000)
    assert "sam" not in person.page.url


def sideways(person: Person) -> int:
    """Return by how many pixels the page is too wide."""
    return int(person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_an_app_greets_by_name_once_its_owner_allows_it_and_visitors_can_read_so(
    site: Site, ada: Person, sam: Person, tmp_path: Path
) -> None:
    slug = ada.publishes(ada.keeps("greeting.ipynb", *GREETING), audience="signed-in", title="Greeting")
    sam.goes(f"apps/{slug}/")
    expect(sam.page.get_by_text(NOTICE)).to_have_count(0)
    greets(sam, slug, "Hello None of no group, in Ispra.")

    ada.goes(f"apps/{slug}/settings")
    panel = ada.page.get_by_role("region", name="May it know who is looking?")
    box = panel.get_by_label("Tell the app the name")
    expect(box).not_to_be_checked()
    box.check()
    panel.get_by_role("button", name="Save").click()
    expect(ada.page.get_by_text("from now on")).to_be_visible()
    expect(box).to_be_checked()

    for path in (f"apps/{slug}/", ""):
        sam.goes(path)
        expect(sam.page.get_by_text(f"{NOTICE}.").first).to_be_visible()
    greets(sam, slug, "Hello sam of physics, students, in Ispra.")

    phone = site.person("ada", viewport=PHONE)
    for name, person in (("1280", ada), ("390", phone)):
        for part, path in (("settings", f"apps/{slug}/settings"), ("about", f"apps/{slug}/"), ("gallery", "")):
            person.goes(path)
            assert sideways(person) <= 0
            if (folder := shots()) is not None:
                person.page.screenshot(path=folder / f"{part}-{name}.png", full_page=True)

    ada.goes(f"apps/{slug}/settings")
    box.uncheck()
    panel.get_by_role("button", name="Save").click()
    expect(ada.page.get_by_text("nobody’s name")).to_be_visible()
    greets(sam, slug, "Hello None of no group, in Ispra.")


def test_it_can_be_said_while_publishing(site: Site, ada: Person) -> None:
    ada.goes(f"files/home/{ada.keeps('hello.ipynb', *GREETING)}")
    ada.page.get_by_role("button", name="Check").click()
    publish = ada.page.get_by_role("button", name="Publish", exact=True)
    expect(publish).to_be_enabled(timeout=60_000)
    ada.page.get_by_text("May it know who is looking?").click()
    ada.page.get_by_label("Tell the app the name").check()
    if (folder := shots()) is not None:
        ada.page.locator("#publish").screenshot(path=folder / "draft-1280.png")
    publish.click()
    expect(ada.page.get_by_text("is published")).to_be_visible()
    expect(ada.page.get_by_text(NOTICE)).to_be_visible()
