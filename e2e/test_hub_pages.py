"""The Hub's own pages in a browser: they look and read like the portal's, on a desk and on a phone, in both colours."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from e2e.people import DESKTOP, PHONE, Person, Site
from hub_service.settings import ROOT

pytestmark = pytest.mark.browser
_CHECKS = (ROOT / "e2e" / "looking.js").read_text()
#: What the Hub's page for administrators shows, by its addresses and by what is pressed there.
_ADMIN = {
    "people": ("", []),
    "details": ("", ["Details of ada"]),
    "a person": ("", ["Edit User"]),
    "more people": ("#/add-users", []),
    "groups": ("#/groups", []),
    "a group": ("#/groups", ["physics"]),
    "a new group": ("#/create-group", []),
}


def at_the_hub(person: Person, path: str) -> None:
    """Go to one of the Hub's pages."""
    person.page.goto("about:blank")  # an address after "#" alone loads nothing
    person.page.goto(f"{person.site.portal.settings.origin}/hub/{path}")


def looks(site: Site, name: str, *, viewport: dict[str, int], dark: bool) -> Person:
    """Return somebody who is signed in, with such a screen."""
    person = site.visitor(viewport=viewport, dark=dark)
    person.sign_in(name)
    return person


SCREENS = pytest.mark.parametrize(
    ("viewport", "dark"), [(DESKTOP, False), (PHONE, False), (PHONE, True)], ids=["desk", "phone", "dark phone"]
)


@SCREENS
def test_the_page_of_tokens_can_be_read_and_used_by_all(site: Site, viewport: dict[str, int], *, dark: bool) -> None:
    ada = looks(site, "ada", viewport=viewport, dark=dark)
    at_the_hub(ada, "token")
    expect(ada.page.get_by_role("navigation", name="Main").get_by_role("link", name="My files")).to_be_visible()
    ada.page.get_by_text("Let it do less than you may").click()
    ada.page.get_by_text("What it may do").first.click()
    assert ada.page.evaluate(_CHECKS) == []


def test_a_token_is_made_works_and_is_removed(site: Site, ada: Person) -> None:
    ada.page.locator("[data-menu] summary").click()
    ada.page.get_by_role("link", name="Tokens for programs").click()
    ada.page.get_by_label("What is it for?").fill("the night’s script")
    ada.page.get_by_label("When does it expire?").select_option(label="1 Day")
    ada.page.get_by_role("button", name="Make a token").click()
    made = ada.page.get_by_role("status").locator("code")
    expect(made).to_have_text(re.compile(r"^\w{20,}$"))
    sent = {"Authorization": f"Bearer {made.inner_text()}"}
    assert httpx.get(f"{site.portal.hub_api}/user", headers=sent).json()["name"] == "ada"
    ada.page.reload()
    row = ada.page.get_by_role("listitem").filter(has_text="the night’s script")
    expect(row).to_contain_text(re.compile("Made .* ago, last used .* ago, expires in a day"))
    row.get_by_role("button", name="Remove: the night’s script").click()
    expect(row).to_have_count(0)
    assert httpx.get(f"{site.portal.hub_api}/user", headers=sent).status_code == 403


def test_a_token_that_the_hub_refuses_is_said_in_a_dialog(site: Site, ada: Person) -> None:
    at_the_hub(ada, "token")
    ada.page.get_by_text("Let it do less than you may").click()
    ada.page.get_by_label("Scopes").fill("admin:users")
    with ada.page.expect_console_message(lambda message: "status of 400" in message.text):
        ada.page.get_by_role("button", name="Make a token").click()
    dialog = ada.page.get_by_role("dialog", name="That did not work")
    expect(dialog).to_contain_text("admin:users")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("shown", _ADMIN)
@SCREENS
def test_administration_can_be_read_and_used_by_all(
    site: Site, shown: str, viewport: dict[str, int], *, dark: bool
) -> None:
    root = looks(site, "root-admin", viewport=viewport, dark=dark)
    address, presses = _ADMIN[shown]
    at_the_hub(root, f"admin{address}")
    hub = root.page.locator("#react-admin-hook")
    for name in presses:
        hub.get_by_role("button", name=name).or_(hub.get_by_role("link", name=name)).first.click()
    expect(hub.get_by_role("button").first).to_be_visible()
    expect(hub.locator(".collapsing")).to_have_count(0)
    assert root.page.evaluate(_CHECKS) == []


def test_administration_lists_people_and_is_used_by_keyboard(site: Site) -> None:
    root = site.person("root-admin")
    root.page.locator("[data-menu] summary").click()
    root.page.get_by_role("link", name="People and their servers").click()
    rows = root.page.locator(".user-row")
    expect(rows.filter(has_text="emil")).to_be_visible()
    root.page.get_by_label("Search people").fill("emil")
    expect(rows).to_have_count(1)
    root.page.get_by_label("Search people").fill("")
    expect(root.page.get_by_test_id("user-row-ada")).to_be_visible()
    sort = root.page.get_by_role("button", name="Sort by user")
    sort.press("Enter")
    expect(rows.first).to_contain_text("ada")
    sort.press(" ")
    expect(rows.first).not_to_contain_text("ada")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("admin", "It is for those who look after the Hub."),
        ("spawn", "Start it from the portal: people's servers begin there."),
        ("spawn-pending/sam", "Each server that you launched is under “My servers”"),
        ("home", "Your servers are in the portal"),
        ("accept-share?code=gone", "There is nothing at this address"),
    ],
)
def test_what_the_hub_has_nothing_for_is_said_in_our_words(site: Site, path: str, said: str) -> None:
    sam = looks(site, "sam", viewport=PHONE, dark=False)
    at_the_hub(sam, path)
    expect(sam.page.get_by_role("main")).to_contain_text(said)
    assert sam.page.evaluate(_CHECKS) == []
