"""Excel workbooks: the sheets, and the columns and first rows of the first one that has any."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from openpyxl import load_workbook
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from vaas.errors import Unreadable
from vaas.insides.handed import Handed
from vaas.insides.readers.values import PLOTTED, columns_told, shown, table_shown, type_of

__all__ = ["look", "preview"]

#: A workbook is a zip archive: what it says it holds unpacked, and how far that may be from what it is packed.
_UNPACKED, _RATIO, _MEMBERS = 400_000_000, 200, 5_000
_SHEETS, _COLUMNS = 50, 500


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the sheets, the columns of the first one with a table, and how many rows it has."""
    with _opened(handed) as book:
        names = [sheet.title for sheet in book.worksheets[:_SHEETS]]
        sheet, rows, header = _first(book)
        named, first = _named(rows, header)
        columns = [(name, type_of(shown(row[i]) for row in first if i < len(row))) for i, name in enumerate(named)]
        told = columns_told(columns)
        told["details"] |= {"sheets": names} | ({"sheet": sheet.title, **_count(sheet, header)} if sheet else {})
        properties = book.properties
        told |= {"title": properties.title or "", "summary": properties.description or ""}
        return told | {"authors": [properties.creator] if properties.creator not in (None, "openpyxl") else []}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the first rows of that sheet."""
    with _opened(handed) as book:
        sheet, rows, header = _first(book)
        named, first = _named(rows, header)
        columns = [(name, type_of(shown(row[i]) for row in first if i < len(row))) for i, name in enumerate(named)]
        more = sheet is not None and (_count(sheet, header).get("rows") or 0) > len(first)
        return table_shown(columns, first, more=more)


@contextmanager
def _opened(handed: Handed) -> Iterator[Any]:
    _check(handed)
    handed.part.file.seek(0)
    book = load_workbook(handed.part.file, read_only=True, data_only=True, keep_links=False)
    try:
        yield book
    finally:
        book.close()


def _check(handed: Handed) -> None:
    """Refuse what unpacks into far more than anybody writes."""
    handed.part.file.seek(0)
    with zipfile.ZipFile(handed.part.file) as archive:
        members = archive.infolist()
    unpacked, packed = sum(each.file_size for each in members), sum(each.compress_size for each in members)
    if (
        len(members) > _MEMBERS
        or unpacked > _UNPACKED
        or (unpacked > 10_000_000 and unpacked > _RATIO * max(packed, 1))
    ):
        raise Unreadable("It unpacks into far more than it is; such workbooks are not opened.")


def _first(book: Any) -> tuple[Any, list[Sequence[object]], bool]:
    """Return the first sheet that has something in it, its first rows, and whether the first of them names columns."""
    for sheet in book.worksheets[:_SHEETS]:
        if not isinstance(sheet, ReadOnlyWorksheet):
            continue  # a sheet with a chart
        found = islice(sheet.iter_rows(values_only=True, max_col=_COLUMNS), PLOTTED + 1)
        rows = [row for row in found if any(cell is not None for cell in row)]
        if rows:
            return sheet, rows, _is_header(rows)
    return None, [], False


def _is_header(rows: Sequence[Sequence[object]]) -> bool:
    given = [cell for cell in rows[0] if cell is not None]
    return len(rows) > 1 and all(isinstance(cell, str) for cell in given)


def _named(rows: Sequence[Sequence[object]], header: bool) -> tuple[list[str], Sequence[Sequence[object]]]:
    if not rows:
        return [], []
    width = max((i for row in rows for i, cell in enumerate(row, 1) if cell is not None), default=0)
    named = [shown(cell) for cell in rows[0][:width]] if header else [""] * width
    return [name or f"column {i}" for i, name in enumerate(named, 1)], rows[1:] if header else rows


def _count(sheet: Any, header: bool) -> dict[str, Any]:
    """Return the rows by what the sheet says of its size, which nobody checks."""
    rows = sheet.max_row
    return {"rows": max(rows - header, 0), "rows_estimated": True} if isinstance(rows, int) else {}
