"""When a schedule is due: cron's five fields, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from vaas.errors import Invalid

__all__ = ["next_time"]


def next_time(cron: str, after: datetime) -> datetime | None:
    """Return the first time after that moment, None when there is none within fifty years.

    Raises
    ------
    Invalid
        These are no five fields of cron; ``field`` is "cron".
    """
    try:
        # A minute is the least that cron knows; what has begun of one is over.
        return next(CronSim(cron, after.astimezone(UTC)))
    except StopIteration:
        return None
    except (CronSimError, ValueError, OverflowError) as error:
        raise Invalid(
            "Write five fields: minute, hour, day, month, weekday, such as “0 6 * * 1” for Mondays at six (UTC).",
            field="cron",
        ) from error
