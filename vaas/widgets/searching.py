"""One visitor's search: what was asked last, what was found, and how it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from vaas.client import PortalError
from vaas.query import FIELDS, Search, parse
from vaas.widgets import shown, terms, timeline
from vaas.widgets.verbs import Told, Verbs

__all__ = ["Searching"]

Json = dict[str, Any]

#: Hits that come at once, and that are shown at most; who wants more asks more exactly.
_PAGE, _MOST = 30, 300
#: Values of a facet that are shown, and suggestions.
_VALUES, _SUGGESTIONS = 10, 6
#: A word has to be so long before more of it is guessed.
_SHORTEST = 2


class Searching:
    """Searches a portal, page by page, and remembers the records that it has shown.

    Parameters
    ----------
    here:
        Returns the client that asks the portal as the visitor. Ahead of visits there is none.
    clock:
        Seconds, for telling how long it took.
    """

    def __init__(self, here: Callable[[], Verbs], *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._here, self._clock = here, clock
        self._text, self._cursor, self._count = "", "", 0
        self._records: dict[str, Told] = {}
        self._facets: Mapping[str, Mapping[str, int]] = {}

    def search(self, text: str, *, typing: bool = False, outside: bool = True) -> Json:
        """Return what is found: the first page, counts, and what else there is to say.

        Parameters
        ----------
        typing:
            The last word may not be complete.
        outside:
            Other catalogs are asked as well. With each letter, they would have all wait for the slowest.
        """
        begun = self._clock()
        search = parse(text, typing=typing)
        # As it means now, whatever is added to it later.
        whole = str(search) if typing else text
        asked = whole if outside else terms.here_first(whole)
        try:
            told = self._here().search(asked, limit=_PAGE)
            facets = self._with_alternatives(told.get("facets") or {}, search, outside=outside)
            months, counted = self._months(told, search)
        except PortalError as error:
            return {"state": "failed", "q": text, "whole": whole, "why": str(error), **_asked(search)}
        self._text, self._cursor, self._facets = asked, str(told.get("cursor") or ""), facets
        self._records = {shown.key_of(record): record for record in told["records"]}
        self._count = len(self._records)
        return {
            "state": "ok",
            "q": text,
            "whole": whole,
            "outside": outside,
            "records": [shown.card(record) for record in self._records.values()],
            "total": int(told.get("total") or 0),
            "more": bool(self._cursor),
            "facets": _facets(facets, search),
            **_told(told),
            "timeline": {"spans": timeline.buckets(months), "whole": counted},
            "took": round((self._clock() - begun) * 1000),
            **_asked(search),
        }

    def more(self) -> Json:
        """Return the next page: its records, and whether there are more after it. Raises PortalError."""
        if not self._cursor:
            return {"records": [], "more": False}
        told = self._here().search(self._text, limit=_PAGE, cursor=self._cursor)
        new = {shown.key_of(record): record for record in told["records"]}
        fresh = [shown.card(record) for key, record in new.items() if key not in self._records]
        self._records |= new
        self._cursor = str(told.get("cursor") or "") if len(self._records) < _MOST else ""
        return {"records": fresh, "more": bool(self._cursor)}

    def suggest(self, text: str) -> list[str]:
        """Return how the text could go on; nothing where nothing is to be guessed. Raises PortalError."""
        before, field, word = terms.last_word(text)
        if field:
            found = [f"{field}:{_quoted(value)}" for value in self._values(field, word)]
        elif len(word) >= _SHORTEST and word[-1].isalnum():
            told = self._here().suggest(word, limit=_SUGGESTIONS)
            found = [str(each) for each in told.get("suggestions") or ()]
        else:
            found = []
        whole = [f"{before} {each}".strip() for each in found]
        return [each for each in whole if each != text.strip()][:_SUGGESTIONS]

    def record(self, key: str) -> Told | None:
        """Return a record that was shown."""
        return self._records.get(key)

    def preview(self, key: str) -> Json:
        """Return what is inside a record that was shown; why not, where that cannot be told."""
        record = self._records.get(key)
        if record is None:
            return {"kind": "none", "why": "This is not among the results any more."}
        try:
            return shown.preview(self._here().preview(str(record["catalog"]), str(record["id"])))
        except PortalError as error:
            return {"kind": "none", "why": str(error)}

    def _with_alternatives(
        self, facets: Mapping[str, Mapping[str, int]], search: Search, *, outside: bool = True
    ) -> Json:
        """Return the counts; of a field that is asked for, those of its other values as well."""
        counts: Json = dict(facets)
        for field in shown.FACETS:
            if search.asked(field):
                text = str(search.without(field))
                asked = text if outside and field == "catalog" else terms.here_first(text)
                counts[field] = (self._here().search(asked, limit=1).get("facets") or {}).get(field) or {}
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
    }


def _facets(counts: Mapping[str, Mapping[str, int]], search: Search) -> list[Json]:
    found = []
    for field, title in shown.FACETS.items():
        on = search.asked(field)
        known = {str(value): int(count) for value, count in (counts.get(field) or {}).items()}
        known |= {value: 0 for value in on if value not in {name.lower() for name in known}}
        ranked = sorted(known, key=lambda value: (value.lower() not in on, -known[value], value))
        values = [
            {"value": value, "name": _name(field, value), "count": known[value], "on": value.lower() in on}
            for value in ranked[: max(_VALUES, len(on))]
        ]
        found.append({"field": field, "title": title, "values": values, "left": max(0, len(known) - len(values))})
    return [facet for facet in found if facet["values"]]


def _name(field: str, value: str) -> str:
    if field == "type":
        return shown.KINDS.get(value, value)
    return "This portal" if (field, value) == ("catalog", "here") else value


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
