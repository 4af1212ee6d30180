"""From the button to JupyterLab in a browser: one click, true progress, stop, and words when it fails.

What is launched is a small web server in JupyterLab's place; all before it is real.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.people import PHONE, Person, Site, watched
from tests.portal_fixture import RunningPortal, app_python, running
from tests.stand_in_launch import SITE

pytestmark = [pytest.mark.hub, pytest.mark.browser]
_LAB = re.compile(r"http://ada\.vaas\.localhost:\d+/user/ada/l[a-z0-9]{12}/lab")
TITLE = "Penguins of the Palmer Archipelago"


@pytest.fixture(scope="module")
def launches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal at a Hub that starts a small web server for each launch."""
    folder = tmp_path_factory.mktemp("launching")
    with running(folder / "data", app_python=app_python(), more_site=SITE) as portal:
        yield portal


@pytest.fixture
def site(launches: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return that portal as people see it; at the end no page may have complained in its console."""
    with watched(launches, browser) as site:
        told(site)
        yield site
        token = launches.token_for("ada")
        for launch in launches.request("GET", "/services/vaas/api/launches", token=token).json()["launches"]:
            launches.request("DELETE", f"/services/vaas/api/launches/{launch['id']}", token=token)


def told(site: Site, **said: Any) -> None:
    """Say how the next starts go."""
    (site.portal.data / "launch.json").write_text(json.dumps(said))


def presses(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name).first.click()


def test_one_click_leads_from_an_app_to_jupyterlab(site: Site, ada: Person) -> None:
    told(site, delay=5)
    page = ada.page
    ada.goes("apps/penguins/")
    page.get_by_role("main").get_by_role("link", name="Launch in JupyterLab").click()
    presses(page, "Launch in JupyterLab")
    expect(page.get_by_role("heading", name=f"Launching “{TITLE}”")).to_be_visible()
    expect(page.locator("[aria-current=step]")).to_have_text("Starting the server")
    page.wait_for_url(_LAB)
    expect(page.get_by_role("heading", name="JupyterLab")).to_be_visible()
    # Back leads to where it was launched, not into a page that sends one on again.
    page.go_back()
    expect(page.get_by_role("heading", name=f"Launch “{TITLE}”")).to_be_visible()
    ada.goes("servers")
    row = page.locator("[data-launch]")
    expect(row).to_contain_text("Running")
    expect(row).to_contain_text("This machine, Small")
    row.get_by_role("link", name=f"Open {TITLE}").click()
    page.wait_for_url(_LAB)
    ada.goes("servers")
    row.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_contain_text("stopped")
    expect(row).to_contain_text("Stopped")
    row.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="Nothing is launched yet")).to_be_visible()


def test_what_the_app_does_not_keep_any_more_is_said_and_my_servers_name_the_app(site: Site, ada: Person) -> None:
    page = ada.page
    ada.goes("apps/penguins/launch?given=gone")
    told = page.get_by_text("What you had chosen in the app is not kept any more")
    expect(told).to_be_visible()
    ada.pictures("launch-given-gone")
    page.get_by_text("Name", exact=True).click()
    page.get_by_label("What it is called under").fill("My own words")
    presses(page, "Launch in JupyterLab")
    page.wait_for_url(_LAB)
    ada.goes("servers")
    row = page.locator("[data-launch]")
    expect(row.get_by_role("link", name="My own words", exact=True)).to_be_visible()
    ada.pictures("servers-app")
    row.get_by_role("link", name=TITLE, exact=True).click()
    expect(page.get_by_role("heading", name=TITLE).first).to_be_visible()


@pytest.mark.parametrize("when", ["before", "delay"])
def test_it_is_cancelled_while_it_starts(site: Site, ada: Person, when: str) -> None:
    told(site, **{when: 60})
    ada.goes("apps/penguins/launch")
    presses(ada.page, "Launch in JupyterLab")
    presses(ada.page, "Cancel")
    expect(ada.page.get_by_role("heading", name=f"“{TITLE}” is stopped")).to_be_visible()
    told(site)
    presses(ada.page, "Start it again")
    ada.page.wait_for_url(_LAB)


def test_a_failure_is_said_in_words_with_what_to_try(site: Site, ada: Person) -> None:
    told(site, fail="There is no room on this machine: 0.4 GB of memory are left.")
    ada.keeps("tides.ipynb", "x = 1")
    ada.goes("files/home/tides.ipynb")
    ada.page.get_by_role("link", name="Launch in JupyterLab").click()
    presses(ada.page, "Launch in JupyterLab")
    expect(ada.page.get_by_role("alert")).to_contain_text("0.4 GB of memory are left")
    expect(ada.page.get_by_text("What to try")).to_be_visible()
    told(site)
    presses(ada.page, "Try again")
    ada.page.wait_for_url(_LAB)


def test_a_page_that_waits_shows_a_failure_and_a_list_what_has_changed(site: Site, ada: Person) -> None:
    told(site, delay=8, late="The machine was switched off.")
    ada.goes("apps/penguins/launch")
    presses(ada.page, "Launch in JupyterLab")
    other = ada.context.new_page()
    other.goto(f"{site.url}servers")
    expect(other.locator("[data-launch]")).to_contain_text("Starting")
    expect(ada.page.get_by_role("heading", name=f"“{TITLE}” did not start")).to_be_visible()
    expect(other.locator("[data-launch]")).to_contain_text("The machine was switched off.")


def test_a_basket_goes_along_and_is_launched_by_itself(site: Site, ada: Person) -> None:
    ada.goes("apps/penguins/")
    presses(ada.page, "Add to basket")
    ada.page.get_by_role("link", name="Launch in JupyterLab").click()
    expect(ada.page.get_by_role("heading", name="Launch “My basket”")).to_be_visible()
    expect(ada.page.get_by_role("main")).to_contain_text(TITLE)
    ada.goes("apps/penguins/launch")
    choice = ada.page.get_by_label("Data that goes along")
    expect(choice).to_have_value("")
    choice.select_option("current")
    ada.page.get_by_label("Size").select_option("large")
    presses(ada.page, "Launch in JupyterLab")
    ada.page.wait_for_url(_LAB)
    assert json.loads(ada.page.locator("#plan").inner_text())["size"] == "large"


def test_it_works_without_scripts_and_on_a_phone(site: Site, browser: Browser, tmp_path: Path) -> None:
    ada = site.person("ada", viewport=PHONE)
    state = ada.context.storage_state()
    context = browser.new_context(viewport=PHONE, java_script_enabled=False, storage_state=state)  # type: ignore[arg-type]
    page = context.new_page()
    told(site, delay=1)
    page.goto(f"{site.url}apps/penguins/launch")
    presses(page, "Launch in JupyterLab")
    # The page comes again by itself.
    expect(page.get_by_role("heading", name=f"“{TITLE}” is ready")).to_be_visible()
    page.get_by_role("link", name="Open JupyterLab").click()
    page.wait_for_url(_LAB)
    for path in ("servers", "apps/penguins/launch"):
        page.goto(site.url + path)
        assert page.locator("html").bounding_box()["width"] <= PHONE["width"]  # type: ignore[index]
    context.close()


def test_a_form_without_its_secret_launches_and_stops_nothing(site: Site, ada: Person) -> None:
    ada.goes("apps/penguins/launch")
    presses(ada.page, "Launch in JupyterLab")
    ada.page.wait_for_url(_LAB)
    ada.goes("servers")
    launch = ada.page.locator("[data-launch]").get_attribute("data-launch")
    send = """async (paths) => Promise.all(paths.map(async (path) => {
        const body = new URLSearchParams({ do: "stop" });
        return (await fetch(path, { method: "POST", body, redirect: "manual" })).status;
    }))"""
    paths = ["apps/penguins/launch", "launch", f"launches/{launch}/", f"api/launches/{launch}/stop"]
    # Without the secret the session counts as nobody’s.
    assert ada.page.evaluate(send, paths) == [401] * 4
    ada.goes("servers")
    expect(ada.page.locator("[data-launch]")).to_have_count(1)
    expect(ada.page.locator("[data-launch]")).to_contain_text("Running")
