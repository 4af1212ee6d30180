"""The discovery dashboard with 200,000 records behind it, on a desk and on a phone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from e2e.people import DESKTOP, PHONE, Site
from tests.portal_fixture import RunningPortal, running, until
from vaas.catalogs.base import Record, said_of
from vaas.db.base import Find
from vaas.db.seal import Seal
from vaas.db.sql import SqlDatabase

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_MANY, _AT_ONCE = 200_000, 10_000
_KINDS = ("glacier", "river", "forest", "reef", "dune", "storm", "lake", "cloud")
_BEGAN = datetime(2016, 1, 1, tzinfo=UTC)


def find(number: int, place: str) -> Find:
    """Return one of very many finds in a shared folder."""
    kind, day = _KINDS[number % len(_KINDS)], _BEGAN + timedelta(hours=number % 90_000)
    path = f"many/{kind}-{number:06}.csv"
    record = Record(
        id=f"file:{place}/{path}",
        type="data",
        title=f"Survey of a {kind}, number {number}",
        names=(path.rpartition("/")[2], path),
        columns=("time", "height", kind),
        tags=(kind,),
        format="csv",
        catalog="here",
        changed=day,
        begins=day,
        details={"store": "shared-everyone", "path": path},
    )
    return Find(place, path, "1", "data", said_of(record), frozenset({"signed-in"}), day)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a portal in which so much is found; nothing sweeps it away, for it is in no folder."""
    folder = tmp_path_factory.mktemp("scale")
    never = {"VAAS_HARVEST_SECONDS": "86400", "VAAS_HARVEST_HERE": "86400"}
    python = Path(os.environ["VAAS_APP_PYTHON"])
    with running(folder / "data", app_python=python, environ=never) as portal:
        database = SqlDatabase(f"sqlite:///{portal.data / 'portal.sqlite'}", seal=Seal(os.urandom(32)))
        until(lambda: shared(database), seconds=240, what="the first sweep")
        place = shared(database)
        for begin in range(0, _MANY, _AT_ONCE):
            with database.begin() as records:
                records.finds.save([find(number, place) for number in range(begin, begin + _AT_ONCE)])
        command = [sys.executable, "-m", "vaas", "index"]
        done = subprocess.run(command, env=portal.environ, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        yield portal


def shared(database: SqlDatabase) -> str:
    """Return the place of the folder that everybody sees; "" before it was swept."""
    with database.begin() as records:
        return next((place for place in records.finds.places() if "everyone" in place), "")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_two_hundred_thousand_records_are_searched(
    full: RunningPortal, browser: Browser, viewport: dict[str, int]
) -> None:
    site = Site(full, browser)
    page = site.person("sam", viewport=viewport).page
    page.goto(f"{full.url}apps/discover/open")
    expect(page.locator("#vaas-loading")).to_be_hidden(timeout=120_000)
    count = page.locator("#dv-count")
    expect(count).to_contain_text("200,", timeout=120_000)
    if viewport == DESKTOP:
        # So many are not counted one by one.
        expect(page.get_by_label("Filters").get_by_text("≈").first).to_be_visible()
    box = page.get_by_role("combobox", name="Search apps, notebooks and data")
    box.press_sequentially("glacier num", delay=30)
    expect(count).to_contain_text("25,000 results")
    box.fill("name:reef-123451")
    expect(count).to_contain_text("1 result")
    expect(page.get_by_role("button", name="Survey of a reef, number 123451", exact=True)).to_be_visible()
    site.close()
    assert site.complaints == []
