"""How a kernel ended is said as far as it is known."""

from __future__ import annotations

import signal

import pytest

from vaas.runtime.endings import how_it_ended


def test_memory_is_guessed_only_where_it_was_nearly_used_up() -> None:
    assert how_it_ended(-signal.SIGKILL) == ("died", "it was killed (SIGKILL)")
    assert how_it_ended(128 + signal.SIGKILL) == ("died", "it was killed (SIGKILL)")
    assert "most likely because the memory ran out" in how_it_ended(-signal.SIGKILL, full=True)[1]


@pytest.mark.parametrize("full", [False, True])
def test_who_ends_itself_is_said_to_have_done_so(full: bool) -> None:
    assert how_it_ended(3, full=full) == ("died", "it ended itself with code 3")
    assert how_it_ended(-signal.SIGTERM, full=full) == ("died", "it was told to end (SIGTERM)")
    assert how_it_ended(None, full=full) == ("died", "it ended")
