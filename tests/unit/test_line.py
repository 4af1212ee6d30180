"""The line before a full app: who is next, who has gone, and how long it takes."""

from __future__ import annotations

import pytest

from vaas.runtime.line import LONGEST, Line, Standing


def line_of(*visits: str, room: int = 0, now: float = 0.0) -> Line:
    """Return a line that these came to one after the other."""
    line = Line(now=0.0, silent=20, held=15)
    for visit in visits:
        assert not line.come_in(visit, now=now, room=room)
    return line


def positions(line: Line, *visits: str, now: float = 1.0, room: int = 0) -> list[int]:
    return [line.ask(visit, now=now, room=room).position for visit in visits]


def test_who_finds_room_and_nobody_waiting_comes_in_at_once() -> None:
    line = Line(now=0.0)
    assert line.come_in("a", now=0, room=1)
    assert len(line) == 0


def test_places_are_given_in_the_order_of_coming() -> None:
    line = line_of("a", "b", "c")
    assert positions(line, "c", "a", "b") == [3, 1, 2]


def test_asking_again_keeps_the_place() -> None:
    line = line_of("a", "b")
    assert not line.come_in("a", now=1, room=0)
    assert positions(line, "a", "b") == [1, 2]


def test_when_there_is_room_the_first_comes_in_and_the_others_move_up() -> None:
    line = line_of("a", "b", "c")
    assert positions(line, "a", "b", "c", room=1) == [0, 1, 2]
    assert not line.come_in("b", now=1, room=1)
    assert line.come_in("a", now=1, room=1)
    assert positions(line, "b", "c") == [1, 2]


def test_with_room_for_two_the_first_two_come_in_whoever_is_quicker() -> None:
    line = line_of("a", "b", "c")
    assert line.come_in("b", now=1, room=2)
    assert line.come_in("a", now=1, room=1)
    assert positions(line, "c") == [1]


def test_who_comes_new_does_not_take_the_place_of_who_was_called() -> None:
    line = line_of("a")
    assert positions(line, "a", room=1) == [0]
    assert not line.come_in("new", now=1, room=1)
    assert line.come_in("a", now=2, room=1)


def test_who_comes_new_comes_in_when_there_is_more_room_than_are_waiting() -> None:
    line = line_of("a")
    assert line.come_in("new", now=1, room=2)
    assert positions(line, "a", room=1) == [0]


def test_who_is_silent_leaves_the_line() -> None:
    line = line_of("a", "b")
    assert positions(line, "b", now=19) == [2]
    assert positions(line, "b", now=21) == [1]
    assert "a" not in line


def test_who_listens_is_not_silent_however_long() -> None:
    line = line_of("a", "b")
    line.listens("a")
    assert positions(line, "b", now=19) == [2]
    assert not line.tidy(38, room=0)
    assert positions(line, "b", now=38) == [2]
    line.hangs_up("a", now=50)
    assert positions(line, "b", now=57) == [2]
    assert line.tidy(70.5, room=0)
    assert "a" not in line


def test_a_place_is_held_for_a_while_and_not_for_ever() -> None:
    line = line_of("a", "b")
    line.listens("a")
    line.listens("b")
    assert line.tidy(1, room=1)
    assert not line.tidy(15, room=1)
    assert line.tidy(17, room=1)
    assert "a" not in line
    assert line.come_in("b", now=18, room=1)


def test_who_did_not_come_when_called_starts_at_the_end() -> None:
    line = line_of("a", "b")
    assert positions(line, "a", "b", now=1, room=1) == [0, 1]
    assert positions(line, "b", "a", now=17, room=1) == [0, 1]


def test_who_was_called_waits_again_when_there_is_no_room_after_all() -> None:
    line = line_of("a", "b")
    assert positions(line, "a", room=1) == [0]
    assert positions(line, "a", "b", room=0) == [1, 2]


def test_who_leaves_makes_the_others_move_up() -> None:
    line = line_of("a", "b")
    line.leave("a")
    line.leave("nobody")
    assert positions(line, "b") == [1]


def test_the_line_has_an_end() -> None:
    line = line_of(*(f"v{number}" for number in range(LONGEST)))
    assert line.ask("late", now=1, room=0).position == -1
    assert not line.come_in("late", now=1, room=0)
    line.leave("v0")
    assert line.ask("late", now=1, room=0).position == LONGEST


def test_the_estimate_is_by_how_pages_ended_lately() -> None:
    line = line_of("a", "b")
    for moment in (100, 200, 300):
        line.freed(moment)
    line.listens("a")
    line.listens("b")
    assert line.ask("b", now=300, room=0) == Standing(2, 200)
    assert line.ask("b", now=600, room=0) == Standing(2, 400)
    # What was long ago is forgotten.
    assert line.ask("b", now=1250, room=0) == Standing(2, None)


def test_too_few_ends_tell_nothing() -> None:
    line = line_of("a")
    line.freed(1)
    line.freed(2)
    assert line.ask("a", now=3, room=0).seconds is None


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing(0), ("It is your turn.", "The app opens.")),
        (Standing(1, None), ("You are next.", "We cannot tell yet how long it takes.")),
        (Standing(2, 40), ("You are number 2 in line.", "It should take less than a minute.")),
        (Standing(2, 60), ("You are number 2 in line.", "It may take about a minute.")),
        (Standing(3, 61), ("You are number 3 in line.", "It may take about 2 minutes.")),
        (Standing(3, 9000), ("You are number 3 in line.", "It may take more than an hour.")),
    ],
)
def test_what_a_visitor_reads(standing: Standing, words: tuple[str, str]) -> None:
    assert standing.words == words
