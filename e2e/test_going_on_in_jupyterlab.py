"""In the browser: from a running app with a moved slider to JupyterLab, where the copy goes on with it."""

from __future__ import annotations

import json
import os
import re

import pytest
from playwright.sync_api import expect

from e2e.people import Person, Site

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_PATIENCE = 90_000


def test_jupyterlab_goes_on_where_one_was_in_the_app(ada: Person, site: Site) -> None:
    slug = ada.publishes_waves()
    page = ada.opens(slug)
    ada.slider.press("ArrowRight")
    expect(page.get_by_text("waves: 2")).to_be_visible()
    page.get_by_role("navigation", name="This app").get_by_role("link", name="Launch").click()
    page.get_by_role("button", name="Launch in JupyterLab").click()
    page.wait_for_url(re.compile("/lab/tree/"), timeout=_PATIENCE)
    (laid,) = (site.portal.data / "homes" / "ada").glob("Launches/*/_vaas_given.json")
    (widget,) = json.loads(laid.read_text())["widgets"]
    assert (widget["name"], widget["values"]) == ("waves", {"value": 2})
    # The launch's own address does not tell it.
    assert "given" not in page.url and "waves: 2" not in page.url
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=_PATIENCE)
    expect(page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible(timeout=_PATIENCE)
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    try:
        expect(page.locator(".jp-OutputArea").get_by_text("waves: 2")).to_be_visible(timeout=_PATIENCE)
    finally:
        if folder := os.environ.get("VAAS_PICTURES"):
            page.screenshot(path=f"{folder}/going-on.png")
