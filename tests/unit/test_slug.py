"""Slugs and account names."""

from __future__ import annotations

import pytest

from vaas.errors import Invalid
from vaas.slug import account_of, check_slug, is_account, slugify

ODD = ["A", "a b", "-a", "a-", "-", "", "a/b", "a.b", "..", "ä", "a_b", "a\n", "\na", "a\0", "%61", "a" * 61]


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Sea level rise", "sea-level-rise"),
        ("  Élan — vital!  ", "elan-vital"),
        ("CO₂ & CH₄", "co2-ch4"),
        ("東京", "app"),
        ("", "app"),
        ("---", "app"),
        ("../../etc/passwd", "etc-passwd"),
        ("<script>", "script"),
        ("ﬁne", "fine"),
    ],
)
def test_a_title_becomes_a_slug(title: str, slug: str) -> None:
    assert slugify(title) == slug


@pytest.mark.parametrize("title", ["x" * 500, "ab " * 100, "a" * 47 + " b" * 9, "é" * 100, "\0\ud800 ok", "1"])
def test_every_slug_made_is_one_that_can_be_used_with_a_number_behind(title: str) -> None:
    slug = slugify(title)
    assert len(slug) <= 48
    assert check_slug(slug) == slug
    assert check_slug(f"{slug}-12345678")


@pytest.mark.parametrize("slug", ["a", "a1", "1", "a-b", "a--b", "a" * 60])
def test_a_good_slug_is_returned_as_it_is(slug: str) -> None:
    assert check_slug(slug) == slug


@pytest.mark.parametrize("text", ODD)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        check_slug(text)


def test_the_account_of_an_app_is_known_by_its_name() -> None:
    assert is_account(account_of("abc123def456"))


@pytest.mark.parametrize(
    "name",
    ["ada", "app-", "app-short", "app-abc123def4567", "app-ABC123DEF456", "xapp-abc123def456", "app-abc123def45\n"],
)
def test_a_person_is_not_taken_for_an_account(name: str) -> None:
    assert not is_account(name)
