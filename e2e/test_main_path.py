"""The main path in a real browser: publish, check, open, interact, share, revoke, roll back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.people import PHONE, SLIDER, Person, Site
from tests.notebooks import markdown, notebook
from tests.portal_fixture import until

pytestmark = pytest.mark.browser


def test_a_notebook_becomes_an_app_whose_plot_follows_its_slider(ada: Person) -> None:
    slug = ada.publishes_waves()
    ada.opens(slug)
    expect(ada.page.locator(".js-line").first).to_be_visible()
    before = ada.curve
    ada.moves_the_slider(4)
    until(lambda: ada.curve != before, seconds=10, what="another curve")
    assert "app-" in ada.page.url
    assert "ticket" not in ada.page.url


def test_two_visitors_have_a_kernel_of_their_own(site: Site, ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves(audience="signed-in")
    ada.opens(slug)
    sam.opens(slug)
    ada.moves_the_slider(5)
    expect(sam.page.get_by_text("waves: 1")).to_be_visible()


def test_sharing_with_a_person_lets_them_in_and_revoking_shuts_their_open_page(ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves()
    assert sam.goes(f"apps/{slug}/") == 404
    ada.goes(f"apps/{slug}/share")
    ada.page.get_by_label("Add a person").fill("sam")
    ada.page.locator("form.invite").filter(has=ada.page.get_by_label("Add a person")).get_by_role("button").click()
    expect(ada.page.get_by_text("Shared with sam.")).to_be_visible()
    expect(ada.page.get_by_role("status")).to_be_focused()  # who uses a keyboard goes on from there
    sam.opens(slug)
    ada.page.get_by_role("button", name="Remove sam").click()
    expect(sam.page.locator("#vaas-banner")).to_be_visible(timeout=30_000)
    assert sam.goes(f"apps/{slug}/") == 404


def test_sharing_with_a_group_lets_its_members_in(ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves()
    ada.goes(f"apps/{slug}/share")
    ada.page.get_by_label("Add a group").select_option("students")
    ada.page.locator("form.invite").filter(has=ada.page.get_by_label("Add a group")).get_by_role("button").click()
    expect(ada.page.get_by_text("Shared with Group students.")).to_be_visible()
    sam.opens(slug)
    sam.goes("?show=shared")
    expect(sam.page.locator(f"a[href$='/apps/{slug}/']").first).to_be_visible()


def test_a_link_opens_the_app_for_a_stranger_until_it_is_removed(site: Site, ada: Person) -> None:
    slug = ada.publishes_waves()
    ada.goes(f"apps/{slug}/share")
    ada.page.get_by_role("button", name="Make a link").click()
    address = ada.page.locator(".links input").first.input_value()
    stranger = site.visitor()
    assert stranger.goes(f"apps/{slug}/") == 404
    stranger.page.goto(address)
    assert stranger.page.url.endswith(f"/apps/{slug}/")
    stranger.opens(slug)
    ada.page.get_by_role("button", name="Remove link 1").click()
    expect(stranger.page.locator("#vaas-banner")).to_be_visible(timeout=30_000)
    assert site.visitor().page.goto(address).status == 404  # type: ignore[union-attr]


def test_a_public_app_opens_without_signing_in(site: Site, ada: Person) -> None:
    slug = ada.publishes_waves(audience="everyone")
    stranger = site.visitor()
    stranger.opens(slug)
    stranger.moves_the_slider(3)


def test_a_failing_notebook_needs_an_explicit_publish_anyway(ada: Person) -> None:
    path = ada.keeps("broken.ipynb", markdown("# Broken"), "1 / 0")
    ada.goes(f"files/home/{path}")
    ada.page.get_by_role("button", name="Check").click()
    button = ada.page.get_by_role("button", name="Publish anyway")
    expect(button).to_be_enabled(timeout=60_000)
    expect(ada.page.get_by_text("ZeroDivisionError").first).to_be_visible()
    button.click()
    assert "/drafts/" in ada.page.url  # the box was not ticked, so that nothing was sent
    ada.page.locator("#f-anyway").check()
    button.click()
    ada.page.wait_for_url(re.compile("/apps/broken"))


def test_rolling_back_gives_new_visitors_the_old_version_and_leaves_those_who_are_in(ada: Person, sam: Person) -> None:
    slug = ada.publishes_waves(audience="signed-in")
    name = next((ada.site.portal.data / "homes" / "ada").glob(f"*{slug.rpartition('-')[2]}*")).name
    sam.opens(slug)
    ada.keeps(name, markdown("# Second edition"), *SLIDER[1:])
    assert ada.publishes(name) == slug
    sam.moves_the_slider(3)  # the first version still answers
    newcomer = ada.site.person("emil")
    newcomer.opens(slug)
    expect(newcomer.page.get_by_role("heading", name="Second edition")).to_be_visible()
    ada.goes(f"apps/{slug}/versions")
    ada.page.get_by_role("button", name=re.compile("version 1", re.I)).first.click()
    expect(ada.page.get_by_text("New visitors get that version now")).to_be_visible()
    newcomer.opens(slug)
    expect(newcomer.page.get_by_role("heading", name="Waves")).to_be_visible()


def test_it_works_at_phone_width_without_sideways_scrolling(site: Site) -> None:
    emil = site.person("emil", viewport=PHONE)
    slug = emil.publishes_waves()
    for path in ("", "files/", f"apps/{slug}/", f"apps/{slug}/share", f"apps/{slug}/versions", f"apps/{slug}/settings"):
        assert emil.goes(path) == 200
        wide = emil.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    emil.opens(slug)
    emil.moves_the_slider(2)


def test_the_main_path_works_with_the_keyboard_alone(ada: Person) -> None:
    path = ada.keeps("keys.ipynb", *SLIDER)
    page = ada.page
    ada.goes("files/home/")
    _tab_to(ada, "keys.ipynb")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(re.escape(path)))
    _tab_to(ada, "Check")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Publish", exact=True)).to_be_enabled(timeout=60_000)
    _tab_to(ada, "Publish")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/apps/"))
    _tab_to(ada, "Open")
    page.keyboard.press("Enter")
    expect(ada.slider).to_be_visible(timeout=60_000)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('noUi-handle')"):
            break
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("waves: 2")).to_be_visible()


def test_chosen_files_become_a_draft(ada: Person) -> None:
    ada.goes("files/")
    ada.page.locator("form[data-upload] input[type=file]").set_input_files(
        [
            {"name": "chosen.ipynb", "mimeType": "application/json", "buffer": notebook("open('data.txt').read()")},
            {"name": "data.txt", "mimeType": "text/plain", "buffer": b"seven"},
        ]
    )
    ada.page.locator("form[data-upload] button").click()
    ada.page.wait_for_url(re.compile("/drafts/"))
    expect(ada.page.get_by_role("heading", name="It works")).to_be_visible(timeout=60_000)
    # It is known a little later, and comes into the page by itself.
    expect(ada.page.get_by_role("heading", name="Visitors will see it instantly")).to_be_visible(timeout=30_000)


def test_an_uploaded_app_gets_its_next_version_by_another_upload(ada: Person) -> None:
    ada.goes("files/")
    for number in (1, 2):
        source = notebook(markdown("# Uploaded twice"), f"x = {number}")
        sent = {"name": "twice.ipynb", "mimeType": "application/json", "buffer": source}
        ada.page.locator("form input[type=file][name=files]").set_input_files([sent])
        ada.page.locator("form:has(input[type=file][name=files]) button[type=submit]").click()
        ada.page.wait_for_url(re.compile("/drafts/"))
        publish = ada.page.get_by_role("button", name="Publish", exact=True)
        expect(publish).to_be_enabled(timeout=60_000)
        publish.click()
        ada.page.wait_for_url(re.compile("/apps/uploaded-twice/"))
        ada.goes("apps/uploaded-twice/settings")
    ada.goes("apps/uploaded-twice/versions")
    expect(ada.page.locator("strong", has_text="Version 2")).to_be_visible()


def test_a_notebook_dropped_into_the_page_becomes_a_draft(ada: Person) -> None:
    ada.goes("files/")
    ada.page.evaluate(
        """text => {
            const carried = new DataTransfer();
            carried.items.add(new File([text], "dropped.ipynb"));
            const drop = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
            document.querySelector("main").dispatchEvent(drop);
        }""",
        notebook(markdown("# Dropped"), "1 + 1").decode(),
    )
    ada.page.wait_for_url(re.compile("/drafts/"))
    expect(ada.page.get_by_role("heading", name="Publish “Dropped”")).to_be_visible()


def _tab_to(person: Person, name: str) -> None:
    """Press Tab until something is focused whose name begins so."""
    script = "(document.activeElement.innerText || document.activeElement.value || '').trim()"
    for _ in range(60):
        person.page.keyboard.press("Tab")
        if str(person.page.evaluate(script)).startswith(name):
            return
    raise AssertionError(f"Tab never came to “{name}”")
