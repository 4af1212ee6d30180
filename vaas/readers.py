"""What reads which files in Python: which modules a format takes, any of several, and the code that opens one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["MODULES", "Way", "format_of", "name_of", "ways", "way_to"]


@dataclass(frozen=True)
class Way:
    """One way to open files of a format.

    Parameters
    ----------
    modules:
        What has to be there for it, all of them.
    begin, call:
        Code: what is imported, and what opens it, with "{0}" for where it is.
    """

    modules: tuple[str, ...]
    begin: str
    call: str


_PANDAS = "import pandas as pd"
_XARRAY = "import xarray"
#: format, as the index has it → what people call it, and the ways to open it, the most usual first.
_FORMATS: MappingProxyType[str, tuple[str, tuple[Way, ...]]] = MappingProxyType(
    {
        "netcdf": (
            "NetCDF",
            (
                Way(("xarray", "netCDF4"), _XARRAY, "xarray.open_dataset({0})"),
                Way(("xarray", "h5netcdf"), _XARRAY, "xarray.open_dataset({0})"),
                Way(("netCDF4",), "import netCDF4", "netCDF4.Dataset({0})"),
                # NetCDF 4 is HDF5, NetCDF 3 is not.
                Way(
                    ("h5py", "scipy"),
                    "import h5py\nfrom scipy.io import netcdf_file",
                    'h5py.File({0}, "r") if h5py.is_hdf5({0}) else netcdf_file({0}, mmap=False)',
                ),
            ),
        ),
        "hdf5": (
            "HDF5",
            (
                Way(("h5py",), "import h5py", 'h5py.File({0}, "r")'),
                Way(("tables",), "import tables", "tables.open_file({0})"),
            ),
        ),
        "tiff": (
            "TIFF",
            (
                Way(("rasterio",), "import rasterio", "rasterio.open({0})"),
                Way(("tifffile",), "import tifffile", "tifffile.imread({0})"),
                Way(("PIL",), "from PIL import Image", "Image.open({0})"),
            ),
        ),
        "geojson": (
            "GeoJSON",
            (
                Way(("geopandas",), "import geopandas", "geopandas.read_file({0})"),
                Way((), "import json\nfrom pathlib import Path", "json.loads(Path({0}).read_bytes())"),
            ),
        ),
        "fits": ("FITS", (Way(("astropy",), "from astropy.io import fits", "fits.open({0})"),)),
        "zarr": ("Zarr", (Way(("zarr",), "import zarr", 'zarr.open({0}, mode="r")'),)),
        "parquet": (
            "Parquet",
            (
                Way(("pandas", "pyarrow"), _PANDAS, "pd.read_parquet({0})"),
                Way(("pandas", "fastparquet"), _PANDAS, "pd.read_parquet({0})"),
                Way(("polars",), "import polars", "polars.read_parquet({0})"),
                Way(("pyarrow",), "import pyarrow.parquet", "pyarrow.parquet.read_table({0})"),
            ),
        ),
        "arrow": (
            "Arrow",
            (
                Way(("pandas", "pyarrow"), _PANDAS, "pd.read_feather({0})"),
                Way(("polars",), "import polars", "polars.read_ipc({0})"),
                Way(("pyarrow",), "import pyarrow.feather", "pyarrow.feather.read_table({0})"),
            ),
        ),
        "excel": (
            "Excel",
            (
                Way(("pandas", "openpyxl"), _PANDAS, "pd.read_excel({0})"),
                Way(("openpyxl",), "import openpyxl", "openpyxl.load_workbook({0})"),
            ),
        ),
    }
)
_SUFFIXES = {
    **{"nc": "netcdf", "nc4": "netcdf", "h5": "hdf5", "hdf5": "hdf5", "he5": "hdf5", "tif": "tiff", "tiff": "tiff"},
    **{"geotiff": "tiff", "geojson": "geojson", "fits": "fits", "fit": "fits", "fts": "fits", "zarr": "zarr"},
    **{"parquet": "parquet", "pq": "parquet", "arrow": "arrow", "feather": "arrow", "ipc": "arrow"},
    **{"xlsx": "excel", "xlsm": "excel"},
}
#: What the index calls it, where that is another word.
_SAID = {"feather": "arrow"}
#: All modules of all ways.
MODULES = frozenset(module for _, found in _FORMATS.values() for way in found for module in way.modules)


def format_of(name: str, said: str = "") -> str:
    """Return the format of a file of that name, or what is ``said`` of it; "" where it takes no reader of its own."""
    stem, _, ending = name.lower().removesuffix(".gz").rpartition(".")
    found = _SUFFIXES.get(ending, "") if stem else ""
    # Packed, only FITS is opened as it is.
    if name.lower().endswith(".gz") and found != "fits":
        return ""
    said = _SAID.get(said.lower(), said.lower())
    return found or (said if said in _FORMATS else "")


def name_of(format: str) -> str:
    """Return what people call the format."""
    return _FORMATS[format][0]


def ways(format: str) -> tuple[Way, ...]:
    """Return the ways to open what is of that format, the most usual first; none for a format that takes none."""
    return _FORMATS[format][1] if format in _FORMATS else ()


def way_to(format: str, there: Collection[str] | None) -> Way | None:
    """Return the way to open it with the modules that are ``there``; None: there is none. Unknown: the usual way."""
    return next((way for way in ways(format) if there is None or set(way.modules) <= set(there)), None)
