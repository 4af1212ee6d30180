"""JSON: tables of it, one record a line or all in one, GeoJSON with its properties and its extent, and any other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from vaas.errors import Unreadable
from vaas.insides.handed import Handed, Part
from vaas.insides.limits import MOST_TEXT
from vaas.insides.readers.values import PLOTTED, box_of, columns_told, number_of, shown, table_shown, time_of, type_of
from vaas.tabular import read_text

__all__ = ["look", "preview"]

#: A document is read whole, up to this; of a table in lines the beginning.
_WHOLE, _START, _COUNTED = 50_000_000, 2_000_000, 100_000_000
_LOOKED_AT, _NAMES, _PLACES = 1_000, 500, 2_000_000
_Records = Sequence[Mapping[str, Any]]


def look(handed: Handed) -> dict[str, Any]:
    """Tell of the columns of a table, of properties and extent, or of the names at the top."""
    if _is_lines(handed):
        records, count = _lines(handed.part)
        return _told("jsonl", records, count)
    document = _document(handed.part)
    if _is_geojson(document):
        features = _features(document)
        told = _told("geojson", [_mapping(each.get("properties")) for each in features], {"rows": len(features)})
        told["details"]["geometry"] = sorted({str(_mapping(each.get("geometry")).get("type")) for each in features})[
            :10
        ]
        title = document.get("name") or document.get("title") or ""
        return told | {"box": _box(document, features), "title": str(title)}
    if records := _table(document):
        return _told("json", records, {"rows": len(records)})
    names = [str(name) for name in islice(document, _NAMES)] if isinstance(document, Mapping) else []
    title = (
        next((document[key] for key in ("title", "name") if isinstance(document.get(key), str)), "") if names else ""
    )
    summary = document.get("description") if names and isinstance(document.get("description"), str) else ""
    return {"format": "json", "title": title, "summary": summary, "text": "\n".join(names)}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the first rows of a table, the beginning of any other document."""
    if _is_lines(handed):
        records, count = _lines(handed.part)
        return _shown(records, more=bool(count.get("rows", 0) > len(records)) or "rows_estimated" in count)
    document = _document(handed.part)
    if _is_geojson(document):
        return _shown([_mapping(each.get("properties")) for each in _features(document)], more=False)
    if records := _table(document):
        return _shown(records, more=False)
    return {"kind": "text", "text": json.dumps(document, indent=1, ensure_ascii=False)[: MOST_TEXT // 5]}


def _is_lines(handed: Handed) -> bool:
    if handed.suffix in {"jsonl", "ndjson"}:
        return True
    first, _, second = handed.part.start(100_000).partition(b"\n")
    return second.lstrip().startswith(b"{") and first.rstrip().startswith(b"{") and first.rstrip().endswith(b"}")


def _document(part: Part) -> Any:
    text, _ = read_text(part.whole(most=_WHOLE), cut=False)
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unreadable("It looks like JSON, but is broken or cut off.") from error


def _lines(part: Part) -> tuple[_Records, dict[str, Any]]:
    """Return the first records, and the number of them all."""
    data = part.start(_START)
    whole = len(data) < _START
    lines = data.splitlines()[: None if whole else -1]
    records = []
    for line in islice((each for each in lines if each.strip()), _LOOKED_AT):
        try:
            records.append(_mapping(json.loads(line)))
        except ValueError as error:
            raise Unreadable(f"Line {len(records) + 1} is no JSON.") from error
    if not records:
        raise Unreadable("Its first line is longer than 2 MB." if lines == [] else "There is nothing in it.")
    if whole:
        return records, {"rows": sum(1 for line in lines if line.strip())}
    if part.size <= _COUNTED:
        part.file.seek(0)
        return records, {"rows": sum(1 for line in part.file if line.strip())}
    guess = round(part.size / (sum(map(len, lines)) / len(lines) + 1))
    return records, {"rows": guess, "rows_estimated": True}


def _table(document: Any) -> _Records:
    """Return the records of a document that is a table: a list of records, or a record of lists; else none."""
    if isinstance(document, list):
        return document if document and all(isinstance(each, dict) for each in document) else []
    if isinstance(document, dict):
        lists = {name: each for name, each in document.items() if isinstance(each, list)}
        if len(lists) == len(document) > 0 and len({len(each) for each in lists.values()}) == 1:
            return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        for key in ("data", "records", "rows", "results", "features", "values"):
            found = lists.get(key)
            if found and all(isinstance(each, dict) for each in found):
                return found
    return []


def _columns(records: _Records) -> list[tuple[str, str]]:
    names: dict[str, None] = {}
    for record in records[:_LOOKED_AT]:
        names.update(dict.fromkeys(islice(record, _NAMES)))
        if len(names) > _NAMES:
            break
    some = records[:_LOOKED_AT]
    return [(str(name), _type(record.get(name) for record in some)) for name in islice(names, _NAMES)]


def _type(values: Iterator[Any]) -> str:
    kept = [value for value in values if value is not None]
    if any(isinstance(value, dict | list) for value in kept):
        return "nested"
    return type_of(str(value).lower() if isinstance(value, bool) else str(value) for value in kept)


def _told(name: str, records: _Records, count: Mapping[str, Any]) -> dict[str, Any]:
    columns = _columns(records)
    told = columns_told(columns) | {"format": name}
    told["details"] |= count
    complete = count.get("rows") == len(records)
    when = next((column for column, kind in columns if kind in {"date", "time"}), "")
    if complete and when:
        times = sorted(time for record in records if (time := time_of(record.get(when) or "")))
        told |= {"begins": times[0], "ends": times[-1]} if times else {}
    return told


def _shown(records: _Records, *, more: bool) -> dict[str, Any]:
    columns = _columns(records)[:60]
    rows = [[_cell(record.get(name)) for name, _ in columns] for record in records[:PLOTTED]]
    return table_shown(columns, rows, more=more or len(records) > len(rows))


def _cell(value: Any) -> object:
    return json.dumps(value)[:200] if isinstance(value, dict | list) else shown(value) if value is not None else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_geojson(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    kinds = {"FeatureCollection": "features", "Feature": "geometry", "GeometryCollection": "geometries"}
    return kinds.get(str(document.get("type")), "") in document


def _features(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if document["type"] == "Feature":
        return [document]
    if document["type"] == "GeometryCollection":
        return [{"geometry": each} for each in document["geometries"] if isinstance(each, dict)]
    found = document.get("features")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _box(document: Mapping[str, Any], features: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """Return the box around all places; an older file may say that its coordinates are no degrees."""
    crs = json.dumps(document.get("crs", ""))
    if "crs" in document and not any(each in crs for each in ("CRS84", "4326", "4258", "null")):
        return None
    places = list(islice((place for each in features for place in _places(each.get("geometry"))), _PLACES))
    return box_of([x for x, _ in places], [y for _, y in places]) if places else None


def _places(geometry: Any) -> Iterator[tuple[float, float]]:
    """Yield the places of a geometry, without recursion: it may be nested as deep as one likes."""
    waiting = [geometry]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [each.get("coordinates"), *(each.get("geometries") or ())]
        elif isinstance(each, list) and len(each) >= 2 and isinstance(each[0], int | float):
            x, y = number_of(each[0]), number_of(each[1])
            if x is not None and y is not None:
                yield x, y
        elif isinstance(each, list):
            waiting += each
