"""Nobody who types what is suggested is led to nothing, and a value of which there is none is said to be so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.in_place import InPlace
from tests.small_portal import SmallPortal
from vaas.query import parse
from vaas.widgets import hints


@pytest.mark.parametrize("text", ["", "tide", "type:app", "in:here glacier type:data", "tag:ocean after:2020", "qqqq"])
def test_each_hint_narrows_what_was_found_to_something(text: str) -> None:
    portal = SmallPortal()
    view = InPlace(lambda: portal)
    answer = view.search(text)
    assert len(answer["hints"]) > 2 or not answer["total"]
    for hint in answer["hints"]:
        found = view.search(f"{text} {hint}")
        assert 0 < found["total"] <= answer["total"], hint
        assert not found["corrected"] and not found["notes"], hint


def test_each_way_to_ask_is_shown_once_and_not_where_it_is_known() -> None:
    portal = SmallPortal()
    ways = [hint.lstrip('-"').partition(":")[0] for hint in InPlace(lambda: portal).search("")["hints"]]
    assert ways[:3] == ["type", "tag", "column"] and len(ways) == 6
    asked = InPlace(lambda: portal).search('type:data tag:ocean column:time "sea level" after:2015')["hints"]
    assert asked == []


@pytest.mark.parametrize(
    ("text", "counts", "said"),
    [
        ("format:pdf", {"format": {"csv": 2, "hdf5": 3}}, ["Nothing that fits has the format “pdf”. Try hdf5 or csv."]),
        ("by:nobody", {"owner": {"ada": 1}}, ["Nothing that fits has the owner “nobody”. Try ada."]),
        ("type:notebooks", {"type": {"data": 1}}, ["Nothing that fits has the kind “Notebooks”. Try Data."]),
        ("in:there", {"catalog": {"here": 4}}, ["Nothing that fits has the catalog “there”. Try This portal."]),
        # Who reads the query says so.
        ("type:banana", {"type": {"data": 1}}, []),
        ("format:pdf", {"format": {}}, []),
        ("by:ada", {"owner": {"Ada": 1}}, []),
    ],
)
def test_a_value_of_which_there_is_none_is_named_with_others(
    text: str, counts: dict[str, Any], said: list[str]
) -> None:
    assert list(hints.unknown(counts, parse(text))) == said


def test_it_is_said_where_nothing_was_found_alone() -> None:
    view = InPlace(SmallPortal)
    assert view.search("in:here type:data format:pdf")["none"][0].startswith("Nothing that fits has the format “pdf”.")
    assert view.search("in:here format:pdf OR format:csv")["none"] == []
