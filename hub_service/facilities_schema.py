"""What ``api/facilities`` says, as a JSON Schema, for programs that read what sites offer."""

from __future__ import annotations

from typing import Any

__all__ = ["ENVIRONMENT_STATES", "KINDS", "STATES", "schema"]

#: The last of each is what is said where nothing is known.
KINDS = ("local", "slurm", "htcondor", "docker", "kubernetes", "other")
STATES = ("up", "limited", "down", "unknown")
ENVIRONMENT_STATES = ("ready", "building", "broken", "unknown")
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
_BYTES = {**_COUNT, "description": "In bytes."}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}


def schema(public_url: str) -> dict[str, Any]:
    """Return the schema of the answer of the portal at ``public_url``."""
    site = {name: _text() for name in ("name", "description", "contact", "url", "portal", "software")}
    offer = {
        "facilities": {"type": "array", "items": {"$ref": "#/$defs/facility"}},
        "environments": {"type": "array", "items": {"$ref": "#/$defs/environment"}},
        "sizes": {"type": "array", "items": {"$ref": "#/$defs/size"}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{public_url}api/facilities/schema.json",
        "title": "What a site offers to launch and to run",
        **_object(
            {
                "schema": _text("The address of this schema."),
                "site": _object(site, must=tuple(site)),
                **offer,
                "limits": _limits(),
                "portals": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/portal"},
                    "description": "With “all=1”: other portals, and what each of them said last.",
                },
            },
            must=("schema", "site", *offer, "limits"),
        ),
        "$defs": {
            "facility": _facility(),
            "environment": _environment(),
            "size": _size(),
            "portal": _portal(offer),
        },
    }


def _facility() -> dict[str, Any]:
    general = {
        "id": _text(),
        "title": _text(),
        "kind": {"enum": list(KINDS)},
        "description": _text(),
        "hardware": _hardware(),
        "technology": _TEXTS,
        "storage": {"type": "array", "items": _storage()},
        "accepts": {"type": "array", "items": {"enum": ["interactive", "batch"]}},
        "stores": {
            "type": "array",
            "items": {"enum": ["home", "shared"]},
            "description": "Which stores of the portal lie there already, so that nothing of them is copied.",
        },
        "environments": {**_TEXTS, "description": "By id; the first is what is suggested."},
        "sizes": {**_TEXTS, "description": "By id; the first is what is suggested."},
        "status": _object({"state": {"enum": list(STATES)}, "text": _text()}, must=("state", "text")),
        "restricted": {"type": "boolean", "description": "Whether it is for some of the people alone."},
    }
    people = {
        "groups": {**_TEXTS, "description": "For members of these; none: for all. Told to people who are signed in."},
        "you": _object(
            {
                "may": {"type": "boolean"},
                "why": _text("Why not."),
                "member": {"type": "boolean", "description": "Whether you are of a group that it is for."},
            },
            must=("may", "why"),
        ),
    }
    return _object({**general, **people}, must=tuple(general))


def _hardware() -> dict[str, Any]:
    counts: dict[str, Any] = {"nodes": _COUNT, "cores": _COUNT, "memory": _BYTES, "gpus": _COUNT}
    return _object({**counts, **{name: _text() for name in ("architecture", "processor", "accelerator", "network")}})


def _storage() -> dict[str, Any]:
    return _object({"title": _text(), "size": _BYTES, "protocols": _TEXTS, "about": _text()}, must=("title",))


def _environment() -> dict[str, Any]:
    general = {
        "id": _text(),
        "title": _text(),
        "kind": {"type": "string", "description": "“python”, “kernelspec”, “image” or “lock”."},
        "language": _object({"name": _text(), "version": _text()}, must=("name", "version")),
        "state": {"enum": list(ENVIRONMENT_STATES)},
    }
    people = {
        "why": _text("What is wrong with one that is broken."),
        "packages": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Package and version; empty where that is not known. Told to people who are signed in.",
        },
    }
    return _object({**general, **people}, must=tuple(general))


def _size() -> dict[str, Any]:
    limits: dict[str, Any] = {"cores": _NUMBER, "memory": _BYTES, "gpus": _COUNT}
    limits["hours"] = {**_NUMBER, "description": "After which it ends; 0: no limit."}
    return _object({"id": _text(), "title": _text(), **limits}, must=("id", "title", *limits))


def _limits() -> dict[str, Any]:
    launches = _object({"running": _COUNT, "kept": _COUNT}, must=("running", "kept"))
    any_number = {**_COUNT, "description": "0: any number."}
    runs = _object({"running": any_number, "waiting": _COUNT}, must=("running", "waiting"))
    limits = {"launches": launches, "runs": runs, "schedules": _COUNT}
    return {**_object(limits, must=tuple(limits)), "description": "What one person may have at once, at all places."}


def _portal(offer: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "title": _text(),
        "url": _text(),
        "state": {"enum": ["answers", "silent", "unknown"]},
        "why": _text("What came instead of an answer."),
        "asked": {"type": ["string", "null"], "description": "When it answered last, in ISO 8601."},
    }
    site = {name: _text() for name in ("name", "description", "contact", "software")}
    return _object({**told, "site": _object(site), **offer}, must=tuple(told))


def _object(properties: dict[str, Any], *, must: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the schema of an object that has these and nothing else."""
    made: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": list(must)} if must else {})


def _text(description: str = "") -> dict[str, Any]:
    return {"type": "string", **({"description": description} if description else {})}
