"""What a visitor reads of a page that goes on although something in it failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.lone_app import alone
from tests.notebooks import notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_PATIENCE = 60_000
HUNGRY = """
import ipywidgets
button, said = ipywidgets.Button(description="Compute"), ipywidgets.Label("nothing yet")
@button.on_click
def compute(_):
    bytearray(50_000_000_000)
ipywidgets.VBox([button, said])
"""
FAILS = "import vaas\n@vaas.on_visit\ndef connect(who):\n    raise ConnectionError('db.example.org')"


def test_who_wants_too_much_memory_reads_it_and_closes_it(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(HUNGRY), folder=tmp_path, ahead=1) as app, app.visitor(browser) as context:
        page = context.new_page()
        page.goto(app.url)
        page.get_by_role("button", name="Compute").click(timeout=_PATIENCE)
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("needs more memory than it may have", timeout=_PATIENCE)
        expect(banner.get_by_role("button")).to_have_text(["Start over", "Close"])
        page.screenshot(path=str(tmp_path / "memory.png"))
        banner.get_by_role("button", name="Close").click()
        expect(banner).to_be_hidden()


def test_who_gets_a_page_that_is_not_prepared_reads_it(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(FAILS, HUNGRY), folder=tmp_path, ahead=1) as app, app.visitor(browser) as context:
        page = context.new_page()
        page.goto(app.url)
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("A part of this app could not be prepared.", timeout=_PATIENCE)
        expect(banner).not_to_contain_text("ConnectionError")
        expect(banner.get_by_role("button")).to_have_text(["Reload", "Close"])
        page.screenshot(path=str(tmp_path / "unprepared.png"))
