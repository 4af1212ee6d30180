"""What a notebook's outputs show while it runs: the hosts that the page will ask, a picture, readable errors."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaas.runtime.audit import Event
from vaas.source import outside_hosts

__all__ = ["Outcome", "Seen", "cost_of", "plain_traceback", "size_of"]

#: The messages that become part of a page.
_COUNTED = frozenset(
    {"stream", "display_data", "execute_result", "update_display_data", "error", "comm_open", "comm_msg"}
)
#: More is not looked through, of one output.
_MAX_TEXT = 300_000
MAX_PICTURE = 3_000_000
_MAX_TRACEBACK_LINES = 120
_MAX_DEPTH = 8

_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[@-_])")
#: What a browser fetches by itself; a link that waits for a click is none of it.
_FETCHED = re.compile(
    r"(?:\b(?:src|srcset|poster|data|xlink:href|action)\s*=\s*|<(?:link|image|use)\b[^>]{0,500}?\bhref\s*=\s*|"
    r"url\(\s*|@import\s+|\bimport\s*\(?\s*|\bfrom\s+|\bfetch\(\s*|paths\s*:\s*\{[^}]{0,500}?:\s*)"
    r"[\"']?((?:https?:)?//[^\s\"'<>)]{1,2000})",
    re.IGNORECASE,
)
#: They deliver scripts and styles: named anywhere in a page, they are asked.
_DELIVERERS = re.compile(
    r"\b(cdn\.jsdelivr\.net|cdnjs\.cloudflare\.com|unpkg\.com|cdn\.plot\.ly|cdn\.bokeh\.org|cdn\.pydata\.org|"
    r"esm\.sh|cdn\.skypack\.dev|ajax\.googleapis\.com|fonts\.googleapis\.com|fonts\.gstatic\.com|"
    r"code\.jquery\.com|maxcdn\.bootstrapcdn\.com|stackpath\.bootstrapcdn\.com|use\.fontawesome\.com|d3js\.org)\b"
)
_PAGE_MIMES = ("text/html", "text/markdown", "image/svg+xml", "application/javascript")
_PLOTLY = "application/vnd.plotly.v1+json"
#: plotly draws these on outlines or tiles that it fetches.
_PLOTLY_OUTLINES = {"choropleth", "scattergeo"}
_PLOTLY_TILES = {"choroplethmapbox", "densitymapbox", "scattermapbox"}
_TILE_HOSTS = {
    "open-street-map": "tile.openstreetmap.org",
    "carto-positron": "cartodb-basemaps-a.global.ssl.fastly.net",
    "carto-darkmatter": "cartodb-basemaps-a.global.ssl.fastly.net",
}
#: Traits of widgets that hold an address which is fetched.
_ADDRESS_TRAITS = {"href", "icon_url", "image", "lazy-src", "lazy_src", "logo", "src", "url"}
#: Frames of those who run the cell say nothing about it.
_MACHINERY = re.compile(r"^File \S*(?:/IPython/|/ipykernel/|/vaas/runtime/|/asyncio/|<frozen )")
_FRAME = re.compile(r"^(?:File (?P<file>[^\n,]+?)(?::\d+)?(?:,| in )|Cell (?:In\[)?\d)")
_PLACE = re.compile(
    r"^File (?:\S*/(?:site-packages|lib/python[\d.]+)/)?(?P<place>.*?)(?:(?P<function>, in [\w.<>]+)\(.*)?$"
)
_LIBRARY = re.compile(r"^File (?:\S*/(?:site-packages|lib/python[\d.]+)/|\S+\.pyx\b|<)")
_PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class Seen:
    """What came out of the cells so far: hosts with the first cell each, and the first picture."""

    def __init__(self) -> None:
        self.hosts: dict[str, int] = {}
        self.picture: dict[str, str] | None = None

    def output(self, content: Mapping[str, Any], cell: int) -> None:
        """Look at what was displayed: a bundle of one thing in several formats."""
        data = content.get("data")
        if not isinstance(data, dict):
            return
        for mime in _PAGE_MIMES:
            self._add(_hosts_in_page(_joined(data.get(mime))), cell)
        if isinstance(figure := data.get(_PLOTLY), dict):
            self._add(_hosts_in_figure(figure.get("data"), figure.get("layout")), cell)
        if self.picture is None:
            self.picture = next((picture for mime in _PICTURES if (picture := _picture(mime, data.get(mime)))), None)

    def widget(self, state: Any, cell: int) -> None:
        """Look at what a widget shows."""
        if isinstance(state, dict):
            self._add(_hosts_in_figure(state.get("_data"), state.get("_layout")), cell)
            self._add(_hosts_in_state(state, _MAX_DEPTH), cell)

    def _add(self, hosts: Iterator[str], cell: int) -> None:
        for host in hosts:
            self.hosts.setdefault(host, cell)


@dataclass
class Outcome:
    """What happened: how far it got, and what stopped it."""

    cells: int
    started: int = 0
    #: The cell that runs or ran last; 0 before the first.
    cell: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    python: str = ""
    errors: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    #: Texts that cells put out, by cell.
    texts: dict[int, str] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    #: The notebook as it was left, with its outputs and what its widgets show; empty when it did not run.
    page: Mapping[str, Any] = field(default_factory=dict)


def cost_of(msg: Mapping[str, Any]) -> int:
    """Return how many bytes a kernel's message adds to what a page puts out; 0 for one that shows nothing."""
    return size_of(msg["content"]) + sum(map(len, msg.get("buffers", ()))) if msg["msg_type"] in _COUNTED else 0


