"""Times and sizes in words, of files and of servers."""

from __future__ import annotations

from datetime import UTC, datetime

from vaas.launching import Size

__all__ = ["ago", "duration_words", "room_words", "size_words", "time_words"]

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


def duration_words(seconds: float) -> str:
    """Say about how long something takes, in the largest unit that is not a part of one."""
    step, unit = max(((s, u) for s, u in ((1, "second"), *_STEPS[:3]) if s <= seconds), default=(1, "second"))
    return _count(round(seconds / step), unit)


def size_words(size: float) -> str:
    """Say a number of bytes with a decimal unit."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if size < 999.5 or unit == "PB":  # above, it would round to 1000
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def room_words(size: Size) -> str:
    """Say how much a launch or a run of that size gets."""
    said = [_count(size.cores, "core"), f"{size_words(size.memory).replace('.0 ', ' ')} of memory"]
    said += [_count(size.gpus, "GPU")] if size.gpus else []
    said += [f"up to {time_words(size.seconds)}"] if size.seconds else []
    return ", ".join(said)


def time_words(seconds: float) -> str:
    """Say in its own unit how long something may take."""
    unit, noun = next((each for each in ((3600, "hour"), (60, "minute")) if seconds >= each[0]), (1, "second"))
    return _count(round(seconds / unit, 2), noun)


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
