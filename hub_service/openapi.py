"""The OpenAPI document, made from the route table and the handlers' own words."""

from __future__ import annotations

import inspect
import re
from typing import Any

from hub_service.routes import API, Route
from vaas import __version__
from vaas.network import MOST

__all__ = ["document"]

_NETWORK = {
    "description": "What the app may reach: “none”, “all”, or hosts such as example.org, *.example.org or "
    "example.org:8443.",
    "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": MOST}],
}
#: What is checked may reach this, and is served with that.
_CHECKED: dict[str, Any] = {"network": _NETWORK, "environment": {"type": "string"}}
#: What starts a notebook says these; which notebook, with what, and where.
_RUN: dict[str, Any] = {
    **{n: {"type": "string"} for n in ("app", "store", "path", "environment", "size", "facility", "title", "email")},
    "values": {"type": "object"},
    "things": {"type": "object", "additionalProperties": {"type": "string"}},
}
#: (method, path) → the body's properties: name → JSON schema
_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("patch", "api/apps/{slug}"): {
        "title": {"type": "string"},
        "description": {"type": "string"},
        "category": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "owner": {"type": "string"},
        "network": _NETWORK,
        "knows_visitor": {"type": "boolean"},
    },
    ("put", "api/apps/{slug}/versions/current"): {"hash": {"type": "string"}},
    ("put", "api/apps/{slug}/grants/{subject}"): {"access": {"enum": ["VIEW", "READ", "WRITE"]}},
    ("post", "api/apps/{slug}/links"): {"days": {"type": "integer", "minimum": 0}},
    ("post", "api/drafts"): {
        "store": {"type": "string"},
        "path": {"type": "string"},
        "include": {"type": "array", "items": {"type": "string"}},
        "run": {"type": "string"},
        "shares": {"type": "boolean"},
        **_CHECKED,
    },
    ("post", "api/uploads"): {
        "files": {"type": "object", "additionalProperties": {"type": "string", "contentEncoding": "base64"}},
        "notebook": {"type": "string"},
        "slug": {"type": "string"},
        **_CHECKED,
    },
    ("post", "api/drafts/{draft}/check"): _CHECKED,
    ("post", "api/drafts/{draft}/publish"): {
        "title": {"type": "string"},
        "slug": {"type": "string"},
        "description": {"type": "string"},
        "category": {"type": "string"},
        "note": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "subjects": {"type": "array", "items": {"type": "string"}},
        "link": {"type": "boolean"},
        "anyway": {"type": "boolean"},
        "knows_visitor": {"type": "boolean"},
    },
    ("post", "api/ask"): {"verb": {"type": "string"}, "args": {"type": "object"}},
    ("post", "api/baskets"): {"name": {"type": "string"}},
    ("patch", "api/baskets/{basket}"): {
        "name": {"type": "string"},
        "shared_with": {"type": "array", "items": {"type": "string"}},
    },
    ("post", "api/baskets/{basket}/things"): {"catalog": {"type": "string"}, "record": {"type": "string"}},
    ("post", "api/saved"): {"q": {"type": "string"}, "name": {"type": "string"}},
    ("post", "api/requests"): {
        "slug": {"type": "string"},
        "access": {"enum": ["READ", "WRITE"]},
        "message": {"type": "string"},
    },
    ("put", "api/requests/{request}"): {"grant": {"type": "boolean"}},
    ("post", "api/launches"): {
        n: {"type": "string"}
        for n in (
            *("app", "store", "path", "run", "basket", "catalog", "record", "given"),
            *("facility", "environment", "size", "title"),
        )
    },
    ("post", "api/runs"): _RUN,
    ("post", "api/runs/series"): {**_RUN, "table": {"type": "array", "items": {"type": "object"}}},
    ("patch", "api/runs/{run}"): {"shared_with": {"type": "array", "items": {"type": "string"}}},
    ("post", "api/runs/{run}/repeat"): {"values": {"type": "object"}},
    ("post", "api/schedules"): {
        **_RUN,
        "cron": {"type": "string"},
        "zone": {"type": "string", "description": "The name of a time zone, such as Europe/Paris."},
        "until": {"type": "string", "format": "date-time"},
    },
    ("post", "api/stores"): {n: {"type": "string"} for n in ("title", "url", "username", "password")},
}
_QUERIES = {
    "api/facilities": ("all",),
    "api/apps": ("q", "category", "show"),
    "api/people": ("q",),
    "api/runs": ("series",),
    "api/runs/form": ("app", "store", "path"),
    "api/search": ("q", "limit", "cursor", "typing"),
    "api/search/suggest": ("q", "limit"),
    "api/stores/{store}/files/{path}": ("content",),
}
_CREATED = {
    ("post", path)
    for path in (
        "api/apps/{slug}/links",
        "api/drafts",
        "api/uploads",
        "api/drafts/{draft}/publish",
        "api/stores",
        "api/baskets",
        "api/requests",
        "api/launches",
        "api/runs",
        "api/runs/series",
        "api/runs/{run}/repeat",
        "api/schedules",
    )
}


def document(public_url: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the REST interface at ``public_url``."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "VaaS", "version": __version__, "description": "Voilà as a Service: a dashboard portal."},
        "servers": [{"url": public_url.rstrip("/")}],
        "security": [{"token": []}],
        "paths": {f"/{route.path}": _item(route) for route in API},
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "“token ” and a token of the Hub, with the scopes custom:vaas:read to read and "
                    "custom:vaas:write to change.",
                }
            },
            "schemas": {"Error": _ERROR},
        },
    }


_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("kind", "message", "fix")},
            "required": ["kind", "message", "fix"],
        }
    },
    "required": ["error"],
}


def _item(route: Route) -> dict[str, Any]:
    item: dict[str, Any] = {method: _operation(route, method) for method in route.methods}
    names = re.findall(r"\{(\w+)\}", route.path)
    if names:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return item


def _operation(route: Route, method: str) -> dict[str, Any]:
    words = inspect.getdoc(getattr(route.handler, method)) or ""
    status = "201" if (method, route.path) in _CREATED else "204" if method == "delete" else "200"
    error = {
        "description": "Why not.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    operation: dict[str, Any] = {
        "operationId": f"{method}_{route.handler.__name__}",
        "summary": inspect.getdoc(route.handler) or "",
        "description": words,
        "x-access": route.access,
        "responses": {status: {"description": "Done."}, "default": error},
    }
    if queries := _QUERIES.get(route.path) if method == "get" else None:
        operation["parameters"] = [{"name": q, "in": "query", "schema": {"type": "string"}} for q in queries]
    if body := _BODIES.get((method, route.path)):
        schema = {"type": "object", "properties": body}
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation
