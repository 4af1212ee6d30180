"""The lesson's mathematics: waves, samples of them, and the slower wave that too few samples suggest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Sampling:
    """A wave of ``wave`` turns a second, looked at ``rate`` times a second."""

    wave: float
    rate: float

    @property
    def seen(self) -> float:
        """The slowest wave through the samples; negative when it runs backwards."""
        return self.wave - round(self.wave / self.rate) * self.rate

    @property
    def is_honest(self) -> bool:
        """Tell whether the samples show the wave as it is: more than two looks a turn."""
        return self.rate > 2 * self.wave

    @property
    def words(self) -> str:
        """Say in one sentence what an observer of the samples would think."""
        if self.is_honest:
            return (
                f"{self.rate / self.wave:.1f} looks for each turn: enough. You see <b>{self.wave:g} Hz</b>, as it is."
            )
        if self.rate == 2 * self.wave:
            return "Exactly two looks for each turn: the limit. It could be turning <b>either way</b>."
        if self.seen == 0:
            return "Every look comes after whole turns: the wave seems to <b>stand still</b>."
        way = "" if self.seen > 0 else ", <b>backwards</b>"
        return f"Too few looks: {self.wave:g} Hz passes itself off as <b>{abs(self.seen):g} Hz</b>{way}."


def curve(frequency: float, times: np.ndarray) -> np.ndarray:
    """A sine of ``frequency`` at each of ``times``."""
    return np.sin(2 * np.pi * frequency * times)


def temperatures(path: Path) -> pd.Series:
    """Read the average Seattle temperature of each hour, May to August."""
    table = pd.read_csv(path, parse_dates=["date"])
    return table.set_index("date")["temperature"]


def every(hours: int, series: pd.Series) -> pd.Series:
    """Look at an hourly series only once in so many hours, from its first value on."""
    return series.iloc[::hours]


def apparent_days(hours: int) -> float:
    """How many days the false wave takes when a daily wave is read once in ``hours``; infinite when it stands still."""
    seen = abs(Sampling(wave=1.0, rate=24 / hours).seen)
    return float("inf") if seen < 1e-9 else 1 / seen
