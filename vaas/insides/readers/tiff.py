"""TIFF and GeoTIFF: bands, size, and the extent where the coordinates are degrees or can be turned into degrees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tifffile

from vaas.insides.handed import Handed
from vaas.insides.readers.pictures import drawn, thumbnail
from vaas.insides.readers.values import box_of

__all__ = ["look", "preview"]

#: Keys of GeoTIFF: the code of geographic, and of projected coordinates.
_GEOGRAPHIC, _PROJECTED = "GeographicTypeGeoKey", "ProjectedCSTypeGeoKey"
#: Codes of coordinates in degrees, near enough to one another for a map; Web Mercator; UTM north and south.
_DEGREES = frozenset({4326, 4258, 4269, 4979, 4937, 4267})
_MERCATOR = frozenset({3857, 900913, 3785})
#: The equal-area grid that statistics of the European Union are in.
_EUROPE = 3035
_RADIUS, _FLAT = 6_378_137.0, 1 / 298.257223563
_DRAWN = 16_000_000
_BANDS = 200


def look(handed: Handed) -> dict[str, Any]:
    """Tell of bands, size and extent."""
    with _opened(handed) as file:
        page = file.pages[0]
        geo = _geo(page)
        bands = _bands(page)
        details: dict[str, Any] = {"width": page.imagewidth, "height": page.imagelength, "bands": len(bands)}
        details |= {"types": {band: str(page.dtype) for band in bands}, "pages": _pages(file)}
        if code := _code(geo):
            details["crs"] = f"EPSG:{code}"
        texts = {
            name: str(page.tags[name].value)[:1_000] for name in ("ImageDescription", "Artist") if name in page.tags
        }
        return {
            "format": "geotiff" if geo else "tiff",
            "summary": _description(texts.get("ImageDescription", "")),
            "authors": [texts["Artist"]] if "Artist" in texts else [],
            "columns": list(bands),
            "box": _box(page, geo),
            "details": details,
        }


def preview(handed: Handed) -> dict[str, Any]:
    """Show it as a small picture; of many bands the first."""
    with _opened(handed) as file:
        level = min(file.series[0].levels, key=lambda each: abs(each.keyframe.imagewidth - 800))
        page = level.keyframe
        if page.imagewidth * page.imagelength * page.samplesperpixel > _DRAWN:
            shape, kind = f"{page.imagelength} × {page.imagewidth}", str(page.dtype)
            items = [{"name": band, "shape": shape, "type": kind, "unit": ""} for band in _bands(page)]
            return {"kind": "tree", "items": items, "picture": None}
        data = page.asarray()
        return {"kind": "image", "picture": _drawn(data)}


@contextmanager
def _opened(handed: Handed) -> Iterator[Any]:
    handed.part.file.seek(0)
    with tifffile.TiffFile(handed.part.file, name="picture.tif") as file:
        yield file


def _pages(file: Any) -> int:
    """Return the number of pages; a chain of pages may lead in a circle, and is followed only so far."""
    count = 0
    for count, _ in enumerate(file.pages, start=1):
        if count >= 1_000:
            break
    return count


def _geo(page: Any) -> Mapping[str, Any]:
    found = page.geotiff_tags if page.is_geotiff else {}
    return found if isinstance(found, dict) else {}


def _code(geo: Mapping[str, Any]) -> int:
    for key in (_PROJECTED, _GEOGRAPHIC):
        if isinstance(geo.get(key), int) and 0 < int(geo[key]) < 32767:
            return int(geo[key])
    return 0


def _bands(page: Any) -> tuple[str, ...]:
    """Return the names of the bands: what GDAL writes beside them, else numbers."""
    count = min(int(page.samplesperpixel), _BANDS)
    named: dict[int, str] = {}
    for item in str(page.tags["GDAL_METADATA"].value).split("<Item")[1:] if "GDAL_METADATA" in page.tags else ():
        head, _, text = item.partition(">")
        sample = head.partition('sample="')[2].partition('"')[0]
        if sample.isdigit() and 'name="DESCRIPTION"' in head:
            named[int(sample)] = text.partition("<")[0].strip()
    return tuple(named.get(i) or f"band {i + 1}" for i in range(count))


def _description(text: str) -> str:
    return "" if text.lstrip().startswith(("{", "<")) else text


def _box(page: Any, geo: Mapping[str, Any]) -> list[float] | None:
    """Return west, south, east, north of the picture, None where that is not known."""
    width, height = page.imagewidth, page.imagelength
    scale, tie, matrix = (geo.get(name) for name in ("ModelPixelScale", "ModelTiepoint", "ModelTransformation"))
    # An edge that is straight in metres is curved in degrees.
    around = [(x, y) for x in (0, width / 2, width) for y in (0, height / 2, height)]
    if matrix is not None:
        m = [[float(number) for number in row] for row in matrix]
        places = [(m[0][0] * x + m[0][1] * y + m[0][3], m[1][0] * x + m[1][1] * y + m[1][3]) for x, y in around]
    elif scale is not None and tie is not None and len(tie) >= 6:
        places = [(tie[3] + (x - tie[0]) * scale[0], tie[4] - (y - tie[1]) * scale[1]) for x, y in around]
    else:
        return None
    code = _code(geo)
    if code in _MERCATOR:
        places = [_from_mercator(*place) for place in places]
    elif 32601 <= code <= 32660 or 32701 <= code <= 32760:
        places = [_from_utm(*place, zone=code % 100, south=code > 32700) for place in places]
    elif code == _EUROPE:
        places = [_from_europe(*place) for place in places]
    elif code not in _DEGREES:
        return None
    return box_of([x for x, _ in places], [y for _, y in places])


def _from_mercator(x: float, y: float) -> tuple[float, float]:
    return math.degrees(x / _RADIUS), math.degrees(2 * math.atan(math.exp(y / _RADIUS)) - math.pi / 2)


def _from_utm(x: float, y: float, *, zone: int, south: bool) -> tuple[float, float]:
    """Return degrees of a place in UTM: the series of Krüger, good to a millimetre."""
    n = _FLAT / (2 - _FLAT)
    whole = _RADIUS / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    xi = (y - (10_000_000 if south else 0)) / (0.9996 * whole)
    eta = (x - 500_000) / (0.9996 * whole)
    betas = (n / 2 - 2 * n**2 / 3 + 37 * n**3 / 96, n**2 / 48 + n**3 / 15, 17 * n**3 / 480)
    inner, outer = xi, eta
    for j, beta in enumerate(betas, start=1):
        inner -= beta * math.sin(2 * j * xi) * math.cosh(2 * j * eta)
        outer -= beta * math.cos(2 * j * xi) * math.sinh(2 * j * eta)
    chi = math.asin(math.sin(inner) / math.cosh(outer))
    deltas = (2 * n - 2 * n**2 / 3 - 2 * n**3, 7 * n**2 / 3 - 8 * n**3 / 5, 56 * n**3 / 15)
    latitude = chi + sum(delta * math.sin(2 * j * chi) for j, delta in enumerate(deltas, start=1))
    longitude = math.atan2(math.sinh(outer), math.cos(inner))
    return math.degrees(longitude) + 6 * zone - 183, math.degrees(latitude)


def _from_europe(x: float, y: float) -> tuple[float, float]:
    """Return degrees of a place in the equal-area grid of Europe (EPSG 3035), which is centred on 52° N, 10° E."""
    e2 = _FLAT * (2 - _FLAT)
    e = math.sqrt(e2)

    def area(sine: float) -> float:
        inner = math.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
        return (1 - e2) * (sine / (1 - e2 * sine**2) - inner)

    whole, sine = area(1.0), math.sin(math.radians(52))
    radius, beta = _RADIUS * math.sqrt(whole / 2), math.asin(area(sine) / whole)
    stretch = _RADIUS * math.cos(math.radians(52)) / (math.sqrt(1 - e2 * sine**2) * radius * math.cos(beta))
    east, north = x - 4_321_000, y - 3_210_000
    rho = math.hypot(east / stretch, stretch * north)
    if not rho:
        return 10.0, 52.0
    c = 2 * math.asin(min(rho / (2 * radius), 1.0))
    height = math.cos(c) * math.sin(beta) + stretch * north * math.sin(c) * math.cos(beta) / rho
    across = stretch * rho * math.cos(beta) * math.cos(c) - stretch**2 * north * math.sin(beta) * math.sin(c)
    found = math.asin(height)
    series = (
        e2 / 3 + 31 * e2**2 / 180 + 517 * e2**3 / 5040,
        23 * e2**2 / 360 + 251 * e2**3 / 3780,
        761 * e2**3 / 45360,
    )
    latitude = found + sum(each * math.sin(2 * j * found) for j, each in enumerate(series, start=1))
    return 10 + math.degrees(math.atan2(east * math.sin(c), across)), math.degrees(latitude)


def _drawn(data: Any) -> str | None:
    from PIL import Image

    if data.ndim == 3 and data.shape[2] in (3, 4) and data.dtype.name == "uint8":
        return thumbnail(Image.fromarray(data))
    while data.ndim > 2:
        data = data[..., 0] if data.shape[-1] < data.shape[0] else data[0]
    step = max(1, max(data.shape) // 800)
    return drawn(data[::step, ::step])
