"""Markdown of strangers as HTML on our own origin."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

__all__ = ["markdown"]

#: Raw HTML of a notebook is shown as text: the notebook is foreign, and this is our origin.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def markdown(text: str) -> Markup:
    """Return what the text says as HTML that holds no markup and no picture of its author's."""
    return Markup(_MARKDOWN.render(text))
