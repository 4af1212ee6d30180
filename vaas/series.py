"""A table of values, one run for each of its rows, read from CSV; and all that is wrong with it, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaas.errors import Invalid

__all__ = ["Mistake", "Table", "decoded", "read_table"]

#: So many mistakes are told at once, and so much of a cell; more would help nobody.
_MOST_TOLD, _LONGEST_TOLD = 50, 60
_DELIMITERS = (",", ";", "\t")


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


def decoded(data: bytes) -> str:
    """Return the text of a file that should be a CSV file. Raises Invalid, and says what to save it as."""
    if data.startswith(b"PK\x03\x04"):
        raise Invalid("This is an Excel or OpenDocument file. Save it as “CSV UTF-8” there, and choose that.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("This file is no text in UTF-8. Save it as “CSV UTF-8” and choose it again.") from error


def read_table(text: str, names: Collection[str], check: Callable[[str, str], Any], *, most: int) -> Table:
    """Read a table whose first row names parameters; an empty cell says nothing, an empty row counts for nothing.

    ``names`` are the parameters that there are, ``check`` returns the value that a text means for one of them or
    raises Invalid, and ``most`` is how many rows there may be. What parts the cells, comma, semicolon or tab, is seen
    in the first row.
    """
    try:
        found = [(number, row) for number, row in _numbered(text) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        return Table(mistakes=(Mistake(0, "", f"This is no table: {error}."),))
    if not found:
        return Table(mistakes=(Mistake(0, "", "There is nothing in the table. Name the parameters in its first row."),))
    columns = _columns(found[0][1])
    mistakes = [*_wrong_columns(columns, names), *_wrong_length(len(found) - 1, most)]
    rows: list[Mapping[str, Any]] = []
    for number, cells in [] if mistakes else found[1:]:
        values, wrong = _row(number, columns, cells, check)
        rows.append(values)
        mistakes += wrong
    more = max(0, len(mistakes) - _MOST_TOLD)
    return Table(columns, tuple(rows), tuple(mistakes[:_MOST_TOLD]), more)


def _numbered(text: str) -> Iterator[tuple[int, list[str]]]:
    text = text.removeprefix("\ufeff")
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count), skipinitialspace=True, strict=True
    )
    yield from enumerate(reader, 1)


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names; spreadsheets write empty columns behind the last one."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _wrong_columns(columns: Sequence[str], names: Collection[str]) -> Iterator[Mistake]:
    known = ", ".join(f"“{name}”" for name in list(names)[:12])
    for number, name in enumerate(columns, 1):
        if not name:
            yield Mistake(1, "", f"Column {number} has no name.")
        elif name not in names:
            yield Mistake(1, name[:60], f"The notebook has no such parameter. Its parameters are {known or 'none'}.")
        elif name in columns[: number - 1]:
            yield Mistake(1, name, "This column is there twice.")


def _wrong_length(count: int, most: int) -> Iterator[Mistake]:
    if not count:
        yield Mistake(0, "", "There is no row below the names. Write one for each run.")
    if count > most:
        yield Mistake(0, "", f"The table has {count} rows, and {most} are the most. Make several of it.")


def _row(
    number: int, columns: Sequence[str], cells: Sequence[str], check: Callable[[str, str], Any]
) -> tuple[dict[str, Any], list[Mistake]]:
    values: dict[str, Any] = {}
    wrong: list[Mistake] = []
    if any(cell.strip() for cell in cells[len(columns) :]):
        wrong.append(Mistake(number, "", f"There are {len(cells)} cells for {len(columns)} columns."))
    for name, text in zip(columns, cells, strict=False):
        if not text.strip():
            continue
        try:
            values[name] = check(name, text)
        except Invalid as error:
            said = text.strip() if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}…"
            wrong.append(Mistake(number, name, f"{error.message} This is “{said}”."))
    return values, wrong
