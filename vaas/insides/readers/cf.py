"""The conventions of CF and ACDD: what attributes say of a data set, and which of its variables are axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaas.insides.limits import MOST_COLUMNS, MOST_NAME, MOST_TREE
from vaas.insides.readers.values import LATITUDES, LONGITUDES, box_of, number_of, time_of

__all__ = ["Variable", "attributes_told", "drawn_variable", "text_of", "tree_shown", "variables_told"]

#: Coordinates with more values than this are not read; the attributes may say the same.
MOST_VALUES = 1_000_000


@dataclass(frozen=True)
class Variable:
    """A variable: its axes by name, and a function that reads its values where they may be read."""

    name: str
    shape: tuple[int, ...]
    kind: str
    dimensions: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[], Any] | None = None
    #: Reads the last two dimensions, thinned out, at the first place of the others.
    slab: Callable[[int], Any] | None = None

    @property
    def unit(self) -> str:
        """Its unit, "" where it has none."""
        return text_of(self.attributes.get("units", ""))

    @property
    def size(self) -> int:
        """How many values it has."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def axis(self) -> str:
        """Which axis it is: "time", "latitude", "longitude", "vertical"; "" for what is data."""
        standard = text_of(self.attributes.get("standard_name", "")).lower()
        unit, name = self.unit.lower(), self.name.rpartition("/")[2].lower()
        if " since " in unit or standard == "time":
            return "time"
        if standard == "latitude" or unit.startswith(("degrees_n", "degree_n")) or name in LATITUDES:
            return "latitude"
        if standard == "longitude" or unit.startswith(("degrees_e", "degree_e")) or name in LONGITUDES:
            return "longitude"
        vertical = text_of(self.attributes.get("axis", "")).upper() == "Z" or "positive" in self.attributes
        return "vertical" if vertical or name in {"depth", "level", "lev", "plev", "altitude", "height"} else ""


def text_of(value: object) -> str:
    """Return an attribute as one text, whichever way its library gives it."""
    if isinstance(value, bytes):
        return value[:5_000].decode(errors="replace")
    if isinstance(value, str):
        return value[:5_000]
    if hasattr(value, "tolist"):
        value = value.tolist()
        return text_of(value) if not isinstance(value, list) else ", ".join(text_of(each) for each in value[:20])
    if isinstance(value, list | tuple):
        return ", ".join(text_of(each) for each in value[:20])
    return "" if value is None else str(value)[:200]


