"""What tests of the portal share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.portal_parts import World, made


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A new portal with a database and folders of its own."""
    world = made(tmp_path)
    yield world
    await world.settle()
    world.core.database.close()  # type: ignore[attr-defined]
