"""The outline of a finished notebook: what it shows and what it leaves out."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from vaas.runtime.outline import WIDGETS, notable, outline
from vaas.runtime.words import read_html

VIEW = "application/vnd.jupyter.widget-view+json"
#: A picture of 640 × 480 as far as its header says.
PNG = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452") + (640).to_bytes(4) + (480).to_bytes(4) + b"\x08\x06"


def said(*cells: dict[str, Any], **widgets: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks of a notebook with these cells and widgets."""
    state = {name: {"model_name": each.pop("model"), "state": each} for name, each in widgets.items()}
    return list(outline({"cells": cells, "metadata": {"widgets": {WIDGETS: {"state": state}}}}).blocks)


def markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source}


def ran(*outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": "secret_source()", "outputs": list(outputs)}


def shown(**data: Any) -> dict[str, Any]:
    """Return an output; "text_html" stands for "text/html"."""
    return {"output_type": "display_data", "data": {name.replace("_", "/", 1): value for name, value in data.items()}}


def widget(name: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {VIEW: {"model_id": name}, "text/plain": "Box()"}}


def test_words_tables_and_prints_are_kept_in_order_and_source_is_not() -> None:
    table = "<table><tr><th></th><th>a</th></tr><tr><td>0</td><td>1<b>2</b></td></tr></table>"
    printed = {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]}
    blocks = said(
        markdown("# Lakes"), ran(printed, shown(text_html=table, text_plain="a")), ran(shown(text_plain="42"))
    )
    assert blocks == [
        {"kind": "markdown", "text": "# Lakes"},
        {"kind": "printed", "text": "one\ntwo"},
        {"kind": "table", "rows": [["", "a"], ["0", "12"]], "more": 0},
        {"kind": "printed", "text": "42"},
    ]


def test_what_the_page_does_not_show_is_not_in_its_outline() -> None:
    failed = {"output_type": "error", "ename": "E", "evalue": "at /home/ada", "traceback": ["/home/ada"]}
    noise = {"output_type": "stream", "name": "stderr", "text": "/home/ada: warning"}
    assert said(ran(noise, failed), {"cell_type": "raw", "source": "raw"}) == []


def test_markup_of_prose_and_scripts_of_html_are_left_out() -> None:
    blocks = said(
        markdown('A <b onclick="x()">lake</b> ![map](javascript:alert)'),
        ran(shown(text_html="<style>p{}</style><h2>Depth &amp; size</h2><p>of <i>all</i></p><p>lakes</p>")),
    )
    assert blocks == [
        {"kind": "markdown", "text": "A lake "},
        {"kind": "heading", "level": 2, "text": "Depth & size"},
        {"kind": "words", "text": "of all"},
        {"kind": "words", "text": "lakes"},
    ]


def test_pictures_are_kept_with_their_size_and_drawings_become_boxes() -> None:
    picture = base64.b64encode(PNG).decode()
    figure = {"data": [], "layout": {"height": 300, "title": {"text": "<b>Waves</b>"}}}
    plotly = {"output_type": "display_data", "data": {"application/vnd.plotly.v1+json": figure, "text/html": "<p>x"}}
    svg, script = shown(**{"image_svg+xml": "<svg/>"}), shown(text_html="<div></div><script>draw()</script>")
    blocks = said(ran(shown(image_png=picture, text_plain="<Figure>"), plotly, svg, script))
    assert blocks == [
        {"kind": "picture", "mime": "image/png", "data": picture, "width": 640, "height": 480},
        {"kind": "box", "height": 300, "text": "Waves"},
        {"kind": "box", "height": 320, "text": ""},
        {"kind": "box", "height": 450, "text": ""},
    ]


def test_what_is_no_picture_or_too_large_is_a_box() -> None:
    fake, large = base64.b64encode(b"<svg onload=x>").decode(), base64.b64encode(PNG + bytes(500_000)).decode()
    assert [block["kind"] for block in said(ran(shown(image_png=fake), shown(image_png=large)))] == ["box", "box"]


