"""Small pictures of large ones, and of numbers over two axes; written as an address, in bounds."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from vaas.insides.limits import MOST_PICTURE
from vaas.insides.readers.cf import Variable, drawn_variable

__all__ = ["drawn", "picture_of", "thumbnail"]

#: The longest side of a small picture; the smaller ones are tried where it would be too many bytes.
_SIDES = (640, 400, 240, 120)
#: Fields with more values are not drawn; of those that are, so many along one side are read.
_DRAWN, _READ = 4_000_000, 800
#: Up to so many characters a picture is written without loss.
_LOSSLESS = 200_000
#: From dark blue by green to yellow; even steps look even, in grey and for the colour-blind, too.
_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def thumbnail(image: Image.Image) -> str | None:
    """Return the picture, small enough; None when it cannot be made so."""
    image = image if image.mode in {"RGB", "RGBA", "L"} else image.convert("RGBA")
    for side in _SIDES:
        small = image.copy()
        small.thumbnail((side, side))
        if len(address := _as_address(small, "PNG")) <= _LOSSLESS:
            return address
        # A photograph is ten times smaller so.
        flat = Image.new("RGB", small.size, "white")
        flat.paste(small, mask=small.getchannel("A") if small.mode == "RGBA" else None)
        if len(address := _as_address(flat, "JPEG")) <= MOST_PICTURE:
            return address
    return None


def _as_address(image: Image.Image, kind: str) -> str:
    written = io.BytesIO()
    image.save(written, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(written.getvalue()).decode()}"


def drawn(values: Any, *, flipped: bool = False) -> str | None:
    """Return a picture of numbers over two axes, the first of which runs down, or up if ``flipped``."""
    field = np.asarray(values, dtype="float64")
    if field.ndim != 2 or not np.isfinite(field).any():
        return None
    field = field[::-1] if flipped else field
    known = np.isfinite(field)
    low, high = np.percentile(field[known], (2, 98))
    at = np.clip((np.where(known, field, low) - low) / ((high - low) or 1.0), 0, 1)
    steps = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(at, steps, [colour[i] for colour in _COLOURS]) for i in range(3)]
    pixels = np.dstack([*channels, np.where(known, 255, 0)]).astype("uint8")
    return thumbnail(Image.fromarray(pixels, "RGBA"))


def picture_of(variables: Sequence[Variable]) -> str | None:
    """Draw the first variable that lies over two axes; None where there is none, or it cannot be read."""
    found = drawn_variable(variables, most=_DRAWN)
    if found is None or found.slab is None:
        return None
    try:
        step = max(1, max(found.shape[-2:]) // _READ)
        values = np.asarray(found.slab(step), dtype="float64")
        fill = found.attributes.get("_FillValue", found.attributes.get("missing_value"))
        if fill is not None:
            values[values == np.asarray(fill).ravel()[0]] = np.nan
        upward = next(
            (each for each in variables if each.axis == "latitude" and len(each.shape) == 1 and each.read), None
        )
        rising = upward is not None and upward.read is not None and upward.size > 1 and _rises(upward.read())
        return drawn(values, flipped=rising)
    except (OSError, ValueError, TypeError, IndexError, MemoryError):
        return None


def _rises(values: Any) -> bool:
    return bool(values[0] < values[-1])