def size_of(value: Any, depth: int = _MAX_DEPTH) -> int:
    """Return about how many bytes a message's content takes."""
    if isinstance(value, str | bytes | memoryview):
        return len(value)
    if depth and isinstance(value, dict):
        return sum(size_of(part, depth - 1) for part in value.values())
    if depth and isinstance(value, list | tuple):
        return sum(size_of(part, depth - 1) for part in value)
    return 8


def plain_traceback(lines: Sequence[str], *, hidden: Mapping[str, str]) -> str:
    """Return IPython's traceback as plain text: no colours, only the frames that concern the author.

    ``hidden`` are pieces of text, with what is written in their place.
    """
    text = _ANSI.sub("", "\n".join(lines)).replace("\r\n", "\n")
    for piece in sorted(hidden, key=len, reverse=True):
        text = text.replace(piece, hidden[piece])
    kept: list[str] = []
    for frame in _frames(text):
        if _MACHINERY.match(frame[0]):
            continue
        # Of a library's frames the place is enough; what matters is where the author called it.
        kept += frame[:1] if _LIBRARY.match(frame[0]) else frame
    kept = [_PLACE.sub(_short_place, line.rstrip()) for line in kept]
    if len(kept) > _MAX_TRACEBACK_LINES:
        half = _MAX_TRACEBACK_LINES // 2
        kept = [*kept[:half], "…", *kept[-half:]]
    return "\n".join(line[:500] for line in kept).strip()


def _short_place(match: re.Match[str]) -> str:
    function = match["function"]
    return f"File {match['place']}" + (f"{function}()" if function else "")


def _frames(text: str) -> Iterator[list[str]]:
    """Yield the parts of a traceback: its head, each frame, and the message at its end."""
    part: list[str] = []
    for line in text.split("\n"):
        if set(line) == {"-"}:
            continue
        starts_message = part and not line.startswith((" ", "-", "\t")) and line and _FRAME.match(part[0])
        if part and (_FRAME.match(line) or starts_message):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _joined(value: Any) -> str:
    text = "".join(part for part in value if isinstance(part, str)) if isinstance(value, list) else value
    return text[:_MAX_TEXT] if isinstance(text, str) else ""


def _hosts_in_page(text: str) -> Iterator[str]:
    if not text:
        return
    for address in _FETCHED.findall(text):
        yield from outside_hosts(f"https:{address}" if address.startswith("//") else address)
    yield from _DELIVERERS.findall(text)


def _hosts_in_figure(data: Any, layout: Any) -> Iterator[str]:
    if not isinstance(data, list):
        return
    kinds = {trace.get("type") for trace in data if isinstance(trace, dict)}
    if kinds & _PLOTLY_OUTLINES:
        yield "cdn.plot.ly"
    if kinds & _PLOTLY_TILES and isinstance(layout, dict) and isinstance(layout.get("mapbox"), dict):
        style = layout["mapbox"].get("style")
        yield _TILE_HOSTS.get(style, "api.mapbox.com") if isinstance(style, str) else "api.mapbox.com"


def _hosts_in_state(value: Any, depth: int) -> Iterator[str]:
    parts: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, dict):
        parts = iter(value.items())
    elif isinstance(value, list | tuple):
        parts = ((None, part) for part in value[:1_000])
    for name, part in parts:
        if isinstance(part, str):
            fetched = name in _ADDRESS_TRAITS and part.startswith(("http:", "https:"))
            yield from outside_hosts(part[:2_000]) if fetched else _hosts_in_page(part[:_MAX_TEXT])
        elif depth:
            yield from _hosts_in_state(part, depth - 1)


def _picture(mime: str, value: Any) -> dict[str, str] | None:
    if not isinstance(value, str) or len(value) > MAX_PICTURE:
        return None
    text = "".join(value.split())
    try:
        start = base64.b64decode(text[:16])
    except (binascii.Error, ValueError):
        return None
    return {"mime": mime, "data": text} if start.startswith(_PICTURES[mime]) else None
