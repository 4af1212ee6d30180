"""When something is repeated: a form's choices become a line of cron, and that becomes words again."""

from __future__ import annotations

import pytest

from hub_service.recurring import cron_of, words_of
from vaas.errors import Invalid


@pytest.mark.parametrize(
    ("said", "cron", "words"),
    [
        ({"every": "day", "at": "06:30"}, "30 6 * * *", "every day at 06:30 UTC"),
        ({"every": "week", "at": "23:05", "weekday": "1"}, "5 23 * * 1", "every Monday at 23:05 UTC"),
        ({"every": "week", "at": "0:00", "weekday": "7"}, "0 0 * * 0", "every Sunday at 00:00 UTC"),
        ({"every": "month", "at": "12:00", "day": "31"}, "0 12 31 * *", "on day 31 of every month at 12:00 UTC"),
        ({"every": "cron", "cron": " */5  * * * 1-5 "}, "*/5 * * * 1-5", "by the cron line */5 * * * 1-5"),
    ],
)
def test_the_choices_make_a_line_and_the_line_makes_words(said: dict[str, str], cron: str, words: str) -> None:
    assert cron_of(lambda name: said.get(name, "")) == cron
    assert words_of(cron) == words


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "every"),
        ({"every": "hour"}, "every"),
        ({"every": "day", "at": "24:00"}, "at"),
        ({"every": "day", "at": "6"}, "at"),
        ({"every": "week", "at": "06:00", "weekday": "8"}, "weekday"),
        ({"every": "month", "at": "06:00", "day": "32"}, "day"),
        ({"every": "month", "at": "06:00", "day": "²"}, "day"),
        ({"every": "cron", "cron": " "}, "cron"),
        ({"every": "cron", "cron": "* " * 300}, "cron"),
    ],
)
def test_what_is_missing_or_wrong_is_said_at_its_field(said: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        cron_of(lambda name: said.get(name, ""))
    assert caught.value.field == field


@pytest.mark.parametrize("cron", ["0 6 * * 9", "61 6 * * *", "0 6 1 * 1", "@daily", "0 6 1-3 * *", "<b>"])
def test_any_other_line_is_told_as_it_is(cron: str) -> None:
    assert words_of(cron) == f"by the cron line {cron}"
