"""Folders that tell of themselves: a README, a Frictionless data package, an RO-Crate, a CITATION.cff."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from vaas.errors import Unreadable
from vaas.insides.handed import Handed, Part
from vaas.insides.readers.texts import prose
from vaas.insides.readers.values import box_of, number_of, time_of

__all__ = ["look", "preview"]

_MOST_METADATA = 10_000_000
_MOST_FILES, _MOST_PEOPLE, _MOST_COLUMNS = 200, 50, 500


def look(handed: Handed) -> dict[str, Any]:
    """Tell what the folder says of itself: the more it is made for machines the more it counts."""
    readme = _readme(handed)
    told: dict[str, Any] = prose(readme, markdown=_is_markdown(readme)) if readme else {}
    formats = []
    for name, read in (("citation.cff", _of_citation), ("datapackage.json", _of_package), (_CRATE, _of_crate)):
        part = next((each for each in handed.parts if each.name.lower() == name), None)
        if part is None:
            continue
        said = {key: value for key, value in read(part).items() if value}
        text = "\n".join(filter(None, (told.get("text", ""), said.pop("text", ""))))
        told = {**told, **said, "text": text}
        formats.append(_NAMES[name])
    return {**told, "type": "folder", "format": (formats or ["readme"])[-1]}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the README, or else what is said in its place."""
    readme = _readme(handed)
    told = prose(readme, markdown=False) if readme else look(handed)
    return {"kind": "text", "text": str(told.get("text") or told.get("summary") or "")[:20_000]}


_CRATE = "ro-crate-metadata.json"
_NAMES = {"citation.cff": "citation", "datapackage.json": "datapackage", _CRATE: "ro-crate"}


def _readme(handed: Handed) -> Part | None:
    found = sorted(
        (part for part in handed.parts if part.name.lower().startswith("readme")), key=lambda each: each.name
    )
    return next((part for part in found if _is_markdown(part)), found[0] if found else None)


def _is_markdown(part: Part) -> bool:
    return part.name.lower().endswith((".md", ".markdown")) or "." not in part.name


def _document(part: Part) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(part.whole(most=_MOST_METADATA)))
    except ValueError as error:
        raise Unreadable(f"Its {part.name} is broken.") from error


def _of_package(part: Part) -> dict[str, Any]:
    """Read Frictionless Data's descriptor, versions 1 and 2."""
    said = _document(part)
    resources = [_mapping(each) for each in _list(said.get("resources"))[:_MOST_FILES]]
    fields = [_mapping(each) for one in resources for each in _list(_mapping(one.get("schema")).get("fields"))]
    licences = [_mapping(each) for each in _list(said.get("licenses"))]
    people = _list(said.get("contributors")) or _list(said.get("author"))
    return {
        "title": _text(said.get("title")) or _text(said.get("name")),
        "summary": _text(said.get("description")),
        "text": "\n".join(_text(one.get(key)) for one in resources for key in ("title", "name", "description")),
        "authors": [_text(_mapping(each).get("title")) or _text(each) for each in people[:_MOST_PEOPLE]],
        "licence": next((_text(each.get("name")) or _text(each.get("title")) for each in licences), "")
        or _text(said.get("license")),
        "tags": [_text(each) for each in _list(said.get("keywords"))],
        "columns": [_text(each.get("name")) for each in fields[:_MOST_COLUMNS]],
        "details": {"files": [_text(one.get("path")) or _text(one.get("name")) for one in resources]},
        **_times(_mapping(said.get("temporal"))),
        **_place(said.get("spatial")),
    }


