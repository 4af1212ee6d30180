"""What tests of the portal share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.portal_parts import World, made, tables


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database file with all tables and no rows."""
    return tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture
async def world(tmp_path: Path, empty_database: bytes) -> AsyncIterator[World]:
    """A new portal with a database and folders of its own."""
    world = made(tmp_path, empty=empty_database)
    yield world
    await world.settle()
    world.core.database.close()  # type: ignore[attr-defined]
