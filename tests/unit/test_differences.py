"""How two texts differ: what is shown of it, and what it may cost."""

from __future__ import annotations

import pytest

from vaas.differences import MAX_FILE, FileChange, file_changes


def shown(before: bytes, after: bytes) -> tuple[tuple[str, str], ...]:
    (change,) = file_changes([("a.txt", before, after)])
    assert change.path == "a.txt"
    return change.lines


def test_lines_are_shown_with_what_is_around_them() -> None:
    before = b"\n".join(b"%d" % number for number in range(40))
    after = before.replace(b"20", b"twenty")
    lines = [("…", ""), (" ", "17"), (" ", "18"), (" ", "19"), ("-", "20"), ("+", "twenty")]
    assert shown(before, after) == (*lines, (" ", "21"), (" ", "22"), (" ", "23"))


@pytest.mark.parametrize("data", [b"a\0b", b"\xff\xfe", "é".encode("latin-1"), b"x" * (MAX_FILE + 1)])
def test_what_is_no_text_or_too_long_is_not_shown(data: bytes) -> None:
    assert file_changes([("a", data, b"text"), ("b", b"text", data)]) == ()


def test_what_cannot_be_seen_is_said() -> None:
    assert shown(b"a\nb\n", b"a\r\nb\r\n") == (("…", "Only what cannot be seen differs, as the ends of lines."),)


def test_a_difference_is_no_longer_than_somebody_reads() -> None:
    lines = shown(b"", b"\n".join(b"%d" % number for number in range(1_000)))
    assert (len(lines), lines[-1]) == (401, ("…", "600 more lines are not shown."))
    assert shown(b"", b"x" * 3_000) == (("+", "x" * 500 + "…"),)
    assert shown(b"x\n" * 3_000, b"y")[0][0] == "…"


def test_indents_are_shown() -> None:
    assert shown(b"if x:\n    y()\n", b"if x:\n\ty()\n")[-2:] == (("-", "    y()"), ("+", "\ty()"))


def test_marks_that_turn_what_follows_around_are_left_out() -> None:
    assert shown(b"", "safe \u202eelif\u0007".encode()) == (("+", "safe elif"),)


def test_only_so_many_files_are_shown() -> None:
    found = file_changes((f"{number}.txt", b"a", b"b") for number in range(100))
    assert len(found) == 30 and isinstance(found[0], FileChange)
