"""What this app knows: the tables of a basket, what their columns hold, and what to draw of them first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

#: Of larger tables the chart draws so many rows, evenly chosen; and of columns with more values none is a colour.
MOST_DRAWN, MOST_COLOURS = 4000, 10
_WHEN = ("date", "time", "day", "month", "year")
NUMBER, TIME, WORD = "number", "time", "word"


@dataclass(frozen=True)
class Table:
    """One table of the basket."""

    title: str
    frame: pd.DataFrame
    size: int | None = None

    @property
    def numbers(self) -> list[str]:
        """The columns that can be measured."""
        return [name for name in self.frame.columns if kind_of(self.frame[name]) == NUMBER]

    @property
    def groups(self) -> list[str]:
        """The columns by whose few values rows can be told apart."""
        words = [name for name in self.frame.columns if kind_of(self.frame[name]) == WORD]
        return [name for name in words if 1 < self.frame[name].nunique() <= MOST_COLOURS]

    @property
    def first(self) -> tuple[str, str, str]:
        """The columns to begin with: across, up, and colour; "" for none."""
        columns, numbers = list(self.frame.columns), self.numbers
        across = next((name for name in columns if kind_of(self.frame[name]) == TIME), "")
        across = across or next((name for name in numbers if name.lower() in _WHEN), "")
        across = across or (numbers[0] if numbers else columns[0] if columns else "")
        others = [name for name in numbers if name != across]
        up = next((name for name in others if name.lower() not in _WHEN), others[0] if others else across)
        return across, up, next(iter(self.groups), "")

    @property
    def drawn(self) -> pd.DataFrame:
        """The rows that are drawn."""
        step = -(-len(self.frame) // MOST_DRAWN)
        return self.frame if step <= 1 else self.frame.iloc[::step]


@dataclass(frozen=True)
class Rest:
    """Something in the basket that is no table, or cannot be read, and why."""

    title: str
    why: str


def kind_of(values: pd.Series) -> str:
    """Say what a column holds."""
    if pd.api.types.is_bool_dtype(values):
        return WORD
    if pd.api.types.is_numeric_dtype(values):
        return NUMBER
    return TIME if pd.api.types.is_datetime64_any_dtype(values) else WORD


def read(basket: Iterable[Any]) -> tuple[list[Table], list[Rest]]:
    """Read what lies in the basket: the tables, and what is none."""
    tables, rest = [], []
    for thing in basket:
        if not thing.is_table:
            rest.append(Rest(thing.title, "It is no table."))
            continue
        try:
            tables.append(Table(thing.title, prepared(thing.table()), thing.size))
        except Exception as error:  # what the portal says is for people, and what pandas says is better than nothing
            rest.append(Rest(thing.title, str(error)))
    return tables, rest


def prepared(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with plain names, and with dates where its texts are dates."""
    frame = frame.copy()
    names = [str(name) for name in frame.columns]
    frame.columns = [name if names.index(name) == at else f"{name} ({at + 1})" for at, name in enumerate(names)]
    if frame.index.name:
        frame = frame.reset_index()
    for name in frame.columns[: 2 * MOST_COLOURS]:
        if kind_of(frame[name]) != WORD or not any(word in name.lower() for word in _WHEN):
            continue
        dates = pd.to_datetime(frame[name], errors="coerce", format="mixed")
        if dates.notna().mean() > 0.9:
            frame[name] = dates
    return frame


def facts(table: Table) -> list[tuple[str, str]]:
    """The figures above a table: the number, and what it counts."""
    frame = table.frame
    known = float(frame.notna().to_numpy().mean()) if frame.size else 0.0
    found = [(f"{len(frame):,}", "rows"), (f"{len(frame.columns):,}", "columns")]
    found.append((f"{len(table.numbers):,}", "of them numbers"))
    return [*found, (f"{known:.0%}", "of the cells are filled")]


def summary(table: Table) -> pd.DataFrame:
    """What each column holds: its kind, how many values are missing, and from where to where they go."""
    rows = []
    for name in table.frame.columns:
        values = table.frame[name]
        kind, there = kind_of(values), values.dropna()
        if kind == WORD:
            counts = there.astype(str).value_counts()
            spread = f"{len(counts):,} different" + (
                f", mostly {counts.index[0]}" if 0 < len(counts) < len(there) else ""
            )
        else:
            spread = f"{shown(there.min())} to {shown(there.max())}" if len(there) else "–"
        rows.append((name, kind, f"{int(values.isna().sum()):,}", spread))
    return pd.DataFrame(rows, columns=["Column", "Holds", "Missing", "Values"])


def shown(value: Any) -> str:
    """Write one value as people read it."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat() if value == value.normalize() else value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)
