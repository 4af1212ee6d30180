"""What people type into the search: words, "phrases", beginnings*, field:value, -not this, this OR that, and dates.

Everything can be typed: what is no field or no date is searched for as it stands, with a note where that helps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

__all__ = ["FIELDS", "KINDS", "Clause", "Search", "begun_value", "parse"]

#: What can be asked for by name, and the words that mean the same.
FIELDS: Mapping[str, str] = {
    "type": "type",
    "kind": "type",
    "owner": "owner",
    "by": "owner",
    "author": "author",
    "tag": "tag",
    "tags": "tag",
    "subject": "tag",
    "category": "category",
    "title": "title",
    "name": "name",
    "file": "name",
    "id": "id",
    "column": "column",
    "variable": "column",
    "band": "column",
    "uses": "package",
    "package": "package",
    "kernel": "kernel",
    "language": "kernel",
    "format": "format",
    "takes": "takes",
    "during": "year",
    "year": "year",
    "in": "catalog",
    "catalog": "catalog",
}
#: What the values of “type” are called, and the words that mean the same.
KINDS: Mapping[str, str] = {
    **{name: name for name in ("app", "notebook", "data", "code", "folder", "share", "person")},
    **{"apps": "app", "notebooks": "notebook", "dataset": "data", "datasets": "data", "folders": "folder"},
    **{"program": "code", "programs": "code", "shares": "share", "people": "person", "persons": "person"},
}
_DATES = {"after": "after", "since": "after", "before": "before", "until": "before"}
#: Nobody types more; a machine that does is answered by what its first words find.
_MOST_CHARACTERS, _MOST_CLAUSES = 1_000, 32
_PIECE = re.compile(
    r"""(?P<minus>-)?(?:(?P<field>[A-Za-z]{2,12}):(?=\S))?(?:"(?P<phrase>[^"]*)(?P<closed>")?|(?P<word>[^\s"]+))"""
)
#: A text that ends within the value of a field.
_BEGUN = re.compile(r"""((?:.*\s)?-?([A-Za-z]{2,12}):)(?:"([^"]*)|([^\s"]*))""", re.DOTALL)
#: In capital letters these are no words. “AND” changes nothing: all that is asked for must be there anyway.
_SIGNS = frozenset({"AND", "NOT", "OR", "|"})
#: They begin addresses and identifiers, which are looked for whole.
_NO_FIELDS = frozenset({"ark", "arxiv", "doi", "ftp", "hdl", "http", "https", "isbn", "orcid", "pmid", "urn"})
_AGO = re.compile(r"(\d{1,4})([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


@dataclass(frozen=True)
class Clause:
    """One thing that is asked for.

    Parameters
    ----------
    text:
        As it was typed, without quotation marks.
    field:
        One of the values of :data:`FIELDS`; "" for anywhere.
    exact:
        It stood in quotation marks: its words in this order.
    prefix:
        Words that begin so are meant as well.
    negated:
        It must not be there.
    """

    text: str
    field: str = ""
    exact: bool = False
    prefix: bool = False
    negated: bool = False

    def __str__(self) -> str:
        quoted = f'"{self.text}"' if self.exact or " " in self.text else self.text
        return f"{'-' * self.negated}{self.field}{':' * bool(self.field)}{quoted}{'*' * self.prefix}"


@dataclass(frozen=True)
class Search:
    """What was asked: of each group of clauses, one must hold. ``after`` (included) and ``before`` (not) bound dates.

    Where we ask ourselves, ``after`` may be a moment as well; our own index takes it to the second.

    ``notes`` tell the asker what was not understood.
    """

    groups: tuple[tuple[Clause, ...], ...] = ()
    after: date | None = None
    before: date | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        return bool(self.groups or self.after or self.before)

    def __str__(self) -> str:
        """Write it so that :func:`parse` reads the same."""
        groups = [" OR ".join(map(str, group)) for group in self.groups]
        bounds = (("after", self.after), ("before", self.before))
        return " ".join([*groups, *(f"{name}:{day.isoformat()}" for name, day in bounds if day)])

    @property
    def words(self) -> tuple[Clause, ...]:
        """What must be there and may be anywhere: what a result is ranked by."""
        return tuple(each for group in self.groups for each in group if not each.field and not each.negated)

    def asked(self, name: str) -> tuple[str, ...]:
        """Return what this field must be, in small letters: alternatives, or () where anything may."""
        fitting = (group for group in self.groups if all(each.field == name and not each.negated for each in group))
        return tuple(each.text.lower() for group in fitting for each in group)

    def without(self, name: str) -> Search:
        """Return the search as it is if nobody asks for this field."""
        groups = (tuple(each for each in group if each.field != name) for group in self.groups)
        return replace(self, groups=tuple(filter(None, groups)))

    def at(self, catalog: str) -> Search | None:
        """Return what it asks of the catalog of this id, which need not know what it is called; None: it is not asked.

        Of several that must be it, one is enough.
        """
        named = self.asked("catalog")
        if named and catalog not in named:
            return None
        groups = []
        for group in self.groups:
            told = [each for each in group if each.field == "catalog"]
            if told and any((each.text.lower() == catalog) != each.negated for each in told):
                continue
            left = tuple(each for each in group if each not in told)
            if left:
                groups.append(left)
            elif any(each.negated for each in told):
                return None
        return replace(self, groups=tuple(groups))


def parse(text: str, *, typing: bool = False, now: datetime | None = None) -> Search:
    """Return what the text asks for.

    Parameters
    ----------
    text:
        What was typed; nothing in it is an error.
    typing:
        The last word may not be complete.
    now:
        The moment that "7d" counts back from; by default, this one.
    """
    text = "".join(character if character.isprintable() else " " for character in text[:_MOST_CHARACTERS])
    today = (now or datetime.now(UTC)).date()
    found = _Reading(today)
    for piece in _PIECE.finditer(text):
        found.take(piece)
    last = found.groups[-1][-1] if found.groups and not found.joins else None
    if typing and last and text[-1:].isalnum() and not last.exact and not last.negated:
        found.groups[-1][-1] = replace(last, prefix=True)
    groups = tuple(tuple(group) for group in found.groups)
    notes = dict.fromkeys((*found.notes, *_unknown_kinds(groups)))
    return Search(groups, found.after, found.before, tuple(notes))


def begun_value(text: str) -> tuple[str, str, str] | None:
    """Return of a text that ends with a field's value: what stands before it, which field it is, and the value."""
    if not (begun := _BEGUN.fullmatch(text[:_MOST_CHARACTERS])) or begun[2].lower() not in FIELDS:
        return None
    return begun[1], FIELDS[begun[2].lower()], begun[4] if begun[3] is None else begun[3]


class _Reading:
    """What has been read so far."""

    def __init__(self, today: date) -> None:
        self._today = today
        self.groups: list[list[Clause]] = []
        self.notes: list[str] = []
        self.after: date | None = None
        self.before: date | None = None
        #: Whether the next clause is an alternative to the last.
        self.joins = False
        #: Whether the next clause must not be there.
        self._denies = False
        self._count = 0

    def take(self, piece: re.Match[str]) -> None:
        """Take the next piece."""
        name, word, phrase = piece["field"] or "", piece["word"], piece["phrase"]
        if piece[0] in _SIGNS:
            self.joins = piece[0] in {"OR", "|"} and bool(self.groups)
            self._denies = piece[0] == "NOT"
        elif name.lower() in _DATES and not piece["minus"]:
            self._bound(_DATES[name.lower()], word or phrase or "")
        else:
            known = FIELDS.get(name.lower(), "")
            if name and not known:
                self._wonder(name, piece[0].lstrip("-").rstrip("*"), word or phrase or "")
            clause = self._clause(word, phrase, before="" if known or not name else f"{name}:")
            if clause is not None:
                if known == "type" and (kind := KINDS.get(clause.text.lower())):
                    clause = replace(clause, text=clause.text if clause.text.lower() == kind else kind)
                self._add(replace(clause, field=known, negated=bool(piece["minus"]) or self._denies))
                self._denies = False

    def _wonder(self, name: str, piece: str, value: str) -> None:
        """Note that this is no field; what may well be an address is nothing to wonder at."""
        if name.lower() in _DATES:
            self.notes.append(f"A minus before “{piece}” means nothing, so it is searched for as it stands.")
        elif name.lower() not in _NO_FIELDS and not value.startswith("//"):
            fields = "type, owner, tag, format, column, name and uses"
            self.notes.append(f"There is no field “{name}”; “{piece}” is searched for as it stands. Try {fields}.")

    def _clause(self, word: str | None, phrase: str | None, *, before: str) -> Clause | None:
        if word is None:
            text = " ".join((before + (phrase or "")).split())
            return Clause(text, exact=True) if text else None
        prefix = word.endswith("*")
        text = before + word.rstrip("*")
        # What has no letter and no digit finds nothing, and would hide what the rest finds.
        return Clause(text, prefix=prefix) if any(map(str.isalnum, text)) else None

    def _add(self, clause: Clause) -> None:
        self._count += 1
        if self._count > _MOST_CLAUSES:
            return
        if self.joins and not clause.negated:
            self.groups[-1].append(clause)
        else:
            self.groups.append([clause])
        self.joins = False

    def _bound(self, name: str, text: str) -> None:
        day = _day(text, today=self._today)
        if day is None:
            self.notes.append(f"“{text}” is no date. Write it like 2026-05-31, 2026-05, 2026 or 7d (for 7 days ago).")
        else:
            setattr(self, name, day)


def _unknown_kinds(groups: Iterable[Iterable[Clause]]) -> Iterator[str]:
    for clause in (each for group in groups for each in group if each.field == "type"):
        text, kinds = clause.text.lower(), list(dict.fromkeys(KINDS.values()))
        if not any(kind.startswith(text) if clause.prefix else kind == text for kind in kinds):
            known = f"{', '.join(kinds[:-1])} and {kinds[-1]}"
            yield f"There is no kind “{clause.text}”. Kinds are {known}."


def _day(text: str, *, today: date) -> date | None:
    """Return the first day that the text means: of a year, of a month, itself, or so long ago."""
    if ago := _AGO.fullmatch(text.lower()):
        return today - timedelta(min(int(ago[1]) * _DAYS[ago[2]], today.toordinal() - 1))
    try:
        numbers = [int(number) for number in text.split("-")]
        return date(*(numbers + [1, 1])[:3]) if len(numbers) <= 3 else None
    except (ValueError, OverflowError):
        return None
