"""What the portal keeps of a check's report, which comes from where foreign code runs."""

from __future__ import annotations

from typing import Any

import pytest

from vaas.portal.reports import clean_opens, clean_progress, clean_report


def test_an_ordinary_report_is_kept_as_it_is() -> None:
    report = {
        "ok": False,
        "seconds": 3.1,
        "cells": 4,
        "errors": [{"cell": 2, "name": "ValueError", "message": "no", "traceback": "…", "source": "x"}],
        "problems": [],
        "picture": {"mime": "image/png", "data": "aGVsbG8="},
    }
    assert clean_report(report) == report


def test_ok_is_no_matter_of_saying_so() -> None:
    assert not clean_report({"ok": True, "errors": [{"cell": 1}]})["ok"]
    assert not clean_report({"ok": "yes"})["ok"]
    assert clean_report({"ok": True})["ok"]


@pytest.mark.parametrize(
    "said",
    [
        {"picture": "x"},
        {"picture": {"mime": "image/svg+xml", "data": "aGVsbG8="}},
        {"picture": {"mime": "image/png", "data": "no base64!"}},
        {"picture": {"mime": "image/png", "data": ["a"]}},
        {"picture": {"mime": ["image/png"], "data": "aGVsbG8="}},
    ],
)
def test_a_picture_that_is_none_is_left_out(said: dict[str, Any]) -> None:
    assert clean_report(said)["picture"] is None


def test_odd_types_and_sizes_become_harmless() -> None:
    odd = {"errors": "many", "secrets": [1, {"cell": "x", "kind": 7}], "seconds": "long", "cells": True, "extra": 1}
    assert clean_report(odd) == {
        "ok": False,
        "errors": [],
        "secrets": [{"cell": 0, "kind": ""}],
        "seconds": 0,
        "cells": 0,
    }
    large = clean_report({"errors": [{"traceback": "x" * 1_000_000}] * 1000})
    assert len(large["errors"]) == 100
    assert len(large["errors"][0]["traceback"]) == 20_000


def test_progress_holds_numbers_and_a_stage() -> None:
    assert clean_progress({"cell": 3, "cells": 9, "stage": "running", "more": []}) == {
        "cell": 3,
        "cells": 9,
        "stage": "running",
    }
    assert clean_progress({"cell": [], "stage": {}}) == {"cell": 0, "stage": ""}


def test_how_an_app_opens_is_kept_as_it_is() -> None:
    said = {"mode": "warm", "why": ["A thread runs. Start threads in a callback."]}
    assert clean_opens(said) == said


@pytest.mark.parametrize("said", [None, [], "warm", {}, {"mode": "preparing"}, {"mode": "<b>"}, {"mode": ["warm"]}])
def test_how_it_opens_is_not_known_or_one_of_three(said: object) -> None:
    assert clean_opens(said) == {}


def test_reasons_are_lines_and_have_bounds() -> None:
    why = ["a\nb\u202ec", 3, "", "x" * 5000, *["more"] * 50]
    kept = clean_opens({"mode": "cold", "why": why, "html": "<b>"})
    assert kept.keys() == {"mode", "why"}
    assert kept["why"][0] == "a bc"
    assert len(kept["why"][1]) == 600
    assert len(kept["why"]) <= 10
    assert clean_opens({"mode": "cold", "why": "words"}) == {"mode": "cold", "why": []}
