"""The demo's people: made-up names and their groups."""

from __future__ import annotations

__all__ = ["ADMIN", "GROUPS", "PEOPLE"]

#: name → who that is.
PEOPLE = {
    "ada": "a scientist who publishes",
    "emil": "a teacher who publishes lessons",
    "sam": "a student who opens them",
}
ADMIN = "root-admin"
GROUPS = {"physics": ("ada", "sam"), "teachers": ("emil",), "students": ("sam",)}
