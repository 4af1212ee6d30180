"""How many things there are of each year or month."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

__all__ = ["buckets", "months_of", "years"]

#: More months than these are shown as years, and more years than these as decades.
_MOST_MONTHS, _MOST_YEARS = 61, 60
#: Years that a bar may stand for.
_STEPS = (1, 10, 100, 1000)
_FIRST_YEAR, _LAST_YEAR = 1, 9998
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def months_of(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many of the records changed in each month, by “YYYY-MM”."""
    return dict(Counter(str(record["changed"])[:7] for record in records if record.get("changed")))


def buckets(months: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the spans from the first to the last month, none left out: their bounds, name and count.

    The upper bound is the first day that does not belong to it any more.
    """
    counted = {number: count for name, count in months.items() if (number := _number(name)) is not None and count > 0}
    if not counted:
        return []
    first, last = min(counted), max(counted)
    months_each = 1 if last - first < _MOST_MONTHS else 12 if (last - first) // 12 < _MOST_YEARS else 120
    begin = first - first % months_each
    return [_span(start, months_each, counted) for start in _starts(begin, last, months_each)]


def years(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the spans of the years that something is about, none left out: their first and last year, name and count.

    Something can be about many years, so a span of several has the count of its fullest year: it is about as many at
    least.
    """
    counted = {int(name): count for name, count in counts.items() if _is_year(name) and count > 0}
    if not counted:
        return []
    first, last = min(counted), max(counted)
    step = next((step for step in _STEPS if (last - first) // step < _MOST_YEARS), _STEPS[-1])
    return [_years(start, step, counted) for start in range(first - first % step, last + 1, step)]


def _years(start: int, step: int, counted: Mapping[int, int]) -> dict[str, Any]:
    last = start + step - 1
    count = max(counted.get(year, 0) for year in range(start, last + 1))
    return {"from": start, "to": last, "name": str(start) if step == 1 else f"{start}–{last}", "count": count}


def _is_year(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= 4


def _starts(begin: int, last: int, step: int) -> Iterator[int]:
    yield from range(begin, last + 1, step)


def _span(start: int, months: int, counted: Mapping[int, int]) -> dict[str, Any]:
    count = sum(counted.get(month, 0) for month in range(start, start + months))
    year = start // 12
    name = f"{_NAMES[start % 12]} {year}" if months == 1 else str(year) if months == 12 else f"{year}–{year + 9}"
    return {"from": _first_day(start), "to": _first_day(start + months), "name": name, "count": count}


def _number(name: str) -> int | None:
    year, _, month = name.partition("-")
    if not (year.isdecimal() and month.isdecimal() and _FIRST_YEAR <= int(year) <= _LAST_YEAR):
        return None
    return int(year) * 12 + int(month) - 1 if 1 <= int(month) <= 12 else None


def _first_day(month: int) -> str:
    year = min(max(month // 12, _FIRST_YEAR), _LAST_YEAR + 1)
    return date(year, month % 12 + 1, 1).isoformat()
