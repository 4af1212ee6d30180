"""The route table: each address has its access marker, and its handler checks it."""

from __future__ import annotations

import re

import pytest
from tornado.web import RequestHandler

from hub_service.handlers.base import Api, Base, Page
from hub_service.handlers.runtime import FromServer
from hub_service.handlers.session import Slash
from hub_service.routes import API, MARKERS, PAGES, RUNTIME, Route, rules, slashes

ALL = [*PAGES, *API, *RUNTIME]
PREFIX = "/services/vaas/"
#: What each parameter may look like, and what it may not.
SAMPLES = {
    "slug": ("tide-tables", "Tide", "-a", "a/b", ""),
    "draft": ("0a1b2c3d", "0a1b2c3", "0A1B2C3D", "0a1b2c3d/"),
    "store": ("shared-Physics_1", "a.b", "a b", ""),
    "link": ("abcdefghijkl", "abc", "ABCDEFGHIJKL"),
    "basket": ("current", "Current", "abc", "abcdefghijklm", "current/"),
    "thing": ("0a1b2c3d4e5f6071", "0a1b2c3d4e5f607", "0A1B2C3D4E5F6071"),
    "search": ("abcdefghijkl", "abc", "ABCDEFGHIJKL"),
    "request": ("abcdefghijkl", "abc", "ABCDEFGHIJKL"),
    "launch": ("abcdefghijkl", "abc", "ABCDEFGHIJKL", "abcdefghijkl/"),
    "run": ("abcdefghijkl", "abc", "ABCDEFGHIJKL"),
    "series": ("abcdefghijkl", "abc", "ABCDEFGHIJKL"),
    "schedule": ("abcdefghijkl", "abc", "ABCDEFGHIJKL"),
    "token": ("a" * 30 + "-_", "a" * 31, "a" * 33, "a" * 31 + "/"),
    "subject": ("group:a%20b", "a/b", ""),
    "path": ("a/b%20c.ipynb",),
    "account": ("app-abc123def456", "ada", "app-short", "app-abc123def4567"),
    "status": ("503", "50", "5033", "abc"),
    "catalog": ("here", "a b", "a%2Fb", ""),
    "record": ("app:a/b%20c", ""),
}


def filled(route: Route, **parameters: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: parameters.get(m[1], SAMPLES[m[1]][0]), route.path)


def names(values: list[Route]) -> list[str]:
    return [route.path or "/" for route in values]


@pytest.mark.parametrize("marker", ["", "public", "Anyone", "signed_in", "none"])
def test_a_route_without_a_known_marker_cannot_be_written(marker: str) -> None:
    with pytest.raises(ValueError, match="access marker"):
        Route("x", marker, Page)


def test_a_route_cannot_leave_its_marker_out() -> None:
    with pytest.raises(TypeError):
        Route("x", handler=Page)  # type: ignore[call-arg]


@pytest.mark.parametrize("route", ALL, ids=names(ALL))
def test_every_handler_checks_its_marker(route: Route) -> None:
    assert route.access in MARKERS
    assert issubclass(route.handler, FromServer if route.access == "server" else Base)
    assert route.methods
    # Whoever has a way in of their own goes around the marker.
    own_way_in = [cls for cls in route.handler.__mro__ if "prepare" in vars(cls)]
    assert set(own_way_in) <= {FromServer, Api, Base, RequestHandler}
    assert (FromServer in own_way_in) == (route.access == "server")


def test_rest_is_answered_by_api_handlers_and_pages_by_pages() -> None:
    assert all(issubclass(route.handler, Api) for route in [*API, *RUNTIME])
    assert not any(issubclass(route.handler, Api) for route in PAGES)
    assert all(route.path.startswith("api/") for route in [*API, *RUNTIME])
    assert not any(route.path.startswith("api/") for route in PAGES)


def test_each_address_and_each_handler_stands_once() -> None:
    paths = [route.path for route in ALL]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("route", ALL, ids=names(ALL))
def test_an_address_leads_to_its_own_handler(route: Route) -> None:
    made = rules(PREFIX, "/static")
    address = PREFIX + filled(route)
    found = next(rule for rule in made if re.fullmatch(rule[0], address))
    assert found[1] is route.handler
    assert found[2] == {"access": route.access}


@pytest.mark.parametrize(
    ("route", "kind"),
    [(r, k) for r in ALL for k in re.findall(r"\{(\w+)\}", r.path)],
    ids=lambda v: getattr(v, "path", v),
)
def test_a_parameter_takes_only_what_it_may_look_like(route: Route, kind: str) -> None:
    for wrong in SAMPLES[kind][1:]:
        assert not re.fullmatch(route.pattern, filled(route, **{kind: wrong})), wrong


def test_every_parameter_has_a_kind() -> None:
    assert {kind for route in ALL for kind in re.findall(r"\{(\w+)\}", route.path)} == set(SAMPLES)


def test_whatever_is_no_route_of_ours_is_answered_by_us() -> None:
    made = rules(PREFIX, "/static")
    for address in (f"{PREFIX}api", f"{PREFIX}api/none", f"{PREFIX}none", "/", "/etc/passwd", f"{PREFIX}apps/A/"):
        found = next(rule for rule in made if re.fullmatch(rule[0], address))
        assert issubclass(found[1], Base) and found[2]["access"] == "anyone"


def test_a_page_is_found_with_a_slash_too_few_or_too_many_and_by_its_own_marker() -> None:
    others = {route.path: route for route in slashes()}
    assert {"runs", "runs/{run}", "apps/{slug}", "files/{store}", "servers/", "apps/{slug}/launch/"} <= others.keys()
    assert not others.keys() & {route.path for route in ALL}
    for route in PAGES:
        path = route.path.removesuffix("{path}")
        other = others.get(path.removesuffix("/") if path.endswith("/") else f"{path}/")
        assert (other is not None) is ("get" in route.methods and bool(path)), route.path
        assert other is None or (other.access, other.handler) == (route.access, Slash)
    # It takes nothing that is another page's.
    made = rules(PREFIX, "/static")
    for route in slashes():
        assert next(rule for rule in made if re.fullmatch(rule[0], PREFIX + filled(route)))[1] is Slash, route.path


def test_routes_that_change_something_are_never_open_to_anyone_but_for_waking_an_app() -> None:
    changing = [r.path for r in ALL if r.access == "anyone" and {"put", "patch", "delete", "post"} & set(r.methods)]
    # The policy decides for each app; these ask it before anything else.
    assert changing == ["logout", "api/apps/{slug}", "api/apps/{slug}/opening"]
