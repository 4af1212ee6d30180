"""One and many: which other words a word stands for."""

from __future__ import annotations

import pytest

from vaas.catalogs.plurals import others


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("river", "rivers"),
        ("box", "boxes"),
        ("glass", "glasses"),
        ("city", "cities"),
        ("day", "days"),
        ("branch", "branches"),
        ("analysis", "analyses"),
        ("database", "databases"),
        ("movie", "movies"),
        ("status", "statuses"),
        ("meer", "meers"),
    ],
)
def test_one_and_many_stand_for_each_other(one: str, many: str) -> None:
    assert many in others(one) and one in others(many)


@pytest.mark.parametrize("word", ["", "s", "gs", "s3", "漢", "2020s", "obs_1", "y", "ies", "ses"])
def test_what_is_too_short_or_no_word_is_what_it_is(word: str) -> None:
    assert len(others(word)) <= 1 and all(len(each) > len(word) for each in others(word))


def test_a_thing_that_ends_as_many_do_is_one() -> None:
    assert others("glass") == ("glasses",) and others("corpus") == ("corpuses",) and others("gas") == ("gases",)
