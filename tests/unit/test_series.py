"""A table of values: what parts its cells, what counts, and what is wrong where."""

from __future__ import annotations

import pytest

from vaas.errors import Invalid
from vaas.series import decoded, read_table, refusal

KINDS = {"n": "int", "name": "str"}


def check(name: str, text: str) -> int | str:
    """Read n as a whole number, everything else as text."""
    if name == "n" and not (text.strip().isdecimal() and len(text) < 20):
        raise Invalid(f"“{name}” takes a whole number.")
    return int(text) if name == "n" else text


def read_height(name: str, text: str) -> float | str:
    """Read the height as a number, everything else as text."""
    try:
        return float(text) if name == "height" else text
    except ValueError as error:
        raise Invalid(f"“{name}” takes a number.") from error


def told(text: str, *, most: int = 10) -> list[str]:
    """Return what is wrong with the table."""
    table = read_table(text, KINDS, check, most=most)
    return [str(mistake) for mistake in table.mistakes]


@pytest.mark.parametrize(
    "text",
    [
        "n,name\n1,one\n2,\n",
        "n;name\n1;one\n2;\n",
        "n\tname\r\n1\tone\r\n2\t\r\n",
        "\ufeffn, name\n1, one\n\n2,\n,\n",
        '\n"n","name",\n"1","one",\n2,,\n',
    ],
)
def test_what_parts_the_cells_is_seen_and_empty_cells_say_nothing(text: str) -> None:
    table = read_table(text, KINDS, check, most=10)
    assert (table.columns, table.rows, table.mistakes) == (("n", "name"), ({"n": 1, "name": "one"}, {"n": 2}), ())


def test_each_mistake_is_told_with_its_row_and_column() -> None:
    assert told("n,name\n1,a\nx,b\n3,c,d\n\ny,e") == [
        "Row 3: “n” takes a whole number. This is “x”.",
        "Row 4: There are 3 cells for 2 columns.",
        "Row 6: “n” takes a whole number. This is “y”.",
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "There is nothing in the table. Name the parameters in its first row."),
        ("n,name\n", "There is no row below the names. Write one for each run."),
        ("n,\n", "There is no row below the names. Write one for each run."),
        ("n,n\n1,2", "Row 1, column “n”: This column is there twice."),
        ("n,,name\n1,,2", "Row 1: Column 2 has no name."),
        ("# mine\n\nm\n1", "Row 3, column “m”: The notebook has no such parameter. Its parameters: “n”, “name”."),
        ("n\n1\n2\n3", "The table has 3 rows, and 2 are the most. Make several of it."),
        ('n,name\n1,"a', "Row 2: A quotation mark at the beginning of a cell has none at its end."),
        ("n\n" + "1\n" * 500_001, "The table is too long. Make several of it."),
    ],
)
def test_what_is_wrong_with_the_whole_is_told(text: str, wrong: str) -> None:
    assert told(text, most=2) == [wrong]


def test_a_wrong_column_hides_no_mistake_in_the_rows() -> None:
    assert told('n,m\nx,1\n2,2\n3,3,3\ny,4\n5,"', most=4) == [
        "The table has 5 rows, and 4 are the most. Make several of it.",
        "Row 1, column “m”: The notebook has no such parameter. Its parameters: “n”, “name”.",
        "Row 2: “n” takes a whole number. This is “x”.",
        "Row 4: There are 3 cells for 2 columns.",
        "Row 5: “n” takes a whole number. This is “y”.",
        "Row 6: A quotation mark at the beginning of a cell has none at its end.",
    ]


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted() -> None:
    table = read_table("n\n" + "x\n" * 90, KINDS, check, most=100)
    assert (len(table.mistakes), table.more) == (20, 70)
    said = str(refusal(table.mistakes, more=table.more)).splitlines()
    assert (len(said), said[0], said[-1]) == (22, "Nothing was started, for the table is not right.", "And 70 more.")
    assert str(refusal(table.mistakes * 3)).endswith("And 40 more.")


@pytest.mark.parametrize(
    ("text", "heights"),
    [
        ("height;name\n1;2,5\n2,5;x\n", (1.0, 2.5)),
        ("# metres\n\nheight;name\n1,250;2,5\n0,5;x\n", (1.25, 0.5)),
        ("height;name\n1,250;2,5\n20,000;x\n", (1.25, 20.0)),
        ("height\tname\n-1,5\t2,5\n2\tx\n", (-1.5, 2.0)),
        ('height,name\n"2,5","2,5"\n1,x\n', (2.5, 1.0)),
        ("name|height\n2,5|0,125\nx|3\n", (0.125, 3.0)),
        ("name;height\n2,5;1.5\nx;3\n", (1.5, 3.0)),
    ],
)
def test_numbers_have_their_commas_and_texts_keep_theirs(text: str, heights: tuple[float, float]) -> None:
    table = read_table(text, {"height": "float", "name": "str"}, read_height, most=10)
    assert [row["height"] for row in table.rows] == [*heights]
    assert ([row["name"] for row in table.rows], table.mistakes) == (["2,5", "x"], ())


def test_a_column_alone_has_whatever_its_values_have() -> None:
    table = read_table("height\n1,5\n2\n", {"height": "float"}, read_height, most=10)
    assert (table.rows, table.mistakes) == (({"height": 1.5}, {"height": 2.0}), ())
    table = read_table("name\n[1, 2; 3]\n", KINDS, check, most=10)
    assert (table.rows, table.mistakes) == (({"name": "[1, 2; 3]"},), ())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("height;name\n1,5;a\n2,5;b\n1.000;c", "Row 4, column “height”: Other numbers here have a comma"),
        ("height\tname\n1,500\ta\n20,000\tb", "Row 2: “height” takes a number. This is “1,500”."),
        ("height;name\n1.5;a\n2.5;b\n1,5;c", "Row 4: “height” takes a number. This is “1,5”."),
    ],
)
def test_a_number_that_may_mean_two_things_is_asked_about(text: str, wrong: str) -> None:
    table = read_table(text, {"height": "float", "name": "str"}, read_height, most=10)
    assert str(table.mistakes[0]).startswith(wrong)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_file_is_read_as_it_is_written(encoding: str) -> None:
    assert decoded("name\nGrößenwahn".encode(encoding)) == "name\nGrößenwahn"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"PK\x03\x04rest", "Excel"),
        (b"\xd0\xcf\x11\xe0rest", "Excel"),
        (b"\x7fELF\0\x81", "no text"),
        (b"n" * 1_000_001, "too long"),
    ],
)
def test_a_file_that_is_no_text_says_what_to_save_it_as(data: bytes, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        decoded(data)


@pytest.mark.attack
@pytest.mark.parametrize("text", ["n\n" + "9" * 200_000, "n\n" + '"' * 150_001, "\x00" * 1000, "n," * 100_000 + "\n1"])
def test_a_hostile_table_is_refused_in_words(text: str) -> None:
    table = read_table(text, KINDS, check, most=10)
    assert table.mistakes and all(len(str(mistake)) < 500 for mistake in table.mistakes)
