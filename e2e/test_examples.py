"""The demo's dashboards: they open for those they are for, answer, fit on a phone, and ask nobody outside."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from e2e.people import PHONE, Site
from hub_service.settings import ROOT

pytestmark = pytest.mark.browser
EXAMPLES = sorted(path.parent.name for path in (ROOT / "dashboards" / "examples").glob("*/app.json"))


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_opens_and_fits(site: Site, name: str, viewport: dict[str, int] | None) -> None:
    said = json.loads((ROOT / "dashboards" / "examples" / name / "app.json").read_text())
    sam = site.person("sam", viewport=viewport)  # of both groups that examples are shared with
    assert sam.goes(f"apps/{name}/") == 200
    sam.page.get_by_role("main").get_by_role("link", name="Open", exact=True).click()
    expect(sam.page.locator(".vaas-title")).to_have_text(said["title"], timeout=60_000)
    expect(sam.page.locator("#vaas-loading")).to_be_hidden(timeout=60_000)
    expect(sam.page.locator(".vaas-failed")).to_have_count(0)
    wide = sam.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1, f"{wide} px too wide"
