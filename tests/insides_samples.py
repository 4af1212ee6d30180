"""Files of every format that is looked into, written by the field's own libraries, in the app environment.

``python -m tests.insides_samples FOLDER``. Each is a few kilobytes, and all are about the same: three days at sea.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import nbformat
import numcodecs
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import tifffile
from astropy.io import fits
from PIL import Image
from scipy.io import netcdf_file

DAYS = [datetime.datetime(2020, 1, day) for day in (1, 2, 3)]
TABLE = {
    "time": DAYS,
    "lat": [50.0, 51.0, 52.5],
    "lon": [7.0, 8.0, -3.0],
    "temperature": [4.5, 5.5, 6.0],
    "name": ["a", "b", "c"],
}
CSV = "time,lat,lon,temperature,name\n" + "".join(
    f"{day:%Y-%m-%d},{TABLE['lat'][i]},{TABLE['lon'][i]},{TABLE['temperature'][i]},{TABLE['name'][i]}\n"
    for i, day in enumerate(DAYS)
)


def main(folder: Path) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for write in (
        texts,
        columnar,
        workbook,
        classic,
        modern,
        hdf,
        sky,
        tiffs,
        pictures,
        notebook,
        documents,
        zarrs,
        folders,
    ):
        write(folder)


def texts(folder: Path) -> None:
    (folder / "plain.csv").write_text(CSV)
    (folder / "german.csv").write_bytes(
        "# Pegelstände der Nordsee\nOrt;Höhe in m\nHörnum;1,5\nBüsum;2,5\n".encode("cp1252")
    )
    (folder / "wide.tsv").write_bytes("a\tb\n1\t2.5\n3\t4\n".encode("utf-16"))
    (folder / "no_header.csv").write_text("1,2,x\n3,4,y\n5,6,z\n")
    (folder / "packed.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    rows = "".join(f"{i},{i * i},row {i}\n" for i in range(20_000))
    (folder / "long.csv").write_text(f"n,square,words\n{rows}")
    (folder / "words.md").write_text(
        "# Tides\n\nAll about *tides* and the [moon](https://example.org).\n\n## Data\n\nNone.\n"
    )
    (folder / "words.txt").write_text("Just some words.\nAnd some more.\n")


def table() -> Any:
    return pa.table(TABLE).replace_schema_metadata({"title": "Three days", "description": "Sea and air."})


def columnar(folder: Path) -> None:
    pa.parquet.write_table(table(), folder / "t.parquet", row_group_size=2)
    pa.feather.write_feather(table(), folder / "t.feather")
    with pa.ipc.new_file(str(folder / "t.arrow"), table().schema) as file:
        file.write_table(table())
    with pa.ipc.new_stream(str(folder / "stream.arrow"), table().schema) as stream:
        stream.write_table(table())


def workbook(folder: Path) -> None:
    book = openpyxl.Workbook()
    book.properties.title, book.properties.creator = "Three days", "Ada"
    book.active.title = "Readings"
    for row in [["day", "level"], [1, 2.5], [2, 3.5], [3, 1.25]]:
        book.active.append(row)
    book.create_sheet("Notes")
    book.save(folder / "book.xlsx")


def classic(folder: Path) -> None:
    with netcdf_file(str(folder / "classic.nc"), "w") as file:
        file.title, file.institution = "Sea surface", "Institute of the Sea"
        file.createDimension("time", 3)
        file.createDimension("lat", 5)
        file.createDimension("lon", 6)
        _axis(file, "time", "d", np.arange(3.0), "days since 2020-01-01")
        _axis(file, "lat", "f", np.linspace(40, 44, 5), "degrees_north")
        _axis(file, "lon", "f", np.linspace(350, 359, 6), "degrees_east")
        sst = file.createVariable("sst", "f", ("time", "lat", "lon"))
        sst[:] = np.arange(90).reshape(3, 5, 6)
        sst.units, sst.long_name = "K", "temperature of the sea surface"


def _axis(file: Any, name: str, kind: str, values: Any, units: str) -> None:
    axis = file.createVariable(name, kind, (name,))
    axis[:] = values
    axis.units = units


def modern(folder: Path) -> None:
    """Write NetCDF 4 the way its library does: HDF5 with scales, and marks of its own."""
    with h5py.File(folder / "modern.nc", "w") as file:
        file.attrs["_NCProperties"] = "version=2,netcdf=4.9.2,hdf5=1.14.4"
        file.attrs["title"], file.attrs["license"], file.attrs["keywords"] = "Model run", "CC-BY-4.0", "sea, model"
        file.attrs["creator_name"] = "Ada Lovelace"
        for name, values, units in (
            ("time", np.arange(3.0), "hours since 2021-06-01 00:00:00"),
            ("latitude", np.linspace(-10, 10, 5), "degrees_north"),
            ("longitude", np.linspace(-20, 20, 6), "degrees_east"),
        ):
            file[name] = values
            file[name].attrs["units"] = units
            file[name].make_scale(name)
        file["time"].attrs["calendar"] = "360_day"
        field = file.create_dataset("salinity", data=np.arange(90.0, dtype="f4").reshape(3, 5, 6), compression="gzip")
        field.attrs["units"] = "PSU"
        for i, name in enumerate(("time", "latitude", "longitude")):
            field.dims[i].attach_scale(file[name])


def hdf(folder: Path) -> None:
    with h5py.File(folder / "tree.h5", "w") as file:
        file["run/energy"] = np.arange(10.0)
        file["run/energy"].attrs["units"] = "eV"
        file["image"] = np.arange(400).reshape(20, 20)
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
        file["again"] = file["run"]


def sky(folder: Path) -> None:
    image = fits.PrimaryHDU(np.arange(400, dtype="f4").reshape(20, 20))
    said = {"OBJECT": "M31", "TELESCOP": "Hubble", "INSTRUME": "WFC3", "DATE-OBS": "2019-05-04T01:02:03"}
    said |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 40.0, "CRPIX1": 10.5, "CRPIX2": 10.5}
    said |= {"CDELT1": -0.1, "CDELT2": 0.1}
    image.header.update(said)
    stars = fits.BinTableHDU.from_columns(
        [fits.Column("flux", "E", unit="Jy", array=np.ones(7)), fits.Column("id", "J", array=np.arange(7))]
    )
    fits.HDUList([image, stars]).writeto(folder / "m31.fits", overwrite=True)


def tiffs(folder: Path) -> None:
    data = np.arange(2 * 30 * 40, dtype="u2").reshape(30, 40, 2)
    degrees = [(33550, "d", 3, (0.5, 0.5, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 5.0, 50.0, 0.0))]
    keys = (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 2, 2048, 0, 1, 4326))
    tifffile.imwrite(
        folder / "map.tif",
        data,
        extratags=[(*tag, True) for tag in (*degrees, keys)],
        photometric="minisblack",
        planarconfig="contig",
    )
    metres = [(33550, "d", 3, (100.0, 100.0, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0))]
    keys = (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32632))
    tifffile.imwrite(folder / "utm.tif", data[..., 0], extratags=[(*tag, True) for tag in (*metres, keys)])
    metres = [(33550, "d", 3, (100.0, 100.0, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 4_000_000.0, 3_000_000.0, 0.0))]
    keys = (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 3035))
    tifffile.imwrite(folder / "europe.tif", data[..., 0], extratags=[(*tag, True) for tag in (*metres, keys)])
    tifffile.imwrite(folder / "plain.tif", data[..., 0])


def pictures(folder: Path) -> None:
    image = Image.fromarray(np.zeros((30, 40, 3), "u1"))
    for name in ("p.png", "p.jpg", "p.gif", "p.webp"):
        image.save(folder / name)
    image.save(folder / "picture.csv", "PNG")
    (folder / "drawing.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><title>A line</title><script/></svg>')


def notebook(folder: Path) -> None:
    made = nbformat.v4.new_notebook()
    picture = io.BytesIO()
    Image.new("RGB", (20, 10)).save(picture, "PNG")
    shown = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(picture.getvalue()).decode()})
    made.cells = [
        nbformat.v4.new_markdown_cell("# Waves\n\nHow waves are <b>made</b>.\n\n## Wind"),
        nbformat.v4.new_code_cell(
            "import numpy as np, os\nfrom scipy import signal\nSECRET = 'not told'", outputs=[shown]
        ),
    ]
    made.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(made, folder / "waves.ipynb")


def documents(folder: Path) -> None:
    records = [{"day": f"{day:%Y-%m-%d}", "level": i, "place": {"x": 1}} for i, day in enumerate(DAYS)]
    (folder / "records.json").write_text(json.dumps(records))
    (folder / "lines.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    (folder / "settings.json").write_text(json.dumps({"title": "Settings", "description": "Of a run", "n": {"a": [1]}}))
    line = {"type": "LineString", "coordinates": [[5, 50], [6.5, 52]]}
    point = {"type": "Point", "coordinates": [4.0, 51.0, 3]}
    features = [
        {"type": "Feature", "properties": {"city": "Ghent", "people": 260}, "geometry": each} for each in (line, point)
    ]
    (folder / "places.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "name": "Places", "features": features})
    )


def zarrs(folder: Path) -> None:
    """Write what zarr 2.18 and 3.1 write beside their chunks."""
    two, three = folder / "two.zarr", folder / "three.zarr"
    for name, values, units in COORDINATES:
        _write_two(two / name, np.asarray(values, "<f8"), units)
        _write_three(three / name, np.asarray(values, "<i8"), units)
    for path in (two / "sst", three / "wind"):
        path.mkdir(parents=True, exist_ok=True)
    (two / ".zgroup").write_text('{"zarr_format": 2}')
    edges = {"lat_min": 1, "lat_max": 2, "lon_min": 3, "lon_max": 4}
    said = {"title": "Sea in chunks", **{f"geospatial_{name}": value for name, value in edges.items()}}
    (two / ".zattrs").write_text(json.dumps(said))
    array = {
        "chunks": [10, 10],
        "compressor": None,
        "dtype": "<f4",
        "fill_value": 0.0,
        "filters": None,
        "order": "C",
        "shape": [20, 30],
        "zarr_format": 2,
    }
    (two / "sst" / ".zarray").write_text(json.dumps(array))
    (two / "sst" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["y", "x"], "units": "K"}')
    (two / "sst" / "0.0").write_bytes(bytes(400))
    root = {
        "attributes": {"title": "Wind in chunks", "time_coverage_start": "2020-01-01"},
        "zarr_format": 3,
        "node_type": "group",
    }
    (three / "zarr.json").write_text(json.dumps(root))
    array = {
        "shape": [5, 6],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 6]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {"units": "m/s"},
        "dimension_names": ["y", "x"],
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }
    (three / "wind" / "zarr.json").write_text(json.dumps(array))


COORDINATES = (
    ("time", [0, 1, 2], "days since 2020-01-01"),
    ("lat", [10, 20, 30], "degrees_north"),
    ("lon", [-5, 0, 5], "degrees_east"),
)


def _write_two(array: Path, values: Any, units: str) -> None:
    array.mkdir(parents=True, exist_ok=True)
    codec = numcodecs.Blosc()
    said = {"chunks": [3], "shape": [3], "compressor": codec.get_config(), "dtype": "<f8", "filters": None}
    (array / ".zarray").write_text(json.dumps({**said, "fill_value": None, "order": "C", "zarr_format": 2}))
    (array / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": [array.name], "units": units}))
    (array / "0").write_bytes(codec.encode(values.tobytes()))


def _write_three(array: Path, values: Any, units: str) -> None:
    (array / "c").mkdir(parents=True, exist_ok=True)
    said = {
        **{"shape": [3], "data_type": "int64", "fill_value": 0, "zarr_format": 3, "node_type": "array"},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [3]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
        ],
        **{"attributes": {"units": units}, "dimension_names": [array.name], "storage_transformers": []},
    }
    (array / "zarr.json").write_text(json.dumps(said))
    (array / "c" / "0").write_bytes(numcodecs.Zstd().encode(values.tobytes()))


def folders(folder: Path) -> None:
    for name in ("package", "crate", "readme", "empty", "cited"):
        (folder / name).mkdir(exist_ok=True)
    levels = {"name": "levels", "path": "levels.csv", "schema": {"fields": [{"name": "time"}, {"name": "level"}]}}
    package = {
        **{"name": "tides", "title": "Tides of Europe", "description": "Hourly levels.", "keywords": ["sea", "tide"]},
        **{"licenses": [{"name": "CC-BY-4.0"}], "contributors": [{"title": "Ada"}], "resources": [levels]},
        "temporal": {"start": "2020-01-01", "end": "2020-12-31"},
    }
    (folder / "package" / "datapackage.json").write_text(json.dumps(package))
    (folder / "package" / "README.md").write_text("# Another title\n\nWhat is in here.\n")
    root = {
        **{"@id": "./", "@type": "Dataset", "name": "A crate", "description": "Of things.", "keywords": "one, two"},
        **{"license": {"@id": "#l"}, "author": [{"@id": "#ada"}], "temporalCoverage": "2019/2020"},
        **{"spatialCoverage": {"@id": "#p"}},
    }
    graph = [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}},
        root,
        {"@id": "#ada", "@type": "Person", "name": "Ada Lovelace"},
        {"@id": "#l", "@type": "CreativeWork", "name": "CC0"},
        {"@id": "#p", "@type": "Place", "geo": {"@id": "#g"}},
        {"@id": "#g", "@type": "GeoShape", "box": "50 4 52 6"},
        {"@id": "data.csv", "@type": "File", "name": "The data"},
    ]
    crate = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
    (folder / "crate" / "ro-crate-metadata.json").write_text(json.dumps(crate))
    (folder / "readme" / "README").write_text("# Plain\n\nOnly words.\n")
    cited = "cff-version: 1.2.0\ntitle: Cited\nauthors:\n- given-names: Ada\n  family-names: Lovelace\nlicense: MIT\n"
    (folder / "cited" / "CITATION.cff").write_text(cited)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("a.txt", "a")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
