"""An app's outline, which the portal shows on its own origin and which comes from where foreign code runs."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hub_service.handlers.base import filters
from hub_service.settings import ROOT
from vaas.portal.outlines import clean_outline

pytestmark = pytest.mark.attack

SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
LINKS = "[a](javascript:alert(3)) ![b](https://evil.example/b.png) <iframe src=//evil.example></iframe>"


def page(blocks: list[dict[str, Any]]) -> str:
    """Return what a browser gets."""
    folders = [ROOT / "templates" / folder for folder in ("portal", "frame")]
    templates = Environment(loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined)
    templates.filters.update(filters())
    macros = '{% import "_outline.html" as shown %}{{ shown.blocks(outline) }}'
    return templates.from_string(macros).render(outline=blocks)


def test_markup_of_an_outline_is_text_on_our_page() -> None:
    kinds = ("markdown", "heading", "words", "printed", "control")
    blocks = [{"kind": kind, "text": text, "level": 1} for kind in kinds for text in (SCRIPT, LINKS)]
    blocks += [{"kind": "table", "rows": [[SCRIPT]]}, {"kind": "box", "height": SCRIPT, "text": SCRIPT}]
    shown = page(clean_outline({"blocks": [{"kind": "row", "blocks": blocks[:4]}, *blocks]}))
    assert "&lt;script&gt;" in shown
    for word in ("<script", "<iframe", "<img", 'href="javascript', "style="):
        assert word not in shown


def test_a_picture_that_would_fill_the_visitors_memory_is_left_out() -> None:
    header = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452") + (60_000).to_bytes(4) * 2
    bomb = {"kind": "picture", "mime": "image/png", "data": base64.b64encode(header).decode(), "width": 1, "height": 1}
    assert clean_outline({"blocks": [bomb]}) == []
