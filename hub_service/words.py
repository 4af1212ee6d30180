"""Times and sizes in words."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["ago", "size_words"]

_STEPS = ((60, "minute"), (3600, "hour"), (86400, "day"), (604800, "week"), (2629800, "month"), (31557600, "year"))


def ago(when: datetime | None, *, now: datetime | None = None) -> str:
    """Say how long ago that was, in the largest whole unit; "" for None."""
    if when is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - when).total_seconds()
    if seconds < 60:
        return "just now" if seconds > -60 else when.strftime("%-d %B %Y")
    step, unit = max(s for s in _STEPS if s[0] <= seconds)
    count = int(seconds // step)
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def size_words(size: float) -> str:
    """Say a number of bytes with a decimal unit."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if size < 999.5 or unit == "PB":  # above, it would round to 1000
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError
