"""The page of a result: one file without scripts, that loads nothing and shows what the notebook shows.

A notebook's output is foreign. So all of its HTML is written anew (:mod:`vaas.lab.cleaning`), and the page forbids
itself every script and every address: it can be opened from a disk, a store or an app alike.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nbconvert.filters import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from vaas.lab.cleaning import cleaned

__all__ = ["page_of"]

#: Characters of one text output.
_MOST_TEXT = 200_000
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SVG = "image/svg+xml"
_ACTS = re.compile(r"<script\b", re.IGNORECASE)
_INTERACTIVE = "This part is interactive. Open the executed notebook in Jupyter, or publish it as an app, to use it."
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6676; --line: #d9dee6; --back: #fff; --tint: #f5f7fa;
  --bad: #a1212d; --link: #0b57a4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf1; --soft: #a3adbb; --line: #39424f; --back: #14181e;
  --tint: #1d232b; --bad: #ff9a9f; --link: #8cc4ff } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 56rem; background: var(--back); color: var(--ink);
  font: 1rem/1.6 system-ui, sans-serif; overflow-wrap: anywhere }
h1, h2, h3 { line-height: 1.25 } header { border-bottom: 1px solid var(--line); margin-bottom: 1.5rem }
header p { color: var(--soft) } a { color: var(--link) } img { max-width: 100%; height: auto }
.failed { border-left: 4px solid var(--bad); padding: .5rem 1rem; background: var(--tint) }
.output, pre { overflow-x: auto } pre { background: var(--tint); padding: .75rem 1rem; border-radius: 6px;
  font: .875rem/1.5 ui-monospace, monospace; white-space: pre-wrap }
table { border-collapse: collapse; font-size: .9rem } th, td { border: 1px solid var(--line); padding: .3rem .6rem;
  text-align: left } td { font-variant-numeric: tabular-nums } th { background: var(--tint) }
.note { color: var(--soft); font-style: italic } .ansi-bold { font-weight: bold }
.ansi-red-fg, .ansi-red-intense-fg { color: var(--bad) }
@media print { body { max-width: none } }
"""


def page_of(nb: Any, *, title: str, error: str = "", ended: str = "", with_code: bool = False) -> str:
    """Return the page; ``error`` says why the notebook did not come to its end, ``with_code`` shows the cells too."""
    body = "\n".join(part for cell in nb.cells for part in _cell(cell, with_code=with_code))
    failed = f'<p class="failed"><strong>It did not come to its end.</strong> {html.escape(error)}</p>' if error else ""
    said = html.escape(title)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{said}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{said}</h1>\n<p>Made {html.escape(ended)}</p></header>\n<main>\n{failed}\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _cell(cell: Any, *, with_code: bool) -> Iterator[str]:
    if cell.cell_type == "markdown":
        attached = {f"attachment:{name}": _address(data) for name, data in cell.get("attachments", {}).items()}
        text = cell.source
        for name, address in attached.items():
            text = text.replace(name, address)
        yield f"<section>{cleaned(_html(text))}</section>"
    elif cell.cell_type == "code":
        if with_code and cell.source.strip():
            yield f"<pre>{html.escape(cell.source[:_MOST_TEXT])}</pre>"
        yield from (
            f'<div class="output">{made}</div>' for output in cell.get("outputs", []) if (made := _output(output))
        )


def _html(markdown: str) -> str:
    # Nobody follows links to headings here.
    made = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(markdown)
    return made if isinstance(made, str) else ""


def _output(output: Any) -> str:
    if output.output_type == "stream":
        return _printed(output.text)
    if output.output_type == "error":
        return _printed("\n".join(output.get("traceback") or [f"{output.ename}: {output.evalue}"]))
    return _shown(output.get("data", {}))


def _shown(data: Mapping[str, Any]) -> str:
    """Show the richest of what is harmless."""
    name = _plain(data.get("text/plain"))[:200]
    if address := _address(data):
        return f'<img src="{address}" alt="{html.escape(name)}">'
    if "application/vnd.jupyter.widget-view+json" in data:
        return f'<p class="note">{_INTERACTIVE}</p>'
    if text := _plain(data.get("text/html")):
        made = cleaned(text)
        # Of what draws itself by a script, nothing is left to look at.
        return f'<p class="note">{_INTERACTIVE}</p>' if _ACTS.search(text) and "<td" not in made else made
    if text := _plain(data.get("text/markdown")):
        return cleaned(_html(text))
    return _printed(_plain(data.get("text/latex")) or _plain(data.get("text/plain")))


def _address(data: Mapping[str, Any]) -> str:
    """Return a picture as an address that holds it, "" when there is none."""
    for kind in _PICTURES:
        if text := "".join(_plain(data.get(kind)).split()):
            return f"data:{kind};base64,{html.escape(text)}"
    if text := _plain(data.get(_SVG)):
        # As a picture it runs no script and loads nothing.
        return f"data:{_SVG};base64,{base64.b64encode(text.encode()).decode()}"
    return ""


def _printed(text: str) -> str:
    if not text.strip():
        return ""
    cut = "" if len(text) <= _MOST_TEXT else '<p class="note">There is more of it in the executed notebook.</p>'
    return f"<pre>{ansi2html(text[:_MOST_TEXT])}</pre>{cut}"


def _plain(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else value if isinstance(value, str) else ""