def _of_crate(part: Part) -> dict[str, Any]:
    """Read RO-Crate's metadata: the root data set, and what it refers to."""
    graph = [_mapping(each) for each in _list(_document(part).get("@graph"))]
    known = {each["@id"]: each for each in graph if isinstance(each.get("@id"), str)}
    about = _mapping(known.get(_CRATE, {}).get("about")).get("@id")
    root = known.get(about if isinstance(about, str) else "./", known.get("./", {}))
    keywords = root.get("keywords")
    words = keywords.split(",") if isinstance(keywords, str) else map(_text, _list(keywords))
    files = [each for each in graph if "File" in _kinds(each)][:_MOST_FILES]
    variables = [_named(each, known) for each in _all(root.get("variableMeasured"))]
    return {
        "title": _text(root.get("name")),
        "summary": _text(root.get("description")),
        "text": "\n".join(_text(each.get(key)) for each in files for key in ("name", "description")),
        "authors": [
            _named(each, known) for each in (_all(root.get("author")) + _all(root.get("creator")))[:_MOST_PEOPLE]
        ],
        "licence": next((_named(each, known) for each in _all(root.get("license"))), ""),
        "tags": [word.strip() for word in words if word.strip()],
        "columns": variables[:_MOST_COLUMNS],
        "details": {"files": [_text(each.get("@id")) for each in files]},
        **_interval(_text(root.get("temporalCoverage"))),
        **_covered(root.get("spatialCoverage"), known),
    }


def _of_citation(part: Part) -> dict[str, Any]:
    try:
        said = _mapping(yaml.safe_load(part.whole(most=200_000)))
    except yaml.YAMLError as error:
        raise Unreadable(f"Its {part.name} is broken.") from error
    people = [_mapping(each) for each in _list(said.get("authors"))[:_MOST_PEOPLE]]
    names = [f"{_text(each.get('given-names'))} {_text(each.get('family-names'))}".strip() for each in people]
    return {
        "title": _text(said.get("title")),
        "summary": _text(said.get("abstract")),
        "authors": [name or _text(each.get("name")) for name, each in zip(names, people, strict=True)],
        "licence": _text(said.get("license")),
        "tags": [_text(each) for each in _list(said.get("keywords"))],
    }


def _times(said: Mapping[str, Any]) -> dict[str, Any]:
    found = {"begins": time_of(said.get("start") or ""), "ends": time_of(said.get("end") or "")}
    return {name: value for name, value in found.items() if value}


def _interval(said: str) -> dict[str, Any]:
    """Read ``2020-01-01/2021-06-30``, or a year or a month alone."""
    begins, _, ends = said.partition("/")
    first, last = _day(begins, last=False), _day(ends or begins, last=True)
    return {name: value for name, value in (("begins", first), ("ends", last)) if value}


def _day(said: str, *, last: bool) -> str | None:
    said = said.strip()
    if len(said) == 4 and said.isdigit():
        return time_of(f"{said}-12-31" if last else f"{said}-01-01")
    if len(said) == 7 and said[4:5] == "-":
        return time_of(f"{said}-28" if last else f"{said}-01")
    return time_of(said)


def _place(said: Any) -> dict[str, Any]:
    box = _mapping(said).get("bbox")
    numbers = [number_of(each) for each in _list(box)]
    if len(numbers) != 4 or None in numbers:
        return {}
    return {"box": box_of([numbers[0], numbers[2]], [numbers[1], numbers[3]])}


def _covered(said: Any, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Read a GeoShape's box (south west north east, by schema.org) or a GeoCoordinates' point."""
    for each in _all(said):
        place = _mapping(known.get(str(_mapping(each).get("@id")), _mapping(each)))
        geo = _mapping(place.get("geo")) or place
        geo = known.get(str(geo.get("@id")), geo) if len(geo) == 1 else geo
        corners = [number_of(word) for word in _text(geo.get("box")).replace(",", " ").split()]
        if len(corners) == 4 and None not in corners:
            return {"box": box_of([corners[1], corners[3]], [corners[0], corners[2]])}
        x, y = number_of(geo.get("longitude")), number_of(geo.get("latitude"))
        if x is not None and y is not None:
            return {"box": box_of([x], [y])}
    return {}


def _named(said: Any, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of what is referred to, or what stands in its place."""
    if isinstance(said, str):
        return said
    reference = _text(_mapping(said).get("@id"))
    thing = known.get(reference, _mapping(said))
    return _text(thing.get("name")) or reference


def _kinds(each: Mapping[str, Any]) -> list[Any]:
    return _all(each.get("@type"))


def _all(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [] if said is None else [said]


def _text(said: Any) -> str:
    return said[:20_000] if isinstance(said, str) else ""


def _list(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _mapping(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}
