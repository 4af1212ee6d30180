"""In a browser, with an app that is forked: a reload keeps what a visitor did, and starting over forgets it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.lone_app import alone
from tests.notebooks import notebook

_PATIENCE = 60_000
CELLS = (
    "import ipywidgets as w\nlabel = w.Label('nothing moved')\nslider = w.IntSlider(1, 1, 9)",
    "slider.observe(lambda e: setattr(label, 'value', f'moved to {e.new}'), 'value')\nw.VBox([slider, label])",
)


def moved(page: Page) -> None:
    handle = page.locator(".noUi-handle")
    expect(handle).to_be_visible(timeout=_PATIENCE)
    handle.press("ArrowRight")
    expect(page.get_by_text("moved to 2")).to_be_visible(timeout=_PATIENCE)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_reload_keeps_what_a_visitor_did_and_starting_over_forgets_it(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    with alone(notebook(*CELLS), folder=tmp_path, ahead=1, leave_after=10) as app:
        context = app.visitor(browser, viewport={"width": width, "height": 800})
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(app.url)
        moved(page)
        if folder := os.environ.get("VAAS_PICTURES"):
            page.screenshot(path=f"{folder}/coming-back-{width}.png")
        page.reload()
        expect(page.get_by_text("moved to 2")).to_be_visible(timeout=_PATIENCE)
        assert page.locator(".noUi-handle").get_attribute("aria-valuenow") == "2.0"
        page.get_by_role("button", name="Start over").click()
        expect(page.get_by_text("nothing moved")).to_be_visible(timeout=_PATIENCE)
        moved(page)
        assert complaints == []
        context.close()
