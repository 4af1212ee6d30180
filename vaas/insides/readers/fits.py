"""FITS: what the headers say: the object, the telescope, when, which part of the sky, and the tables' columns."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from astropy.io import fits

from vaas.insides.handed import Handed
from vaas.insides.readers.cf import text_of
from vaas.insides.readers.pictures import drawn
from vaas.insides.readers.values import number_of, time_of

__all__ = ["look", "preview"]

_UNITS, _CARDS, _COLUMNS = 200, 1_000, 500
_DRAWN = 4_000_000
_PEOPLE = ("OBSERVER", "AUTHOR", "PI_NAME")
#: card → what it is in the details.
_TOLD = {
    **{"OBJECT": "object", "TELESCOP": "telescope", "INSTRUME": "instrument", "FILTER": "filter"},
    **{"EXPTIME": "exposure", "ORIGIN": "origin", "BUNIT": "unit", "RADESYS": "frame"},
}


def look(handed: Handed) -> dict[str, Any]:
    """Tell what the headers say."""
    with _opened(handed) as units:
        headers = [_cards(unit) for unit in units]
        said = {name: value for header in reversed(headers) for name, value in header.items()}
        details: dict[str, Any] = {name: text_of(said[card]) for card, name in _TOLD.items() if text_of(said.get(card))}
        details["shape"] = {_name(unit, i): _shape(unit) for i, unit in enumerate(units) if _shape(unit)}
        if sky := next(filter(None, map(_sky, headers)), None):
            details["sky"] = sky
        columns = [column for unit in units for column in _columns(unit)]
        details["units"] = {column.name: column.unit for column in columns if column.unit}
        rows = [int(unit.header.get("NAXIS2", 0)) for unit in units if _columns(unit)]
        words = [text_of(said.get(card)) for card in ("OBJECT", "TELESCOP", "INSTRUME")]
        return {
            "title": text_of(said.get("TITLE")) or text_of(said.get("OBJECT")),
            "summary": ", ".join(word for word in words if word),
            "text": "\n".join(text_of(said.get(card)) for card in ("COMMENT", "HISTORY", "DATE-OBS") if said.get(card)),
            "authors": [text_of(said[card]) for card in _PEOPLE if text_of(said.get(card))],
            "columns": [column.name for column in columns],
            **_when(said),
            "details": details | ({"rows": rows[0]} if rows else {}),
        }


def preview(handed: Handed) -> dict[str, Any]:
    """Show the parts of the file, and a picture of the first image."""
    with _opened(handed) as units:
        items = [
            {"name": _name(unit, i), "shape": _shape(unit), "type": type(unit).__name__.removesuffix("HDU"), "unit": ""}
            for i, unit in enumerate(units)
        ]
        for unit in units:
            for column in _columns(unit):
                items.append({"name": column.name, "shape": "", "type": column.format, "unit": column.unit or ""})
        return {"kind": "tree", "items": items, "picture": _picture(units)}


@contextmanager
def _opened(handed: Handed) -> Iterator[list[Any]]:
    handed.part.file.seek(0)
    with warnings.catch_warnings():
        # A header that is against the rules says something even so.
        warnings.simplefilter("ignore")
        with fits.open(handed.part.file, mode="readonly", memmap=True, lazy_load_hdus=True) as units:
            yield list(islice(units, _UNITS))


def _cards(unit: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for card in islice(unit.header.cards, _CARDS):
        try:
            name, value = card.keyword, card.value
        except (fits.VerifyError, ValueError):
            continue
        if name in {"COMMENT", "HISTORY"}:
            found[name] = f"{found.get(name, '')}\n{value}".strip()[:5_000]
        elif name:
            found.setdefault(name, value)
    return found


def _name(unit: Any, index: int) -> str:
    return str(unit.name or f"part {index}")[:80]


def _shape(unit: Any) -> str:
    header = unit.header
    axes = [header.get(f"NAXIS{i}") for i in range(min(int(header.get("NAXIS", 0)), 9), 0, -1)]
    return " × ".join(str(axis) for axis in axes if axis is not None)


def _columns(unit: Any) -> list[Any]:
    return list(islice(getattr(unit, "columns", None) or (), _COLUMNS))


def _when(said: dict[str, Any]) -> dict[str, Any]:
    begins = time_of(said.get("DATE-BEG") or said.get("DATE-OBS") or "")
    ends = time_of(said.get("DATE-END") or "") or begins
    return {"begins": begins, "ends": ends} if begins else {}


def _sky(header: dict[str, Any]) -> list[float] | None:
    """Return least and greatest right ascension and declination of a plain image, in degrees: west of north or not.

    It is the sky, so it is no place on a map. Near a pole, or where the axes are distorted, it is left out.
    """
    kinds = [text_of(header.get(f"CTYPE{i}")) for i in (1, 2)]
    if not kinds[0].startswith("RA--") or not kinds[1].startswith("DEC-"):
        return None
    values = {name: number_of(text_of(header.get(name))) for name in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")}
    sizes = [number_of(text_of(header.get(f"NAXIS{i}"))) for i in (1, 2)]
    matrix = np.array([[_step(header, i, j) for j in (1, 2)] for i in (1, 2)])
    if None in (*values.values(), *sizes) or not matrix.any():
        return None
    corners = np.array([[x, y] for x in (0.5, sizes[0] + 0.5) for y in (0.5, sizes[1] + 0.5)])  # type: ignore[operator]
    away = (corners - [values["CRPIX1"], values["CRPIX2"]]) @ matrix.T
    declinations = values["CRVAL2"] + away[:, 1]
    if abs(declinations).max() > 80 or abs(away).max() > 20:
        return None
    ascensions = values["CRVAL1"] + away[:, 0] / np.cos(np.radians(values["CRVAL2"]))
    ends = [ascensions.min() % 360, declinations.min(), ascensions.max() % 360, declinations.max()]
    return [round(float(end), 5) for end in ends]


def _step(header: dict[str, Any], i: int, j: int) -> float:
    found = number_of(text_of(header.get(f"CD{i}_{j}")))
    if found is None and i == j:
        found = number_of(text_of(header.get(f"CDELT{i}")))
    return found or 0.0


def _picture(units: list[Any]) -> str | None:
    for unit in units:
        axes = [int(unit.header.get(f"NAXIS{i}", 0)) for i in (1, 2)]
        if not unit.is_image or unit.header.get("NAXIS", 0) < 2 or min(axes) < 4 or axes[0] * axes[1] > _DRAWN:
            continue
        try:
            data = unit.data
            step = max(1, max(axes) // 800)
            return drawn(
                data[(*(0,) * (data.ndim - 2), slice(None, None, step), slice(None, None, step))], flipped=True
            )
        except (OSError, ValueError, TypeError, IndexError, MemoryError):
            return None
    return None
