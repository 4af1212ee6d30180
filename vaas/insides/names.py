"""What the name of a file promises: its format, and whether something reads what is in it."""

from __future__ import annotations

__all__ = ["NOT_READ", "PROGRAMS", "SUFFIXES", "promised", "tells"]

#: Formats that are told by their names or first bytes alone: nothing here reads what is in them.
NOT_READ = frozenset({"binary", "bufr", "bzip2", "geopackage", "grib", "hdf4", "matlab", "numpy", "ods", "pdf", "root"})
NOT_READ |= {"shapefile", "sqlite", "xls", "xz", "zip", "zstd"}
#: suffix → the format that it promises.
SUFFIXES = {
    **{"csv": "csv", "tsv": "tsv", "tab": "tsv", "parquet": "parquet", "pq": "parquet", "feather": "feather"},
    **{"arrow": "arrow", "ipc": "arrow", "xlsx": "excel", "xlsm": "excel", "xls": "xls", "nc": "netcdf"},
    **{"nc4": "netcdf", "cdf": "netcdf", "h5": "hdf5", "hdf5": "hdf5", "he5": "hdf5", "hdf": "hdf5"},
    **{"fits": "fits", "fit": "fits", "fts": "fits", "tif": "tiff", "tiff": "tiff", "geotiff": "tiff"},
    **{"geojson": "geojson", "json": "json", "jsonl": "jsonl", "ndjson": "jsonl", "txt": "text", "md": "markdown"},
    **{"markdown": "markdown", "rst": "text", "log": "text", "xml": "text", "vot": "text", "votable": "text"},
    **{"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp", "svg": "svg", "ipynb": "notebook"},
    # What is not read.
    **{"pdf": "pdf", "zip": "zip", "ods": "ods", "root": "root", "grib": "grib", "grib2": "grib", "grb": "grib"},
    **{"grb2": "grib", "bufr": "bufr", "npy": "numpy", "npz": "numpy", "mat": "matlab", "gpkg": "geopackage"},
    **{"shp": "shapefile", "sqlite": "sqlite", "sqlite3": "sqlite", "hdf4": "hdf4", "bz2": "bzip2", "xz": "xz"},
    **{"zst": "zstd"},
}
#: What belongs to a program and is no data, though it may lie beside some.
PROGRAMS = frozenset({"bat", "c", "cfg", "cpp", "css", "h", "ini", "jl", "js", "lock", "map", "mjs", "pl", "py"})
PROGRAMS |= {"pyi", "r", "rb", "scss", "sh", "toml", "ts", "vue"}
#: Suffixes that say nothing of what is in the file, which may well be read.
_OPEN = frozenset({"dat", "gz"})


def promised(name: str) -> str:
    """Return the format that a file of this name promises, or how its name ends; "" for a name without an ending."""
    suffix = _suffix(name)
    return SUFFIXES.get(suffix, suffix)


def tells(name: str) -> bool:
    """Tell whether a file of this name may say more of itself than its name does."""
    suffix = _suffix(name)
    return suffix in _OPEN or (suffix in SUFFIXES and SUFFIXES[suffix] not in NOT_READ)


def _suffix(name: str) -> str:
    """Return how the name ends, in small letters and without the dot."""
    stem, dot, ending = name.lower().rpartition(".")
    return ending[:20] if dot and stem else ""
