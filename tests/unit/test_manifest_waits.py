"""An app server that asks while its portal starts is told the environment that it was published with."""

from __future__ import annotations

from dataclasses import replace

from tests.notebooks import notebook
from tests.portal_parts import World
from tests.unit.test_environments import Shelf, shelf
from tests.unit.test_handlers import client
from tests.unit.test_serving import COMMON, SHARED, published
from vaas.slug import account_of

__all__ = ["shelf"]


async def test_an_answer_waits_until_it_is_known_what_apps_share(world: World, shelf: Shelf, site: str) -> None:
    world.core.common, world.core.common_lock = COMMON, SHARED
    version = await published(world, {"lesson.ipynb": notebook("import tiny")})
    shelf.there.add(SHARED.digest)
    world.core.common = replace(COMMON, packages={}, version="")

    async def look() -> None:
        world.core.common = replace(COMMON, packages={**COMMON.packages, "Tiny": "2.0"})

    world.core.look_at_common = look
    account = account_of(version.app_id)
    async with client(site, f"{account}:server={account}/v{version.number}") as server:
        told = (await server.get("api/runtime/manifest")).json()
    assert told["environment"] == SHARED.digest
