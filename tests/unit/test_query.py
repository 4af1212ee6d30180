"""What people type into the search is understood, and nothing that can be typed is an error."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime

import pytest

from vaas.query import FIELDS, Clause, Search, parse

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def groups(text: str, **options: bool) -> list[list[Clause]]:
    return [list(group) for group in parse(text, now=NOW, **options).groups]


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("temperature", Clause("temperature")),
        ("tempera*", Clause("tempera", prefix=True)),
        ('"sea surface"', Clause("sea surface", exact=True)),
        ('"sea   surface', Clause("sea surface", exact=True)),
        ("type:notebook", Clause("notebook", "type")),
        ("KIND:Notebook", Clause("Notebook", "type")),
        ('column:"sea level"', Clause("sea level", "column", exact=True)),
        ("-tag:draft", Clause("draft", "tag", negated=True)),
        ("by:ada", Clause("ada", "owner")),
        ("uses:xarray", Clause("xarray", "package")),
        ("doi:10.5281/zenodo.123", Clause("doi:10.5281/zenodo.123")),
        ("10.5281/zenodo.123", Clause("10.5281/zenodo.123")),
        ("a-b_c.csv", Clause("a-b_c.csv")),
        ("type:", Clause("type:")),
        ("naïve", Clause("naïve")),
    ],
)
def test_each_kind_of_clause_is_understood(text: str, clause: Clause) -> None:
    assert groups(text) == [[clause]]


def test_all_clauses_must_hold_and_of_alternatives_one() -> None:
    found = groups("sea type:app OR type:notebook -old level")
    assert [[str(each) for each in group] for group in found] == [
        ["sea"],
        ["type:app", "type:notebook"],
        ["-old"],
        ["level"],
    ]
    assert parse("type:app OR type:Notebook").asked("type") == ("app", "notebook")
    assert parse("type:app OR sea").asked("type") == ()
    assert [each.text for each in parse('sea "level rise" -old tag:x').words] == ["sea", "level rise"]


def test_and_changes_nothing_and_not_denies_what_follows_in_capital_letters_alone() -> None:
    assert parse("sea AND tide") == parse("sea tide")
    assert parse("sea AND NOT tag:old level") == parse("sea -tag:old level") == parse("sea NOT -tag:old level")
    assert parse("rock and roll") != parse("rock roll")
    assert parse('"AND" not') != parse("not")
    assert not parse("AND NOT")


@pytest.mark.parametrize("text", ["OR", "OR sea", "sea OR", "| | sea", "*", "- -", '""', "…", "(", "sea ( )"])
def test_what_means_nothing_is_left_out(text: str) -> None:
    assert [[each.text for each in group] for group in groups(text)] == ([["sea"]] if "sea" in text else [])


def test_a_word_that_is_being_typed_may_be_incomplete() -> None:
    assert groups("sea lev", typing=True) == [[Clause("sea")], [Clause("lev", prefix=True)]]
    assert groups("sea lev ", typing=True) == [[Clause("sea")], [Clause("lev")]]
    assert groups('sea "lev', typing=True)[-1] == [Clause("lev", exact=True)]
    assert groups("tag:cli", typing=True) == [[Clause("cli", "tag", prefix=True)]]
    assert groups("sea -lev", typing=True)[-1] == [Clause("lev", negated=True)]


@pytest.mark.parametrize(
    ("text", "after", "before"),
    [
        ("after:2026-05-31", date(2026, 5, 31), None),
        ("since:2026-05 before:2026", date(2026, 5, 1), date(2026, 1, 1)),
        ("after:7d", date(2026, 11, 20), None),
        ("until:2w", None, date(2026, 11, 13)),
        ("after:9999y", date(1, 1, 1), None),
    ],
)
def test_dates_bound_the_search(text: str, after: date | None, before: date | None) -> None:
    found = parse(text, now=NOW)
    assert (found.after, found.before, found.groups, found.notes) == (after, before, (), ())
    assert found


@pytest.mark.parametrize("text", ["after:yesterday", "before:2026-13", "after:2026-1-1-1", 'after:""', "after:--"])
def test_what_is_no_date_is_said(text: str) -> None:
    found = parse(text, now=NOW)
    assert found.after is found.before is None
    assert len(found.notes) == 1 and "is no date" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "typing", "said"),
    [
        ("colour:red", False, "There is no field “colour”; “colour:red” is searched for as it stands."),
        (
            "type:banana",
            False,
            "There is no kind “banana”. Kinds are app, notebook, data, code, folder, share and person.",
        ),
        ("type:no", False, "There is no kind “no”."),
        ("-after:2020", False, "A minus before “after:2020” means nothing"),
        ("type:no", True, ""),
        ("type:notebooks type:People by:nobody", False, ""),
        ("doi:10.5281/zenodo.7 https://example.org/a?b", False, ""),
    ],
)
def test_what_is_no_field_and_no_kind_is_noted(text: str, typing: bool, said: str) -> None:
    notes = parse(text, typing=typing).notes
    assert [note for note in notes if note.startswith(said)] == list(notes) and len(notes) == bool(said)


def test_several_of_a_kind_mean_the_kind() -> None:
    assert parse("type:Notebooks OR type:people").asked("type") == ("notebook", "person")


def test_nothing_was_asked() -> None:
    assert not parse("") and not parse("   ") and parse("") == Search()


def test_what_was_understood_can_be_written_down_and_understood_again() -> None:
    chance = random.Random(1)
    letters = 'ab é"-:*|O R.7/\\()\n\t\x00漢' + "".join(FIELDS)
    for _ in range(3000):
        text = "".join(chance.choice(letters) for _ in range(chance.randrange(40)))
        once = parse(text, now=NOW)
        assert parse(str(once), now=NOW) == once, (text, str(once))


def test_a_machine_that_types_without_end_is_answered_soon() -> None:
    assert len(parse("a " * 100_000).groups) == 32
    assert len(parse('"' * 100_000).groups) <= 32
