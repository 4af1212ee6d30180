"""What the map knows: countries through the years, three measures of them, and classes to colour them by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FIRST, LAST, STEP = 1952, 2007, 5


@dataclass(frozen=True)
class Measure:
    """Something to colour the countries by: its column, words for it and its scale, its classes' bounds and colours."""

    column: str
    words: str
    scale: str
    bounds: tuple[float, ...]
    colors: tuple[str, ...]

    def color(self, value: float) -> str:
        """The colour of the class that ``value`` falls into."""
        return self.colors[bisect_right(self.bounds, value) - 1]

    def text(self, value: float) -> str:
        """Write a value as people would."""
        if self.column == "people":
            return f"{value / 1e9:.2f} billion" if value >= 1e9 else f"{value / 1e6:,.1f} million"
        return f"${value:,.0f}" if self.column == "income" else f"{value:.1f} years"

    @property
    def classes(self) -> list[tuple[str, str]]:
        """Colour of each class and its lower bound in words, for a legend."""
        last = len(self.bounds) - 1
        return [
            (c, _short(b) + ("+" if i == last else ""))
            for i, (c, b) in enumerate(zip(self.colors, self.bounds, strict=True))
        ]


def _short(value: float) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


EMBERS = ("#fde3b4", "#fbc276", "#f59a43", "#e0701f", "#b94e12", "#8a3510", "#5c200c")
DAWN = ("#b3372f", "#e0693c", "#f2a556", "#f0d48c", "#a5d2a4", "#4bab99", "#1b7a8a")
DEEP = ("#5b2a86", "#44559b", "#2f7f9e", "#25a08d", "#5cbf6c", "#a8d545", "#f7e225")
MEASURES = (
    Measure("life", "Life expectancy", "Years", (0, 40, 50, 60, 65, 70, 75), DAWN),
    Measure("income", "Income per person", "Dollars", (0, 1000, 2000, 4000, 8000, 16000, 32000), DEEP),
    Measure("people", "Population", "People", (0, 1e6, 5e6, 1e7, 3e7, 1e8, 3e8), EMBERS),
)


class World:
    """The countries through the years."""

    def __init__(self, path: Path) -> None:
        table = pd.read_csv(path, dtype={"id": str})
        self.names: Mapping[str, str] = dict(zip(table["id"], table["country"], strict=True))
        self.continents: Mapping[str, str] = dict(zip(table["id"], table["continent"], strict=True))
        self.years = sorted(int(year) for year in table["year"].unique())
        self.tables = {m.column: table.pivot(index="year", columns="id", values=m.column) for m in MEASURES}

    def values(self, measure: Measure, year: int) -> pd.Series:
        """Every country's value in a year, the greatest first."""
        return self.tables[measure.column].loc[year].sort_values(ascending=False)

    def history(self, measure: Measure, country: str) -> list[float]:
        """One country's values, a year each."""
        return [float(value) for value in self.tables[measure.column][country]]

    def whole(self, measure: Measure) -> list[float]:
        """The value for all countries together: people added up, everything else averaged over people."""
        people = self.tables["people"]
        total = people.sum(axis=1)
        if measure.column == "people":
            return [float(value) for value in total]
        return [float(value) for value in (self.tables[measure.column] * people).sum(axis=1) / total]
