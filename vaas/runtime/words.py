"""What a piece of a page's HTML says: headings, words and tables, without any of its markup.

It comes from strangers, so it is read in time that grows with its length; the standard library's parser is not.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

__all__ = ["read_html"]

_BREAKS = frozenset({"article", "br", "dd", "div", "dt", "footer", "header", "li", "p", "pre", "section", "tr", "ul"})
_SILENT = frozenset({"head", "script", "style", "template", "title"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_ROWS, _CELLS = 12, 12
#: A tag, or text up to the next one; a "<" that begins no tag is text.
_TOKEN = re.compile(r"<(?:(/?)([a-zA-Z][a-zA-Z0-9]{0,20})|[!?/])[^<>]{0,3000}>|[^<]+|<")


def read_html(text: str) -> list[dict[str, Any]]:
    """Return the blocks of an outline that the HTML makes: headings, words, tables."""
    reader = _Reader()
    for token in _TOKEN.finditer(text):
        tag = (token[2] or "").lower()
        if tag and token[1]:
            reader.end(tag)
        elif tag:
            reader.begin(tag)
        elif not token[0].startswith("<") or token[0] == "<":
            reader.say(unescape(token[0]))
    reader.flush()
    return reader.blocks


class _Reader:
    def __init__(self) -> None:
        self.blocks: list[dict[str, Any]] = []
        self._words: list[str] = []
        self._silent = ""
        self._ended = False
        self._rows: list[list[str]] | None = None

    def begin(self, tag: str) -> None:
        """Begin a block, a table or a cell; say nothing in what is never shown."""
        if self._silent:
            return
        if self._ended:  # what stands in elements of its own are words of their own
            self.say(" ")
        if tag in _SILENT:
            self._silent = tag
        elif tag == "table" and self._rows is None:
            self.flush()
            self._rows = []
        elif self._rows is not None:
            self._in_table(tag)
        elif tag in _BREAKS or tag in _HEADINGS:
            self.flush()

    def end(self, tag: str) -> None:
        """End it."""
        self._ended = True
        if self._silent:
            self._silent = "" if tag == self._silent else self._silent
        elif self._rows is not None:
            if tag == "table":
                self._end_table()
        elif tag in _BREAKS or tag in _HEADINGS:
            self.flush(level=_HEADINGS.get(tag, 0))

    def say(self, data: str) -> None:
        """Keep the words."""
        self._ended = False
        if self._silent:
            return
        if self._rows is not None:
            if self._rows and self._rows[-1]:
                self._rows[-1][-1] += data
        else:
            self._words.append(data)

    def flush(self, *, level: int = 0) -> None:
        """End the words that were read since the last block."""
        if self._rows is not None:
            self._end_table()
        words = " ".join("".join(self._words).split())
        self._words.clear()
        if words:
            self.blocks.append({"kind": "heading", "level": level, "text": words} if level else _words(words))

    def _in_table(self, tag: str) -> None:
        assert self._rows is not None
        if tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows = self._rows or [[]]
            self._rows[-1].append("")

    def _end_table(self) -> None:
        rows = [[" ".join(cell.split()) for cell in row[:_CELLS]] for row in self._rows or () if row]
        if rows:
            self.blocks.append({"kind": "table", "rows": rows[:_ROWS], "more": max(0, len(rows) - _ROWS)})
        self._rows = None


def _words(text: str) -> dict[str, Any]:
    return {"kind": "words", "text": text}
