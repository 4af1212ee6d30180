"""What each format tells of itself, read by the real libraries from files that they wrote."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.insides import looking, write_samples
from tests.portal_fixture import app_python
from vaas.catalogs.looking import AppLooker
from vaas.errors import Unreadable
from vaas.insides.base import Inside
from vaas.loading import opening, table_line, written
from vaas.readers import MODULES, format_of

pytestmark = [pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]

Look = Callable[[str], Awaitable[Inside]]
Preview = Callable[[str], Awaitable[dict[str, Any]]]
COLUMNS = ("time", "lat", "lon", "temperature", "name")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def looker() -> AsyncIterator[AppLooker]:
    async with looking() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def look(looker: AppLooker, samples: Path) -> Look:
    async def looked(name: str) -> Inside:
        return await looker.look(samples / name, name=name)

    return looked


@pytest_asyncio.fixture(loop_scope="module")
async def preview(looker: AppLooker, samples: Path) -> Preview:
    async def shown(name: str) -> dict[str, Any]:
        return await looker.preview(samples / name, name=name)

    return shown


#: The formats whose files are opened.
OPENED = ("netcdf", "hdf5", "tiff", "fits", "geojson", "parquet", "arrow", "excel")


def day(year: int, month: int = 1, date: int = 1, hour: int = 0) -> datetime:
    return datetime(year, month, date, hour, tzinfo=UTC)


@pytest.mark.parametrize("name", ["plain.csv", "packed.csv.gz", "t.parquet"])
async def test_a_table_tells_its_columns_rows_time_and_place(look: Look, name: str) -> None:
    inside = await look(name)
    assert inside.columns == COLUMNS
    assert inside.details["rows"] == 3 and "rows_estimated" not in inside.details
    assert (inside.begins, inside.ends) == (day(2020), day(2020, 1, 3))
    assert inside.box == (-3.0, 50.0, 8.0, 52.5)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather", "stream.arrow"])
async def test_a_table_of_arrow_tells_its_schema(look: Look, name: str) -> None:
    inside = await look(name)
    assert inside.format == {"t.parquet": "parquet", "t.feather": "feather"}.get(name, "arrow")
    assert inside.columns == COLUMNS and inside.details["rows"] == 3
    assert inside.details["types"]["temperature"] == "double"
    assert (inside.title, inside.summary) == ("Three days", "Sea and air.")


async def test_types_are_found_in_what_is_written(look: Look) -> None:
    types = (await look("plain.csv")).details["types"]
    assert types == {"time": "date", "lat": "number", "lon": "number", "temperature": "number", "name": "text"}


async def test_a_table_from_an_old_office_is_read_as_it_is_written(look: Look) -> None:
    inside = await look("german.csv")
    assert inside.columns == ("Ort", "Höhe in m") and inside.summary == "Pegelstände der Nordsee"
    assert inside.details["types"] == {"Ort": "text", "Höhe in m": "number"}
    assert inside.details["encoding"] == "windows-1252" and inside.details["delimiter"] == "semicolon"


async def test_tabs_and_wide_characters_are_known(look: Look) -> None:
    inside = await look("wide.tsv")
    assert (inside.format, inside.columns) == ("tsv", ("a", "b"))
    assert inside.details["types"] == {"a": "integer", "b": "number"}


async def test_a_table_without_a_header_has_numbered_columns(look: Look) -> None:
    inside = await look("no_header.csv")
    assert inside.columns == ("column 1", "column 2", "column 3")
    assert inside.details["rows"] == 3 and inside.details["header"] is False


#: What is written → as what it is loaded: its columns, and its second row.
WRITTEN: dict[str, tuple[bytes, list[str], list[Any]]] = {
    "office.csv": ("Ort;Höhe\nHörnum;1,5\nBüsum;2,5\n".encode("cp1252"), ["Ort", "Höhe"], ["Büsum", 2.5]),
    "points.csv": (b"a;b\nx;1.5\ny,z;2.5\n", ["a", "b"], ["y,z", 2.5]),
    "latin.tab": ("Ort\tn\nA\x81\t1\nÉ\x81\t2\n".encode("latin-1"), ["Ort", "n"], ["É\x81", 2]),
    "mark.csv": ("é|n\na|1\nü|2\n".encode("utf-8-sig"), ["é", "n"], ["ü", 2]),
    "wide.csv.gz": (gzip.compress("é,n\na,1\nü,2\n".encode("utf-16")), ["é", "n"], ["ü", 2]),
    "log.csv": (b"# level  n\n#\n 1.5   1\n 2.5   2\n", ["0", "1"], [2.5, 2]),
    "years.csv": (b"country,2019,2020\nNorway,5,6\nItaly,7,8\n", ["country", "2019", "2020"], ["Italy", 7, 8]),
    "spans.csv": (b"Oslo,1999,2000\nRome,1987,1999\n", ["0", "1", "2"], ["Rome", 1987, 1999]),
}


async def test_a_table_is_loaded_as_it_is_written(looker: AppLooker, tmp_path: Path) -> None:
    """By pandas, told what the reader found: in each encoding, with each separator, with a head and without."""
    loaded = ["import json, pandas as pd", "rows = []"]
    for name, (data, _, _) in WRITTEN.items():
        (tmp_path / name).write_bytes(data)
        said = written((await looker.look(tmp_path / name, name=name)).details)
        loaded.append(f"rows.append({table_line(name, ascii(str(tmp_path / name)), said)})")
    loaded.append("print(json.dumps([[list(map(str, each)), each.iloc[1].tolist()] for each in rows], default=float))")
    done = subprocess.run([app_python(), "-c", "\n".join(loaded)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert dict(zip(WRITTEN, json.loads(done.stdout), strict=True)) == {n: list(w[1:]) for n, w in WRITTEN.items()}


async def test_what_a_launch_says_opens_it_runs_with_what_is_in_its_environment(samples: Path) -> None:
    names = ["classic.nc", "modern.nc", "tree.h5", "map.tif", "m31.fits", "places.geojson", "t.parquet", "t.feather"]
    names += ["book.xlsx", "plain.csv", "packed.csv.gz"]
    look = f"import importlib.util as u, json; print(json.dumps([m for m in {sorted(MODULES)} if u.find_spec(m)]))"
    there = json.loads(subprocess.run([app_python(), "-c", look], capture_output=True, check=True).stdout)
    programs = [opening(name, ascii(str(samples / name)), there=there) for name in names]
    code = "\n".join(f"{begin}\nopened = {call}\nassert opened is not None" for begin, call in programs)
    done = subprocess.run([app_python(), "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {format_of(name) for name in names} == {*OPENED, ""}


async def test_rows_are_counted_exactly_while_that_is_cheap(look: Look) -> None:
    inside = await look("long.csv")
    assert inside.details["rows"] == 20_000 and "rows_estimated" not in inside.details


async def test_rows_of_a_large_table_are_estimated_and_said_to_be(look: Look, samples: Path) -> None:
    with (samples / "large.csv").open("w") as file:
        file.write("n,word\n")
        file.writelines(f"{i:08},word\n" for i in range(2_500_000))
    inside = await look("large.csv")
    assert inside.details["rows_estimated"] is True
    assert 2_400_000 < inside.details["rows"] < 2_600_000


async def test_quotes_around_line_ends_are_one_row(look: Look, samples: Path) -> None:
    (samples / "quoted.csv").write_text("n,words\n" + '1,"two\nlines"\n' * 5_000)
    assert (await look("quoted.csv")).details["rows"] == 5_000


async def test_a_workbook_tells_its_sheets(look: Look) -> None:
    inside = await look("book.xlsx")
    assert (inside.format, inside.columns, inside.title) == ("excel", ("day", "level"), "Three days")
    assert inside.details["sheets"] == ["Readings", "Notes"] and inside.authors == ("Ada",)
    assert inside.details["rows"] == 3 and inside.details["rows_estimated"] is True


async def test_classic_netcdf_tells_variables_axes_time_and_place(look: Look) -> None:
    inside = await look("classic.nc")
    assert (inside.format, inside.title, inside.columns[0]) == ("netcdf", "Sea surface", "sst")
    assert inside.details["units"]["sst"] == "K" and inside.details["shape"]["sst"] == "3 × 5 × 6"
    assert inside.details["axes"] == {"time": "time", "lat": "latitude", "lon": "longitude"}
    assert (inside.begins, inside.ends) == (day(2020), day(2020, 1, 3))
    # East of Greenwich by 350 to 359 degrees.
    assert inside.box == (-10.0, 40.0, -1.0, 44.0)
    assert "temperature of the sea surface" in inside.text


async def test_netcdf_4_tells_the_same(look: Look) -> None:
    inside = await look("modern.nc")
    assert (inside.format, inside.licence, inside.tags) == ("netcdf", "CC-BY-4.0", ("sea", "model"))
    assert inside.authors == ("Ada Lovelace",) and inside.box == (-20.0, -10.0, 20.0, 10.0)
    assert (inside.begins, inside.ends) == (day(2021, 6), day(2021, 6, 1, 2))


async def test_hdf5_tells_its_tree_and_follows_no_link_out_of_it(look: Look, preview: Preview) -> None:
    inside = await look("tree.h5")
    assert inside.format == "hdf5" and "image" in inside.columns
    assert [name for name in inside.columns if "elsewhere" in name or "passwd" in name] == []
    shown = await preview("tree.h5")
    assert {"name": "image", "shape": "20 × 20", "type": "int64", "unit": ""} in shown["items"]
    assert shown["picture"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("name", "title", "variable", "unit"),
    [("two.zarr", "Sea in chunks", "sst", "K"), ("three.zarr", "Wind in chunks", "wind", "m/s")],
)
async def test_zarr_tells_what_metadata_and_coordinates_say(
    look: Look, name: str, title: str, variable: str, unit: str
) -> None:
    inside = await look(name)
    assert (inside.type, inside.format, inside.title) == ("data", "zarr", title)
    assert inside.columns == (variable, "lat", "lon", "time")
    assert inside.details["types"][variable] == "float32" and inside.details["units"][variable] == unit
    # In one folder the start of time is said by an attribute; the coordinates go before that.
    assert (inside.begins, inside.ends) == (day(2020), day(2020, 1, 3))
    assert inside.box == (-5.0, 10.0, 5.0, 30.0)


async def test_what_unpacks_a_coordinate_is_not_taken_from_the_file(look: Look, samples: Path) -> None:
    """The library knows a codec that runs what it unpacks."""
    array = samples / "two.zarr" / "lat" / ".zarray"
    before = array.read_text()
    array.write_text(json.dumps(json.loads(before) | {"compressor": {"id": "pickle", "protocol": 5}}))
    try:
        inside = await look("two.zarr")
    finally:
        array.write_text(before)
    assert inside.columns[0] == "sst" and inside.box == (3.0, 1.0, 4.0, 2.0), "as the attributes say"


async def test_fits_tells_object_telescope_time_and_part_of_the_sky(look: Look) -> None:
    inside = await look("m31.fits")
    assert (inside.format, inside.title, inside.columns) == ("fits", "M31", ("flux", "id"))
    assert inside.details["telescope"] == "Hubble" and inside.details["units"] == {"flux": "Jy"}
    assert inside.begins == datetime(2019, 5, 4, 1, 2, 3, tzinfo=UTC)
    west, south, east, north = inside.details["sky"]
    assert west < 10 < east and (south, north) == (39.0, 41.0)
    assert inside.box is None, "the sky is no place on a map"


async def test_a_geotiff_tells_bands_and_extent(look: Look) -> None:
    inside = await look("map.tif")
    assert (inside.format, inside.columns, inside.box) == ("geotiff", ("band 1", "band 2"), (5.0, 35.0, 25.0, 50.0))
    assert inside.details["crs"] == "EPSG:4326"


async def test_an_extent_in_metres_is_turned_into_degrees(look: Look) -> None:
    box = (await look("utm.tif")).box
    # The middle of zone 32 is 9° E; 5,000 km of the equator is 45.1535° N there.
    assert box == pytest.approx((9.0, 45.1265, 9.0509, 45.1535), abs=1e-3)


async def test_an_extent_in_the_grid_of_europe_is_turned_into_degrees(look: Look) -> None:
    box = (await look("europe.tif")).box
    # As PROJ says.
    assert box == pytest.approx((5.517796, 49.997202, 5.576018, 50.026301), abs=1e-5)


async def test_geojson_tells_properties_and_extent(look: Look) -> None:
    inside = await look("places.geojson")
    assert (inside.format, inside.title, inside.columns) == ("geojson", "Places", ("city", "people"))
    assert inside.box == (4.0, 50.0, 6.5, 52.0)


@pytest.mark.parametrize(("name", "found"), [("records.json", "json"), ("lines.jsonl", "jsonl")])
async def test_json_may_be_a_table(look: Look, name: str, found: str) -> None:
    inside = await look(name)
    assert (inside.format, inside.columns) == (found, ("day", "level", "place"))
    assert inside.details["rows"] == 3 and inside.ends == day(2020, 1, 3)


async def test_a_notebook_tells_its_text_and_packages_and_no_code(look: Look) -> None:
    inside = await look("waves.ipynb")
    assert (inside.type, inside.title, inside.summary) == ("notebook", "Waves", "How waves are made.")
    assert inside.packages == ("numpy", "scipy") and inside.kernel == "python3"
    assert "SECRET" not in repr(inside) and "not told" not in inside.text


@pytest.mark.parametrize(("name", "title"), [("words.md", "Tides"), ("words.txt", "")])
async def test_a_text_tells_its_first_words(look: Look, name: str, title: str) -> None:
    inside = await look(name)
    assert inside.title == title and inside.summary and inside.text


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.gif", "p.webp"])
async def test_a_picture_tells_its_size_and_is_shown(look: Look, preview: Preview, name: str) -> None:
    assert (await look(name)).details == {"width": 40, "height": 30}
    assert (await preview(name))["picture"].startswith("data:image/")


async def test_a_data_package_tells_of_its_folder(look: Look) -> None:
    inside = await look("package")
    assert (inside.type, inside.format, inside.title) == ("folder", "datapackage", "Tides of Europe")
    assert (inside.licence, inside.authors, inside.tags) == ("CC-BY-4.0", ("Ada",), ("sea", "tide"))
    assert inside.columns == ("time", "level") and inside.ends == day(2020, 12, 31)
    assert "What is in here." in inside.text


async def test_a_crate_tells_of_its_folder(look: Look) -> None:
    inside = await look("crate")
    assert (inside.format, inside.title, inside.authors) == ("ro-crate", "A crate", ("Ada Lovelace",))
    assert (inside.licence, inside.tags, inside.box) == ("CC0", ("one", "two"), (4.0, 50.0, 6.0, 52.0))
    assert (inside.begins, inside.ends) == (day(2019), day(2020, 12, 31))


async def test_a_readme_and_a_citation_tell_of_their_folders(look: Look) -> None:
    assert (await look("readme")).title == "Plain"
    assert (await look("cited")).authors == ("Ada Lovelace",)


async def test_a_folder_that_says_nothing_is_unreadable(look: Look) -> None:
    with pytest.raises(Unreadable, match="no README"):
        await look("empty")


async def test_what_nobody_reads_has_its_format_alone(look: Look, preview: Preview) -> None:
    assert (await look("archive.zip")) == Inside(format="zip")
    with pytest.raises(Unreadable, match="zip archive"):
        await preview("archive.zip")


async def test_a_table_is_shown_with_a_plot(preview: Preview) -> None:
    for name in ("plain.csv", "t.parquet"):
        shown = await preview(name)
        assert [each["name"] for each in shown["columns"]] == list(COLUMNS)
        assert len(shown["rows"]) == 3 and shown["more"] is False
        plot = shown["plot"]
        assert (plot["kind"], plot["x_name"], plot["y_name"]) == ("line", "time", "temperature")
        assert plot["y"] == [4.5, 5.5, 6.0]


async def test_of_a_long_table_twenty_rows_are_shown(preview: Preview) -> None:
    shown = await preview("long.csv")
    assert len(shown["rows"]) == 20 and shown["more"] is True
    assert len(shown["plot"]["x"]) == 200


@pytest.mark.parametrize("name", ["classic.nc", "modern.nc", "m31.fits"])
async def test_variables_are_shown_with_a_picture(preview: Preview, name: str) -> None:
    shown = await preview(name)
    assert shown["kind"] == "tree" and shown["items"] and shown["picture"].startswith("data:image/png")


async def test_a_notebook_is_shown_with_its_picture(preview: Preview) -> None:
    shown = await preview("waves.ipynb")
    assert shown["outline"] == [{"level": 1, "text": "Waves"}, {"level": 2, "text": "Wind"}]
    assert shown["picture"].startswith("data:image/png") and shown["packages"] == ["numpy", "scipy"]


async def test_an_svg_is_never_shown(preview: Preview) -> None:
    with pytest.raises(Unreadable, match="may hold a program"):
        await preview("drawing.svg")
