"""A table of values, one run for each of its rows, read from a text; and all that is wrong with it, row by row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaas.errors import Invalid
from vaas.tabular import above, find_between, has_commas, read_text, with_point

__all__ = ["FIRST_ROW", "TABLE", "Mistake", "Table", "decoded", "read_table", "refusal"]

#: Rows are counted as somebody sees them who has opened the file: the first one names the parameters.
FIRST_ROW = 2
#: In the place of a parameter's name, none of which is so: what is wrong with a table.
TABLE = "the table"
#: So many mistakes are told at once, and so much of a cell; more would help nobody.
_MOST_TOLD, _LONGEST_TOLD = 20, 60
#: Characters of a table.
_LONGEST = 1_000_000
_TOO_LONG = "The table is too long. Make several of it."
#: What is in no text, for a table of one column: its values may have all else.
_NOTHING_BETWEEN = "\x1f"
_THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2},\d{3}\s*\Z")
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


@dataclass(frozen=True)
class Mistake:
    """Something wrong in a table: in which row, as a spreadsheet counts them (0: the whole), in which column, what."""

    row: int
    column: str
    text: str

    def __str__(self) -> str:
        column = f", column “{self.column}”" if self.column and f"“{self.column}”" not in self.text else ""
        return f"Row {self.row}{column}: {self.text}" if self.row else self.text


@dataclass(frozen=True)
class Table:
    """A table of values: what is not in a row stays as it is; with mistakes nothing of it is to be used.

    ``more`` counts the mistakes that are not told.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    more: int = 0


def refusal(mistakes: Sequence[Mistake], *, more: int = 0) -> Invalid:
    """Return the error that says all that is wrong in a table, each in a line of its own."""
    told, more = mistakes[:_MOST_TOLD], more + max(0, len(mistakes) - _MOST_TOLD)
    lines = [*map(str, told), *([f"And {more} more."] if more else [])]
    return Invalid(
        "\n".join(["Nothing was started, for the table is not right.", *lines]),
        log_message=f"{len(told) + more} mistakes in a table",
        field=TABLE,
    )


def decoded(data: bytes) -> str:
    """Return the text of a file that should be a table. Raises Invalid, and says what to save it as."""
    if len(data) > _LONGEST and not data.startswith(_EXCEL):
        raise Invalid(_TOO_LONG)
    if data.startswith(_EXCEL):
        raise Invalid("This is an Excel or OpenDocument file. Save it as “CSV UTF-8” there, and choose that.")
    text, _ = read_text(data, cut=False)
    if "\0" in text or "\ufffd" in text:
        raise Invalid("This file is no text. Save the table as “CSV UTF-8” and choose that.")
    return text


def read_table(text: str, kinds: Mapping[str, str], check: Callable[[str, str], Any], *, most: int) -> Table:
    """Read a table whose first row names parameters; an empty cell says nothing, an empty row counts for nothing.

    What parts the cells is seen in the first row; above it there may be empty lines and remarks (“#”). Numbers may have
    commas for their decimals.

    Parameters
    ----------
    kinds:
        The parameters that there are, each with its kind.
    check:
        Returns the value that a text means for a parameter, or raises Invalid.
    most:
        How many rows there may be.
    """
    if len(text) > _LONGEST:
        return Table(mistakes=(Mistake(0, "", _TOO_LONG),))
    found, between, broken = _parsed(text)
    if not found and not broken:
        return Table(mistakes=(Mistake(0, "", "There is nothing in the table. Name the parameters in its first row."),))
    first, columns = (found[0][0], _columns(found[0][1])) if found else (0, ())
    wrong = [*_wrong_length(len(found) - 1 + len(broken), most), *_wrong_columns(first, columns, kinds)]
    numbers = [
        cell for _, row in found[1:] for name, cell in zip(columns, row, strict=False) if _is_number(name, kinds)
    ]
    cells = _Cells(columns, kinds, check, commas=_has_commas(numbers, between))
    rows = [cells.values(number, row) for number, row in found[1 : most + 1]]
    mistakes = [*wrong, *cells.wrong, *broken]
    return Table(columns, tuple(rows), tuple(mistakes[:_MOST_TOLD]), max(0, len(mistakes) - _MOST_TOLD))


