"""Records as people see them: what a card says, and all that there is to know of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from vaas.query import Clause
from vaas.widgets import links, markdowns

__all__ = ["FACETS", "KINDS", "card", "detail", "key_of", "name_of", "preview", "size_of"]

Json = dict[str, Any]

#: type → what several of them are called.
KINDS = {
    "app": "Apps",
    "notebook": "Notebooks",
    "data": "Data",
    "code": "Code",
    "folder": "Folders",
    "share": "Shares",
    "person": "People",
}
#: field → what it is called, in the order in which they are shown. Other catalogs may answer later: what they add has
#: nothing below it that would move.
FACETS = {"type": "Kind", "owner": "Owner", "tag": "Tags", "format": "Format", "catalog": "Where"}
_SUMMARY, _TAGS, _COLUMNS = 260, 3, 5
_ALL_COLUMNS, _TEXT = 200, 20_000
_ROWS, _CELLS, _CELL = 20, 24, 120
_POINTS = 2_000
#: What covers so much of all longitudes and latitudes is about the whole world: most data leave the poles out.
_WORLD = 0.6
#: Access to an app, from least to most.
_ASKED = ["VIEW", "READ", "WRITE"]
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def key_of(record: Mapping[str, Any]) -> str:
    """Return what a record is known by here."""
    return f"{record.get('catalog', '')} {record.get('id', '')}"


def name_of(field: str, value: str) -> str:
    """Return what a value of a field is called."""
    if field == "type":
        return KINDS.get(value, value)
    return "This portal" if (field, value) == ("catalog", "here") else value


def card(record: Mapping[str, Any]) -> Json:
    """Return what a card or a row says of a record."""
    summary = " ".join(str(record.get("summary") or "").split())
    columns, box = _texts(record.get("columns")), _box(record.get("box"))
    return {
        "key": key_of(record),
        "type": record.get("type") if record.get("type") in KINDS else "data",
        "title": str(record.get("title") or record.get("id") or "Without a title"),
        "summary": summary if len(summary) <= _SUMMARY else f"{summary[:_SUMMARY].rsplit(' ', 1)[0]}…",
        "owner": "" if record.get("type") == "person" else _owner(record),
        "format": _format(record),
        "tags": _texts(record.get("tags"))[:_TAGS],
        "columns": columns[:_COLUMNS],
        "more_columns": max(0, len(columns) - _COLUMNS),
        "size": size_of(record.get("size")),
        "changed": _day(record.get("changed")),
        "about": _span(record.get("begins"), record.get("ends")),
        "years": _years(record.get("begins"), record.get("ends")),
        "catalog": str(record.get("catalog") or ""),
        "url": links.safe_url(record.get("url")) if record.get("type") == "app" else "",
        "box": box,
        "world": _is_world(box),
        "note": str((record.get("details") or {}).get("note") or ""),
        # What the portal takes into a basket: neither people nor another collection.
        "keeps": record.get("type") != "person" and "basket" not in (record.get("details") or {}),
    }


def detail(record: Mapping[str, Any], *, launches: bool = False, visitor: str = "") -> Json:
    """Return all that there is to know of a record, and what can be done with it.

    Parameters
    ----------
    launches:
        Whether the portal starts servers with a copy of something.
    visitor:
        The name of who looks; "": nobody in particular, who cannot be given access to more.
    """
    return {
        **card(record),
        "summary": str(record.get("summary") or "")[:_TEXT],
        "tags": _texts(record.get("tags")),
        "columns": _texts(record.get("columns"))[:_ALL_COLUMNS],
        "more_columns": max(0, len(_texts(record.get("columns"))) - _ALL_COLUMNS),
        "facts": [{"name": name, "value": value} for name, value in _facts(record) if value],
        "actions": _actions(record, launches=launches, visitor=visitor),
        "code": str(record.get("code") or ""),
    }


def preview(told: Mapping[str, Any], *, markdown: bool = False) -> Json:
    """Return what is inside something with nothing in it that a page should not get.

    Parameters
    ----------
    markdown:
        A text is Markdown: it is told in parts, which the page shows as text alone.
    """
    kind = told.get("kind")
    if kind == "table":
        rows = [[str(cell)[:_CELL] for cell in row[:_CELLS]] for row in told.get("rows", [])[:_ROWS]]
        columns = [{"name": str(c.get("name", "")), "type": str(c.get("type", ""))} for c in told.get("columns", [])]
        more = bool(told.get("more"))
        return {"kind": kind, "columns": columns[:_CELLS], "rows": rows, "more": more, "plot": _plot(told.get("plot"))}
    if kind == "notebook":
        outline = [
            {"level": min(max(int(each.get("level", 1)), 1), 6), "text": str(each.get("text", ""))[:_CELL]}
            for each in told.get("outline", [])[:60]
        ]
        shown: Json = {"kind": kind, "outline": outline, "packages": _texts(told.get("packages"))[:40]}
        return {**shown, "text": str(told.get("text") or "")[:2_000], "picture": links.picture(told.get("picture"))}
    if kind == "image" and links.picture(told.get("picture")):
        return {"kind": kind, "picture": links.picture(told.get("picture"))}
    if kind == "text":
        text = str(told.get("text") or "")[:_TEXT]
        return {"kind": "prose", "blocks": markdowns.blocks(text)} if markdown else {"kind": kind, "text": text}
    if kind == "tree":
        named = ("name", "shape", "type", "unit")
        items = [{name: _said(each.get(name)) for name in named} for each in told.get("items", [])[:200]]
        return {"kind": kind, "items": items, "picture": links.picture(told.get("picture"))}
    return {"kind": "none", "why": str(told.get("why") or "There is nothing to look into.")}


def size_of(size: object) -> str:
    """Return a number of bytes in words."""
    if not isinstance(size, int) or size < 0:
        return ""
    if size < 1000:
        return f"{size} bytes" if size != 1 else "1 byte"
    step = next((n for n in range(1, len(_UNITS)) if size < 999.5 * 1000**n), len(_UNITS))
    value, unit = size / 1000**step, _UNITS[step - 1]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def _facts(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    details = record.get("details") or {}
    yield "Owner", "" if record.get("type") == "person" else str(record.get("owner") or "")
    yield "Authors", ", ".join(_texts(record.get("authors"))[:20])
    yield "Changed", _day(record.get("changed"))
    yield "About", _span(record.get("begins"), record.get("ends"))
    yield "Place", _place(_box(record.get("box")))
    yield "Format", _format(record)
    yield "Size", size_of(record.get("size"))
    yield "Rows", f"{details['rows']:,}" if isinstance(details.get("rows"), int) else ""
    yield "Licence", str(record.get("licence") or "")
    yield "Kernel", str(record.get("kernel") or "")
    yield "Uses", ", ".join(_texts(record.get("packages"))[:20])
    yield "Category", str(record.get("category") or "")
    yield "File", str(details.get("path") or "")
    yield "DOI", str(details.get("doi") or "")
    yield "Note", str(details.get("note") or "")


def _actions(record: Mapping[str, Any], *, launches: bool, visitor: str) -> list[Json]:
    """Return what can be done, the most likely first: a link, or something that is done here."""
    kind, url = record.get("type"), links.safe_url(record.get("url"))
    own = record.get("catalog") == "here"
    slug = str((record.get("details") or {}).get("slug") or "")
    names = {
        "app": "Open",
        "notebook": "Publish as an app",
        "share": "Open the collection",
        "person": "Show their apps",
    }
    found: list[Json] = []
    if url:
        name = names.get(str(kind), "Show in the portal") if own else "Open the page"
        icon = {"app": "play", "notebook": "publish"}.get(str(kind), "open") if own else "open"
        found.append({"do": "open", "name": name, "url": url, "icon": icon, "away": not own})
    if own and kind == "person" and (owner := str(record.get("owner") or "")):
        found.append({"do": "find", "name": "Find what is theirs", "q": str(Clause(owner, "owner")), "icon": "search"})
    if kind in {"notebook", "data", "code"} and (file := links.download(record)):
        found.append({"do": "download", "name": "Download", "url": file, "icon": "download", "away": False})
    if (own and kind in {"app", "notebook"}) or kind == "data":
        why = _why_not_launched(record, launches=launches, visitor=visitor)
        name = "Launch in JupyterLab"
        found.append({"do": "launch", "name": name, "url": links.launch(record), "icon": "rocket", "why": why})
    if own and visitor and (form := _form_of_a_run(record)):
        found.append({"do": "run", "name": "Run with other values", "url": form, "icon": "run", "away": False})
    if own and slug and visitor and visitor != record.get("owner") and (more := _to_ask_for(record)):
        found.append({"do": "ask", "name": "Ask for access", "slug": slug, "more": more, "icon": "key"})
    return found


def _why_not_launched(record: Mapping[str, Any], *, launches: bool, visitor: str) -> str:
    """Return why the visitor cannot launch it, "" where they can."""
    if not visitor:
        return "Sign in to launch it in a JupyterLab of your own."
    if not launches or not links.launch(record):
        return "This portal has no place where it could be launched."
    opens_only = (record.get("details") or {}).get("access") == "VIEW"
    return "You may open it, but not launch it. Ask its owner for more." if opens_only else ""


def _form_of_a_run(record: Mapping[str, Any]) -> str:
    """Return where a notebook is run with other values, below the portal; "" for what nobody or not everybody can."""
    details = record.get("details") or {}
    if record.get("type") == "app" and details.get("access") in {"READ", "WRITE"}:
        return links.safe_url(f"runs/new?{urlencode({'app': str(details.get('slug') or '')})}")
    if record.get("type") == "notebook" and details.get("store") and details.get("path"):
        return links.safe_url(f"runs/new?{urlencode({name: str(details[name]) for name in ('store', 'path')})}")
    return ""


def _to_ask_for(record: Mapping[str, Any]) -> list[str]:
    """Return what an owner can be asked for: more than who looks has already, where that is told."""
    has = (record.get("details") or {}).get("access")
    return _ASKED[_ASKED.index(has) + 1 :] if has in _ASKED else ["READ", "WRITE"]


def _format(record: Mapping[str, Any]) -> str:
    """Return the format where it tells more than the type: a notebook is a notebook."""
    said = str(record.get("format") or "")
    return "" if said in {record.get("type"), "ipynb"} else said


def _owner(record: Mapping[str, Any]) -> str:
    return str(record.get("owner") or next(iter(_texts(record.get("authors"))), ""))


def _texts(said: object) -> list[str]:
    return [str(each) for each in said] if isinstance(said, (list, tuple)) else []


def _said(value: object) -> str:
    text = " × ".join(map(str, value)) if isinstance(value, (list, tuple)) else str("" if value is None else value)
    return text[:_CELL]


def _time(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said)) if said else None
    except ValueError:
        return None


def _seconds(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _day(said: object) -> str:
    time = _time(said)
    return f"{time.day} {time:%b} {time.year}" if time else ""


def _span(begins: object, ends: object) -> str:
    first, last = _time(begins), _time(ends)
    if first is None or last is None:
        return _day(begins or ends)
    if last.year - first.year >= 2:
        return f"{first.year} – {last.year}"
    same = (first.year, first.month) == (last.year, last.month)
    return f"{first:%b} {first.year}" if same else f"{first:%b} {first.year} – {last:%b} {last.year}"


def _years(begins: object, ends: object) -> list[int] | None:
    """Return the first and the last year that it is about."""
    first, last = _time(begins) or _time(ends), _time(ends) or _time(begins)
    return [first.year, last.year] if first and last and first.year <= last.year else None


def _box(said: object) -> list[float] | None:
    """Return west, south, east and north where they are a place on the earth."""
    if not isinstance(said, (list, tuple)) or len(said) != 4:
        return None
    try:
        west, south, east, north = map(float, said)
    except (TypeError, ValueError):
        return None
    on_earth = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90
    return [west, south, east, north] if on_earth else None


def _is_world(box: list[float] | None) -> bool:
    """Tell whether it is (nearly) all of the world, which is no place to point at."""
    if box is None:
        return False
    west, south, east, north = box
    wide = east - west if west <= east else 360 + east - west
    return wide * (north - south) >= _WORLD * 360 * 180


def _place(box: list[float] | None) -> str:
    if box is None:
        return ""
    west, south, east, north = box
    sides = (_degrees(south, "S", "N"), _degrees(north, "S", "N")), (_degrees(west, "W", "E"), _degrees(east, "W", "E"))
    return ", ".join(one if one == other else f"{one} – {other}" for one, other in sides)


def _degrees(value: float, below: str, above: str) -> str:
    return f"{abs(value):.4g}° {below if value < 0 else above}" if value else "0°"


def _plot(said: object) -> Json | None:
    if not isinstance(said, Mapping) or said.get("kind") not in {"line", "bar", "scatter"}:
        return None
    xs, ys = list(said.get("x") or [])[:_POINTS], list(said.get("y") or [])[:_POINTS]
    points = [(x, float(y)) for x, y in zip(xs, ys, strict=False) if isinstance(y, (int, float)) and -1e300 < y < 1e300]
    if len(points) < 2:
        return None
    times = [_time(x) if isinstance(x, str) else None for x, _ in points]
    ends: list[str] = []
    if said["kind"] != "bar" and (known := [time for time in times if time]) and len(known) == len(points):
        points = sorted((_seconds(time), y) for time, (_, y) in zip(known, points, strict=True))
        first, last = min(known, key=_seconds), max(known, key=_seconds)
        ends = [_day(first), _day(last)] if _day(first) != _day(last) else [f"{first:%H:%M}", f"{last:%H:%M}"]
    numeric = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x, _ in points)
    return {
        "kind": said["kind"],
        "x": [x if numeric else str(x)[:40] for x, _ in points],
        "y": [y for _, y in points],
        "numeric": numeric,
        "ends": ends,
        "x_name": str(said.get("x_name") or "")[:60],
        "y_name": str(said.get("y_name") or "")[:60],
    }
