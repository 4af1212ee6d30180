"""What is said of a file, rebuilt field by field with bounds: it comes from where a stranger's file was read."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vaas.errors import Unreadable
from vaas.insides.base import Inside
from vaas.insides.limits import (
    MOST_COLUMNS,
    MOST_DETAILS,
    MOST_NAME,
    MOST_PICTURE,
    MOST_ROWS,
    MOST_SUMMARY,
    MOST_TEXT,
    MOST_TITLE,
    MOST_TREE,
)
from vaas.prose import clean_text

__all__ = ["clean_inside", "clean_preview", "parse_answer"]

_TYPES = ("data", "notebook", "folder")
_MOST_REASON, _MOST_AUTHORS, _MOST_TAGS, _MOST_PACKAGES = 300, 50, 50, 200
_MOST_CELL, _MOST_POINTS, _MOST_OUTLINE, _MOST_LEVEL = 200, 500, 200, 6
_MOST_INT = 1 << 62
#: Details fit into so many characters of JSON; where they do not, each list and mapping is cut shorter.
_MOST_ALL, _MOST_INNER = 16_000, (200, 50, 10, 1)
#: What a picture's bytes begin with.
_PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_PLOTS = ("line", "bar", "scatter")


def parse_answer(said: str) -> Mapping[str, Any]:
    """Return what is told of the file.

    Raises
    ------
    Unreadable
        It cannot be read, in the reader's words, or what was said is no answer.
    """
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("unreadable"), str):
        message = _line(answer["unreadable"], _MOST_REASON) or "It cannot be read."
        raise Unreadable(message, log_message=_line(answer.get("why"), _MOST_REASON))
    if not isinstance(answer, dict) or not isinstance(answer.get("told"), dict):
        raise Unreadable("What reads the files gave no answer. It is left out.")
    told: dict[str, Any] = answer["told"]
    return told


def clean_inside(told: Mapping[str, Any]) -> Inside:
    """Return what a file may tell of itself and nothing else."""
    begins, ends = _time(told.get("begins")), _time(told.get("ends"))
    if begins and ends and begins > ends:
        begins, ends = ends, begins
    kind = told.get("type")
    return Inside(
        type=kind if kind in _TYPES else "data",
        format=_line(told.get("format"), 40),
        title=_line(told.get("title"), MOST_TITLE),
        summary=_line(told.get("summary"), MOST_SUMMARY),
        text=_text(told.get("text"), MOST_TEXT),
        authors=_lines(told.get("authors"), _MOST_AUTHORS),
        tags=_lines(told.get("tags"), _MOST_TAGS),
        columns=_lines(told.get("columns"), MOST_COLUMNS),
        packages=_lines(told.get("packages"), _MOST_PACKAGES),
        kernel=_line(told.get("kernel"), MOST_NAME),
        licence=_line(told.get("licence"), MOST_NAME),
        begins=begins,
        ends=ends,
        box=_box(told.get("box")),
        details=_details(told.get("details")),
    )


def clean_preview(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be shown of a file and nothing else. Raises Unreadable for what is no preview."""
    made = _PREVIEWS.get(str(told.get("kind")))
    if made is None:
        raise Unreadable("There is nothing to show of it.")
    return {"kind": told["kind"], **made(told)}


def _table(told: Mapping[str, Any]) -> dict[str, Any]:
    columns = [
        {"name": _line(each.get("name"), MOST_NAME), "type": _line(each.get("type"), 40)}
        for each in _list(told.get("columns"), MOST_COLUMNS)
        if isinstance(each, Mapping)
    ]
    rows = [
        [_line(cell, _MOST_CELL) for cell in _list(row, len(columns))] for row in _list(told.get("rows"), MOST_ROWS)
    ]
    rows = [row + [""] * (len(columns) - len(row)) for row in rows]
    return {"columns": columns, "rows": rows, "more": told.get("more") is True, "plot": _plot(told.get("plot"))}


