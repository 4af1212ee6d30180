"""Which format a file has, found by what it holds before what it is called, and which module reads it."""

from __future__ import annotations

import codecs
import contextlib
import re
from importlib import import_module
from types import ModuleType

from vaas.insides.handed import Handed
from vaas.insides.names import NOT_READ, SUFFIXES

__all__ = ["TITLES", "find_format", "reader_of", "warm_up"]

#: format → what it is called in a sentence.
TITLES = {
    "arrow": "an Arrow file",
    "binary": "a binary file",
    "bufr": "a BUFR file",
    "bzip2": "a bzip2 archive",
    "csv": "a CSV table",
    "excel": "an Excel workbook",
    "feather": "a Feather table",
    "fits": "a FITS file",
    "folder": "a folder",
    "geojson": "GeoJSON",
    "geopackage": "a GeoPackage",
    "geotiff": "a GeoTIFF",
    "gif": "a GIF picture",
    "grib": "a GRIB file",
    "gzip": "a gzip archive",
    "hdf4": "an HDF4 file",
    "hdf5": "an HDF5 file",
    "jpeg": "a JPEG picture",
    "json": "a JSON document",
    "jsonl": "a table of JSON lines",
    "markdown": "a Markdown text",
    "matlab": "a MATLAB file",
    "netcdf": "a NetCDF file",
    "notebook": "a notebook",
    "numpy": "a NumPy array",
    "ods": "an OpenDocument sheet",
    "parquet": "a Parquet table",
    "pdf": "a PDF document",
    "png": "a PNG picture",
    "root": "a ROOT file",
    "shapefile": "a shapefile",
    "sqlite": "an SQLite database",
    "svg": "an SVG picture",
    "text": "a text",
    "tiff": "a TIFF picture",
    "tsv": "a TSV table",
    "webp": "a WebP picture",
    "xls": "an old Excel workbook (.xls)",
    "xz": "an xz archive",
    "zarr": "a Zarr folder",
    "zip": "a zip archive",
    "zstd": "a Zstandard archive",
}
#: What a file begins with → its format.
_MAGIC = (
    (b"PAR1", "parquet"),
    (b"ARROW1\0\0", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"FEA1", "feather"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
    (b"CDF\x05", "netcdf"),
    (b"SIMPLE  =", "fits"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"%PDF", "pdf"),
    (b"\x1f\x8b", "gzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xls"),
)
#: The same of what is read by nobody here; texts may begin so, too.
_UNREAD_MAGIC = (
    (re.compile(rb"GRIB...[\1\2]", re.DOTALL), "grib"),
    (re.compile(rb"BUFR...[\1-\5]", re.DOTALL), "bufr"),
    (re.compile(rb"root\0"), "root"),
    (re.compile(rb"\x93NUMPY"), "numpy"),
    (re.compile(rb"MATLAB 5\.0 MAT-file"), "matlab"),
    (re.compile(rb"SQLite format 3\0.{52}GP(?:KG|10)", re.DOTALL), "geopackage"),
    (re.compile(rb"SQLite format 3\0"), "sqlite"),
    (re.compile(rb"\x0e\x03\x13\x01"), "hdf4"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd"),
)
#: format → the module that reads it.
_MODULES = {
    **dict.fromkeys(("csv", "tsv", "gzip"), "tables"),
    **dict.fromkeys(("parquet", "arrow", "feather"), "columnar"),
    **dict.fromkeys(("json", "jsonl", "geojson"), "documents"),
    **dict.fromkeys(("png", "jpeg", "gif", "webp", "svg"), "images"),
    **dict.fromkeys(("tiff", "geotiff"), "tiff"),
    **dict.fromkeys(("text", "markdown"), "texts"),
    **dict.fromkeys(NOT_READ, "others"),
    **{"excel": "excel", "fits": "fits", "folder": "folders", "hdf5": "hdf", "netcdf": "netcdf"},
    **{"notebook": "notebooks", "zarr": "zarr"},
}
#: An HDF5 file may begin with a block of its user's, of one of these lengths.
_USER_BLOCKS = (512, 1024, 2048)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def find_format(handed: Handed) -> str:
    """Return the format: one of :data:`TITLES`."""
    if handed.folder:
        return (
            "zarr"
            if any(handed.named(name) for name in ("zarr.json", ".zgroup", ".zarray", ".zmetadata"))
            else "folder"
        )
    head = handed.part.head
    if found := next((name for magic, name in _MAGIC if head.startswith(magic)), ""):
        return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "excel" if _is_workbook(head) or handed.suffix in {"xlsx", "xlsm"} else "zip"
    if any(head[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in _USER_BLOCKS):
        return "hdf5"
    return _written(handed, head) if _is_text(head) else _unread(head)


def _unread(head: bytes) -> str:
    return next((name for magic, name in _UNREAD_MAGIC if magic.match(head)), "binary")


def _is_workbook(head: bytes) -> bool:
    return b"xl/" in head and b"[Content_Types].xml" in head


def _is_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    return not _CONTROL.search(head)


def _written(handed: Handed, head: bytes) -> str:
    """Return the format of a text: by its name, where what it holds allows that."""
    promised = SUFFIXES.get(handed.suffix, "")
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:1] in {b"{", b"["}:
        if promised == "notebook" or promised in {"jsonl", "geojson"}:
            return promised
        return "json" if promised != "csv" else "csv"
    if promised in {"csv", "tsv", "markdown"}:
        return promised
    if promised == "svg" or start[:200].startswith(b"<svg"):
        return "svg"
    if promised == "notebook":
        return "notebook"
    return "text"


def reader_of(found: str) -> ModuleType:
    """Return the module that reads the format. Raises ImportError where a library is missing."""
    return import_module(f"vaas.insides.readers.{_MODULES[found]}")


def warm_up() -> None:
    """Import all readers with their libraries: forks have them then."""
    for name in sorted(set(_MODULES.values())):
        with contextlib.suppress(ImportError):
            import_module(f"vaas.insides.readers.{name}")
