"""Changing what was typed: turning a value of a facet on and off, and bounding dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from vaas.query import Clause, Search, parse

__all__ = ["about", "bounded", "here_first", "last_word", "leaves", "toggled", "years_in"]


#: Whose the other things are: no alternative to these.
_PERSON = "person"


def toggled(text: str, field: str, value: str) -> str:
    """Return the text with this value of the field asked for, or not any more; values of one field are alternatives."""
    search = parse(text)
    value = " ".join(value.replace('"', " ").split())
    if value.lower() in search.asked(field):
        kept = (tuple(each for each in group if not _is(each, field, value)) for group in search.groups)
        return str(replace(search, groups=tuple(filter(None, kept))))
    groups = list(search.groups)
    if field == "type" and _PERSON in {value.lower(), *search.asked(field)}:
        groups = [group for group in groups if not all(_of(each, field) for each in group)]
    clause = Clause(value, field)
    place = next((n for n, group in enumerate(groups) if all(_of(each, field) for each in group)), None)
    if place is None:
        groups.append((clause,))
    else:
        groups[place] = (*groups[place], clause)
    return str(replace(search, groups=tuple(groups)))


def bounded(text: str, after: str, before: str) -> str:
    """Return the text with these bounds, dates as YYYY-MM-DD; "", and what is no date: no bound."""
    return str(replace(parse(text), after=_day(after), before=_day(before)))


def about(text: str, first: object, last: object) -> str:
    """Return the text for what is about these years, and no others; what is no year: whatever it is about."""
    search = parse(text)
    kept = (tuple(each for each in group if not _of(each, "year")) for group in search.groups)
    groups = list(filter(None, kept))
    years = sorted(year for year in (_year(first), _year(last)) if year is not None)
    if years:
        low, high = years[0], years[-1]
        groups.append((Clause(f"{low:04}" if low == high else f"{low:04}..{high:04}", "year"),))
    return str(replace(search, groups=tuple(groups)))


def years_in(asked: str) -> tuple[int, int] | None:
    """Return the first and the last year of what is asked for, as in “1990..2000”; None: it is no year."""
    first, _, last = asked.partition("..")
    low, high = _year(first), _year(last or first)
    return None if low is None or high is None else (low, high)


def here_first(text: str) -> str:
    """Return the text for the portal's own catalog alone, unless it names others: those can be slow."""
    return text if parse(text).asked("catalog") else f"in:here {text}"


def leaves(text: str) -> bool:
    """Tell whether other catalogs are asked for this, too: then nobody knows how long it takes."""
    return set(parse(text).asked("catalog")) != {"here"}


def last_word(text: str) -> tuple[str, str, str]:
    """Return what stands before the last word, the field that it is asked of, and the word itself."""
    before, _, word = text.rpartition(" ")
    field, colon, part = word.partition(":")
    searched: Search = parse(word)
    if colon and (not part or any(each.field for group in searched.groups for each in group)):
        return before, field.lower(), part.strip('"')
    return before, "", word


def _is(clause: Clause, field: str, value: str) -> bool:
    return _of(clause, field) and clause.text.lower() == value.lower()


def _of(clause: Clause, field: str) -> bool:
    return clause.field == field and not clause.negated


def _year(said: object) -> int | None:
    text = str(said).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
