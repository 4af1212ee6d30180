"""A basket is handed to an app: filled while searching, given after a question, and seen by nobody else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from e2e.people import PHONE, Person, Site
from tests.notebooks import markdown

pytestmark = pytest.mark.browser

ROWS = (
    markdown("# Rows"),
    "import vaas",
    "for thing in vaas.basket().tables:\n    print(f'{thing.name} has {len(thing.table())} rows')\n"
    "print(f'{len(vaas.basket())} things for {vaas.visitor().name}')",
)
_OPEN = 60_000


def shot(person: Person, name: str) -> None:
    """Take a picture for who looks at them, in two widths."""
    if not (folder := os.environ.get("VAAS_SHOTS", "")):
        return
    before = person.page.viewport_size
    for width in (1280, 390):
        person.page.set_viewport_size({"width": width, "height": 800})
        person.page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)
    assert before is not None
    person.page.set_viewport_size(before)


def fits(person: Person) -> bool:
    """Tell whether the page is no wider than the window."""
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(person.page.evaluate(wide)) <= 1


def puts_into_basket(person: Person, *names: str) -> None:
    """Search for files in the portal's own app, and put them into the basket."""
    person.goes("apps/discover/open")
    expect(person.page.locator("#vaas-loading")).to_be_hidden(timeout=_OPEN)
    box = person.page.get_by_role("combobox", name="Search apps, notebooks and data")
    for name in names:
        box.fill(f"name:{name}")
        box.press("Enter")
        expect(person.page.get_by_role("status").filter(has_text=f"1 result for name:{name}")).to_be_visible(
            timeout=_OPEN
        )
        keep = person.page.get_by_role("button", name=re.compile("^In the basket: "))
        keep.click()
        expect(keep).to_have_attribute("aria-pressed", "true")


def finds_the_app(person: Person, basket: str, title: str) -> None:
    """Look at the apps that take a basket until this one is among them: the index follows within seconds."""
    link = person.page.get_by_role("link", name=f"Open {title} with this basket")
    for _ in range(30):
        person.goes(f"basket/{basket}/apps")
        if link.count():
            break
        person.page.wait_for_timeout(500)
    expect(link).to_be_visible()


def test_an_app_works_on_what_its_visitor_puts_into_a_basket_and_nobody_else_sees_it(
    site: Site, ada: Person, sam: Person
) -> None:
    slug = ada.publishes(ada.keeps("rows.ipynb", *ROWS), audience="signed-in", title="Rows of tables")
    puts_into_basket(sam, "wine.csv", "iris.csv")
    sam.page.get_by_role("button", name="Basket", exact=False).first.click()
    expect(sam.page.get_by_role("link", name="Open in an app…")).to_be_visible()
    shot(sam, "drawer")
    sam.page.get_by_role("link", name="Open in an app…").click()
    finds_the_app(sam, "current", "Rows of tables")
    assert fits(sam)
    shot(sam, "apps")
    sam.page.get_by_role("link", name="Open Rows of tables with this basket").click()

    expect(sam.page.get_by_role("heading", name="Open “Rows of tables” with your basket?")).to_be_visible()
    asked = sam.page.get_by_role("region")
    expect(asked).to_contain_text("Rows of tables by ada would like to use these 2 things")
    expect(asked).to_contain_text("wine.csv")
    expect(asked).to_contain_text("iris.csv")
    shot(sam, "question")
    sam.page.get_by_role("button", name="Open with these").click()
    expect(sam.page.get_by_text("wine.csv has 178 rows")).to_be_visible(timeout=_OPEN)
    expect(sam.page.get_by_text("iris.csv has 150 rows")).to_be_visible()
    expect(sam.page.get_by_text("2 things for None")).to_be_visible()
    assert "basket" not in sam.page.url and "yes" not in sam.page.url
    sam.page.reload()
    expect(sam.page.get_by_text("wine.csv has 178 rows")).to_be_visible(timeout=_OPEN)

    # Meanwhile somebody else follows a link to their own basket, and says no.
    emil = site.person("emil", viewport=PHONE)
    puts_into_basket(emil, "wine.csv")
    emil.goes(f"apps/{slug}/open?basket=current&yes=0123456789")
    expect(emil.page.get_by_role("button", name="Open with it")).to_be_visible()
    assert fits(emil)
    emil.page.get_by_role("link", name="Open without").click()
    expect(emil.page.get_by_text("0 things for None")).to_be_visible(timeout=_OPEN)
    expect(emil.page.get_by_text("rows", exact=False).filter(has_text="has")).to_have_count(0)

    # And its first visitor comes back by the app's own address: a yes is for one opening.
    sam.goes(f"apps/{slug}/open")
    expect(sam.page.get_by_text("0 things for None")).to_be_visible(timeout=_OPEN)

    sam.goes("basket/current")
    shot(sam, "basket")
    assert fits(sam)


def test_a_link_alone_hands_nothing_over(site: Site, ada: Person) -> None:
    slug = ada.publishes(ada.keeps("rows-for-all.ipynb", *ROWS), audience="everyone", title="Rows for all")
    nobody = site.visitor()
    nobody.goes(f"apps/{slug}/open?basket=current")
    expect(nobody.page.get_by_role("heading", name=re.compile("^Sign in to open"))).to_be_visible()
    nobody.page.get_by_role("link", name="Open without").click()
    expect(nobody.page.get_by_text("0 things for None")).to_be_visible(timeout=_OPEN)


def test_the_demo_draws_the_tables_of_a_basket(site: Site, sam: Person) -> None:
    puts_into_basket(sam, "health-and-income.csv", "precipitation.nc")
    sam.goes("apps/my-tables/")
    sam.page.get_by_role("link", name="Open it with my basket").click()
    sam.page.get_by_role("button", name="Open with these").click()
    expect(sam.page.locator("#vaas-loading")).to_be_hidden(timeout=_OPEN)
    expect(sam.page.locator(".js-plotly-plot .points path").first).to_be_visible(timeout=_OPEN)
    choose = sam.page.get_by_label("In your basket")
    if choose.count():
        choose.select_option("health-and-income.csv")
    expect(sam.page.locator(".stat").first).to_contain_text("rows")
    expect(sam.page.get_by_text("Precipitation in 2016").first).to_be_visible()
    assert fits(sam)
    shot(sam, "tables")
    phone = site.person("sam", viewport=PHONE)
    phone.goes("apps/my-tables/open?basket=current")
    phone.page.get_by_role("button", name="Open with these").click()
    expect(phone.page.locator(".js-plotly-plot .points path").first).to_be_visible(timeout=_OPEN)
    assert fits(phone)
    if folder := os.environ.get("VAAS_SHOTS", ""):
        phone.page.screenshot(path=Path(folder) / "tables-phone.png", full_page=True)
    sam.goes("apps/my-tables/open")
    expect(sam.page.get_by_role("heading", name="Bring some tables")).to_be_visible(timeout=_OPEN)
    shot(sam, "tables-none")
    sam.goes("apps/my-tables/")
    shot(sam, "about")
