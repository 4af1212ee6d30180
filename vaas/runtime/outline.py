"""The outline of a page: what a finished notebook shows, as headings, words, tables, pictures and grey boxes.

It is looked at while an app starts or is full, by everybody who may open the app. So it is made of a run that had no
visitor, never of a visit: what one visitor asked for is nobody else's to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vaas import pictures
from vaas.runtime.words import read_html

__all__ = ["WIDGETS", "Outline", "notable", "outline"]

Block = dict[str, Any]

_VIEW = "application/vnd.jupyter.widget-view+json"
#: Where a notebook keeps the state of its widgets.
WIDGETS = "application/vnd.jupyter.widget-state+json"
_PLOTLY = "application/vnd.plotly.v1+json"
_REFERENCE = "IPY_MODEL_"
#: What a visitor sees of a page at once is a few screens of it.
_MOST_BLOCKS, _MOST_TEXT, _MOST_PICTURES = 80, 15_000, 700_000
_TEXT, _LINES, _PICTURE = 2_000, 30, 400_000
_DEPTH, _MOST_WIDGETS, _MOST_HTML, _ONE_HTML = 20, 1_000, 200_000, 30_000
_CHART, _OTHER = 450, 320
#: The parts of a widget's state that an outline needs; all others may be large.
_NOTED = ("children", "description", "label", "outputs", "placeholder", "titles", "v_slots", "value")
_MEASURES = ("display", "height", "layout", "v_model", "visibility")
_ROWS = frozenset({"HBoxModel", "RowModel"})
#: Widgets whose first child alone is seen.
_STACKS = frozenset({"AccordionModel", "StackModel", "TabModel"})
_WORDS = frozenset({"HTMLModel", "HTMLMathModel", "LabelModel"})
_UNSEEN = frozenset({"IconModel", "MenuModel", "StyleModel", "TooltipModel"})
_MARKUP = re.compile(r"<[a-zA-Z/!][^<>]{0,500}>|!\[[^\]]{0,200}\]\([^()]{0,500}\)")
_DRAWN = ("Canvas", "Chart", "DataGrid", "DataTable", "Figure", "Image", "Map", "Plot", "Scene", "Video")


@dataclass(frozen=True)
class Outline:
    """A page's blocks from the top."""

    blocks: tuple[Block, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the portal is told."""
        return {"blocks": list(self.blocks)}


def outline(notebook: Mapping[str, Any]) -> Outline:
    """Return the outline of a notebook that ran.

    Parameters
    ----------
    notebook:
        As nbformat has it, with its outputs and, in its metadata, the state of its widgets.
    """
    states = notebook.get("metadata", {}).get("widgets", {}).get(WIDGETS, {}).get("state", {})
    return Outline(tuple(_Budget().spend(_Page(states).cells(notebook.get("cells", ())))))


def notable(state: Any) -> dict[str, Any]:
    """Return of a widget's state what an outline needs: little, whatever the widget holds."""
    if not isinstance(state, dict):
        return {}
    kept: dict[str, Any] = {}
    for name in _NOTED:
        value = state.get(name)
        if isinstance(value, str):
            kept[name] = value[: 10 * _TEXT]
        elif isinstance(value, list):
            kept[name] = value[:_MOST_BLOCKS]
    if isinstance(drawing := state.get("_layout"), dict):
        kept["_layout"] = {"height": drawing.get("height"), "title": drawing.get("title")}
    return kept | {name: state[name] for name in _MEASURES if _short(state.get(name))}


def _short(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) < 100)


