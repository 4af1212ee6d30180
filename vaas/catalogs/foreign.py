"""What catalogs elsewhere say, read as a stranger's words: of the right kind and of bounded length, or left out."""

from __future__ import annotations

import calendar
import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vaas.errors import Invalid, NotFound, Unavailable, VaasError
from vaas.http import Http
from vaas.prose import clean_text, paragraphs, shorten

__all__ = ["area", "ask", "box", "each", "get", "moment", "number", "prose", "span", "text", "texts", "turned"]

_MOST_TEXTS, _LONGEST = 100, 300
_ANSWER = 10_000_000
#: Nobody turns over more hits than 99,999: so many digits a cursor has.
_LONGEST_CURSOR = 5
_MARKUP = re.compile(r"<[^<>]{0,2000}>")
#: How the answer to a request for one record says that there is none, or none for us: a kept secret is none.
_NONE = frozenset({401, 403, 404, 410})
#: How the answer to a search says that it was not understood. CKAN says 409.
_REFUSED = frozenset({400, 409, 422})
_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
#: How deep lists of a shape's corners lie in each other, and how many of its numbers are looked at.
_DEEP, _MOST_NUMBERS = 5, 20_000


async def ask(
    http: Http, url: str, *, title: str, headers: Mapping[str, str], seconds: float, one: bool = False
) -> Mapping[str, Any]:
    """Return the JSON object that is there; ``one``: a record is asked for, which may be none.

    Raises
    ------
    NotFound
        There is no such record, or none that we may see.
    Unavailable
        It does not answer as a catalog does; says what to do where there is something.
    """
    try:
        answer = await http.request("GET", url, headers=headers, seconds=seconds, max_bytes=_ANSWER)
    except VaasError as error:
        # Its words name the host, which may be one inside the site; who searches knows the catalog by its title.
        raise Unavailable(f"{title} does not answer at the moment.", log_message=error.log_message) from error
    if answer.status == 429:
        raise Unavailable(f"{title} is asked too often at the moment. Try again in a minute.")
    if one and answer.status in _NONE:
        raise NotFound(f"{title} has no such record.")
    if answer.status in _REFUSED:
        raise Unavailable(f"{title} does not understand this search.", log_message=f"{title}: HTTP {answer.status}")
    if answer.status != 200:
        raise Unavailable(f"{title} does not answer as it should.", log_message=f"{title}: HTTP {answer.status}")
    try:
        found = answer.json()
    except Unavailable as error:
        raise Unavailable(f"{title} sent an answer that cannot be read.", log_message=error.log_message) from error
    if not isinstance(found, Mapping):
        raise Unavailable(f"{title} sent an answer that cannot be read.", log_message=f"{title}: no object")
    return found


def turned(cursor: str, *, first: int) -> int:
    """Return the page or the place that a cursor says, ``first`` without one. Raises Invalid for none of ours."""
    if len(cursor) > _LONGEST_CURSOR or not (cursor or "0").isdecimal():
        raise Invalid("So many hits are not shown. Search for something more exact.", field="cursor")
    return int(cursor or first)


def get(value: object, *path: str) -> Any:
    """Return what lies at the path of names; None where it ends before."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def each(value: object, most: int = _MOST_TEXTS) -> Iterator[Any]:
    """Yield the members of a list, as many as anybody needs; none of anything else."""
    yield from value[:most] if isinstance(value, list) else ()


def text(value: object, most: int = _LONGEST) -> str:
    """Return a text of at most so many characters, without markup; "" for anything else."""
    if not isinstance(value, str):
        return ""
    # Half a character can stand in no address, and on no page.
    whole = value[: 8 * most].encode(errors="replace").decode()
    plain = html.unescape(_MARKUP.sub(" ", whole))
    return shorten(" ".join(clean_text(plain).split()), most)


def prose(value: object, most: int) -> str:
    """Return the sentences of a Markdown text: what is no list, heading or table, if there is anything else."""
    sentences = paragraphs(value[: 8 * most]) if isinstance(value, str) else ()
    return text(" ".join(sentences), most) or text(value, most)


def texts(values: object, *path: str) -> tuple[str, ...]:
    """Return the texts of a list, or those that its members have at the path."""
    found = (text(get(value, *path) if path else value) for value in each(values))
    return tuple(dict.fromkeys(filter(None, found)))


def number(value: object) -> int | None:
    """Return a size or a count; None for what is none."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18
    return int(value) if usable else None  # type: ignore[call-overload]


def moment(value: object) -> datetime | None:
    """Return the moment that an ISO 8601 text names, in UTC if it does not say; None for what is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None


def span(value: object) -> tuple[datetime | None, datetime | None]:
    """Return the first and last moment of what a text like 2026-05-31 or 2025/2026-05 names; None: open, or none."""
    first, slash, last = value.partition("/") if isinstance(value, str) else ("", "", "")
    return _day(first), _day(last if slash else first, end=True)


def _day(value: str, *, end: bool = False) -> datetime | None:
    """Return the first moment of a day, month or year, or the last."""
    if not (found := _DAY.fullmatch(value.strip())):
        return moment(value.strip())
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        month = month or (12 if end else 1)
        day = day or (calendar.monthrange(int(year or 0), month)[1] if end else 1)
        begins = datetime(int(year or 0), month, day, tzinfo=UTC)
        return begins + timedelta(days=1, seconds=-1) if end else begins
    except ValueError:
        return None


def area(shape: object) -> tuple[float, float, float, float] | None:
    """Return the box around a shape in GeoJSON; None for what is none."""
    places: list[tuple[float, float]] = []
    _corners(get(shape, "coordinates"), places, _DEEP)
    if not places:
        return None
    wests, souths = zip(*places, strict=True)
    return box([min(wests), min(souths), max(wests), max(souths)])


def _corners(value: object, places: list[tuple[float, float]], deep: int) -> None:
    """Collect the places in lists of lists."""
    if not isinstance(value, list) or not deep or len(places) >= _MOST_NUMBERS:
        return
    if len(value) >= 2 and all(isinstance(each, int | float) for each in value[:2]):
        places.append((value[0], value[1]))
        return
    for member in value[:_MOST_NUMBERS]:
        _corners(member, places, deep - 1)


def box(value: object) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north in degrees of a list of four numbers, or of six with heights between."""
    numbers = [each for each in value if isinstance(each, int | float)] if isinstance(value, list) else []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4:
        return None
    west, south, east, north = numbers
    fits = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90
    # Before, a whole number may be too large for that.
    return (float(west), float(south), float(east), float(north)) if fits else None
