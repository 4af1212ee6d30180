"""What is said of a file is rebuilt with bounds: whoever says it may have been taken over."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from vaas.errors import Unreadable
from vaas.insides import closing, worker
from vaas.insides.answers import clean_inside, clean_preview, parse_answer
from vaas.insides.base import Inside

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n picture").decode()


def test_what_is_well_is_kept() -> None:
    said = {
        "type": "notebook", "format": "netcdf", "title": "T", "summary": "S", "text": "a\nb", "authors": ["Ada"],
        "tags": ["x"], "columns": ["c"], "packages": ["numpy"], "kernel": "python3", "licence": "CC0",
        "begins": "2020-01-01T00:00:00", "ends": "2021-01-01T01:00:00+01:00", "box": [-1, 2.5, 3, 4],
        "details": {"rows": 3, "types": {"c": "number"}, "sheets": ["a", "b"], "rows_estimated": True},
    }  # fmt: skip
    assert clean_inside(said) == Inside(
        **{**said, **{name: tuple(said[name]) for name in ("authors", "tags", "columns", "packages", "box")}}  # type: ignore
        | {"begins": datetime(2020, 1, 1, tzinfo=UTC), "ends": datetime(2021, 1, 1, tzinfo=UTC)}
    )


@pytest.mark.parametrize(
    "said",
    [
        {
            "type": "person",
            "format": 7,
            "title": ["x"],
            "summary": None,
            "text": {},
            "authors": "Ada",
            "tags": [1, None],
        },
        {"columns": {"a": 1}, "packages": [["x"]], "kernel": b"x".hex, "licence": 1.5, "details": [1]},
        {"begins": "tomorrow", "ends": 2020, "box": [1, 2, 3]},
        {"box": [0, 91, 1, 92]},
        {"box": [0, 5, 1, 4]},
        {"box": [float("nan"), 0, 1, 1]},
        {"box": ["0", 0, 1, 1]},
        {"begins": "9" * 1_000_000, "ends": "0001-01-01T00:00:00+14:00"},
        {"details": {"a": float("inf"), "b": 1 << 70, "c": None, "d": [[[["deep"]]]], "": 1}},
        {"owner": "mallory", "readers": ["public"], "id": "app:1", "url": "https://evil.example"},
    ],
)
def test_what_is_no_value_is_left_out(said: dict[str, Any]) -> None:
    found = clean_inside(said)
    assert found == Inside(details=found.details)
    assert found.details in ({}, {"d": [[]]})


def test_texts_are_short_and_without_marks_that_deceive() -> None:
    said = {
        "title": "a\u202eb\x00c\n\nd" + "x" * 10_000,
        "text": "y" * 1_000_000,
        "columns": [f"c{i}" for i in range(9_999)],
    }
    found = clean_inside(said)
    assert found.title.startswith("abc dxx") and len(found.title) == 300
    assert len(found.text) == 100_000 and len(found.columns) == 500


def test_halves_of_characters_do_not_come_through() -> None:
    found = clean_inside(json.loads('{"title": "a\\ud800b", "details": {"x\\udfff": "\\ud800"}}'))
    assert repr(found).encode() and found.title == "a?b"


def test_details_are_bounded() -> None:
    said = {"details": {f"n{i}": {f"m{j}": "x" * 999 for j in range(999)} for i in range(99)}}
    details = clean_inside(said).details
    assert len(details) == 40 and len(json.dumps(details)) <= 16_000
    assert len(clean_inside({"details": {"types": {f"c{i}": "number" for i in range(999)}}}).details["types"]) == 200


def test_a_time_that_ends_before_it_begins_is_turned() -> None:
    found = clean_inside({"begins": "2021-01-01", "ends": "2020-01-01"})
    assert found.begins is not None and found.ends is not None and found.begins < found.ends


@pytest.mark.parametrize(
    "said", ["", "[]", "7", "{}", '{"told": 1}', '{"told": [1]}', "[" * 100_000, "{" + '"a":' * 9, "9" * 9_999]
)
def test_what_is_no_answer_is_unreadable(said: str) -> None:
    with pytest.raises(Unreadable, match="no answer"):
        parse_answer(said)


def test_a_reason_is_one_short_line() -> None:
    with pytest.raises(Unreadable) as caught:
        parse_answer(json.dumps({"unreadable": "a\nb\u202e" + "x" * 9_999, "why": "\x1b[2J" + "y" * 9_999}))
    assert caught.value.message.startswith("a bxx") and len(caught.value.message) == 300
    assert caught.value.log_message.startswith("[2Jyy") and len(caught.value.log_message) == 300


def test_a_table_has_as_many_cells_as_columns() -> None:
    said = {"kind": "table", "columns": [{"name": "a", "type": "text"}, {"name": 1}], "more": 1, "evil": 1}
    said |= {
        "rows": [["x"], ["x", "y", "z"], "row", *[["x"]] * 50],
        "plot": {"kind": "line", "x": [1, "a", None], "y": [1]},
    }
    found = clean_preview(said)
    assert found["rows"][:3] == [["x", ""], ["x", "y"], ["", ""]] and len(found["rows"]) == 20
    assert found["columns"] == [{"name": "a", "type": "text"}, {"name": "", "type": ""}] and found["more"] is False
    assert found["plot"] == {"x": [1], "y": [1], "x_name": "", "y_name": "", "kind": "line"}
    assert set(found) == {"kind", "columns", "rows", "more", "plot"}


@pytest.mark.parametrize("plot", [None, 1, {"kind": "pie"}, {"kind": ["line"]}])
def test_what_is_no_plot_is_left_out(plot: Any) -> None:
    assert clean_preview({"kind": "table", "columns": [], "rows": [], "plot": plot})["plot"] is None


@pytest.mark.parametrize(
    "picture",
    [
        *(None, 1, "", "https://evil.example/x.png", "data:image/svg+xml;base64,PHN2Zy8+", "data:image/png;base64,!!!"),
        "data:image/png;base64," + base64.b64encode(b"<svg/>").decode(),
        "data:text/html;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(),
        PNG + '" onload="evil()',
        "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)).decode(),
    ],
)
def test_what_is_no_picture_is_not_shown(picture: Any) -> None:
    with pytest.raises(Unreadable, match="no picture"):
        clean_preview({"kind": "image", "picture": picture})
    assert clean_preview({"kind": "tree", "items": [], "picture": picture})["picture"] is None
    assert clean_preview({"kind": "notebook", "picture": picture})["picture"] is None


def test_a_picture_is_shown() -> None:
    assert clean_preview({"kind": "image", "picture": PNG}) == {"kind": "image", "picture": PNG}


def test_trees_outlines_and_texts_are_bounded() -> None:
    tree = clean_preview({"kind": "tree", "items": [{"name": "a", "shape": 1, "x": 2}] * 9_999 + [1]})
    assert len(tree["items"]) == 500 and tree["items"][0] == {"name": "a", "shape": "", "type": "", "unit": ""}
    shown = clean_preview({"kind": "notebook", "outline": [{"level": -5, "text": "T"}, {"level": 1e300}, 1], "text": 1})
    assert shown["outline"] == [{"level": 1, "text": "T"}, {"level": 6, "text": ""}] and shown["text"] == ""
    assert clean_preview({"kind": "text", "text": "x" * 999_999})["text"] == "x" * 100_000


@pytest.mark.parametrize("kind", [None, "", "html", ["table"], {"a": 1}])
def test_what_is_no_preview_is_unreadable(kind: Any) -> None:
    with pytest.raises(Unreadable, match="nothing to show"):
        clean_preview({"kind": kind, "html": "<script>"})


@pytest.mark.parametrize("ended", [worker._has_ended, worker._is_seen_to_end])
def test_whether_a_fork_has_ended_is_seen_with_and_without_the_systems_help(
    ended: Callable[[int, float], bool],
) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not ended(process.pid, 0.05)
        process.kill()
        assert ended(process.pid, 30)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_of_system_calls_is_made_for_each_machine(machine: str) -> None:
    made = closing.program(machine)
    assert made and len(made) % 8 == 0 and len(made) // 8 < 4096


def test_there_is_no_filter_for_a_machine_whose_calls_are_not_known() -> None:
    assert closing.program("s390x") == b""