class _Budget:
    """Lets blocks through until a few screens are full."""

    def __init__(self) -> None:
        self._blocks, self._text, self._pictures = _MOST_BLOCKS, _MOST_TEXT, _MOST_PICTURES

    def spend(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for block in blocks:
            kept = self._fitting(block)
            if self._blocks < 0 or self._text < 0:
                return
            yield kept

    def _fitting(self, block: Block) -> Block:
        self._blocks -= 1
        if "blocks" in block:
            return {**block, "blocks": [self._fitting(each) for each in block["blocks"]]}
        self._text -= len(block.get("text", "")) + sum(len(cell) for row in block.get("rows", ()) for cell in row)
        if block["kind"] == "picture":
            if len(block["data"]) > self._pictures:
                return _box(block["height"])
            self._pictures -= len(block["data"])
        return block


class _Page:
    """Reads cells, outputs and widgets into blocks; ``states`` are the widgets' by their id."""

    def __init__(self, states: Mapping[str, Any]) -> None:
        self._states = states
        #: Widgets may hold each other, and HTML may be slow to read: both come from strangers.
        self._widgets, self._html = _MOST_WIDGETS, _MOST_HTML

    def _read(self, html: str) -> list[Block]:
        looked_at = html[: min(self._html, _ONE_HTML)]
        self._html -= len(looked_at)
        return read_html(looked_at)

    def cells(self, cells: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
        for cell in cells:
            if cell.get("cell_type") == "markdown":
                yield _prose(_joined(cell.get("source")))
            elif cell.get("cell_type") == "code":
                yield from self._outputs(cell.get("outputs", ()), depth=_DEPTH)

    def _outputs(self, outputs: Any, *, depth: int) -> Iterator[Block]:
        for output in outputs if isinstance(outputs, list | tuple) else ():
            if not isinstance(output, dict):
                continue
            if output.get("output_type") == "stream" and output.get("name") == "stdout":
                yield _printed(_joined(output.get("text")))
            elif isinstance(data := output.get("data"), dict):
                yield from self._bundle(data, depth=depth)

    def _bundle(self, data: Mapping[str, Any], *, depth: int) -> Iterator[Block]:
        """Yield what is shown of a bundle, in the order in which Voilà chooses."""
        if isinstance(view := data.get(_VIEW), dict):
            yield from self._widget(str(view.get("model_id")), depth=depth)
        elif isinstance(figure := data.get(_PLOTLY), dict):
            yield _box(_height(figure.get("layout"), "height") or _CHART, _heading(figure.get("layout")))
        elif html := _joined(data.get("text/html")):
            drawn = [_box(_CHART)] if _draws(html) else []
            yield from drawn or self._read(html)
        elif text := _joined(data.get("text/markdown")):
            yield _prose(text)
        elif "image/svg+xml" in data:
            yield _box(_OTHER)
        elif picture := _picture(data):
            yield picture
        elif text := _joined(data.get("text/plain")):
            yield _printed(text)

    def _widget(self, model_id: str, *, depth: int) -> Iterator[Block]:
        model = self._states.get(model_id)
        self._widgets -= 1
        if not isinstance(model, dict) or depth == 0 or self._widgets < 0:
            return
        name, state = str(model.get("model_name")), model.get("state") or {}
        layout = self._layout(state)
        hidden = layout.get("display") == "none" or layout.get("visibility") == "hidden"
        if hidden or name in _UNSEEN or (name == "DialogModel" and state.get("v_model") is not True):
            return
        if name in _WORDS:
            yield from self._read(_joined(state.get("value")))
        elif "outputs" in state:
            yield from self._outputs(state["outputs"], depth=depth - 1)
        elif any(word in name for word in _DRAWN):
            height = _height(state.get("_layout"), "height") or _height(layout, "height") or _height(state, "height")
            yield _box(height or (_CHART if "Figure" in name else _OTHER), _heading(state.get("_layout")))
        elif inner := self._children(state):
            yield from self._held(name, inner, depth=depth)
        elif "children" not in state:
            yield {"kind": "control", "text": _label(state)}

    def _held(self, name: str, inner: list[str], *, depth: int) -> Iterator[Block]:
        parts = [list(self._child(child, depth=depth - 1)) for child in (inner[:1] if name in _STACKS else inner)]
        if name == "BtnModel":
            words = " ".join(part["text"] for part in sum(parts, []) if part.get("text"))
            yield {"kind": "control", "text": words[:80]}
        elif name in _ROWS and len(inner) > 1:
            yield {"kind": "row", "blocks": [_column(part) for part in parts if part][:8]}
        else:
            yield from sum(parts, [])

    def _child(self, child: str, *, depth: int) -> Iterator[Block]:
        if child.startswith(_REFERENCE):
            yield from self._widget(child.removeprefix(_REFERENCE), depth=depth)
        elif words := " ".join(child.split()):
            yield {"kind": "words", "text": words[:_TEXT]}

    def _children(self, state: Mapping[str, Any]) -> list[str]:
        """Return what the widget holds: references to widgets, and words."""
        held = _texts(state.get("children"))
        for slot in state.get("v_slots") or ():
            held += _texts(slot.get("children")) if isinstance(slot, dict) else []
        return held

    def _layout(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        found = self._states.get(str(state.get("layout", "")).removeprefix(_REFERENCE))
        layout = found.get("state") if isinstance(found, dict) else None
        return layout if isinstance(layout, dict) else {}


def _texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _joined(value: Any) -> str:
    return "".join(_texts(value))


def _label(state: Mapping[str, Any]) -> str:
    named = (state.get(name) for name in ("description", "label", "placeholder"))
    return next((" ".join(text.split())[:80] for text in named if isinstance(text, str) and text.strip()), "")


def _column(blocks: list[Block]) -> Block:
    return blocks[0] if len(blocks) == 1 else {"kind": "column", "blocks": blocks}


def _prose(text: str) -> Block:
    """Return Markdown without tags and pictures, which the portal would show as they are written."""
    return {"kind": "markdown", "text": _MARKUP.sub("", text[:_TEXT])}


def _printed(text: str) -> Block:
    return {"kind": "printed", "text": "\n".join(text[:_TEXT].split("\n")[:_LINES]).rstrip()}


def _box(height: float, text: str = "") -> Block:
    return {"kind": "box", "height": int(height), "text": text}


def _heading(layout: Any) -> str:
    """Return the title of a plotly figure, without its markup."""
    title = layout.get("title") if isinstance(layout, dict) else None
    text = title.get("text") if isinstance(title, dict) else title
    return _MARKUP.sub(" ", text[:300])[:120].strip() if isinstance(text, str) else ""


def _draws(html: str) -> bool:
    """Tell whether the HTML is a drawing that scripts make, or a page in a frame."""
    start = html[:200_000]
    return "<script" in start or "<iframe" in start or "<canvas" in start


def _height(holder: Any, name: str) -> float:
    """Return a height in pixels; 0 when it is not said or in another unit."""
    said = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(said, str):
        said = float(said[:-2]) if said.endswith("px") and said[:-2].isdecimal() else 0
    return min(2_000.0, float(said)) if isinstance(said, int | float) and said > 0 else 0


def _picture(data: Mapping[str, Any]) -> Block | None:
    for mime in pictures.TYPES:
        text = _joined(data.get(mime))
        found = pictures.decode(mime, text, most=_PICTURE) if text else None
        if found:
            width, height = pictures.dimensions(found[1])
            return {"kind": "picture", "mime": mime, "data": "".join(text.split()), "width": width, "height": height}
        if text:
            return _box(_OTHER)
    return None