def _plot(said: object) -> dict[str, Any] | None:
    if not isinstance(said, Mapping) or said.get("kind") not in _PLOTS:
        return None
    x, y = _list(said.get("x"), _MOST_POINTS), _list(said.get("y"), _MOST_POINTS)
    points = [(_point(a), _number(b)) for a, b in zip(x, y, strict=False)]
    names = {name: _line(said.get(name), MOST_NAME) for name in ("x_name", "y_name")}
    return {"x": [a for a, _ in points], "y": [b for _, b in points], **names, "kind": said["kind"]}


def _notebook(told: Mapping[str, Any]) -> dict[str, Any]:
    outline = [
        {"level": max(1, min(_whole(each.get("level")), _MOST_LEVEL)), "text": _line(each.get("text"), MOST_TITLE)}
        for each in _list(told.get("outline"), _MOST_OUTLINE)
        if isinstance(each, Mapping)
    ]
    packages = list(_lines(told.get("packages"), _MOST_PACKAGES))
    text = _text(told.get("text"), MOST_TEXT)
    return {"outline": outline, "text": text, "packages": packages, "picture": _picture(told.get("picture"))}


def _image(told: Mapping[str, Any]) -> dict[str, Any]:
    picture = _picture(told.get("picture"))
    if picture is None:
        raise Unreadable("There is no picture to show of it.")
    return {"picture": picture}


def _written(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": _text(told.get("text"), MOST_TEXT)}


def _tree(told: Mapping[str, Any]) -> dict[str, Any]:
    items = [
        {name: _line(each.get(name), MOST_TITLE) for name in ("name", "shape", "type", "unit")}
        for each in _list(told.get("items"), MOST_TREE)
        if isinstance(each, Mapping)
    ]
    return {"items": items, "picture": _picture(told.get("picture"))}


_PREVIEWS = {"table": _table, "notebook": _notebook, "image": _image, "text": _written, "tree": _tree}


def _list(value: object, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _text(value: object, most: int) -> str:
    """Return a text without control characters and halves of characters, which no index keeps."""
    if not isinstance(value, str):
        return ""
    return clean_text(value[: 2 * most].encode(errors="replace").decode())[:most]


def _line(value: object, most: int) -> str:
    return " ".join(_text(value, 2 * most).split())[:most]


def _lines(value: object, most: int) -> tuple[str, ...]:
    found = (_line(each, MOST_NAME) for each in _list(value, most))
    return tuple(dict.fromkeys(line for line in found if line))


def _number(value: object) -> float | int | None:
    """Return a number that JSON can hold; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if abs(value) < _MOST_INT else None


def _whole(value: object) -> int:
    number = _number(value)
    return int(number) if number is not None else 0


def _point(value: object) -> float | int | str | None:
    return _line(value, _MOST_CELL) if isinstance(value, str) else _number(value)


def _time(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _box(value: object) -> tuple[float, float, float, float] | None:
    numbers = [_number(each) for each in _list(value, 5)]
    if len(numbers) != 4 or any(number is None for number in numbers):
        return None
    west, south, east, north = (float(number) for number in numbers if number is not None)
    fits = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90
    return (west, south, east, north) if fits else None


def _details(value: object) -> dict[str, Any]:
    """Return names with plain values, lists of such, or one level of the same below."""
    if not isinstance(value, Mapping):
        return {}
    for most in _MOST_INNER:
        found = {_line(name, 40): _detail(each, 2, most) for name, each in list(value.items())[:MOST_DETAILS]}
        found = {name: each for name, each in found.items() if name and each is not None}
        if len(json.dumps(found)) <= _MOST_ALL:
            return found
    return {}


def _detail(value: object, depth: int, most: int) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _line(value, MOST_TITLE)
    if isinstance(value, list) and depth:
        return [found for each in value[:most] if (found := _detail(each, depth - 1, most)) is not None]
    if isinstance(value, Mapping) and depth:
        items = list(value.items())[:most]
        pairs = [(_line(name, MOST_NAME), _detail(each, depth - 1, most)) for name, each in items]
        return {name: each for name, each in pairs if name and each is not None}
    return _number(value)


def _picture(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > MOST_PICTURE:
        return None
    for mime, magic in _PICTURES.items():
        head, comma, data = value.partition(",")
        if head == f"data:{mime};base64" and comma:
            try:
                return value if base64.b64decode(data, validate=True).startswith(magic) else None
            except (binascii.Error, ValueError):
                return None
    return None
