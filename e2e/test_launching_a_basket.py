"""From a search to JupyterLab: two data sets go into the basket, and a notebook opens in which both can be read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from e2e.people import Person, Site
from e2e.test_handing_a_basket import puts_into_basket, shot
from tests.portal_fixture import until

pytestmark = [pytest.mark.browser, pytest.mark.hub]
_PATIENCE = 90_000


@pytest.fixture
def emil(site: Site) -> Iterator[Person]:
    """Return somebody whose launches and basket are removed at the end."""
    emil = site.person("emil")
    token, api = site.portal.token_for("emil"), "/services/vaas/api/"
    for thing in site.portal.get(f"{api}baskets/current", token=token).json()["things"]:
        site.portal.request("DELETE", f"{api}baskets/current/things/{thing['id']}", token=token)
    yield emil
    home = site.portal.data / "homes" / "emil"
    shutil.rmtree(home / "deep.zarr", ignore_errors=True)
    (home / "plain.ipynb").unlink(missing_ok=True)
    emil.page.goto("about:blank")  # JupyterLab complains of a server that goes
    for launch in site.portal.get(f"{api}launches", token=token).json()["launches"]:
        site.portal.request("DELETE", f"{api}launches/{launch['id']}", token=token)


def test_two_data_sets_of_a_search_are_there_in_jupyterlab(emil: Person) -> None:
    page = emil.page
    puts_into_basket(emil, "wine.csv", "iris.csv")
    page.get_by_role("button", name="Basket", exact=False).first.click()
    shot(emil, "drawer-launch")
    page.get_by_role("link", name="Launch in JupyterLab").click()
    expect(page.get_by_role("main")).to_contain_text("wine.csv")
    expect(page.get_by_role("main")).to_contain_text("iris.csv")
    shot(emil, "basket-launch")
    page.get_by_role("main").get_by_role("button", name="Launch in JupyterLab").click()
    page.wait_for_url(re.compile("/lab/tree/"), timeout=_PATIENCE)
    cells = page.locator(".jp-NotebookPanel .jp-Cell")
    expect(cells.first).to_contain_text("wine.csv", timeout=_PATIENCE)
    expect(page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible(timeout=_PATIENCE)
    cells.first.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("import pandas as pd\nprint({name: len(pd.read_csv(path)) for name, path in data.items()})")
    page.keyboard.press("Shift+Enter")
    said = page.locator(".jp-OutputArea").get_by_text("'wine.csv': 178")
    expect(said).to_be_visible(timeout=_PATIENCE)
    expect(said).to_contain_text("'iris.csv': 150")
    shot(emil, "basket-lab")


def test_other_data_order_the_places_anew_and_what_was_chosen_stays(emil: Person) -> None:
    portal, token = emil.site.portal, emil.site.portal.token_for("emil")
    emil.keeps("plain.ipynb", "x = 1")
    group = portal.data / "homes" / "emil" / "deep.zarr"
    group.mkdir()
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    said = {"catalog": "here", "record": "file:home-emil/deep.zarr"}
    address = f"/services/vaas/api/records/here/{said['record']}"
    until(lambda: portal.get(address, token=token).status_code == 200, seconds=60, what="it to be found")
    portal.request("POST", "/services/vaas/api/baskets/current/things", token=token, json=said).raise_for_status()
    emil.goes("launch?store=home&path=plain.ipynb")
    lacks = emil.page.get_by_role("group", name="Where it runs").get_by_text("lacks a reader for Zarr")
    expect(lacks).to_have_count(0)
    emil.page.get_by_label("Size").select_option("large")
    basket = emil.page.get_by_label("Data that goes along")
    basket.focus()
    basket.select_option("current")
    expect(lacks).to_have_count(1)
    expect(emil.page.get_by_role("status").filter(has_text="What reads this data best comes first.")).to_be_attached()
    expect(emil.page.get_by_label("Size")).to_have_value("large")
    expect(basket).to_be_focused()
    emil.pictures("launch-reads-not")
    basket.select_option("")
    expect(lacks).to_have_count(0)
