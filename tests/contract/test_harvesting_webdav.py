"""A connected account on a real WebDAV server is found by its owner, kept fresh, and forgotten when disconnected."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import PASSWORD, USERNAME, DavServer
from tests.portal_parts import ADA, BOB, World
from vaas.catalogs.own import Index, OwnCatalog
from vaas.http import internal_http
from vaas.model import User, Visitor
from vaas.portal import Harvesting, Indexing
from vaas.query import parse
from vaas.stores.mounted import MountedStores


@pytest.fixture
def folder(dav_server: DavServer) -> Iterator[Path]:
    made = dav_server.root / f"harvest-{secrets.token_hex(4)}"
    (made / "a" / "ö b").mkdir(parents=True)
    yield made
    shutil.rmtree(made)


async def test_an_account_is_found_and_forgotten(
    world: World, tmp_path: Path, dav_server: DavServer, folder: Path
) -> None:
    stores = MountedStores(
        homes=tmp_path / "homes", shared=(), database=world.core.database, http=internal_http(dav_server.url)
    )
    world.core.stores = stores
    index = Index(tmp_path / "index", memory=30_000_000)
    harvesting, indexing = Harvesting(world.core), Indexing(world.core, index)

    async def found(user: User = ADA) -> list[str]:
        indexing.catch_up()
        page = await OwnCatalog(index).search(parse(""), visitor=Visitor(user), limit=50)
        return sorted(each.details["path"] for each in page.records)

    url = f"{dav_server.url}{folder.name}/"
    account = await stores.connect(ADA, title="Cloud", url=url, username=USERNAME, password=PASSWORD)
    (folder / "a" / "ö b" / "100%.csv").write_text("x")
    (folder / "top.csv").write_text("x")
    # As the portal tells it when an account is connected.
    harvesting.written(ADA, account.id, "")
    await world.settle()
    assert await found() == ["a/ö b/100%.csv", "top.csv"] and await found(BOB) == []
    (folder / "top.csv").unlink()
    (folder / "a" / "new.csv").write_text("x")
    report = await harvesting.sweep()
    assert (report.looked, report.gone, report.skipped) == (1, 1, ())
    assert await found() == ["a/new.csv", "a/ö b/100%.csv"]
    stores.disconnect(BOB, account.id)
    assert len(await found()) == 2
    stores.disconnect(ADA, account.id)
    assert await found() == []
    index.close()
