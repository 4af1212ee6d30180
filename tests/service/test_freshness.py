"""New visits get new data, and nobody waits for it: a template is made beside the old one and takes its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.notebooks import notebook
from tests.service.portal_stub import AppProcess, LoadedPage, PortalStub, Visitor, running

READING = "print('it says', open('data.txt').read())"
TELLING = "import time; print('made at', time.time_ns())"


@asynccontextmanager
async def served(*cells: str, folder: Path, **limits: float) -> AsyncIterator[tuple[PortalStub, AppProcess]]:
    files = {"lesson.ipynb": notebook(*cells), "data.txt": b"one"}
    stub = PortalStub(files, limits={"ahead": 1, **limits})
    async with stub.served() as portal, running(portal, folder=folder, environ={"TMPDIR": str(folder)}) as app:
        yield portal, app


async def opened(portal: PortalStub, app: AppProcess) -> LoadedPage:
    visitor = Visitor(app, portal=portal)
    await visitor.enter()
    return await visitor.page()


async def opened_with(text: str, portal: PortalStub, app: AppProcess, *, within: float = 30) -> LoadedPage:
    """Open the app until its page has the text."""
    until = time.monotonic() + within
    while text not in (page := await opened(portal, app)).html:
        assert time.monotonic() < until, page.html[-2000:]
        await page.visitor.leave(page.token)
        await asyncio.sleep(0.5)
    return page


async def test_visits_share_one_run(tmp_path: Path) -> None:
    async with served(TELLING, folder=tmp_path) as (portal, app):
        first, *others = await asyncio.gather(*(opened(portal, app) for _ in range(5)))
        made = next(line for line in first.html.splitlines() if "made at" in line)
        assert all(made in page.html for page in others)
        assert len({page.kernel for page in (first, *others)}) == 5


async def test_changed_data_make_a_new_template_and_open_visits_live_on(tmp_path: Path) -> None:
    async with served(READING, folder=tmp_path) as (portal, app):
        old = await opened(portal, app)
        assert "it says one" in old.html
        (data,) = tmp_path.glob("vaas-*/content/data.txt")
        data.chmod(0o644)
        data.write_text("two, and more")
        await opened_with("it says two", portal, app)
        assert (await old.visitor.ask(f"api/kernels/{old.kernel}")).code == 200


async def test_a_notebook_says_how_often_it_is_run(tmp_path: Path) -> None:
    async with served("import vaas; vaas.refresh(10)", TELLING, folder=tmp_path) as (portal, app):
        first = next(line for line in (await opened(portal, app)).html.splitlines() if "made at" in line)
        until = time.monotonic() + 40
        while first in (await opened(portal, app)).html:
            assert time.monotonic() < until
            await asyncio.sleep(1)


async def test_an_old_template_goes_with_its_last_visit(tmp_path: Path) -> None:
    async with served(READING, folder=tmp_path) as (portal, app):
        old = await opened(portal, app)
        (data,) = tmp_path.glob("vaas-*/content/data.txt")
        data.chmod(0o644)
        data.write_text("two, and more")
        new = await opened_with("it says two", portal, app)
        for page in (old, new):
            await page.visitor.leave(page.token)
        until = time.monotonic() + 30
        # One template and its spare forks.
        while len(app.kernels) > 1 + 3:
            assert time.monotonic() < until, app.kernels
            await asyncio.sleep(0.5)
