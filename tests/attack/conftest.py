"""An app server with something to steal, its portal, and a visitor who is in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.launch_site import launch_portal, launches
from tests.notebooks import markdown, notebook
from tests.service.portal_stub import AppProcess, LoadedPage, PortalStub, Visitor, running

__all__ = ["launch_portal", "launches"]

PICTURE = b"\x89PNG\r\n\x1a\n picture"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder under which the app server keeps everything."""
    return tmp_path_factory.mktemp("app")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(folder: Path) -> AsyncIterator[PortalStub]:
    """Return a portal that publishes a notebook with a picture, data and code beside it."""
    files = {
        "course/lesson.ipynb": notebook(markdown("# Tides"), "import ipywidgets; ipywidgets.IntSlider()"),
        "course/img/a.png": PICTURE,
        "course/img/b.png": PICTURE,
        "course/data.csv": b"1,2",
        "course/helper.py": b"SECRET = 1",
        "public/a.png": PICTURE,
    }
    async with PortalStub(files, notebook="course/lesson.ipynb").served() as stub:
        yield stub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(portal: PortalStub, folder: Path) -> AsyncIterator[AppProcess]:
    """Return the app server."""
    async with running(portal, folder=folder, environ={"TMPDIR": str(folder)}) as server:
        yield server


@pytest.fixture
def mallory(app: AppProcess, portal: PortalStub) -> Visitor:
    """Return somebody who has not come in yet."""
    return Visitor(app, portal=portal)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(app: AppProcess, portal: PortalStub) -> LoadedPage:
    """Return the page of a visitor called bob."""
    bob = Visitor(app, portal=portal)
    await bob.enter()
    return await bob.page()
