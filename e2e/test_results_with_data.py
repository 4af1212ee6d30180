"""A run that was given data of a basket: what came of it works where it is published, and where it is launched."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.people import Person
from e2e.test_data_that_cannot_come import keeps
from e2e.test_launching_a_basket import emil
from e2e.test_runs import SLOW, keeps_waves

__all__ = ["emil"]

pytestmark = [pytest.mark.browser, pytest.mark.hub]
_FLOWERS = "import time\nprint(len(open(table).readlines()) - 1, 'flowers at', time.time_ns())"


def test_the_data_of_a_run_go_where_its_result_goes(emil: Person) -> None:
    page, complaints = emil.page, list[str]()
    page.on("console", lambda message: complaints.append(message.text) if "-Agent-" in message.text else None)
    keeps(emil.site.portal, "iris.csv", owner="emil")
    path = keeps_waves(emil, _FLOWERS, parameters="table = 'few.csv'  # data: flowers")
    emil.goes(f"runs/new?store=home&path={path}")
    page.locator("[name='thing.table']").select_option(label="iris.csv")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".run-state")).to_contain_text("Done", timeout=SLOW)
    run = page.url
    expect(page.frame_locator("iframe").get_by_text("150 flowers")).to_be_visible()

    assert complaints == []

    page.get_by_text("Publish as an app", exact=True).click()
    along = page.get_by_role("main").locator(".filelist")
    expect(along).to_contain_text("iris.csv")
    expect(along).to_contain_text("From “Shared: everyone”, which is not your home")
    emil.pictures("result-with-data")
    page.get_by_label("I may pass on a copy of these data").check()
    page.get_by_role("button", name="Publish with the data").click()
    publish = page.get_by_role("button", name=re.compile("^Publish"))
    expect(publish).to_be_enabled(timeout=SLOW)
    publish.click()
    page.wait_for_url(re.compile(r"/apps/[^/]+/"))
    page.get_by_role("main").get_by_role("link", name="Open", exact=True).click()
    expect(page.get_by_text("150 flowers")).to_be_visible(timeout=SLOW)

    page.goto(run)
    page.get_by_role("link", name="Executed notebook").click()
    emil.pictures("result-notebook")
    page.get_by_role("link", name="Go to the run").click()
    page.get_by_role("main").get_by_role("link", name="Launch in JupyterLab").click()
    expect(page.get_by_role("main")).to_contain_text("iris.csv")
    emil.pictures("result-launch")
    page.get_by_role("main").get_by_role("button", name="Launch in JupyterLab").click()
    page.wait_for_url(re.compile("/lab/tree/"), timeout=SLOW)
    said = page.locator(".jp-OutputArea").get_by_text("150 flowers")
    expect(said).to_be_visible(timeout=SLOW)
    before = said.inner_text()
    expect(page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible(timeout=SLOW)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(said).not_to_have_text(before, timeout=SLOW)
    expect(said).to_contain_text("150 flowers")
