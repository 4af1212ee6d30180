"""What tables of all formats have in common: types found in texts, what a column is about, the first rows, a plot."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from vaas.insides.limits import MOST_COLUMNS, MOST_NAME, MOST_ROWS

__all__ = [
    "PLOTTED",
    "LATITUDES",
    "LONGITUDES",
    "box_of",
    "columns_told",
    "number_of",
    "shown",
    "table_shown",
    "time_of",
    "type_of",
]

#: So many rows are looked at for a plot.
PLOTTED = 200
LATITUDES = frozenset({"lat", "latitude", "nav_lat", "lat_deg", "decimallatitude", "breite"})
LONGITUDES = frozenset({"lon", "lng", "long", "longitude", "nav_lon", "lon_deg", "decimallongitude"})
_MOST_CELL = 200
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_WHOLE = re.compile(r"[+-]?\d{1,18}\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?\Z")
_NOTHING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "--", "?"})
_TRUTHS = frozenset({"true", "false", "yes", "no"})


def type_of(texts: Iterable[str]) -> str:
    """Return the type that all of the texts have, where they say something: "" when none does."""
    found: set[str] = set()
    for text in texts:
        text = text.strip()
        if text.lower() not in _NOTHING:
            found.add(_kind(text))
            if "text" in found:
                return "text"
    for kinds, name in _TOGETHER:
        if found and found <= kinds:
            return name
    return "text" if found else ""


_TOGETHER = (
    ({"integer"}, "integer"),
    ({"integer", "number"}, "number"),
    ({"truth"}, "truth"),
    ({"date"}, "date"),
    ({"date", "time"}, "time"),
)


def _kind(text: str) -> str:
    if _WHOLE.match(text):
        return "integer"
    if _NUMBER.match(text):
        return "number"
    if _DATE.match(text):
        return "date"
    if _TIME.match(text):
        return "time"
    return "truth" if text.lower() in _TRUTHS else "text"


def number_of(text: object) -> float | None:
    """Return the number that the text is, None for any other."""
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def time_of(value: object) -> str | None:
    """Return a time as a text in ISO's form, None for what is no time."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).isoformat()
    text = str(value).strip()
    if not _DATE.match(text) and not _TIME.match(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def box_of(longitudes: Iterable[object], latitudes: Iterable[object]) -> list[float] | None:
    """Return the box around places, None when they are none or not in degrees."""
    x = [number for each in longitudes if (number := number_of(each)) is not None]
    y = [number for each in latitudes if (number := number_of(each)) is not None]
    if not x or not y or min(y) < -90 or max(y) > 90 or min(x) < -180 or max(x) > 360:
        return None
    if max(x) > 180:
        # East of Greenwich all the way round: said as −180…180, a box across the date line has its west in the east.
        turned = [value - 360 if value > 180 else value for value in x]
        x = [-180.0, 180.0] if max(turned) - min(turned) > 300 else turned
    return [min(x), min(y), max(x), max(y)]


def columns_told(columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the fields that tell of a table's columns: (name, type) each."""
    names = [name[:MOST_NAME] for name, _ in columns[:MOST_COLUMNS]]
    types = {name[:MOST_NAME]: kind for name, kind in columns[:MOST_COLUMNS] if kind}
    more = {"columns": len(columns)} if len(columns) > MOST_COLUMNS else {}
    return {"columns": names, "details": {"types": types, **more}}


def shown(value: object) -> str:
    """Return a value as it is shown in a cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.10g}"
    text = value.isoformat() if isinstance(value, date) else str(value)
    return text if len(text) <= _MOST_CELL else f"{text[: _MOST_CELL - 1]}…"


def table_shown(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]], *, more: bool) -> dict[str, Any]:
    """Return the preview of a table: its first rows, and a plot of the first of its columns that make one."""
    columns = columns[:MOST_COLUMNS]
    return {
        "kind": "table",
        "columns": [{"name": name[:MOST_NAME], "type": kind} for name, kind in columns],
        "rows": [[shown(cell) for cell in row[: len(columns)]] for row in rows[:MOST_ROWS]],
        "more": more or len(rows) > MOST_ROWS,
        "plot": _plot(columns, rows[:PLOTTED]),
    }


def _plot(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]]) -> dict[str, Any] | None:
    numbers = [i for i, (name, kind) in enumerate(columns) if kind in {"integer", "number"} and not _is_name(name)]
    # Where something was measured is what a map shows.
    numbers = [i for i in numbers if columns[i][0].lower() not in LATITUDES | LONGITUDES] or numbers
    times = [i for i, (_, kind) in enumerate(columns) if kind in {"date", "time"}]
    texts = [i for i, (_, kind) in enumerate(columns) if kind == "text"]
    if times and numbers:
        return _points(columns, rows, times[0], numbers[0], "line")
    if len(numbers) > 1:
        x, y = numbers[:2]
        values = [number_of(row[x]) for row in rows if len(row) > x]
        rising = all(a is not None and b is not None and a < b for a, b in zip(values, values[1:], strict=False))
        return _points(columns, rows, x, y, "line" if rising else "scatter")
    if texts and numbers:
        names = [shown(row[texts[0]]) for row in rows[: MOST_ROWS + 1] if len(row) > texts[0]]
        if len(set(names)) == len(names):
            return _points(columns, rows[:MOST_ROWS], texts[0], numbers[0], "bar")
    return None


def _is_name(column: str) -> bool:
    """Whether numbers in this column are names: nobody wants to see them drawn."""
    return column.lower() in {"id", "index", "", "fid", "gid", "unnamed: 0"} or column.lower().endswith("_id")


def _points(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[object]], x: int, y: int, kind: str
) -> dict[str, Any] | None:
    points = [(row[x], number) for row in rows if len(row) > max(x, y) and (number := number_of(row[y])) is not None]
    number_like = columns[x][1] in {"integer", "number"}
    pairs = [(number_of(a) if number_like else shown(a), b) for a, b in points]
    pairs = [(a, b) for a, b in pairs if a not in (None, "")]
    if len(pairs) < 2:
        return None
    names = {"x_name": columns[x][0][:MOST_NAME], "y_name": columns[y][0][:MOST_NAME]}
    return {"x": [a for a, _ in pairs], "y": [b for _, b in pairs], **names, "kind": kind}
