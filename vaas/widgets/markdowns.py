"""Markdown of strangers in parts that a page can show as text: no markup of theirs ever becomes markup of ours.

It is read by its looks, line by line, so nothing here takes longer than in proportion to the text's length.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

from vaas.prose import clean_text
from vaas.widgets import links

__all__ = ["blocks"]

Json = dict[str, Any]

_MOST_BLOCKS, _LONGEST = 400, 4_000
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,}) *")
_ITEM = re.compile(r"( *)(?:[-*+]|(\d{1,4})[.)])[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(```|~~~).*")
_RULE = re.compile(r" {0,3}(?:-{3,}|\*{3,}|_{3,}) *")
_CELLS = re.compile(r"[-:| ]+")
_TAGS = re.compile(r"<!--.*?(?:-->|\Z)|</?[A-Za-z][^<>]{0,500}>", re.DOTALL)
_RUN = re.compile(
    r"`(?P<code>[^`\n]{1,500})`"
    r"|!\[(?P<alt>[^\]]{0,300})\]\([^()\s]{0,1000}[^()]{0,200}\)"
    r"|\[(?P<text>[^\[\]]{1,300})\]\((?P<to>[^()\s]{1,1000})[^()]{0,200}\)"
    r"|<(?P<bare>https?://[^<>\s]{1,1000})>"
    r"|(?P<mark>\*\*|__)(?P<strong>[^\s*_][^*\n]{0,500}?)(?P=mark)"
    r"|(?<!\w)(?P<sign>[*_])(?P<em>[^\s*_][^*_\n]{0,500}?)(?P=sign)(?!\w)"
)


def blocks(text: str) -> list[Json]:
    """Return the headings, paragraphs, items, rows of tables and pieces of code of the text, in their order.

    Each has a ``kind``, and ``runs``: its text in pieces, which may be strong, emphasised, code, or lead somewhere.
    """
    reading = _Reading()
    for line in clean_text(text).split("\n"):
        reading.take(line.expandtabs(4).rstrip()[:_LONGEST])
        if len(reading.found) >= _MOST_BLOCKS:
            break
    reading.end()
    return reading.found[:_MOST_BLOCKS]


class _Reading:
    """What has been read so far, and the lines of the block that goes on."""

    def __init__(self) -> None:
        self.found: list[Json] = []
        self._lines: list[str] = []
        self._block: Json = {"kind": "text"}
        self._fence = ""

    def take(self, line: str) -> None:
        """Take the next line."""
        fence = _FENCE.fullmatch(line)
        if fence and self._fence in {"", fence[1]}:
            self._turn(fence[1])
        elif self._fence:
            self._lines.append(line)
        elif heading := _HEADING.fullmatch(line):
            self._put({"kind": "head", "level": len(heading[1])}, heading[2])
        elif self._lines and self._block["kind"] == "text" and (under := _UNDERLINE.fullmatch(line)):
            self._block = {"kind": "head", "level": 1 if "=" in under[1] else 2}
            self.end()
        elif not line.strip() or _RULE.fullmatch(line):
            self.end()
        elif item := _ITEM.fullmatch(line):
            self.end()
            mark = f"{item[2]}." if item[2] else "•"
            self._block = {"kind": "item", "depth": min(len(item[1]) // 2, 4), "mark": mark}
            self._lines = [item[3]]
        elif line.lstrip().startswith("|"):
            if not _CELLS.fullmatch(line):
                self._put({"kind": "row"}, " · ".join(cell.strip() for cell in line.strip().strip("|").split("|")))
        else:
            quoted = line.lstrip().startswith(">")
            self._lines.append(line.strip().lstrip("> ") if quoted else line.strip())

    def _turn(self, fence: str) -> None:
        """Begin code, or end it."""
        self.end()
        self._fence = "" if self._fence else fence
        self._block = {"kind": "code" if self._fence else "text"}

    def end(self) -> None:
        """End the block that goes on."""
        block, lines = self._block, self._lines
        self._block, self._lines = {"kind": "text"}, []
        if block["kind"] == "code":
            if lines:
                self.found.append({**block, "runs": [{"text": "\n".join(lines)}]})
        elif runs := list(_runs(" ".join(lines))):
            self.found.append({**block, "runs": runs})

    def _put(self, block: Json, text: str) -> None:
        self.end()
        self._block, self._lines = block, [text]
        self.end()


def _runs(text: str) -> Iterator[Json]:
    """Yield the pieces of a line."""
    at, text = 0, text[:_LONGEST]
    for match in _RUN.finditer(text):
        yield from _plain(text[at : match.start()])
        at = match.end()
        yield from _marked(match)
    yield from _plain(text[at:])


def _marked(match: re.Match[str]) -> Iterable[Json]:
    if match["code"]:
        return [{"text": match["code"], "code": True}]
    if match["bare"] or match["to"]:
        to = links.safe_url(match["bare"] or match["to"])
        # What is meant from the file's own place leads nowhere here.
        lead = {"to": to} if to.startswith(("https:", "http:")) else {}
        return [{**run, **lead} for run in _plain(match["bare"] or match["text"])]
    if match["strong"]:
        return [{**run, "strong": True} for run in _plain(match["strong"])]
    return [{**run, "em": True} for run in _plain(match["em"] or match["alt"] or "")]


def _plain(text: str) -> Iterator[Json]:
    if said := html.unescape(_TAGS.sub("", text)).replace("\\", ""):
        yield {"text": said}
