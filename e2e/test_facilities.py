"""What a site offers, as people read it: on a desk and on a phone, as a stranger and as who may use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.people import PHONE, Person, Site, watched
from hub_service.settings import ROOT
from tests.portal_fixture import RunningPortal, app_python, free_ports, running, stand_in_app, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def offering(hub: RunningPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal with the file that the docs show, changed to what is here."""
    folder = tmp_path_factory.mktemp("offering")
    text = (ROOT / "docs" / "facilities.md").read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    silent = f'[[portal]]\ntitle = "Lakes"\nurl = "http://127.0.0.1:{free_ports(1)[0]}/"\n\n[[size]]'
    text = text.replace("https://vaas.skies.example.org/services/vaas/", hub.url).replace("[[size]]", silent, 1)
    text = text.replace("/opt/ocean/bin/python", str(app_python()))
    file = folder / "facilities.toml"
    file.write_text(text)
    environ = {"VAAS_FACILITIES": str(file), "VAAS_ALLOWED_PRIVATE": "127.0.0.0/8"}
    # As the file says, the nodes have it, too.
    (folder / "environments").mkdir(mode=0o711)
    environ["VAAS_ENVIRONMENTS_FOLDER"] = str(folder / "environments")
    with running(folder / "data", app_python=stand_in_app(folder), environ=environ) as portal:
        yield portal


@pytest.fixture
def there(offering: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return that portal as people see it."""
    with watched(offering, browser) as site:
        yield site


def shot(person: Person, name: str) -> None:
    """Take a picture of the whole page for who looks at them, if anybody does."""
    if folder := os.environ.get("VAAS_SHOTS", ""):
        person.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def sideways(person: Person) -> int:
    """Return by how many pixels the page is too wide."""
    return int(person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def looked_at(portal: RunningPortal) -> bool:
    said = portal.get("/services/vaas/api/facilities?all=1").json()
    known = {each["id"]: each["state"] for each in said["environments"]}
    return known["ocean"] == "ready" and all(each["state"] != "unknown" for each in said["portals"])


def test_people_find_what_the_site_offers_and_whether_it_is_for_them(there: Site) -> None:
    until(lambda: looked_at(there.portal), seconds=30, what="a look at what is offered")
    ada = there.person("ada")
    ada.page.get_by_role("link", name="What this portal offers").click()
    expect(ada.page.get_by_role("heading", level=1)).to_have_text("What Institute of Seas offers")
    cluster = ada.page.get_by_role("region", name="Wave cluster")
    expect(cluster).to_contain_text("For members of physics or oceans. You are one.")
    expect(cluster).to_contain_text("64 GB of memory")
    ocean = cluster.get_by_role("listitem").filter(has_text="Ocean models").first
    expect(ocean).to_contain_text("Ready")
    # Opened by keyboard.
    ocean.locator("summary").focus()
    ada.page.keyboard.press("Enter")
    expect(ocean.get_by_text("scikit-learn")).to_be_visible()
    shot(ada, "facilities-1280")
    expect(ada.page.get_by_role("region", name="Cloud")).to_contain_text("Closed until Monday")
    others = ada.page.get_by_role("region", name="Other portals")
    expect(others.get_by_role("region", name="Institute of Skies")).to_contain_text("This machine")
    expect(others.get_by_role("region", name="Lakes")).to_contain_text("cannot be reached")
    assert sideways(ada) == 0


def test_a_stranger_reads_it_on_a_phone_without_what_is_for_people(there: Site) -> None:
    stranger = there.visitor(viewport=PHONE)
    assert stranger.goes("facilities") == 200
    expect(stranger.page.get_by_role("region", name="Wave cluster")).to_contain_text(
        "Sign in to see whether you are one"
    )
    expect(stranger.page.get_by_text("What is in it")).to_have_count(0)
    shot(stranger, "facilities-390")
    # What stands in a sentence may be as small as its letters.
    assert sideways(stranger) == 0
    small = stranger.page.evaluate(
        "[...document.querySelectorAll('.facility-ask a, main h3 a, main summary, footer a')].filter(e => {"
        "const r = e.getBoundingClientRect(); return r.height && r.height < 24}).map(e => e.textContent)"
    )
    assert small == []
