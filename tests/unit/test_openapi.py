"""The OpenAPI document against the routes: all of them, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hub_service import openapi
from hub_service.openapi import document
from hub_service.routes import API, MARKERS, Route

DOCUMENT = document("https://vaas.example.org/services/vaas/")
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    found = [(path, name, value) for path, item in DOCUMENT["paths"].items() for name, value in item.items()]
    return [(path, name, value) for path, name, value in found if name in METHODS]


def test_it_describes_every_route_and_method_of_rest_and_nothing_else() -> None:
    routes = {(f"/{route.path}", method) for route in API for method in route.methods}
    assert {(path, method) for path, method, _ in operations()} == routes
    assert set(DOCUMENT["paths"]) == {f"/{route.path}" for route in API}


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for *_, operation in operations()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("route", API, ids=lambda route: route.path)
def test_path_parameters_are_declared_once_each_and_required(route: Route) -> None:
    declared = DOCUMENT["paths"][f"/{route.path}"].get("parameters", [])
    assert [p["name"] for p in declared] == re.findall(r"\{(\w+)\}", route.path)
    assert all(p["in"] == "path" and p["required"] is True and p["schema"] for p in declared)


@pytest.mark.parametrize(("path", "method", "operation"), operations(), ids=lambda v: v if isinstance(v, str) else "")
def test_each_operation_says_what_it_does_for_whom_and_how_it_fails(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"] and operation["description"]
    assert operation["x-access"] in MARKERS
    good = [status for status in operation["responses"] if status != "default"]
    assert len(good) == 1 and good[0] in {"200", "201", "204"}
    assert (good[0] == "204") == (method == "delete")
    error = operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
    assert error == "#/components/schemas/Error"
    assert all(response["description"] for response in operation["responses"].values())


def test_what_is_said_of_bodies_queries_and_statuses_is_about_operations_that_exist() -> None:
    known = {(method, path.lstrip("/")) for path, method, _ in operations()}
    assert set(openapi._BODIES) <= known
    assert known >= openapi._CREATED
    assert {("get", path) for path in openapi._QUERIES} <= known


def test_every_operation_that_reads_a_body_describes_it() -> None:
    reading = {(m, p) for p, m, _ in operations() if m in {"post", "put", "patch"}}
    described = {(m, f"/{p}") for m, p in openapi._BODIES}
    # Waking an app, cancelling, having seen something, stopping and starting take no body; a file's body is its bytes.
    assert reading - described == {
        ("post", "/api/apps/{slug}/opening"),
        ("post", "/api/runs/{run}/cancel"),
        ("put", "/api/stores/{store}/files/{path}"),
        ("put", "/api/saved/{search}/seen"),
        ("post", "/api/launches/{launch}/stop"),
        ("post", "/api/launches/{launch}/start"),
    }


def test_the_error_is_that_of_the_handlers() -> None:
    error = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]
    assert set(error["required"]) >= {"kind", "message", "fix"}


def test_it_is_json_and_names_the_server_and_the_way_to_sign_in() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["servers"] == [{"url": "https://vaas.example.org/services/vaas"}]
    scheme = DOCUMENT["components"]["securitySchemes"]["token"]
    assert (scheme["in"], scheme["name"]) == ("header", "Authorization")
    assert DOCUMENT["security"] == [{"token": []}]
