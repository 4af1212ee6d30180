"""What is said of how an app opens is true for all of its visits."""

from __future__ import annotations

from vaas.facts import PORTAL, QUERY, VISITOR
from vaas.runtime.promise import Rest, promised

SLOW = Rest([2, 3, 4], above=True, seconds=5.12)


def test_an_app_that_asks_for_nothing_is_instant_for_all() -> None:
    assert promised(Rest([1, 2], above=False, seconds=9), asked=[], failure="", whole=True) == ("instant", [])
    assert promised(Rest([], above=False), asked=[], failure="", whole=True) == ("instant", [])


def test_for_whom_cells_run_again_is_said_with_how_long_they_took() -> None:
    mode, (line,) = promised(SLOW, asked=[QUERY], failure="", whole=True)
    assert mode == "instant"
    assert line.startswith(
        "With parameters in the address cells 2–4 run for each visit (5.1 s when they ran last). Ask"
    )
    _, (line,) = promised(Rest([4], above=True, seconds=0.2), asked=[QUERY, VISITOR], failure="", whole=True)
    assert line == (
        "With parameters in the address and for people whom the app knows by name cell 4 runs for each visit "
        "(0.2 s when they ran last)."
    )


def test_what_no_visit_has_whole_is_not_called_instant() -> None:
    assert promised(SLOW, asked=[], failure="", whole=False)[0] == "partly"
    assert promised(SLOW, asked=[PORTAL], failure="", whole=True)[0] == "partly"
    mode, (line,) = promised(Rest([1, 2], above=False), asked=[], failure="Cell 1 fails: KeyError.", whole=False)
    assert mode == "cold" and line.startswith("Cell 1 fails: KeyError.") and "cells 1–2 run for each visit" in line
