"""What could be typed next: words that find something among what is shown, and why a value finds nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from vaas.query import Search
from vaas.widgets import shown
from vaas.widgets.verbs import Told

__all__ = ["hints", "quoted", "unknown"]

Counts = Mapping[str, Mapping[str, int]]

#: Values that are named in place of one that is not there.
_NAMED = 4
_WORDS = re.compile(r"\b[^\W\d_]{4,} [^\W\d_]{4,}\b")
_NAME = re.compile(r"[A-Za-z]\w{2,30}")
#: What one value of a field is called.
_ONE = {"type": "kind", "owner": "owner", "tag": "tag", "format": "format", "catalog": "catalog"}


def hints(records: Iterable[Told], counts: Counts, search: Search, *, total: int, months: Iterable[str]) -> list[str]:
    """Return one example of each way to ask that narrows what was found, and leaves something of it.

    Each is taken from what was found, so that nobody is led to nothing.
    """
    records = list(records)
    return [*_fields(records, counts, search, total), *_others(records, counts, search, total, months)] if total else []


def _fields(records: list[Told], counts: Counts, search: Search, total: int) -> Iterator[str]:
    for field in ("type", "tag"):
        # The most frequent that is not all of it.
        known = sorted(
            counts.get(field) or {}, key=lambda value: (counts[field][value] >= total, -counts[field][value])
        )
        value = next((each for each in known if '"' not in each), "")
        if value and not search.asked(field):
            yield f"{field}:{quoted(value)}"
    columns = (str(name) for record in records for name in record.get("columns") or ())
    column = next(filter(_NAME.fullmatch, columns), "")
    if column and "column:" not in str(search):
        yield f"column:{column}"


def _others(records: list[Told], counts: Counts, search: Search, total: int, months: Iterable[str]) -> Iterator[str]:
    titles = filter(None, (_WORDS.search(str(record.get("title") or "")) for record in records))
    phrase = next(titles, None)
    if phrase and not any(clause.exact for clause in search.words):
        yield f'"{phrase[0]}"'
    if (last := max(months, default="")) and not (search.after or search.before):
        yield f"after:{last[:4]}"
    kinds = sorted((count, kind) for kind, count in (counts.get("type") or {}).items() if count < total)
    if kinds and not any(clause.field == "type" for group in search.groups for clause in group):
        yield f"-type:{kinds[0][1]}"


def unknown(counts: Counts, search: Search) -> Iterator[str]:
    """Yield what is to be said of values of which there are none, where there are others."""
    for field, one in _ONE.items():
        known = sorted(counts.get(field) or {}, key=lambda value: (-counts[field][value], value))
        there = {each.lower() for each in known}
        for value in search.asked(field) if known else ():
            # What is no kind at all is said by whoever reads the query.
            if value not in there and (field != "type" or value in shown.KINDS):
                *others, last = (shown.name_of(field, each) for each in known[:_NAMED])
                told = f"{', '.join(others)} or {last}" if others else last
                yield f"Nothing that fits has the {one} “{shown.name_of(field, value)}”. Try {told}."


def quoted(value: str) -> str:
    """Return the value as it is typed."""
    return f'"{value}"' if " " in value else value
