"""What the explorer knows about the climate: three records, and what can be worked out from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
#: Baselines that temperatures can be compared with: words -> first and last year.
BASELINES = {
    "1951–1980 (NASA's own)": (1951, 1980),
    "1880–1909 (early industrial)": (1880, 1909),
    "1991–2020": (1991, 2020),
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CITIES = ("Seattle", "New York")


@dataclass(frozen=True)
class Records:
    """The three records as they were read."""

    co2: pd.DataFrame
    temperature: pd.Series
    weather: pd.DataFrame


def load(folder: Path = HERE) -> Records:
    """Read the files next to this module."""
    co2 = pd.read_csv(folder / "co2.csv", parse_dates=["Date"], index_col="Date")
    co2.columns = ["measured", "adjusted"]
    temperature = pd.read_csv(folder / "global-temperature.csv", index_col="year")["temp"]
    weather = pd.read_csv(folder / "weather.csv", parse_dates=["date"])
    return Records(co2, temperature, weather)


def rebase(temperature: pd.Series, years: tuple[int, int]) -> pd.Series:
    """Shift anomalies so that their mean over ``years`` is zero."""
    return temperature - temperature.loc[years[0] : years[1]].mean()


def smooth(series: pd.Series, years: int) -> pd.Series:
    """A centred running mean; the ends, where years are missing, stay empty."""
    return series.rolling(years, center=True).mean()


def per_decade(series: pd.Series, first: int) -> float:
    """The slope of a straight line from ``first`` on, in degrees a decade."""
    part = series.loc[first:]
    return float(np.polyfit(part.index, part, 1)[0] * 10)


def growth(co2: pd.DataFrame) -> pd.Series:
    """How much the yearly mean rose on the year before; only years with at least eleven months count."""
    months = co2["adjusted"].groupby(co2.index.year)
    means = months.mean()[months.count() >= 11]
    return means.diff()[np.diff(means.index, prepend=0) == 1].dropna()


def breath(co2: pd.DataFrame, decade: int) -> pd.Series:
    """The yearly cycle in a decade: each month's mean departure from the seasonally adjusted curve."""
    part = co2[(co2.index.year >= decade) & (co2.index.year < decade + 10)]
    swing = part["measured"] - part["adjusted"]
    return swing.groupby(swing.index.month).mean()


def monthly(weather: pd.DataFrame, city: str) -> pd.DataFrame:
    """A city's usual year: mean daily highs and lows, and rain a month."""
    days = weather[weather["location"] == city]
    by = days.groupby(days["date"].dt.month)
    years = days["date"].dt.year.nunique()
    return pd.DataFrame(
        {"high": by["temp_max"].mean(), "low": by["temp_min"].mean(), "rain": by["precipitation"].sum() / years}
    )


def kinds(weather: pd.DataFrame, city: str) -> pd.Series:
    """How many days a year are of each kind of weather, the most frequent first."""
    days = weather[weather["location"] == city]
    return days["weather"].value_counts() / days["date"].dt.year.nunique()


def tables(records: Records) -> dict[str, pd.DataFrame]:
    """The records as tables to read, newest first."""
    co2 = records.co2.round(2).iloc[::-1]
    co2.index = co2.index.strftime("%Y-%m")
    degrees = records.temperature.to_frame("anomaly °C").iloc[::-1]
    weather = records.weather.set_index("date").iloc[::-1]
    weather.index = weather.index.strftime("%Y-%m-%d")
    weather = weather.rename(
        columns={"precipitation": "rain mm", "temp_max": "high °C", "temp_min": "low °C", "wind": "wind m/s"}
    )
    return {
        "CO₂ at Mauna Loa": co2.rename_axis("month").rename(
            columns={"measured": "CO₂ ppm", "adjusted": "adjusted ppm"}
        ),
        "Global temperature": degrees.rename_axis("year"),
        "Weather in Seattle": weather[weather["location"] == "Seattle"].drop(columns="location"),
        "Weather in New York": weather[weather["location"] == "New York"].drop(columns="location"),
    }