def _parsed(text: str) -> tuple[list[tuple[int, list[str]]], str, list[Mistake]]:
    """Return the rows that are not empty, each with its number, what parts their cells, and what cannot be parted."""
    lines = [*io.StringIO(text.removeprefix("\ufeff"), newline="")]
    number = above(lines)
    between = find_between(lines[number : number + 1])
    between = between if between in "".join(lines[number : number + 1]) else _NOTHING_BETWEEN
    reader = csv.reader(lines[number:], delimiter=between, skipinitialspace=True, strict=True)
    found = list[tuple[int, list[str]]]()
    try:
        for row in reader:
            number += 1
            if any(cell.strip() for cell in row):
                found.append((number, row))
    except csv.Error as error:
        long = "field larger" in str(error)
        why = "A cell is too long." if long else "A quotation mark at the beginning of a cell has none at its end."
        return found, between, [Mistake(number + 1, "", why)]
    return found, between, []


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names; spreadsheets write empty columns behind the last one."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _wrong_columns(row: int, columns: Sequence[str], names: Collection[str]) -> Iterator[Mistake]:
    known = ", ".join([*(f"“{name}”" for name in list(names)[:12]), *(["more"] if len(names) > 12 else [])])
    seen = set[str]()
    for number, name in enumerate(columns, 1):
        if not name:
            yield Mistake(row, "", f"Column {number} has no name.")
        elif name not in names:
            yield Mistake(row, name[:60], f"The notebook has no such parameter. Its parameters: {known or 'none'}.")
        elif name in seen:
            yield Mistake(row, name, "This column is there twice.")
        seen.add(name)


def _wrong_length(count: int, most: int) -> Iterator[Mistake]:
    if not count:
        yield Mistake(0, "", "There is no row below the names. Write one for each run.")
    if count > most:
        yield Mistake(0, "", f"The table has {count} rows, and {most} are the most. Make several of it.")


def _numbers(columns: Sequence[str], rows: Iterable[Sequence[str]], kinds: Mapping[str, str]) -> Iterator[str]:
    """Yield the cells that should be numbers."""
    for row in rows:
        yield from (cell for name, cell in zip(columns, row, strict=False) if _is_number(name, kinds))


def _is_number(name: str, kinds: Mapping[str, str]) -> bool:
    return kinds.get(name) in {"int", "float"}


def _has_commas(numbers: Sequence[str], between: str) -> bool:
    """Tell whether numbers have commas for their decimals; where semicolons part them, what looks like 1,000, too."""
    decimals = between == ";" or not all(_THOUSANDS.match(cell) for cell in numbers if "," in cell)
    return decimals and has_commas(numbers)


class _Cells:
    """Reads the cells of rows; ``wrong`` is what is wrong in them."""

    def __init__(
        self, columns: Sequence[str], kinds: Mapping[str, str], check: Callable[[str, str], Any], *, commas: bool
    ) -> None:
        self._columns, self._kinds, self._check, self._commas = columns, kinds, check, commas
        self.wrong: list[Mistake] = []

    def values(self, number: int, cells: Sequence[str]) -> dict[str, Any]:
        """Return what the row says."""
        found: dict[str, Any] = {}
        if any(cell.strip() for cell in cells[len(self._columns) :]):
            self.wrong.append(Mistake(number, "", f"There are {len(cells)} cells for {len(self._columns)} columns."))
        for name, text in zip(self._columns, cells, strict=False):
            if not text.strip() or name not in self._kinds:
                continue
            try:
                found[name] = self._check(name, self._plain(name, text))
            except Invalid as error:
                said = text.strip() if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}…"
                self.wrong.append(Mistake(number, name, f"{error.message} This is “{said}”."))
        return found

    def _plain(self, name: str, text: str) -> str:
        """Return the cell with the number as the form takes it. Raises Invalid where a point may mean either."""
        if not self._commas or not _is_number(name, self._kinds):
            return text
        if "." in text:
            raise Invalid("Other numbers here have a comma for the decimals. Write all in one way.")
        return with_point(text)
