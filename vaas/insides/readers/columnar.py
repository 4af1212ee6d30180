"""Parquet, Arrow and Feather: the schema, the number of rows, and what the statistics say of time and place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from vaas.errors import Unreadable
from vaas.insides.handed import Handed, Part
from vaas.insides.readers.values import LATITUDES, LONGITUDES, PLOTTED, box_of, columns_told, table_shown, time_of

__all__ = ["look", "preview"]

#: So many columns are shown, so many groups of rows are asked for their statistics.
_SHOWN, _GROUPS = 60, 1_000
#: Arrow files have no table of contents with row counts: of larger ones the batches are not walked through.
_WALKED, _BATCHES = 500_000_000, 2_000
#: type of Arrow → what it is here; the longest first.
_TYPES = (
    ("timestamp", "time"), ("date", "date"), ("uint", "integer"), ("int", "integer"), ("float", "number"),
    ("double", "number"), ("halffloat", "number"), ("decimal", "number"), ("bool", "truth"), ("large_string", "text"),
    ("string", "text"),
)  # fmt: skip


def look(handed: Handed) -> dict[str, Any]:
    """Tell of columns and rows."""
    if _is_parquet(handed.part):
        file = pa.parquet.ParquetFile(pa.PythonFile(handed.part.file))
        details = {"rows": file.metadata.num_rows, "row_groups": file.metadata.num_row_groups}
        return _told("parquet", file.schema_arrow, details) | _about(file)
    if handed.part.head.startswith(b"FEA1"):
        raise Unreadable("It is a table of the first Feather format, which nothing writes any more.")
    source = _opened(handed.part)
    details = {}
    if handed.part.size <= _WALKED:
        batches = list(islice(_batches(source), _BATCHES))
        estimated = {"rows_estimated": True} if len(batches) == _BATCHES else {}
        details = {"rows": sum(batch.num_rows for batch in batches)} | estimated
    return _told("feather" if handed.suffix == "feather" else "arrow", source.schema, details)


def preview(handed: Handed) -> dict[str, Any]:
    """Show the first rows."""
    if _is_parquet(handed.part):
        file = pa.parquet.ParquetFile(pa.PythonFile(handed.part.file))
        names = file.schema_arrow.names[:_SHOWN]
        batch = next(file.iter_batches(batch_size=PLOTTED, columns=names, use_threads=False), None)
        return _shown(file.schema_arrow, batch, file.metadata.num_rows)
    source = _opened(handed.part)
    batches = list(islice(_batches(source), 2))
    rows = batches[0].num_rows + len(batches) - 1 if batches else 0
    return _shown(source.schema, batches[0] if batches else None, rows)


def _is_parquet(part: Part) -> bool:
    return part.head.startswith(b"PAR1")


def _opened(part: Part) -> Any:
    part.file.seek(0)
    file = pa.PythonFile(part.file)
    return pa.ipc.open_file(file) if part.head.startswith(b"ARROW1") else pa.ipc.open_stream(file)


def _batches(source: Any) -> Any:
    if hasattr(source, "num_record_batches"):
        return (source.get_batch(i) for i in range(source.num_record_batches))
    return iter(source)


def _told(name: str, schema: Any, details: Mapping[str, Any]) -> dict[str, Any]:
    told = columns_told([(field.name, str(field.type)[:60]) for field in schema])
    told["details"] |= details
    return told | {"format": name, **_metadata(schema.metadata or {})}


def _metadata(said: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return title and description, where somebody wrote them into the schema."""
    texts = {key.decode(errors="replace").lower(): value for key, value in islice(said.items(), 200)}
    found = {name: texts[name].decode(errors="replace")[:2_000] for name in ("title", "description") if name in texts}
    return {"title": found.get("title", ""), "summary": found.get("description", "")}


def _about(file: Any) -> dict[str, Any]:
    """Return time and place from the least and the greatest values of columns, which are in the file's foot."""
    names = [column.lower() for column in file.schema_arrow.names]
    x = next((i for i, name in enumerate(names) if name in LONGITUDES), -1)
    y = next((i for i, name in enumerate(names) if name in LATITUDES), -1)
    told: dict[str, Any] = {}
    if file.metadata.num_row_groups > _GROUPS or file.metadata.num_columns != len(names):
        return told | _of_geo(file)
    if x >= 0 and y >= 0:
        told["box"] = box_of(_ends(file, x), _ends(file, y))
    when = next((i for i, field in enumerate(file.schema_arrow) if pa.types.is_temporal(field.type)), -1)
    if when >= 0:
        times = sorted(time for value in _ends(file, when) if (time := time_of(value)))
        told |= {"begins": times[0], "ends": times[-1]} if times else {}
    return told | _of_geo(file)


def _ends(file: Any, column: int) -> Sequence[object]:
    found = []
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        if statistics is not None and statistics.has_min_max:
            found += [statistics.min, statistics.max]
    return found


def _of_geo(file: Any) -> dict[str, Any]:
    """Return the box that GeoParquet says, where its coordinates are degrees."""
    said = (file.schema_arrow.metadata or {}).get(b"geo", b"")
    try:
        geo = json.loads(said) if 0 < len(said) < 1_000_000 else {}
        column = geo["columns"][geo["primary_column"]]
        box, crs = column.get("bbox"), column.get("crs")
        degrees = crs is None or crs.get("id", {}).get("code") in (4326, "CRS84")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    if not degrees or not isinstance(box, list) or len(box) not in (4, 6):
        return {}
    half = len(box) // 2
    return {"box": [box[0], box[1], box[half], box[half + 1]]}


def _shown(schema: Any, batch: Any, rows: int) -> dict[str, Any]:
    columns = [(field.name, _plain(str(field.type))) for field in islice(schema, _SHOWN)]
    if batch is None:
        return table_shown(columns, [], more=False)
    part = batch.slice(0, PLOTTED)
    found = [_values(part.column(name)) for name, _ in zip(part.schema.names, columns, strict=False)]
    return table_shown(columns, list(zip(*found, strict=True)), more=rows > part.num_rows)


def _values(column: Any) -> list[object]:
    """Return the column's values; those that Python has no type for as Arrow writes them."""
    try:
        values: list[object] = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException, UnicodeDecodeError):
        values = [str(value) for value in column]
    return values


def _plain(kind: str) -> str:
    return next((name for begins, name in _TYPES if kind.startswith(begins)), kind[:40])