def attributes_told(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a data set's own attributes say, by the words of ACDD and CF."""
    said = {str(name).lower(): text_of(value) for name, value in list(attributes.items())[:500]}

    def first(*names: str) -> str:
        return next((said[name] for name in names if said.get(name)), "")

    people = [first("creator_name", "author", "authors"), first("institution", "creator_institution")]
    names = {"west": "lon_min", "south": "lat_min", "east": "lon_max", "north": "lat_max"}
    edges = {edge: number_of(said.get(f"geospatial_{name}", "")) for edge, name in names.items()}
    told: dict[str, Any] = {
        "title": first("title", "name"),
        "summary": first("summary", "description", "comment", "abstract"),
        "text": "\n".join(filter(None, (first("source"), first("history"), first("references"), first("comment")))),
        "authors": [each for each in people if each],
        "licence": first("license", "licence"),
        "tags": [word.strip() for word in first("keywords").split(",") if word.strip()],
        "begins": time_of(first("time_coverage_start", "start_date")),
        "ends": time_of(first("time_coverage_end", "end_date")),
    }
    if all(value is not None for value in edges.values()):
        told["box"] = box_of([edges["west"], edges["east"]], [edges["south"], edges["north"]])
    return {name: value for name, value in told.items() if value}


def variables_told(variables: Sequence[Variable]) -> dict[str, Any]:
    """Return names, units, shapes and axes of the variables, and the time and place that their axes span."""
    axes = [each for each in variables if each.axis]
    data = [each for each in variables if not each.axis]
    shown = [*data, *axes][:MOST_COLUMNS]
    names = {
        each.name: text_of(each.attributes.get("long_name") or each.attributes.get("standard_name")) for each in shown
    }
    details = {
        "types": {each.name: each.kind for each in shown},
        "units": {each.name: each.unit for each in shown if each.unit},
        "shape": {each.name: " × ".join(map(str, each.shape)) for each in shown if each.shape},
        "axes": {each.name: each.axis for each in axes[:MOST_COLUMNS]},
    }
    told: dict[str, Any] = {
        "columns": [each.name[:MOST_NAME] for each in shown],
        "text": "\n".join(name for name in names.values() if name),
        "details": {name: each for name, each in details.items() if each},
    }
    return told | _place(variables) | _span(variables)


def _place(variables: Sequence[Variable]) -> dict[str, Any]:
    x = next((each for each in variables if each.axis == "longitude" and _small(each)), None)
    y = next((each for each in variables if each.axis == "latitude" and _small(each)), None)
    if x is None or y is None:
        return {}
    found = box_of(_ends(x), _ends(y))
    return {"box": found} if found else {}


def _small(variable: Variable) -> bool:
    return variable.read is not None and 0 < variable.size <= MOST_VALUES


def _ends(variable: Variable) -> list[float]:
    """Return the least and the greatest of the values that are there."""
    import numpy as np

    assert variable.read is not None
    values = np.asarray(variable.read(), dtype="float64").ravel()
    for name in ("_FillValue", "missing_value"):
        missing = number_of(text_of(variable.attributes.get(name, "")))
        values = values[values != missing] if missing is not None else values
    values = values[np.isfinite(values)]
    for name, apply in (("scale_factor", np.multiply), ("add_offset", np.add)):
        by = number_of(text_of(variable.attributes.get(name, "")))
        values = apply(values, by) if by is not None else values
    return [float(values.min()), float(values.max())] if values.size else []


def _span(variables: Sequence[Variable]) -> dict[str, Any]:
    import cftime

    variable = next(
        (each for each in variables if each.axis == "time" and _small(each) and " since " in each.unit), None
    )
    ends = _ends(variable) if variable is not None else []
    if not ends or variable is None:
        return {}
    calendar = text_of(variable.attributes.get("calendar", "")) or "standard"
    try:
        found = [cftime.num2date(end, variable.unit, calendar=calendar) for end in ends]
        # Calendars of models have days that no other has: the 30th of February ends a month like any other.
        times = [f"{d.year:04}-{d.month:02}-{_day(d):02}T{d.hour:02}:{d.minute:02}:{d.second:02}+00:00" for d in found]
    except (ValueError, OverflowError, TypeError):
        return {}
    return {"begins": times[0], "ends": times[1]}


def _day(when: Any) -> int:
    most = 28 if when.month == 2 else 30 if when.month in (4, 6, 9, 11) else 31
    return min(int(when.day), most) if when.day != 29 or when.month != 2 or when.year % 4 else 29


def tree_shown(variables: Sequence[Variable], *, picture: str | None = None) -> dict[str, Any]:
    """Return the preview of something with variables in it."""
    items = [
        {"name": each.name, "shape": " × ".join(map(str, each.shape)), "type": each.kind, "unit": each.unit}
        for each in variables[:MOST_TREE]
    ]
    return {"kind": "tree", "items": items, "picture": picture}


def drawn_variable(variables: Sequence[Variable], *, most: int) -> Variable | None:
    """Return the first variable with data over two axes that is small enough to be drawn."""
    fitting = (each for each in variables if each.slab is not None and not each.axis and len(each.shape) >= 2)
    return next(
        (each for each in fitting if min(each.shape[-2:]) > 3 and each.shape[-1] * each.shape[-2] <= most), None
    )
