"""How a table that is a text is written: its encoding, what is above it, between its columns, and in its numbers.

This is the one place that says so: of tables that are found, and of those that people run notebooks over.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

__all__ = ["above", "find_between", "has_commas", "read_text", "rows_of", "with_point"]

_LONGEST_FIELD = 1_000_000
_BETWEEN = (",", ";", "\t", "|", " ")
_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*\Z")
_POINT = re.compile(r"\s*[+-]?\d+\.\d+(?:[eE][+-]?\d+)?\s*\Z")


def read_text(data: bytes, *, cut: bool) -> tuple[str, str]:
    """Return the text and its encoding; ``cut``: its end is missing, so that it may end within a character."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data.removeprefix(mark).decode(name, errors="replace"), name
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not cut), "utf-8"
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
        # Where that has no letter for some byte, who loads it has to take what has one for each.
        return text, "iso-8859-1" if "\ufffd" in text else "windows-1252"


def above(lines: Iterable[str]) -> int:
    """Return how many lines are above the table: empty ones, and remarks, which begin with "#"."""
    return sum(1 for _ in takewhile(lambda line: line.startswith("#") or not line.strip(), lines))


def rows_of(lines: Iterable[str], between: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows; a line with a field that has no end is as far as one gets."""
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        for row in csv.reader(lines, delimiter=between, skipinitialspace=between == " "):
            if row:
                yield tuple(row)
    except csv.Error:
        return


def find_between(lines: Sequence[str]) -> str:
    """Return what stands between the columns: what makes most of them, equally many in all lines."""
    best, found = (0.0, 0), ","
    for between in _BETWEEN:
        counts = [len(row) for row in rows_of(lines, between)]
        most = max(set(counts), key=counts.count) if counts else 1
        score = (counts.count(most) / len(counts) if counts and most > 1 else 0.0, min(most, 3))
        if score > best and score[0] > 0.6:
            best, found = score, between
    return found


def has_commas(cells: Iterable[str]) -> bool:
    """Tell whether numbers are rather written as ``1,5`` than as ``1.5``."""
    kinds = [(_COMMA.match(cell), _POINT.match(cell)) for cell in cells]
    return sum(bool(comma) for comma, _ in kinds) > sum(bool(point) for _, point in kinds)


def with_point(cell: str) -> str:
    """Return ``1,5`` as ``1.5``, for a table whose numbers have commas."""
    return cell.replace(",", ".") if _COMMA.match(cell) else cell
