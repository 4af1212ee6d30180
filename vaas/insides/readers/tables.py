"""Tables that are written as text: CSV and its like, whatever stands between the columns; packed by gzip, too."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from vaas.errors import Unreadable
from vaas.insides.handed import Handed, Part
from vaas.insides.readers.values import (
    LATITUDES,
    LONGITUDES,
    PLOTTED,
    box_of,
    columns_told,
    table_shown,
    time_of,
    type_of,
)
from vaas.tabular import above, find_between, has_commas, read_text, rows_of, with_point

__all__ = ["look", "preview"]

#: So much of the file is looked at to know its columns; up to so much is read to count the rows.
_START, _COUNTED, _LONGEST_LINE = 2_000_000, 32_000_000, 16_000_000
#: So many rows and columns say which types there are.
_ROWS, _COLUMNS = 1_000, 2_000
_WORDS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
_MOST_NOTES = 20
_YEAR = re.compile(r"\s*(?:1[5-9]|20)\d\d\s*\Z")


@dataclass(frozen=True)
class Table:
    """The beginning of a table: what it is written like, its columns with their types, and rows as texts."""

    encoding: str
    between: str
    header: bool
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    #: Lines above the table that begin with "#".
    notes: tuple[str, ...]
    #: How many lines there are above it.
    above: int
    #: Whether its numbers are written with a comma.
    comma: bool
    #: Whether the rows are all that there are.
    complete: bool
    #: How many bytes were looked at, and how many lines these are.
    looked_at: int
    lines: int


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the columns and the number of rows, and of time and place where the whole table was read."""
    part, packed = handed.part, _is_packed(handed.part)
    if packed and not _is_table(handed):
        return {"format": "gzip", "title": handed.stem}
    table = _read(part, packed=packed)
    told: dict[str, Any] = {"format": "tsv" if table.between == "\t" else "csv", **columns_told(table.columns)}
    told["summary"] = " ".join(table.notes)
    told["details"] |= _written(table) | _count(part, table, packed=packed) | ({"packed": "gzip"} if packed else {})
    return told | (_about(table) if table.complete else {})


def _written(table: Table) -> dict[str, Any]:
    """Return how it is written, for who wants to load it."""
    said = {"encoding": table.encoding, "delimiter": _WORDS[table.between], "header": table.header}
    return said | ({"above": table.above} if table.above else {}) | ({"decimal": "comma"} if table.comma else {})


def preview(handed: Handed) -> dict[str, Any]:
    """Show the first rows."""
    packed = _is_packed(handed.part)
    if packed and not _is_table(handed):
        raise Unreadable("It is an archive, which is not looked into.")
    table = _read(handed.part, packed=packed)
    return table_shown(table.columns, table.rows[:PLOTTED], more=not table.complete or len(table.rows) > PLOTTED)


def _is_packed(part: Part) -> bool:
    return part.head.startswith(b"\x1f\x8b")


def _is_table(handed: Handed) -> bool:
    return handed.name.lower().endswith((".csv.gz", ".tsv.gz", ".tab.gz", ".txt.gz", ".dat.gz"))


def _read(part: Part, *, packed: bool) -> Table:
    lines, encoding, whole = _beginning(part, packed=packed)
    notes = [line for line in islice(lines, 500) if line.startswith("#")]
    body = [line for line in lines if not line.startswith("#") and line.strip()]
    if not body:
        raise Unreadable("There is nothing in it.")
    between = find_between(body[:50])
    rows = list(islice(rows_of(body, between), _ROWS + 1))
    header = _is_header(rows)
    named = rows[0] if header else tuple(_heading(notes, len(rows[0]), between))
    first = rows[1:] if header else rows[:_ROWS]
    comma = between == ";" and has_commas(cell for row in first for cell in row)
    if comma:
        first = [tuple(map(with_point, row)) for row in first]
    types = [type_of(row[i] for row in first if i < len(row)) for i in range(min(len(named), _COLUMNS))]
    types += [""] * (len(named) - len(types))
    told = [line.lstrip("# \t").strip() for line in notes[:_MOST_NOTES]]
    return Table(
        encoding=encoding,
        between=between,
        header=header,
        columns=tuple((name.strip() or f"column {i}", types[i - 1]) for i, name in enumerate(named, 1)),
        rows=tuple(first),
        notes=tuple(filter(None, told)),
        above=above(lines),
        comma=comma,
        complete=whole and len(rows) <= _ROWS,
        looked_at=sum(len(line.encode(encoding, "replace")) for line in body),
        lines=len(body),
    )


