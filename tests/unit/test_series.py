"""A table of values: what parts its cells, what counts, and what is wrong where."""

from __future__ import annotations

import pytest

from vaas.errors import Invalid
from vaas.series import decoded, read_table

NAMES = ("n", "name")


def check(name: str, text: str) -> int | str:
    """Read n as a whole number, everything else as text."""
    if name == "n" and not text.strip().isdecimal():
        raise Invalid(f"“{name}” takes a whole number.")
    return int(text) if name == "n" else text


def told(text: str, *, most: int = 10) -> list[str]:
    """Return what is wrong with the table."""
    table = read_table(text, NAMES, check, most=most)
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
    table = read_table(text, NAMES, check, most=10)
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
        ("m\n1", "Row 1, column “m”: The notebook has no such parameter. Its parameters are “n”, “name”."),
        ("n\n1\n2\n3", "The table has 3 rows, and 2 are the most. Make several of it."),
        ('n,name\n1,"a', "This is no table: unexpected end of data."),
    ],
)
def test_what_is_wrong_with_the_whole_is_told_before_any_row_is_read(text: str, wrong: str) -> None:
    assert told(text, most=2) == [wrong]


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted() -> None:
    table = read_table("n\n" + "x\n" * 90, NAMES, check, most=100)
    assert (len(table.mistakes), table.more) == (50, 40)


def test_a_file_is_text_in_utf_8() -> None:
    assert decoded("\ufeffn\n1".encode()) == "n\n1"
    for data, word in ((b"PK\x03\x04rest", "Excel"), ("Größe".encode("latin-1"), "UTF-8")):
        with pytest.raises(Invalid, match=word):
            decoded(data)


@pytest.mark.attack
@pytest.mark.parametrize("text", ["n\n" + "9" * 200_000, "n\n" + '"' * 150_001, "\x00" * 1000, "n," * 100_000 + "\n1"])
def test_a_hostile_table_is_refused_in_words(text: str) -> None:
    table = read_table(text, NAMES, check, most=10)
    assert table.mistakes and all(len(str(mistake)) < 500 for mistake in table.mistakes)
