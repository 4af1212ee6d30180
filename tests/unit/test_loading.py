"""The lines that load something: they run, and nothing that a record says is ever a part of them but as a literal."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

from vaas.loading import address, content_address, lines, opening, table_line, table_options, written
from vaas.readers import format_of, way_to

BASE = "https://vaas.example.org/services/vaas/"
ODD = [
    "'",
    '"',
    "\\",
    "\n",
    "\r",
    "\u2028",
    "\u202e",
    "{",
    "}",
    ")",
    "#",
    "'''",
    "\0",
    "\ud800",
    "é",
    "__import__('os')",
]


def store(path: str, name: str = "home") -> dict[str, Any]:
    return {"how": "store", "via": {"store": name, "path": path}}


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("a b/sea.csv", "pd.read_csv(url, storage"),
        ("SEA.CSV", "pd.read_csv(url, storage"),
        ("sea.csv.gz", 'pd.read_csv(url, compression="gzip", storage'),
        ("sea.tsv", 'pd.read_csv(url, sep="\\t", storage'),
        ("sea.parquet", "pd.read_parquet(url, storage"),
        ("sea.xlsx", "pd.read_excel(url, storage"),
        ("sea.nc", "urllib.request.urlopen(request)"),
        ("csv", "urllib.request.urlopen(request)"),
    ],
)
def test_a_file_is_loaded_by_what_its_name_ends_with(path: str, call: str) -> None:
    code = lines("file", "files/home/x", store(path), base=BASE)
    ast.parse(code)
    assert call in code and content_address("home", path, base=BASE) in code and "VAAS_TOKEN" in code


OFFICE = {"encoding": "windows-1252", "delimiter": "semicolon", "header": False, "decimal": "comma", "above": 2}


def test_a_table_is_loaded_as_the_index_found_it_whatever_its_name_says() -> None:
    access = store("sea.csv") | {"written": written({**OFFICE, "rows": 7, "types": {}})}
    code = lines("file", "", access, base=BASE)
    ast.parse(code)
    call = 'pd.read_csv(url, sep=";", encoding="cp1252", decimal=",", header=None, skiprows=2, storage'
    assert call in code
    assert "pd.read_csv" in lines("file", "", store("sea.dat") | {"written": {"delimiter": "comma"}}, base=BASE)
    assert table_options("sea.xlsx", {"delimiter": "tab"}) == ("read_csv", {"sep": "\t"})
    assert table_options("sea.nc") is None and table_line("sea.nc", "x") == ""
    assert table_line("sea.jsonl", "x") == "pd.read_json(x, lines=True)"
    assert table_options("sea.csv", {"delimiter": "comma", "encoding": "utf-8", "header": True}) == ("read_csv", {})


@pytest.mark.parametrize(
    ("name", "there", "begin", "call"),
    [
        ("sea.nc", None, "import xarray", "xarray.open_dataset(x)"),
        ("sea.nc", ["netCDF4", "xarray"], "import xarray", "xarray.open_dataset(x)"),
        ("sea.nc", ["netCDF4"], "import netCDF4", "netCDF4.Dataset(x)"),
        ("SEA.H5", ["h5py"], "import h5py", 'h5py.File(x, "r")'),
        ("m31.fits.gz", None, "from astropy.io import fits", "fits.open(x)"),
        ("map.tif", ["PIL"], "from PIL import Image", "Image.open(x)"),
        ("map.tif", ["PIL", "tifffile"], "import tifffile", "tifffile.imread(x)"),
        ("a.geojson", [], "import json\nfrom pathlib import Path", "json.loads(Path(x).read_bytes())"),
        ("a.zarr", None, "import zarr", 'zarr.open(x, mode="r")'),
        ("a.parquet", ["polars"], "import polars", "polars.read_parquet(x)"),
        ("a.parquet", ["pandas", "pyarrow"], "import pandas as pd", "pd.read_parquet(x)"),
        ("a.csv", None, "import pandas as pd", "pd.read_csv(x)"),
        ("a.csv", [], "", "# A table: pandas reads it, which this environment does not have."),
        ("sea.nc", ["h5py"], "", "# NetCDF: xarray or netCDF4 or h5py reads it, which this environment does not have."),
        ("map.tif", [], "", "# TIFF: rasterio or tifffile or pillow reads it, which this environment does not have."),
        ("words.txt", None, "", ""),
        ("nc", None, "", ""),
    ],
)
def test_a_file_is_opened_with_what_is_there(name: str, there: list[str] | None, begin: str, call: str) -> None:
    assert opening(name, "x", there=there) == (begin, call)
    ast.parse(f"{begin}\n{call}")


def test_a_format_is_told_by_the_name_else_by_what_the_index_says() -> None:
    assert (format_of("x.dat", "netcdf"), format_of("x.nc", "text"), format_of("x.dat", "feather")) == (
        "netcdf",
        "netcdf",
        "arrow",
    )
    assert format_of("x.csv", "csv") == format_of("x.nc.gz") == format_of("", "") == ""
    assert way_to("csv", None) is None


def test_a_file_that_is_had_as_bytes_says_what_opens_it() -> None:
    code = lines("file", "", store("a/sea.h5"), base=BASE)
    ast.parse(code)
    assert code.endswith(
        'data = urllib.request.urlopen(request).read()\n# import h5py; import io; h5py.File(io.BytesIO(data), "r")'
    )


@pytest.mark.parametrize("odd", ["; x", "__import__('os')", 7, None, [], {}, True, -1, 10**9, "utf-16-le "])
def test_what_is_said_of_a_table_and_not_known_is_left_out(odd: Any) -> None:
    said = dict.fromkeys((*OFFICE, "packed"), odd)
    for told in (said | {"delimiter": "comma"}, written(said | {"delimiter": "comma"})):
        found = table_options("a.csv", told)
        assert found in (("read_csv", {}), ("read_csv", {"skiprows": 7})) and (odd == 7) == ("skiprows" in found[1])
    assert written(said).get("delimiter") is None or isinstance(odd, str)


def test_a_path_is_one_address_whatever_is_in_it() -> None:
    assert content_address("a/b", "ä b/c?d#e.csv", base=BASE) == (
        f"{BASE}api/stores/a%2Fb/files/%C3%A4%20b/c%3Fd%23e.csv?content=1"
    )


def test_what_is_elsewhere_is_loaded_from_there() -> None:
    def code(kind: str, uri: str, **via: str) -> str:
        return lines(kind, uri, {"how": "http", "via": via}, base=BASE)

    # Nothing that is in neither environment: a launch fetches its files, and a run brings them.
    assert code("doi", "https://z.org/1", doi="10.5281/zenodo.1 2") == "url = 'https://doi.org/10.5281/zenodo.1%202'"
    assert code("url", "https://z.org/1") == "url = 'https://z.org/1'"
    assert f"webbrowser.open('{BASE}apps/tides/')" in lines("app", "apps/tides/", {"how": "portal"}, base=BASE)
    assert lines("share", "", {"how": "portal", "via": {}}, base=BASE) == ""


@pytest.mark.parametrize(
    "uri",
    ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "http://", "http://[", "", "https:"]
    + [" javascript:alert(1)", "JAVASCRIPT:alert(1)", "java\nscript:alert(1)"],
)
def test_nobody_is_sent_to_what_is_no_page(uri: str) -> None:
    for base in (BASE, ""):
        found = address(uri, base=base)
        assert found == "" or found.startswith((BASE, "https:///", "http:///")) or ":" not in found
        assert "javascript" not in found.lower().replace("\n", "") or found.startswith(BASE)


def test_an_address_of_the_portal_is_whole() -> None:
    assert address("apps/tides/", base=BASE) == f"{BASE}apps/tides/"
    assert address("apps/tides/", base="") == "apps/tides/"
    assert address("https://z.org/1", base=BASE) == "https://z.org/1"
    assert address("//evil.org/x", base="") == ""


def test_whatever_a_record_says_is_a_literal() -> None:
    """Each program has the same shape as that of a harmless record: no call, no name, no statement more."""
    dice = random.Random(7)

    def shape(code: str) -> list[str]:
        return [type(node).__name__ for node in ast.walk(ast.parse(code))]

    for _ in range(300):
        odd = "".join(dice.choices(ODD, k=8))
        for kind, uri, access, harmless in (
            ("file", odd, store(odd + ".csv", odd), store("x.csv")),
            ("file", odd, store(odd + ".x", odd), store("x")),
            ("doi", odd, {"how": "http", "via": {"doi": odd}}, None),
            ("url", "https://z.org/" + odd, {"how": "http", "via": {}}, None),
        ):
            code = lines(kind, uri, access, base=BASE)
            assert code.isascii() and code.count("\n") <= 7
            plain = harmless or {"how": "http", "via": {k: v[:15] for k, v in access["via"].items()}}
            if not harmless and kind == "doi":
                plain["via"]["doi"] = "10.1/x"
            assert shape(code) == shape(lines(kind, "https://z.org/1", plain, base=BASE))
