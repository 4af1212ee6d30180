"""The fixture that service and browser tests share: one running portal for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.portal_fixture import RunningPortal, app_python, running


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPortal]:
    """Return a running portal with real app servers and the demo's content."""
    with running(tmp_path_factory.mktemp("hub") / "data", app_python=app_python()) as portal:
        yield portal
