"""When a schedule is due: cron's five fields, in a time zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from vaas.errors import Invalid

__all__ = ["next_time", "site_zone", "zone_of", "zones"]

_UTC = "UTC"
#: What cronsim says of a field → what we call it.
_WRONG = {
    "Bad minute": "minute",
    "Bad hour": "hour",
    "Bad day-of-month": "day",
    "Bad month": "month",
    "Bad day-of-week": "weekday",
}


def next_time(cron: str, after: datetime, zone: str = _UTC) -> datetime | None:
    """Return the first time after that moment, in UTC; None when there is none within fifty years.

    Where clocks are put forward, a time that does not exist is at once after; where they are put back, one that exists
    twice is the first.

    Raises
    ------
    Invalid
        These are no five fields of cron, or there is no such zone; ``field`` is "cron" or "zone".
    """
    place = zone_of(zone)
    try:
        # A minute is the least that cron knows; what has begun of one is over. Within an hour that exists twice it
        # begins with the first.
        times = (each.astimezone(UTC) for each in CronSim(cron, after.astimezone(place)))
        return next((each for each in times if each > after), None)
    except (CronSimError, ValueError, OverflowError) as error:
        which = next((f"There is no such {name}. " for said, name in _WRONG.items() if said in str(error)), "")
        raise Invalid(
            f"{which}Write five fields: minute, hour, day, month, weekday, such as “0 6 * * 1” for Mondays at six.",
            field="cron",
        ) from error


@cache
def zones() -> tuple[str, ...]:
    """Return the names of all time zones that this machine knows."""
    return tuple(sorted({_UTC, *(name for name in available_timezones() if "/" in name and name[:1].isupper())}))


def zone_of(name: str) -> tzinfo:
    """Return the time zone of that name. Raises Invalid, with the field "zone"."""
    if name == _UTC:
        return UTC
    if name not in zones():
        raise Invalid(f"There is no time zone “{name[:60]}”. Write one such as Europe/Paris, or UTC.", field="zone")
    return ZoneInfo(name)


def site_zone(environ: Mapping[str, str]) -> str:
    """Return the time zone that the site suggests. Raises Invalid."""
    name = environ.get("VAAS_TIME_ZONE") or _UTC
    try:
        zone_of(name)
    except Invalid as error:
        raise Invalid(f"VAAS_TIME_ZONE: {error.message}") from error
    return name
