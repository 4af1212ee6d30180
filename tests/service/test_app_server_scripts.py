"""Scripts of pages: in few pieces, under addresses that change with them, so that browsers keep them for ever."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.notebooks import notebook
from tests.service.portal_stub import LoadedPage, PortalStub, Visitor, running

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]
FOR_EVER = "public, max-age=31536000, immutable"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoadedPage]:
    """Return a page with a plot."""
    plot = "import plotly.graph_objects as go\ngo.FigureWidget(go.Scatter(y=[1, 2]))"
    stub = PortalStub({"lesson.ipynb": notebook(plot)})
    async with stub.served(), running(stub, folder=tmp_path_factory.mktemp("app")) as app:
        visitor = Visitor(app, portal=stub)
        await visitor.enter()
        await visitor.page()
        yield await visitor.page()


def below(page: LoadedPage, address: str) -> str:
    """Return an address of the page's without the server's part."""
    return address.rpartition("/v3/")[2]


async def test_all_that_a_page_names_may_be_kept_for_ever(page: LoadedPage) -> None:
    named = set(re.findall(r'(?:src|(?<!data-)href)="(/[^"]+)"', page.html))
    assert any("base.js" in address for address in named)
    for address in named:
        answer = await page.visitor.ask(below(page, address), headers={"Accept-Encoding": "gzip"})
        assert (answer.code, answer.headers["Cache-Control"]) == (200, FOR_EVER), address


async def test_a_page_names_the_libraries_of_its_widgets_at_once_and_no_others(page: LoadedPage) -> None:
    head = page.html.partition("<body")[0]
    hints = re.findall(r'rel="preload" as="script" href="[^"]+/([^/"]+)\.js"', head)
    assert hints == ["core-1", "core-2", "core-3", "base", "jupyterlab-plotly"]
    assert '<script type="application/json" id="vaas-used">["jupyterlab-plotly"]' in page.html


async def test_bundles_are_compressed_and_have_voilas_scripts_and_the_libraries_entries(page: LoadedPage) -> None:
    plain = b""
    for address in page.facts["libraries"]["scripts"]:
        packed = await page.visitor.ask(below(page, address), headers={"Accept-Encoding": "gzip"})
        assert packed.headers["X-Consumed-Content-Encoding"] == "gzip"
        alone = await page.visitor.ask(below(page, address), headers={"Accept-Encoding": "identity"})
        assert packed.body == alone.body
        plain += alone.body
    assert b"CORE_OUTPUT" in plain
    assert all(library["name"].encode() in plain for library in page.facts["libraries"]["libraries"])
    assert len(plain) > 3_000_000


@pytest.mark.parametrize("name", ["", "nothing", "../base", "%2e%2e/base", "jupyterlab-plotly/static/486", "base.js"])
async def test_a_bundle_that_there_is_not(page: LoadedPage, name: str) -> None:
    assert (await page.visitor.ask(f"voila/bundles/v-{'0' * 12}/{name}.js")).code == 404


async def test_a_page_of_yesterday_gets_the_scripts_of_today_and_may_not_keep_them(page: LoadedPage) -> None:
    answer = await page.visitor.ask(f"voila/bundles/v-{'0' * 12}/base.js")
    assert (answer.code, answer.headers["Cache-Control"]) == (200, "no-store")


async def test_a_librarys_own_files_have_an_address_that_changes_with_them(page: LoadedPage) -> None:
    folder = below(page, page.facts["libraries"]["folder"])
    plotly = next(found for found in page.facts["libraries"]["libraries"] if found["name"] == "jupyterlab-plotly")
    stamped = await page.visitor.ask(f"{folder}jupyterlab-plotly/{plotly['load']}")
    assert (stamped.code, stamped.headers["Cache-Control"]) == (200, FOR_EVER)
    plain = await page.visitor.ask("voila/labextensions/jupyterlab-plotly/package.json")
    assert (plain.code, plain.headers["Cache-Control"]) == (200, "public, max-age=3600")
