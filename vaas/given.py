"""What travels from a running app to its launch: the values of its widgets, and the query of its address.

All of it comes from where foreign code runs, or from whoever made the address. It is data within bounds, never code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["MOST_BYTES", "VALUES", "as_given", "counted", "is_value"]

#: What people set of a widget: the names of its traits.
VALUES = frozenset({"value", "index", "selected_index", "v_model", "selected", "center", "zoom"})
#: Of all widgets together, and how many; a value that is larger than its share stays behind.
MOST_BYTES, _MOST_WIDGETS = 48_000, 400
_MOST_QUERY, _MOST_NAME, _MOST_AT = 4_000, 200, 10_000
_MOST_DEPTH, _MOST_PARTS, _MOST_TEXT = 4, 1_000, 8_000
_MOST_NUMBER = 2**63
#: By this a widget's state names another widget.
_REFERENCE = "IPY_MODEL_"
_WORDS = ("module", "model", "name")


def is_value(value: object) -> bool:
    """Tell whether this is plain data within bounds: no reference to a widget, nothing deep, long or endless."""
    budget = [_MOST_PARTS]
    return _is_plain(value, _MOST_DEPTH, budget)


def as_given(said: object) -> dict[str, Any]:
    """Return what of ``said`` may travel: ``query``, and ``widgets`` with each one's values; {} if that is nothing.

    A widget is known by the ``module`` and ``model`` of its class, the ``name`` that it bears on the page, and ``at``:
    how many of these were made before it.
    """
    told = said if isinstance(said, dict) else {}
    query, widgets = _text(told.get("query"), _MOST_QUERY), list(_widgets(told.get("widgets")))
    found = {"query": query, "widgets": widgets}
    return {name: part for name, part in found.items() if part}


def counted(given: Mapping[str, Any]) -> tuple[int, int]:
    """Return of how many widgets, and of how many parts of a query, something travels."""
    query = given.get("query", "")
    return len(given.get("widgets", ())), len([part for part in query.split("&") if part])


def _widgets(said: object) -> Iterator[dict[str, Any]]:
    left = MOST_BYTES
    for each in (said if isinstance(said, list) else [])[:_MOST_WIDGETS]:
        widget = _widget(each)
        size = len(json.dumps(widget)) if widget else 0
        if widget and size <= left:
            left -= size
            yield widget


def _widget(said: object) -> dict[str, Any] | None:
    if not isinstance(said, dict) or not isinstance(said.get("values"), dict):
        return None
    words = {name: _text(said.get(name), _MOST_NAME) for name in _WORDS}
    at, values = said.get("at"), said["values"]
    kept = {name: values[name] for name in sorted(VALUES) if name in values and is_value(values[name])}
    if not (kept and words["module"] and words["model"]) or type(at) is not int or not 0 <= at < _MOST_AT:
        return None
    return {**words, "at": at, "values": kept}


def _text(said: object, longest: int) -> str:
    """Return a text; "" for what is none, for a longer one, and for one that not every place can keep."""
    return said if isinstance(said, str) and len(said) <= longest and _is_writable(said) else ""


def _is_writable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_plain(value: object, depth: int, budget: list[int]) -> bool:
    budget[0] -= 1
    if budget[0] < 0 or depth < 0:
        return False
    if isinstance(value, str):
        return len(value) <= _MOST_TEXT and _is_writable(value) and not value.startswith(_REFERENCE)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(_is_plain(each, depth - 1, budget) for each in value)
    if isinstance(value, dict):
        return all(_is_plain(each, depth - 1, budget) for pair in value.items() for each in pair)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < _MOST_NUMBER)
