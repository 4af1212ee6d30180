"""Somebody adds a route and forgets to say who may come: nothing starts with it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from jupyterhub.auth import Authenticator
from jupyterhub.handlers.login import LoginHandler, LogoutHandler
from tornado.web import RequestHandler, StaticFileHandler

from hub_service.accounts import AccountHandler, with_app_accounts
from hub_service.handlers.base import Base, Page
from hub_service.handlers.runtime import FromServer
from hub_service.handlers.session import StaticFile
from hub_service.ports import PortHandler
from hub_service.routes import MARKERS, Route, elsewhere, rules

pytestmark = pytest.mark.attack
METHODS = ("get", "head", "post", "put", "patch", "delete")


@pytest.mark.parametrize("marker", ["", "public", "Anyone", "none"])
def test_a_route_that_does_not_say_who_may_come_is_none(marker: str) -> None:
    with pytest.raises(ValueError, match="access marker"):
        Route("x", marker, Page)


@pytest.mark.parametrize(
    ("marker", "handler"),
    [
        ("anyone", RequestHandler),
        ("anyone", StaticFileHandler),
        ("signed-in", RequestHandler),
        ("signed-in", StaticFile),
        ("server", Page),
        ("server", Base),
    ],
)
def test_a_route_whose_handler_does_not_hold_its_marker_is_none(marker: str, handler: type[RequestHandler]) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Route("x", marker, handler)


def test_every_rule_that_the_portal_starts_with_has_a_marker_and_a_handler_that_holds_it() -> None:
    made = [*rules("/services/vaas/", "static"), *elsewhere()]
    assert len(made) > 50
    for _, handler, options in made:
        assert options["access"] in MARKERS
        assert issubclass(handler, (Base, StaticFile))
        assert issubclass(handler, FromServer) == (options["access"] == "server")


def test_a_handler_does_not_come_to_life_without_a_marker() -> None:
    for handler in (Page, StaticFile, FromServer):
        initialize: Any = handler.initialize
        access = inspect.signature(initialize).parameters["access"]
        assert access.default is inspect.Parameter.empty


def test_every_method_that_our_authenticator_adds_to_the_hubs_api_needs_our_scope() -> None:
    added = with_app_accounts(Authenticator)().get_handlers(None)
    own = {path: handler for path, handler, *_ in added if path.startswith("/api/")}
    # A job says its port with its own token: that is attacked in test_jobs_that_take_over_the_hub.
    assert set(own.values()) == {AccountHandler, PortHandler}
    for handler in set(own.values()) - {PortHandler}:
        answered = [getattr(handler, m) for m in METHODS if getattr(handler, m) is not getattr(RequestHandler, m)]
        assert len(answered) == 2
        for method in answered:
            held = inspect.getclosurevars(method).nonlocals
            assert held.get("scopes") == ("custom:vaas:accounts",), method


def test_our_authenticator_adds_nothing_else_to_the_hub_but_signing_in_and_out() -> None:
    added = with_app_accounts(Authenticator)().get_handlers(None)
    others = {path: handler for path, handler, *_ in added if not path.startswith("/api/")}
    assert others.keys() == {"/login", "/logout"}
    assert issubclass(others["/login"], LoginHandler) and issubclass(others["/logout"], LogoutHandler)
