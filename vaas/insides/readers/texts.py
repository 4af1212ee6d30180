"""Plain text and Markdown: a title, the first words, and all of it to be searched."""

from __future__ import annotations

from typing import Any

from vaas.insides.handed import Handed, Part
from vaas.insides.limits import MOST_SUMMARY, MOST_TEXT
from vaas.prose import headings, paragraphs, shorten, without_data
from vaas.tabular import read_text

__all__ = ["look", "preview", "prose"]


def look(handed: Handed) -> dict[str, Any]:
    """Tell the title and the first paragraph."""
    markdown = handed.suffix in {"md", "markdown"}
    return prose(handed.part, markdown=markdown) | {"format": "markdown" if markdown else "text"}


def preview(handed: Handed) -> dict[str, Any]:
    """Show the beginning."""
    return {"kind": "text", "text": _beginning(handed.part)[: MOST_TEXT // 5]}


def prose(part: Part, *, markdown: bool) -> dict[str, Any]:
    """Return title, summary and text of a text that somebody wrote."""
    text = without_data(_beginning(part))
    if markdown:
        title = next((found for level, found in headings(text) if level <= 2), "")
        summary = next(filter(None, paragraphs(text)), "")
    else:
        lines = [line.strip() for line in text[: 4 * MOST_SUMMARY].splitlines() if line.strip(" =-*#_\t")]
        title, summary = "", shorten(" ".join(lines), 300)
    return {"title": title, "summary": shorten(summary, 300), "text": text}


def _beginning(part: Part) -> str:
    data = part.start(2 * MOST_TEXT)
    return read_text(data, cut=len(data) < part.size)[0][:MOST_TEXT]
