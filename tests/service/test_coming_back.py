"""A visitor who comes back to a page finds it as it was: after a reload, a flaky network, a closed lid."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.notebooks import notebook
from tests.service.portal_stub import COOKIE, AppProcess, LoadedPage, PortalStub, Visitor, running

#: The cookie in which a page that is about to be loaded again says which one it is.
RETURN = "vaas-return"
CELLS = (
    "import ipywidgets as widgets",
    "slider = widgets.IntSlider(value=1); label = widgets.Label('none')",
    "slider.observe(lambda change: setattr(label, 'value', f'moved to {change.new}'), 'value')",
    "widgets.VBox([slider, label])",
)


@pytest.fixture(params=[1, 0], ids=["forked", "own kernel"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[PortalStub, AppProcess]]:
    stub = PortalStub({"lesson.ipynb": notebook(*CELLS)}, limits={"leave_after": 4, "ahead": request.param})
    async with stub.served() as portal, running(portal, folder=tmp_path) as app:
        yield portal, app


async def entered(served: tuple[PortalStub, AppProcess]) -> Visitor:
    visitor = Visitor(served[1], portal=served[0])
    await visitor.enter()
    return visitor


async def test_a_reload_comes_back_to_the_same_kernel(served: tuple[PortalStub, AppProcess]) -> None:
    visitor = await entered(served)
    page = await visitor.page()
    assert await visitor.leave(page.token) == 204
    again = await visitor.page()
    assert again.kernel == page.kernel
    assert again.token != page.token
    assert lasting(again.html.replace(again.token, page.token)) == lasting(page.html)


def lasting(html: str) -> str:
    """Return a page without what said how far it was, and without white space."""
    return "".join(re.sub(r"<script>window.vaas && window.vaas.runs.*</script>", "", html).split())


async def test_the_old_page_s_farewell_does_not_end_the_new_one(served: tuple[PortalStub, AppProcess]) -> None:
    visitor = await entered(served)
    page = await visitor.page()
    await visitor.leave(page.token)
    again = await visitor.page()
    assert await visitor.leave(page.token) == 404
    assert (await visitor.ask(f"api/kernels/{again.kernel}")).code == 200


async def test_a_page_that_is_loaded_again_names_itself_before_its_farewell(
    served: tuple[PortalStub, AppProcess],
) -> None:
    visitor, stranger = await entered(served), await entered(served)
    page = await visitor.page()
    cookies = {who: {"Cookie": f"{COOKIE}={who.cookie}; {RETURN}={page.token}"} for who in (visitor, stranger)}
    assert LoadedPage(stranger, await stranger.ask(headers=cookies[stranger])).kernel != page.kernel
    again = LoadedPage(visitor, await visitor.ask(headers=cookies[visitor]))
    assert again.kernel == page.kernel
    assert await visitor.leave(page.token) == 404


async def test_a_second_tab_has_a_kernel_of_its_own(served: tuple[PortalStub, AppProcess]) -> None:
    visitor = await entered(served)
    first, second = await visitor.page(), await visitor.page()
    assert first.kernel != second.kernel


async def test_another_query_is_another_page(served: tuple[PortalStub, AppProcess]) -> None:
    visitor = await entered(served)
    page = await visitor.page()
    await visitor.leave(page.token)
    other = LoadedPage(visitor, await visitor.ask("?year=2026"))
    assert other.kernel != page.kernel


async def test_nobody_else_comes_back_to_it(served: tuple[PortalStub, AppProcess]) -> None:
    visitor, stranger = await entered(served), await entered(served)
    page = await visitor.page()
    await visitor.leave(page.token)
    assert (await stranger.page()).kernel != page.kernel


async def test_who_stays_away_loses_the_kernel(served: tuple[PortalStub, AppProcess]) -> None:
    visitor = await entered(served)
    page = await visitor.page()
    await visitor.leave(page.token)
    async with asyncio.timeout(30):
        while (await visitor.ask(f"api/kernels/{page.kernel}")).code != 404:
            await asyncio.sleep(0.5)
    assert (await visitor.page()).kernel != page.kernel


async def test_who_starts_over_gets_a_new_kernel(served: tuple[PortalStub, AppProcess]) -> None:
    visitor = await entered(served)
    page = await visitor.page()
    assert await visitor.leave(f"{page.token} over") == 204
    assert (await visitor.page()).kernel != page.kernel