def test_widgets_are_read_through_their_boxes() -> None:
    blocks = said(
        ran(widget("page")),
        page={"model": "VBoxModel", "children": ["IPY_MODEL_row", "IPY_MODEL_plot", "IPY_MODEL_out", "IPY_MODEL_gone"]},
        row={"model": "HBoxModel", "children": ["IPY_MODEL_slider", "IPY_MODEL_html"]},
        slider={"model": "IntSliderModel", "description": "waves", "value": 3},
        html={"model": "HTMLModel", "value": "<b>3</b><span>waves</span>"},
        plot={"model": "FigureModel", "_layout": {"height": 240}},
        out={"model": "OutputModel", "outputs": [{"output_type": "stream", "name": "stdout", "text": "inside"}]},
    )
    row = [{"kind": "control", "text": "waves"}, {"kind": "words", "text": "3 waves"}]
    box, inside = {"kind": "box", "height": 240, "text": ""}, {"kind": "printed", "text": "inside"}
    assert blocks == [{"kind": "row", "blocks": row}, box, inside]


def test_what_is_hidden_stays_so_and_a_dialog_is_seen_while_it_is_open() -> None:
    blocks = said(
        ran(widget("hidden"), widget("closed"), widget("open")),
        none={"model": "LayoutModel", "display": "none"},
        hidden={"model": "LabelModel", "value": "hidden", "layout": "IPY_MODEL_none"},
        closed={"model": "DialogModel", "children": ["closed"], "v_model": False},
        open={"model": "DialogModel", "children": ["open"], "v_model": True},
    )
    assert blocks == [{"kind": "words", "text": "open"}]


@pytest.mark.parametrize("inner", [["IPY_MODEL_a"] * 80, ["IPY_MODEL_a", "word"] * 40])
def test_widgets_that_hold_themselves_come_to_an_end(inner: list[str]) -> None:
    began = time.monotonic()
    blocks = said(ran(widget("a")), a={"model": "VBoxModel", "children": inner})
    assert len(blocks) <= 80
    assert time.monotonic() - began < 5


def test_a_long_page_ends_after_a_few_screens() -> None:
    assert len(said(*[markdown("# x")] * 1_000)) == 80
    assert sum(len(block["text"]) for block in said(*[markdown("x" * 9_000)] * 100)) <= 15_000
    picture = base64.b64encode(PNG + bytes(290_000)).decode()
    kinds = [block["kind"] for block in said(ran(*[shown(image_png=picture)] * 5))]
    assert kinds == ["picture", "box", "box", "box", "box"]


@pytest.mark.parametrize("odd", [None, 7, [], {}, "x", {"cells": 1}])
def test_outputs_of_the_wrong_shape_are_nothing(odd: Any) -> None:
    views = {"output_type": "display_data", "data": {VIEW: odd, "text/html": odd, "image/png": odd}}
    blocks = said(ran(odd, views, {"data": odd}), ran(widget("w")), w={"model": "VBoxModel", "children": odd})
    assert [block["kind"] for block in blocks if block["text"] != "x"] == []


@pytest.mark.parametrize(
    "piece", ["<", "<!", "<a ", "</", "<![CDATA[", "<script>", "<table><tr><td>", "&", "<p " + "a=" * 99]
)
def test_html_of_any_kind_is_read_in_a_moment(piece: str) -> None:
    began = time.monotonic()
    blocks = read_html((piece * 30_000)[:30_000])
    assert time.monotonic() - began < 3
    assert json.dumps(blocks)


def test_little_is_kept_of_a_widget() -> None:
    state = {
        "description": "d",
        "value": "v" * 10**6,
        "_data": [0] * 10**5,
        "_layout": {"height": 9, "images": "x" * 999},
    }
    assert notable({**state, "children": ["c"] * 999, "v_model": True})["children"] == ["c"] * 80
    assert len(json.dumps(notable(state))) < 40_000
    assert notable("no state") == {}
