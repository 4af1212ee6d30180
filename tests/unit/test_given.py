"""What travels to a launch is what was moved, as plain data within bounds."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import pytest

from vaas.given import MOST_BYTES, as_given, counted, is_value
from vaas.runtime.moved import moved
from vaas.runtime.states import Snapshot

CONTROLS = "@jupyter-widgets/controls"


def widget(model: str = "IntSliderModel", module: str = CONTROLS, **state: Any) -> dict[str, Any]:
    """Return a widget as its kernel tells of it."""
    return {"model_module": module, "model_name": model, "state": state}


def state(widgets: Mapping[str, Any], *, body: bytes | None = None) -> Snapshot:
    """Return what a kernel told of these widgets."""
    parts = [b"{}", json.dumps({"states": widgets}).encode() if body is None else body]
    offsets = list(accumulate(map(len, parts), initial=8 * (len(parts) + 2)))
    return Snapshot(struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts), ())


def given(*widgets: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return what of these widgets may travel, each with a place and what it says."""
    known = [{"module": "m", "model": "M", "name": "n", "at": 0, **each} for each in widgets]
    return as_given({"widgets": known, **more})


# ---- what was moved


def test_only_what_is_not_as_it_was_travels_with_its_place() -> None:
    before = {
        "a": widget(description="Depth", value=1),
        "b": widget(description="Depth", value=2),
        "c": widget("DropdownModel", description="Depth", index=0, _options_labels=["x"]),
    }
    now = {**before, "b": widget(description="Depth", value=5, max=9)}
    assert moved(state(now), state(before), query="a=1") == {
        "query": "a=1",
        "widgets": [{"module": CONTROLS, "model": "IntSliderModel", "name": "Depth", "at": 1, "values": {"value": 5}}],
    }
    assert moved(state(before), state(before)) == {}


def test_a_widget_that_was_closed_or_renamed_keeps_the_places_of_the_others() -> None:
    before = {id: widget(description="Depth", value=1) for id in "abc"}
    now = {"b": widget(description="Depth now", value=2), "c": widget(description="Depth", value=3)}
    places = [(each["name"], each["at"]) for each in moved(state(now), state(before))["widgets"]]
    assert places == [("Depth", 1), ("Depth", 2)]


def test_of_what_came_later_and_where_nothing_was_known_all_values_travel() -> None:
    now = {"a": widget(value=1), "b": widget(value=2)}
    assert [each["at"] for each in moved(state(now), state({"a": widget(value=1)}))["widgets"]] == [1]
    assert [each["values"] for each in moved(state(now), None)["widgets"]] == [{"value": 1}, {"value": 2}]
    assert moved(None, state(now)) == moved(None, None) == {}


@pytest.mark.parametrize("model", ["HTML", "Label", "Output", "Password", "FileUpload", "IntProgress", "Dialog"])
def test_what_nobody_sets_and_what_is_secret_stays(model: str) -> None:
    assert moved(state({"a": widget(f"{model}Model", value="x", v_model=True)}), None) == {}


def test_what_is_written_as_a_password_stays() -> None:
    assert moved(state({"a": widget("TextFieldModel", label="Key", type="password", v_model="sesame")}), None) == {}
    assert moved(state({"a": widget("TextFieldModel", label="Key", type="text", v_model="open")}), None) != {}


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"[]", b"{}", b'{"states": 3}', b'{"states": {"a": 3}}', b'{"states": {"a": {}}}', b"[" * 100_000],
)
def test_a_kernel_that_tells_nonsense_gives_nothing(body: bytes) -> None:
    assert moved(state({}, body=body), None) == {}


# ---- what may travel


@pytest.mark.parametrize("value", [0, -1.5, True, None, "", "a<b>", [1, [2, "x"]], {"year": 2024, "month": 4}, 2**62])
def test_plain_values_travel_as_they_are(value: Any) -> None:
    assert given({"values": {"value": value}})["widgets"][0]["values"] == {"value": value}


@pytest.mark.parametrize(
    "value",
    [
        "IPY_MODEL_0123",
        ["IPY_MODEL_0123"],
        {"a": "IPY_MODEL_0123"},
        float("nan"),
        float("inf"),
        10**400,
        "x" * 8_001,
        "zero\0",
        "\ud800",
        {"\ud800": 1},
        [[[[[1]]]]],
        list(range(1_000)),
        {str(n): n for n in range(500)},
        b"bytes",
        (1, 2),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_what_is_no_plain_value_stays(value: Any) -> None:
    assert not is_value(value)
    assert given({"values": {"value": value, "index": 1}})["widgets"][0]["values"] == {"index": 1}
    assert given({"values": {"value": value}}) == {}


def test_a_value_as_deep_as_a_text_can_be_takes_no_time() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert not is_value(deep)


@pytest.mark.parametrize("name", ["children", "description", "layout", "_model_name", "template", "__class__"])
def test_nothing_but_values_travels(name: str) -> None:
    assert given({"values": {name: 1}}) == {}


@pytest.mark.parametrize(
    "wrong",
    [{"at": -1}, {"at": True}, {"at": "0"}, {"at": 10_000}, {"module": 1}, {"model": "x" * 201}, {"values": [1]}],
    ids=str,
)
def test_a_widget_without_a_true_place_stays(wrong: dict[str, Any]) -> None:
    assert given({"values": {"value": 1}, **wrong}) == {}


@pytest.mark.parametrize("said", [None, 3, "x", [], {}, {"widgets": 3}, {"widgets": [None, 3]}, {"query": 3}], ids=str)
def test_nonsense_is_nothing(said: Any) -> None:
    assert as_given(said) == {}


def test_all_together_is_bounded_and_what_fits_travels() -> None:
    large = [{"at": at, "values": {"value": "x" * 7_000}} for at in range(9)]
    kept = given(*large, {"at": 9, "values": {"value": 1}}, query="q" * 4_001)
    assert [each["at"] for each in kept["widgets"]] == [0, 1, 2, 3, 4, 5, 9]
    assert len(json.dumps(kept)) < MOST_BYTES + 1_000 and "query" not in kept
    assert len(given(*({"at": at, "values": {"value": 1}} for at in range(1_000)))["widgets"]) == 400


def test_it_is_counted() -> None:
    assert counted(given({"values": {"value": 1}}, query="a=1&b=2&")) == (1, 2)
    assert counted({}) == (0, 0)
