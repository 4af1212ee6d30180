"""When something is repeated: from the choices of a form to a line of cron, and from such a line to words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vaas.errors import Invalid

__all__ = ["EVERY", "WEEKDAYS", "cron_of", "words_of"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
#: A line of cron that the form's own choices make: at one time, each day, on a weekday, or on a day of the month.
_PLAIN = re.compile(r"([0-9]{1,2}) ([0-9]{1,2}) (\*|[0-9]{1,2}) \* (\*|[0-7])")
_LONGEST = 100


def cron_of(said: Callable[[str], str]) -> str:
    """Return the line that the form's fields mean: ``every``, and ``at``, ``weekday``, ``day`` or ``cron``.

    Raises
    ------
    Invalid
        Something is missing or wrong, with its field. A line that somebody wrote is not looked into here.
    """
    build = _LINES.get(said("every"))
    if build is None:
        raise Invalid("Choose how often it is repeated.", field="every")
    return build(said)


def words_of(cron: str, zone: str = "UTC") -> str:
    """Say when that is; a line that the form's choices do not make is told as it is."""
    where = "" if zone == "UTC" else f" ({zone})"
    found = _PLAIN.fullmatch(" ".join(cron.split()))
    if found is None or int(found[1]) > 59 or int(found[2]) > 23 or ("*" not in (found[3], found[4])):
        return f"by the cron line {cron}{where}"
    time = f"at {int(found[2]):02d}:{int(found[1]):02d}{where or ' UTC'}"
    if found[4] != "*":
        return f"every {WEEKDAYS[(int(found[4]) - 1) % 7]} {time}"
    return f"every day {time}" if found[3] == "*" else f"on day {int(found[3])} of every month {time}"


def _time(said: Callable[[str], str]) -> str:
    found = _TIME.fullmatch(said("at").strip())
    if found is None:
        raise Invalid("Write a time such as 06:30.", field="at")
    return f"{int(found[2])} {int(found[1])}"


def _daily(said: Callable[[str], str]) -> str:
    return f"{_time(said)} * * *"


def _weekly(said: Callable[[str], str]) -> str:
    number = said("weekday")
    if number not in {"1", "2", "3", "4", "5", "6", "7"}:
        raise Invalid("Choose a day of the week.", field="weekday")
    return f"{_time(said)} * * {int(number) % 7}"


def _monthly(said: Callable[[str], str]) -> str:
    day = said("day").strip()
    if not day.isdecimal() or not day.isascii() or not 1 <= int(day[:3]) <= 31:
        raise Invalid("Write a day of the month from 1 to 31. Months without it are left out.", field="day")
    return f"{_time(said)} {int(day)} * *"


def _own(said: Callable[[str], str]) -> str:
    line = " ".join(said("cron").split())
    if not line or len(line) > _LONGEST:
        raise Invalid("Write a cron line such as 30 6 * * 1-5.", field="cron")
    return line


_LINES: Mapping[str, Callable[[Callable[[str], str]], str]] = {
    "day": _daily,
    "week": _weekly,
    "month": _monthly,
    "cron": _own,
}
#: How often: what the form sends → its words.
EVERY: Mapping[str, str] = {"day": "Every day", "week": "Every week", "month": "Every month", "cron": "By a cron line"}
