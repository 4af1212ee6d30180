"""The route table: the app server does not start with a route that says nothing about who may come."""

from __future__ import annotations

import pytest

from tests.service.test_runtime_patches import said_by

pytestmark = pytest.mark.app

SCRIPT = """
from tornado.web import RequestHandler
from vaas.runtime.handlers import Up
from vaas.runtime.routes import Route, route_table, rules
try:
    print(len(rules([{route}], base_url="/", server=None)))
except ValueError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("access", ["None", "''", "'everybody'"])
async def test_a_route_without_an_access_marker_is_refused(access: str) -> None:
    assert (await said_by(SCRIPT.format(route=f"Route('x', Up, {access})"))).startswith("refused: The route 'x'")


async def test_a_handler_that_does_not_hold_the_marker_is_refused() -> None:
    assert "does not hold" in await said_by(SCRIPT.format(route="Route('x', RequestHandler, 'visit')"))


async def test_the_routes_that_exist_all_say_it() -> None:
    assert await said_by(SCRIPT.format(route="*route_table(static=[], labextensions=[])")) == "15"
