"""Fixtures of the service tests; the portal that all of them share is in the conftest at the root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.launch_site import launch_portal, launches
from tests.portal_fixture import RunningPortal, running, stand_in_app

__all__ = ["launch_portal", "launches"]


@pytest.fixture(scope="module")
def hub_with_stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a running portal whose app servers are stand-ins, which answer with their environment."""
    folder = tmp_path_factory.mktemp("stand-ins")
    with running(folder / "data", app_python=stand_in_app(folder)) as portal:
        yield portal
