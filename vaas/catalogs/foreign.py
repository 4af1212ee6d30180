"""What catalogs elsewhere say, read as a stranger's words: of the right kind and of bounded length, or left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from vaas.errors import Invalid, Unavailable
from vaas.http import Http
from vaas.prose import clean_text, shorten

__all__ = ["ask", "box", "each", "get", "moment", "number", "text", "texts", "turned"]

_MOST_TEXTS, _LONGEST = 100, 300
_ANSWER = 10_000_000
#: Nobody turns over more hits than 99,999: so many digits a cursor has.
_LONGEST_CURSOR = 5
_MARKUP = re.compile(r"<[^<>]{0,2000}>")


async def ask(http: Http, url: str, *, title: str, headers: Mapping[str, str], seconds: float) -> Mapping[str, Any]:
    """Return the JSON object that is there.

    Raises
    ------
    Unavailable
        It does not answer as a catalog does; says what to do where there is something.
    """
    answer = await http.request("GET", url, headers=headers, seconds=seconds, max_bytes=_ANSWER)
    if answer.status == 429:
        raise Unavailable(f"{title} is asked too often at the moment. Try again in a minute.")
    if answer.status != 200:
        raise Unavailable(f"{title} does not answer as it should.", log_message=f"{title}: HTTP {answer.status}")
    found = answer.json()
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


def each(value: object) -> Iterator[Any]:
    """Yield the members of a list, as many as anybody needs; none of anything else."""
    yield from value[:_MOST_TEXTS] if isinstance(value, list) else ()


def text(value: object, most: int = _LONGEST) -> str:
    """Return a text of at most so many characters, without markup; "" for anything else."""
    if not isinstance(value, str):
        return ""
    plain = html.unescape(_MARKUP.sub(" ", value[: 8 * most]))
    return shorten(" ".join(clean_text(plain).split()), most)


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


def box(value: object) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north in degrees of a list of four numbers, or of six with heights between."""
    numbers = [each for each in value if isinstance(each, int | float)] if isinstance(value, list) else []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4:
        return None
    west, south, east, north = (float(each) for each in numbers)
    fits = -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90
    return (west, south, east, north) if fits else None
