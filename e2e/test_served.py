"""What an app runs with, as its author chooses it on the draft's page, and as visitors get it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from e2e.people import PHONE, SLIDER, Person, Site, watched
from tests.notebooks import markdown
from tests.portal_fixture import RunningPortal, app_python, running, until
from tests.site_environments import site_python

pytestmark = pytest.mark.browser

#: A plot that follows its slider, for who has a library that apps do not share.
CELLS = (markdown("# Tides"), "import oceanlib\nprint('ocean', oceanlib.VERSION)", *SLIDER[1:])


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal whose site has an environment for everybody and one for members."""
    folder = tmp_path_factory.mktemp("sea")
    python = str(site_python(folder / "sea", "oceanlib", "7"))
    tables = [
        ("size", {"id": "small", "title": "Small"}),
        ("environment", {"id": "sea", "title": "Sea and ice", "kind": "python", "path": python}),
        ("environment", {"id": "club", "title": "Licensed", "kind": "python", "path": python + "3"}),
        ("facility", {"id": "here", "title": "Here", "kind": "local", "environments": ["sea"], "sizes": ["small"]}),
        ("facility", {"id": "club", "title": "Club", "kind": "local", "environments": ["club"], "sizes": ["small"]}),
    ]
    tables[-1][1]["groups"] = ["sailors"]
    lines = (f"[[{name}]]\n" + "".join(f"{key} = {json.dumps(said[key])}\n" for key in said) for name, said in tables)
    file = folder / "facilities.toml"
    file.write_text("".join(lines))
    with running(folder / "data", app_python=app_python(), environ={"VAAS_FACILITIES": str(file)}) as portal:
        until(lambda: _looked_at(portal), seconds=60, what="a look at the environments")
        yield portal


def _looked_at(portal: RunningPortal) -> bool:
    told = portal.get("/services/vaas/api/facilities").json()["environments"]
    return all(each["state"] == "ready" for each in told)


@pytest.fixture
def there(sea: RunningPortal, browser: Browser) -> Iterator[Site]:
    """Return that portal as people see it."""
    with watched(sea, browser) as site:
        yield site


def choose(ada: Person, label: str) -> None:
    """Choose what the draft runs with by keyboard, and wait for its check."""
    ada.page.locator("#environment > summary").focus()
    ada.page.keyboard.press("Enter")
    ada.page.get_by_label("Environment").select_option(label=label)
    button = ada.page.locator("#environment").get_by_role("button", name="Save and check again")
    button.focus()
    ada.page.keyboard.press("Enter")
    checked(ada)


def checked(ada: Person) -> None:
    expect(ada.page.locator("#check[data-draft=done]")).to_be_visible(timeout=90_000)


def test_what_fits_is_chosen_another_choice_is_checked_and_visitors_get_what_was_published(there: Site) -> None:
    ada = there.person("ada")
    ada.keeps("tides.ipynb", *CELLS)
    ada.goes("files/home/tides.ipynb")
    ada.page.get_by_role("button", name="Check").click()
    checked(ada)
    expect(ada.page.get_by_role("heading", name="It works")).to_be_visible()
    what = ada.page.locator("#environment")
    expect(what.locator("summary").first).to_contain_text("Sea and ice")
    options = what.locator("option")
    expect(options.nth(0)).to_have_text(re.compile(r"What is installed for all apps: Python [\d.]+ \(lacks oceanlib\)"))
    expect(options.filter(has_text="Licensed")).to_be_disabled()
    choose(ada, (options.nth(0).text_content() or "").strip())
    expect(ada.page.get_by_text("“oceanlib”, which is not installed where apps run").first).to_be_visible()
    expect(what.locator("summary").first).to_contain_text("What is installed for all apps")
    ada.page.get_by_text("“Sea and ice” has all that it imports").wait_for()
    ada.page.get_by_role("button", name="Use it and check again").click()
    checked(ada)
    expect(ada.page.get_by_role("heading", name="It works")).to_be_visible()
    ada.page.get_by_label("Everyone who can sign in").check()
    ada.page.get_by_role("button", name="Publish", exact=True).click()
    ada.page.wait_for_url(re.compile("/apps/tides/"))
    expect(ada.page.locator(".facts")).to_contain_text("Sea and ice, Python 3.")
    sam = there.person("sam")
    sam.opens("tides")
    expect(sam.page.get_by_text("ocean 7")).to_be_visible()
    before = sam.curve
    sam.moves_the_slider(4)
    until(lambda: sam.curve != before, seconds=10, what="another curve")


def test_the_choice_fits_a_phone(there: Site) -> None:
    emil = there.person("emil", viewport=PHONE)
    emil.keeps("ice.ipynb", *CELLS)
    emil.goes("files/home/ice.ipynb")
    emil.page.get_by_role("button", name="Check").click()
    checked(emil)
    emil.page.locator("#environment > summary").click()
    expect(emil.page.get_by_text("It is for members of sailors.")).to_be_visible()
    wide = emil.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} px too wide"
