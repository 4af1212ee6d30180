"""One visitor's search: what was asked last, what was found, and how it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from vaas.client import PortalError
from vaas.query import FIELDS, Search, parse
from vaas.widgets import hints, shown, terms, timeline
from vaas.widgets.verbs import Told, Verbs

__all__ = ["Question", "Searching"]

Json = dict[str, Any]

#: Hits that come at once, and that are shown at most; who wants more asks more exactly.
_PAGE, _MOST = 30, 300
#: Values of a facet that are shown, and suggestions.
_VALUES, _SUGGESTIONS = 10, 6
#: A word has to be so long before more of it is guessed.
_SHORTEST = 2


@dataclass(frozen=True)
class Question:
    """One question to a portal: asking it touches nothing, so it may be asked anywhere; taking its answer shows it.

    ``leaves``: other catalogs are asked, which may take seconds. ``anew``: what is shown will be another list.
    """

    ask: Callable[[], Any]
    take: Callable[[Any], Json]
    leaves: bool
    anew: bool = False


@dataclass(frozen=True)
class _Found:
    """What was answered to a search that begins a new list."""

    told: Told
    facets: Json
    months: Mapping[str, int]
    #: Whether all months were counted.
    whole: bool
    #: In milliseconds.
    took: int


class Searching:
    """Searches a portal, page by page, and remembers the records that it has shown.

    Parameters
    ----------
    here:
        Returns the client that asks the portal as the visitor; threads share it. Ahead of visits there is none.
    clock:
        Seconds, for telling how long it took.
    """

    def __init__(self, here: Callable[[], Verbs], *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._here, self._clock = here, clock
        self._text, self._cursor = "", ""
        self._records: dict[str, Told] = {}
        self._facets: Mapping[str, Mapping[str, int]] = {}
        #: What this portal alone has answered, while others have not.
        self._first: Json = {}

    def search(self, text: str, *, typing: bool = False, outside: bool = True) -> Question:
        """Return what is to be asked; its answer is the first page, counts, and what else there is to say.

        Parameters
        ----------
        typing:
            The last word may not be complete.
        outside:
            Other catalogs are asked as well. With each letter, that would be too much for them. What this portal has
            found for the same text keeps its place: somebody may be about to choose it.
        """
        search = parse(text, typing=typing)
        # As it means now, whatever is added to it later.
        whole = str(search) if typing else text
        if outside and self._records and self._first.get("whole") == whole:
            return self._others(search, self._first)
        asked = whole if outside else terms.here_first(whole)

        def take(found: _Found | PortalError) -> Json:
            if isinstance(found, PortalError):
                return {"state": "failed", "q": text, "whole": whole, "why": str(found), **_asked(search)}
            self._begin(asked, found)
            answer = self._shown(found, search, {"q": text, "whole": whole, "outside": outside})
            self._first = {} if outside else answer
            return answer

        return Question(lambda: self._find(asked, search, outside=outside), take, terms.leaves(asked), anew=True)

    def _find(self, asked: str, search: Search, *, outside: bool) -> _Found | PortalError:
        begun = self._clock()
        try:
            told = self._here().search(asked, limit=_PAGE)
            facets = self._with_alternatives(told.get("facets") or {}, search, outside=outside)
            months, counted = self._months(told, search)
        except PortalError as error:
            return error
        return _Found(told, facets, months, counted, round((self._clock() - begun) * 1000))

    def _begin(self, asked: str, found: _Found) -> None:
        """Remember what is shown from now on, and nothing of before any more."""
        self._text, self._cursor, self._facets = asked, str(found.told.get("cursor") or ""), found.facets
        self._records = {shown.key_of(record): record for record in found.told["records"]}

    def _shown(self, found: _Found, search: Search, question: Json) -> Json:
        told, facets, total = found.told, found.facets, int(found.told.get("total") or 0)
        counts = told.get("facets") or {}
        return {
            "state": "ok",
            **question,
            **self._cards(),
            "total": total,
            "more": bool(self._cursor),
            "facets": _facets(facets, search),
            **_told(told),
            # Other catalogs may have some.
            "none": [] if total else list(hints.unknown(facets, search)),
            "hints": hints.hints(told["records"], counts, search, total=total, months=found.months),
            "timeline": {"spans": timeline.buckets(found.months), "whole": found.whole},
            "years": timeline.years(facets.get("year") or {}),
            "took": found.took,
            **_asked(search),
        }

    def _others(self, search: Search, first: Json) -> Question:
        """Return what is asked of other catalogs; what they have comes behind this portal's first answer."""

        def ask() -> tuple[Told, Json] | PortalError:
            try:
                told = self._here().search(first["whole"], limit=_PAGE)
                return told, self._with_alternatives(told.get("facets") or {}, search, only=("catalog",))
            except PortalError as error:
                return error

        def take(answer: tuple[Told, Json] | PortalError) -> Json:
            self._first = {}
            if isinstance(answer, PortalError):
                why = [{"title": "Other catalogs", "why": str(answer)}]
                late: Json = {"from": [], "silent": why, "notes": []}
                return {**first, **self._cards(), "more": bool(self._cursor), "outside": True, "late": late}
            return self._joined(first, search, *answer)

        return Question(ask, take, leaves=True)

    def _joined(self, first: Json, search: Search, told: Told, named: Json) -> Json:
        """Return the first answer with what others have behind all that is shown by now."""
        before, known = set(self._records), {*(self._facets.get("catalog") or {}), *search.asked("catalog")}
        works = {doi for record in self._records.values() if (doi := _doi(record))}
        new = {shown.key_of(record): record for record in told["records"] if _doi(record) not in works}
        self._records = self._records | {key: record for key, record in new.items() if key not in before}
        self._text, self._cursor = first["whole"], str(told.get("cursor") or "")
        self._facets = {**self._facets, "catalog": named.get("catalog") or {}}
        said, totals = _told(told), (told.get("facets") or {}).get("catalog") or {}
        return {
            **first,
            **self._cards(late=set(self._records) - before),
            "outside": True,
            "total": int(told.get("total") or 0),
            "more": bool(self._cursor),
            "facets": _facets(self._facets, search),
            "late": {
                "from": [{"catalog": name, "count": int(totals[name])} for name in totals if name not in known],
                "silent": said["silent"],
                "notes": [note for note in said["notes"] if note not in first["notes"]],
            },
        }

    def _cards(self, *, late: Collection[str] = ()) -> Json:
        """Return all that is shown by now; ``late``: what other catalogs have just brought."""
        cards = [shown.card(record) for record in self._records.values()]
        return {"records": [{**card, "late": True} if card["key"] in late else card for card in cards]}

    def more(self) -> Question:
        """Return what is to be asked for the next page: its records, and whether there are more. Raises PortalError."""
        text, begun, known = self._text, self._cursor, set(self._records)

        def ask() -> tuple[dict[str, Told], str]:
            fresh: dict[str, Told] = {}
            cursor = begun
            # Where other catalogs came later, pages are counted from the first again: there may be nothing new on some.
            for _ in range(_MOST // _PAGE):
                if fresh or not cursor:
                    break
                told = self._here().search(text, limit=_PAGE, cursor=cursor)
                new = {shown.key_of(record): record for record in told["records"]}
                fresh = {key: record for key, record in new.items() if key not in known}
                cursor = str(told.get("cursor") or "")
            return fresh, cursor

        def take(page: tuple[dict[str, Told], str]) -> Json:
            # Others may have answered meanwhile.
            fresh = {key: record for key, record in page[0].items() if key not in self._records}
            self._records = self._records | fresh
            self._cursor = page[1] if len(self._records) < _MOST else ""
            return {"records": [shown.card(record) for record in fresh.values()], "more": bool(self._cursor)}

        return Question(ask, take, terms.leaves(text))

    def suggest(self, text: str) -> list[str]:
        """Return how the text could go on; nothing where nothing is to be guessed. Raises PortalError."""
        before, field, word = terms.last_word(text)
        if field:
            found = [f"{field}:{hints.quoted(value)}" for value in self._values(field, word)]
            if field in FIELDS and word:
                found += self._suggested(f"{field}:{word}")
        elif len(word) >= _SHORTEST and word[-1].isalnum():
            found = self._suggested(word)
        else:
            found = []
        whole = dict.fromkeys(f"{before} {each}".strip() for each in found)
        return [each for each in whole if each != text.strip()][:_SUGGESTIONS]

    def _suggested(self, beginning: str) -> list[str]:
        told = self._here().suggest(beginning, limit=_SUGGESTIONS)
        return [str(each) for each in told.get("suggestions") or ()]

    def record(self, key: str) -> Told | None:
        """Return a record that was shown."""
        return self._records.get(key)

    def preview(self, key: str) -> Json:
        """Return what is inside a record that was shown; why not, where that cannot be told. It touches nothing."""
        record = self._records.get(key)
        if record is None:
            return {"kind": "none", "why": "This is not among the results any more."}
        try:
            told = self._here().preview(str(record["catalog"]), str(record["id"]))
        except PortalError as error:
            return {"kind": "none", "why": str(error)}
        return shown.preview(told, markdown=_is_markdown(record, told))

    def _with_alternatives(
        self,
        facets: Mapping[str, Mapping[str, int]],
        search: Search,
        *,
        outside: bool = True,
        only: Iterable[str] = (*shown.FACETS, "year"),
    ) -> Json:
        """Return the counts; of a field that is asked for, those of its other values as well."""
        counts: Json = dict(facets)
        for field in only:
            if search.asked(field):
                text = str(search.without(field))
                asked = text if outside and field == "catalog" else terms.here_first(text)
                others = (self._here().search(asked, limit=1).get("facets") or {}).get(field) or {}
                # People are counted where they alone are asked for.
                counts[field] = {**(facets.get(field) or {}), **others}
        return counts

    def _months(self, told: Told, search: Search) -> tuple[Mapping[str, int], bool]:
        """Return how many things there are of each month, and whether all were counted: portals may not count them.

        Bounds are left out: who has bounded the time wants to see what is beyond.
        """
        if search.after or search.before:
            text = terms.bounded(str(search), "", "")
            told = self._here().search(terms.here_first(text), limit=100)
        if isinstance(told.get("timeline"), Mapping):
            return told["timeline"], True
        return timeline.months_of(told["records"]), len(told["records"]) >= int(told.get("total") or 0)

    def _values(self, field: str, beginning: str) -> Iterable[str]:
        known = self._facets.get(FIELDS.get(field, field)) or {}
        return [value for value in known if value.lower().startswith(beginning.lower())]


def _told(told: Told) -> Json:
    """Return what the portal says of its answer."""
    return {
        "silent": [{"title": title, "why": why} for title, why in (told.get("silent") or {}).items()],
        "notes": list(told.get("notes") or ()),
        "corrected": bool(told.get("corrected")),
        "estimated": bool(told.get("estimated")),
    }


def _asked(search: Search) -> Json:
    """Return what the search asks for, as the controls beside it show it."""
    # People think of a last day; the query means the first that is out.
    last = search.before - timedelta(days=1) if search.before else None
    return {
        "after": search.after.isoformat() if search.after else "",
        "before": search.before.isoformat() if search.before else "",
        "last": last.isoformat() if last else "",
        "words": [clause.text for clause in search.words],
        "on": [[field, value] for field in shown.FACETS for value in search.asked(field)],
        "about": [{"value": value, "years": terms.years_in(value)} for value in search.asked("year")],
    }


def _facets(counts: Mapping[str, Mapping[str, int]], search: Search) -> list[Json]:
    found = []
    for field, title in shown.FACETS.items():
        on = search.asked(field)
        known = {str(value): int(count) for value, count in (counts.get(field) or {}).items()}
        known |= {value: 0 for value in on if value not in {name.lower() for name in known}}
        if field == "type" and not on and (owners := counts.get("owner")):
            known.setdefault("person", len(owners))
        ranked = sorted(known, key=lambda value: (value.lower() not in on, -known[value], value))
        values = [
            {"value": value, "name": shown.name_of(field, value), "count": known[value], "on": value.lower() in on}
            for value in ranked[: max(_VALUES, len(on))]
        ]
        found.append({"field": field, "title": title, "values": values, "left": max(0, len(known) - len(values))})
    return [facet for facet in found if facet["values"] and not _tells_nothing(facet)]


def _tells_nothing(facet: Json) -> bool:
    """Tell whether all that is found is in the one catalog that there is."""
    return facet["field"] == "catalog" and len(facet["values"]) == 1 and not facet["values"][0]["on"]


def _is_markdown(record: Told, told: Told) -> bool:
    """Tell whether its text is Markdown; of a folder, the text that speaks for it says so."""
    return (told.get("format") or record.get("format")) == "markdown"


def _doi(record: Told) -> str:
    """Return what a work is known by everywhere, "" for what has no such name."""
    return str((record.get("details") or {}).get("doi") or "")
