"""What the penguin dashboard knows: the birds, how to choose among them, and what their measurements say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

#: Column in the file -> (words for people, unit).
MEASURES = {
    "bill_length_mm": ("Bill length", "mm"),
    "bill_depth_mm": ("Bill depth", "mm"),
    "flipper_length_mm": ("Flipper length", "mm"),
    "body_mass_g": ("Body mass", "g"),
}
SPECIES = ("Adelie", "Chinstrap", "Gentoo")
ISLANDS = ("Biscoe", "Dream", "Torgersen")
YEARS = (2007, 2008, 2009)


def label(measure: str) -> str:
    """Say a measurement's name with its unit, as an axis title."""
    words, unit = MEASURES[measure]
    return f"{words} ({unit})"


def load(path: Path) -> pd.DataFrame:
    """Read the birds that were measured in full; a few have no measurements at all."""
    birds = pd.read_csv(path).dropna(subset=list(MEASURES))
    birds["sex"] = birds["sex"].fillna("unknown")
    return birds.reset_index(drop=True)


@dataclass(frozen=True)
class Choice:
    """What a visitor wants to see; an empty ``island`` or ``sex`` and a zero ``year`` mean all of them."""

    species: tuple[str, ...] = SPECIES
    island: str = ""
    sex: str = ""
    year: int = 0

    def of(self, birds: pd.DataFrame) -> pd.DataFrame:
        """Pick the birds that fit."""
        fits = birds["species"].isin(self.species)
        if self.island:
            fits &= birds["island"] == self.island
        if self.sex:
            fits &= birds["sex"] == self.sex
        if self.year:
            fits &= birds["year"] == self.year
        return birds[fits]


@dataclass(frozen=True)
class Trend:
    """A straight line through points, and how well it fits them (Pearson's r)."""

    slope: float
    intercept: float
    r: float

    def at(self, x: Sequence[float]) -> list[float]:
        """The line's height at each ``x``."""
        return [self.slope * value + self.intercept for value in x]


def trend(x: pd.Series, y: pd.Series) -> Trend | None:
    """Fit a line by least squares; None when there are too few birds to say anything."""
    if len(x) < 3 or x.nunique() < 2 or y.nunique() < 2:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    return Trend(float(slope), float(intercept), float(np.corrcoef(x, y)[0, 1]))


def paradox(birds: pd.DataFrame, x: str, y: str) -> str:
    """Tell in one sentence whether the species agree with all birds taken together (Simpson's paradox)."""
    together = trend(birds[x], birds[y])
    apart = [trend(group[x], group[y]) for _, group in birds.groupby("species")]
    known = [line for line in apart if line is not None]
    if together is None or len(known) < 2:
        return "Choose at least two species to compare the trend of all birds with the trend inside each species."
    direction = "rises" if together.slope > 0 else "falls"
    r = f"r = {together.r:.2f}".replace("-", "−")
    words = f"Over all birds, {MEASURES[y][0].lower()} {direction} with {MEASURES[x][0].lower()} ({r})"
    against = sum((line.slope > 0) != (together.slope > 0) for line in known)
    if against == len(known):
        return f"{words}, yet inside <b>every</b> species it does the opposite: Simpson's paradox."
    if against:
        return f"{words}, but {against} of {len(known)} species disagree."
    return f"{words}, and every species agrees."


def statistics(birds: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread of each measurement by species, in the order of ``SPECIES``."""
    table = birds.groupby("species")[list(MEASURES)].agg(["mean", "std"])
    return table.reindex([name for name in SPECIES if name in table.index])
