"""The gate lets through what an app may reach, and the check tells what it tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.test_kernels_and_the_network import HERE, SETUP, found, outside
from tests.notebooks import notebook
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import PortalStub, running
from tests.service.test_app_server_life import soon

pytestmark = [
    pytest.mark.app,
    NEEDS_SANDBOX,
]


async def test_a_host_that_the_app_may_reach_is_reached(tmp_path: Path) -> None:
    async with outside() as port:
        place = f"{HERE}:{port}"
        cell = f"tell(get=get('http://{place}/a?b=c'), connect=through('{place}'))"
        told, _, _ = await found(tmp_path, cell, network=(place,), network_trusted=(place,))
    assert told == {"get": "from outside: GET /a?b=c HTTP/1.1", "connect": told["connect"]}
    assert "from outside: GET / HTTP/1.0" in told["connect"]


async def test_a_check_tells_its_author_what_was_refused(tmp_path: Path) -> None:
    cell = "get('http://data.example.net/a.csv')"
    for network in ((), ("example.org",)):
        stub = PortalStub(
            {"n.ipynb": notebook(SETUP, cell)}, notebook="n.ipynb", check={"seconds": 30}, network=network
        )
        async with stub.served() as portal, running(portal, folder=tmp_path):
            assert await soon(lambda: portal.checks and "report" in portal.checks[-1], within=30)
        addresses = portal.checks[-1]["report"]["addresses"]
        assert {"host": "data.example.net", "how": "connects", "cell": 2} in addresses
