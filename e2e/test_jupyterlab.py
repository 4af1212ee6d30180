"""A launch's JupyterLab in Chromium: its person is signed in by the Hub, the notebook is open, and its kernel runs."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from e2e.people import Person
from tests.launched import Launches
from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal
from vaas.launching import Launch, Size, launch_server

pytestmark = [pytest.mark.browser, pytest.mark.hub]
SLIDER = "import ipywidgets\nprint('from', 6 * 7)\nipywidgets.IntSlider(description='moves')"


@pytest.fixture
def launch(hub: RunningPortal) -> Iterator[tuple[Launches, Launch]]:
    """Return a launch of ada's own notebook."""
    launches = Launches(hub, "ada")
    launches.put("seen.ipynb", notebook(SLIDER))
    made = launches.new(store="home", path="seen.ipynb")
    launches.start(made, size=Size("short", "Short", 1, 2_000_000_000, seconds=500))
    yield launches, made
    launches.stop(made)


def address(launches: Launches, made: Launch) -> str:
    """Return where its JupyterLab is, with the notebook open."""
    port, server = launches.portal.settings.port, launch_server(made.id)
    return f"http://ada.vaas.localhost:{port}/user/ada/{server}/lab/tree/{quote(launches.get(made).notebook)}"


def opened(launch: tuple[Launches, Launch], ada: Person) -> Page:
    """Return JupyterLab with the notebook open in it."""
    ada.page.goto(address(*launch))
    expect(ada.page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=60_000)
    return ada.page


def presses_publish(page: Page) -> None:
    """Choose it in the File menu."""
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name="Publish as an App…").click()


def test_the_open_notebook_is_published_from_there_as_it_is_now(launch: tuple[Launches, Launch], ada: Person) -> None:
    launches, _ = launch
    launches.put("10% & more #1.ipynb", notebook("x = 1"))
    page = opened(launch, ada)
    page.locator(".jp-DirListing-item", has_text="10% & more #1.ipynb").dblclick()
    cell = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell .cm-content").first
    expect(cell).to_contain_text("x = 1")
    cell.fill("changed = 'before it was saved'")
    ada.pictures("jupyterlab-publish")
    with ada.context.expect_page() as tab:
        presses_publish(page)
    portal = tab.value
    expect(portal.get_by_role("main")).to_contain_text("before it was saved")
    assert portal.url == f"{ada.site.url}files/home/10%25%20%26%20more%20%231.ipynb"
    expect(portal.get_by_role("button", name="Check")).to_be_visible()
    assert portal.evaluate("opener") is None
    # By the palette, too.
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").fill("Publish as")
    with ada.context.expect_page() as tab:
        page.locator(".lm-CommandPalette-item", has_text="Publish as an App…").click()
    tab.value.wait_for_url(portal.url)


def test_where_the_portal_sees_no_files_it_says_how_one_publishes(launch: tuple[Launches, Launch], ada: Person) -> None:
    # As JupyterLab's page is told at a place that has none of the portal's files.
    ada.page.add_init_script("""
        const parse = JSON.parse;
        JSON.parse = (...said) => {
            const made = parse(...said);
            return made?.vaasStore ? { ...made, vaasStore: "" } : made;
        };
    """)
    presses_publish(opened(launch, ada))
    _is_told(ada, "Download the notebook and what it needs")


def test_of_a_notebook_in_a_shared_folder_it_says_how_one_publishes_it(
    launch: tuple[Launches, Launch], ada: Person
) -> None:
    launches, _ = launch
    shared = launches.portal.data / "shared" / "everyone" / "lesson.ipynb"
    shared.write_bytes(notebook("x = 1"))
    shared.chmod(0o644)
    page = opened(launch, ada)
    page.locator(".jp-DirListing-item", has_text="Shared").dblclick()
    page.locator(".jp-DirListing-item", has_text="everyone").dblclick()
    page.locator(".jp-DirListing-item", has_text="lesson.ipynb").dblclick()
    expect(page.get_by_role("tab", name="lesson.ipynb")).to_have_attribute("aria-selected", "true")
    presses_publish(page)
    _is_told(ada, "It lies in a shared folder")


def _is_told(ada: Person, words: str) -> None:
    dialog = ada.page.get_by_role("dialog", name="Publish as an app")
    expect(dialog).to_contain_text(words)
    ada.pictures(f"jupyterlab-publish-{words.split()[0].lower()}")
    with ada.context.expect_page() as tab:
        dialog.get_by_role("button", name="Open “My files”").click()
    tab.value.wait_for_url(f"{ada.site.url}files/")


def test_the_notebook_is_open_and_its_widgets_work(launch: tuple[Launches, Launch], ada: Person) -> None:
    page = ada.page
    page.goto(address(*launch))
    cell = page.locator(".jp-NotebookPanel .jp-Cell").first
    expect(cell).to_be_visible(timeout=60_000)
    expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("As in apps")
    expect(page.get_by_text("As in apps | Idle")).to_be_visible(timeout=60_000)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_text("from 42")).to_be_visible(timeout=60_000)
    expect(page.locator(".widget-slider")).to_be_visible(timeout=60_000)
    assert page.locator(".jp-Dialog").count() == 0, "nothing is asked before one can work"
    _who_works_there_is_told_what_ends_and_why(launch, ada)


def _who_works_there_is_told_what_ends_and_why(launch: tuple[Launches, Launch], ada: Person) -> None:
    launches, made = launch
    page, told = ada.page, ada.page.locator(".Toastify__toast")
    expect(told.filter(has_text="This launch ends in ")).to_contain_text("What is saved stays among your files.")
    ada.pictures("jupyterlab-soon")
    # What kills a kernel is its memory more often than not.
    page.locator(".jp-Cell .cm-content").first.fill("import os; os.kill(os.getpid(), 9)")
    page.locator(".jp-Cell .cm-content").first.press("Shift+Enter")
    expect(told.filter(has_text="because the memory of 2.0 GB of this launch was full")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("dialog", name="Kernel Restarting")).to_be_visible()
    expect(page.get_by_text("As in apps | Idle")).to_be_visible(timeout=60_000)
    complaints = list(ada.site.complaints)
    launches.stop(made)
    gone = page.get_by_role("dialog").filter(has_text="JupyterLab does not answer any more")
    expect(gone).to_be_visible(timeout=60_000)
    ada.pictures("jupyterlab-gone")
    gone.get_by_role("button", name="See why").click()
    ada.site.complaints[:] = complaints  # what JupyterLab says in the console of a server that is gone is its own
    expect(page.get_by_role("heading", name="does not run any more")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("main")).to_contain_text("It was stopped from outside")
    ada.pictures("launch-ended")
    # Who comes back to its address is led there, too.
    page.goto(address(launches, made))
    page.get_by_role("link", name="See why").click()
    expect(page.get_by_role("heading", name="does not run any more")).to_be_visible()
