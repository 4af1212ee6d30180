"""A launch's JupyterLab in Chromium: its person is signed in by the Hub, the notebook is open, and its kernel runs."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from e2e.people import Person
from tests.launched import Launches
from tests.notebooks import notebook
from tests.portal_fixture import RunningPortal
from vaas.launching import Launch, launch_server

pytestmark = [pytest.mark.browser, pytest.mark.hub]
SLIDER = "import ipywidgets\nprint('from', 6 * 7)\nipywidgets.IntSlider(description='moves')"


@pytest.fixture
def launch(hub: RunningPortal) -> Iterator[tuple[Launches, Launch]]:
    """Return a launch of ada's own notebook."""
    launches = Launches(hub, "ada")
    launches.put("seen.ipynb", notebook(SLIDER))
    made = launches.new(store="home", path="seen.ipynb")
    launches.start(made)
    yield launches, made
    launches.stop(made)


def test_the_notebook_is_open_and_its_widgets_work(launch: tuple[Launches, Launch], ada: Person) -> None:
    launches, made = launch
    port, server = launches.portal.settings.port, launch_server(made.id)
    page = ada.page
    page.goto(f"http://ada.vaas.localhost:{port}/user/ada/{server}/lab/tree/{quote(launches.get(made).notebook)}")
    cell = page.locator(".jp-NotebookPanel .jp-Cell").first
    expect(cell).to_be_visible(timeout=60_000)
    expect(page.locator(".jp-Toolbar-kernelName")).to_contain_text("As in apps")
    expect(page.get_by_text("As in apps | Idle")).to_be_visible(timeout=60_000)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_text("from 42")).to_be_visible(timeout=60_000)
    expect(page.locator(".widget-slider")).to_be_visible(timeout=60_000)
    assert page.locator(".jp-Dialog").count() == 0, "nothing is asked before one can work"
