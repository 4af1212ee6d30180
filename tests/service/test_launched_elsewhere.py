"""A launch on the real Hub with records of another site's repository in its basket."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalog_site import Repository, repository
from tests.launched import Launches
from tests.portal_fixture import RunningPortal, app_python, running, until

LEVELS = b"year,level\n" + b"2026,7\n" * 500_000
_CATALOGS = '[[catalog]]\nid = "there"\nkind = "invenio"\ntitle = "The repository"\nurl = "{}"\n'


@pytest.fixture(scope="module")
def there() -> Iterator[Repository]:
    with repository(one={"levels.csv": LEVELS}, two={"a.csv": b"1", "b.csv": b"22"}, none={}) as made:
        yield made


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, there: Repository) -> Iterator[RunningPortal]:
    """Return a portal whose site names the repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "catalogs.toml").write_text(_CATALOGS.format(there.url))
    environ = {"VAAS_CATALOGS": str(folder / "catalogs.toml"), "VAAS_ALLOWED_PRIVATE": there.url[7:]}
    with running(folder / "data", app_python=app_python(), environ=environ) as made:
        yield made


@pytest.fixture(scope="module")
def lara(portal: RunningPortal) -> Launches:
    portal.hub("POST", "/users/lara")
    return Launches(portal, "lara")


def _basket(lara: Launches, *records: str) -> str:
    basket = lara.portal.request("POST", "/services/vaas/api/baskets", token=lara.token, json={"name": "Levels"}).json()
    for record in records:
        path, body = f"/services/vaas/api/baskets/{basket['id']}/things", {"catalog": "there", "record": record}
        added = lara.portal.request("POST", path, token=lara.token, json=body)
        assert added.status_code < 300, added.text
    return str(basket["id"])


async def test_its_notebook_reads_what_lies_at_the_other_site(lara: Launches, there: Repository) -> None:
    made = lara.new(basket=_basket(lara, "one", "two", "none"))
    lara.start(made)
    try:
        until(lambda: "could not" in str(lara.get(made).progress.get("message")), seconds=30, what="all to be tried")
        now = lara.get(made)
        assert sorted(each["state"] for each in now.progress["things"].values()) == ["done", "done", "failed"]
        assert now.progress["message"] == "1 of 3 could not be fetched."
        folder = lara.home / now.folder
        assert hashlib.sha256((folder / "data" / "levels.csv").read_bytes()).digest() == hashlib.sha256(LEVELS).digest()
        assert {each.name for each in (folder / "data" / "Record two").iterdir()} == {"a.csv", "b.csv"}
        cell = json.loads((folder / now.notebook).read_bytes())["cells"][0]["source"]
        assert f"# Not here: 'Record none'. Its address is '{there.url}/records/none'" in cell
        code = f"{cell}\nimport pandas as pd\nprint(len(pd.read_csv(data['Record one'])))"
        assert (await lara.run(made, code)).split() == ["500000"]
        assert Path(folder / "Data.md").read_text().count("**It was not fetched.**") == 1
    finally:
        lara.stop(made)
