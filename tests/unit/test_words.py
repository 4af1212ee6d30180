"""Times and sizes in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hub_service.words import ago, duration_words, room_words, size_words
from vaas.launching import Size

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-59, "just now"),
        (0, "just now"),
        (59.9, "just now"),
        (60, "1 minute ago"),
        (119, "1 minute ago"),
        (120, "2 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (7 * 86400, "1 week ago"),
        (30 * 86400, "4 weeks ago"),
        (31 * 86400, "1 month ago"),
        (365 * 86400, "11 months ago"),
        (366 * 86400, "1 year ago"),
        (800 * 86400, "2 years ago"),
    ],
)
def test_a_time_is_said_in_the_largest_whole_unit(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), now=NOW) == words


def test_a_time_to_come_is_said_as_a_date() -> None:
    assert ago(NOW + timedelta(days=3), now=NOW) == "4 March 2026"


def test_no_time_is_no_words() -> None:
    assert ago(None) == ""


def test_now_is_now() -> None:
    assert ago(datetime.now(timezone(timedelta(hours=5)))) == "just now"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (99_900, "99.9 kB"),
        (123_456, "123 kB"),
        (999_499, "999 kB"),
        (999_999, "1.0 MB"),
        (1_000_000, "1.0 MB"),
        (999_999_999, "1.0 GB"),
        (5_250_000_000, "5.2 GB"),
        (12_345_000_000_000, "12.3 TB"),
        (999_600_000_000_000, "1.0 PB"),
        (12_345_000_000_000_000_000, "12345 PB"),
    ],
)
def test_a_size_is_said_with_a_decimal_unit(size: float, words: str) -> None:
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (100, "2 minutes"), (3600, "1 hour")]
    + [(7300, "2 hours"), (200_000, "2 days")],
)
def test_a_duration_is_said_about(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (Size("s", "S", 0.5, 500_000_000), "0.5 cores, 500 MB of memory"),
        (Size("s", "S", 1, 2_000_000_000, seconds=1800), "1 core, 2 GB of memory, up to 30 minutes"),
        (Size("s", "S", 1, 2_500_000_000, seconds=45_000), "1 core, 2.5 GB of memory, up to 12.5 hours"),
        (Size("s", "S", 1, 2_000_000_000, seconds=36), "1 core, 2 GB of memory, up to 36 seconds"),
        (Size("s", "S", 8, 16_000_000_000, 2, 3600), "8 cores, 16 GB of memory, 2 GPUs, up to 1 hour"),
    ],
)
def test_the_room_of_a_launch_is_said(size: Size, words: str) -> None:
    assert room_words(size) == words