def _beginning(part: Part, *, packed: bool) -> tuple[list[str], str, bool]:
    """Return the first lines, their encoding, and whether they are all; more is read where a line is very long."""
    for length in (_START, _LONGEST_LINE):
        data = _unpacked(part, length) if packed else part.start(length)
        if len(data) < length or data.count(b"\n") > 1:
            break
    whole = len(data) < length
    text, encoding = read_text(data, cut=not whole)
    if "\0" in text[:100_000]:
        raise Unreadable("It is called a table, but holds no text.")
    lines = text.splitlines(keepends=True)
    if not whole and len(lines) < 2:
        raise Unreadable(f"Its first line is longer than {_LONGEST_LINE // 1_000_000} MB; no table looks so.")
    return lines if whole else lines[:-1], encoding, whole


def _unpacked(part: Part, length: int) -> bytes:
    part.file.seek(0)
    try:
        with gzip.GzipFile(fileobj=part.file) as file:
            return file.read(length)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable("It is packed by gzip, and broken or cut off.") from error


def _is_header(rows: Sequence[tuple[str, ...]]) -> bool:
    """Tell whether the first row names the columns: it has no numbers, and each name once."""
    names = [name.strip() for name in rows[0]]
    plain = [type_of([name]) in {"text", ""} or _names_a_year(rows, i) for i, name in enumerate(names)]
    few_numbers = plain.count(False) <= len(names) // 4 if len(rows) > 1 and _has_numbers(rows[1:50]) else all(plain)
    return few_numbers and any(names) and len({*filter(None, names)}) >= len([*filter(None, names)]) * 0.9


def _names_a_year(rows: Sequence[tuple[str, ...]], column: int) -> bool:
    """Tell whether a column is called as a year, which is no year itself: as where each year has a column."""
    below = [row[column] for row in rows[1:50] if column < len(row)]
    return bool(_YEAR.match(rows[0][column]) and below) and not any(map(_YEAR.match, below))


def _has_numbers(rows: Sequence[tuple[str, ...]]) -> bool:
    return any(type_of([cell]) in {"integer", "number"} for row in rows for cell in row[:50])


def _heading(notes: Sequence[str], count: int, between: str) -> list[str]:
    """Return names that the last line above the table gives the columns, else numbers."""
    for line in reversed(notes[-3:]):
        named = next(rows_of([line.lstrip("# \t")], between), ())
        if len(named) == count and type_of(named) == "text":
            return [*named]
    return [f"column {i}" for i in range(1, count + 1)]


def _count(part: Part, table: Table, *, packed: bool) -> dict[str, Any]:
    """Return the number of rows, and whether it is a guess from the length of the first ones."""
    if table.complete:
        return {"rows": len(table.rows)}
    if packed:
        return {}
    if part.size <= _COUNTED:
        text, _ = read_text(part.start(_COUNTED), cut=False)
        lines = [line for line in io.StringIO(text, newline=None) if line.strip() and not line.startswith("#")]
        rows = sum(1 for _ in rows_of(lines, table.between)) if '"' in text else len(lines)
        return {"rows": rows - table.header}
    guess = round(part.size / max(table.looked_at / max(table.lines, 1), 1)) - table.header
    digits = 10 ** max(len(str(guess)) - 3, 0)
    return {"rows": round(guess / digits) * digits, "rows_estimated": True}


def _about(table: Table) -> dict[str, Any]:
    """Return the time and the place that the rows are about."""
    told: dict[str, Any] = {}
    names = [name.lower() for name, _ in table.columns]
    x = next((i for i, name in enumerate(names) if name in LONGITUDES), -1)
    y = next((i for i, name in enumerate(names) if name in LATITUDES), -1)
    if x >= 0 and y >= 0:
        told["box"] = box_of(*([row[i] for row in table.rows if i < len(row)] for i in (x, y)))
    when = next((i for i, (_, kind) in enumerate(table.columns) if kind in {"date", "time"}), -1)
    if when >= 0:
        times = sorted(time for row in table.rows if when < len(row) and (time := time_of(row[when])))
        told |= {"begins": times[0], "ends": times[-1]} if times else {}
    return told
