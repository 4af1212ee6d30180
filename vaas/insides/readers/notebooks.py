"""Notebooks: title, headings, prose without data, imported packages, the kernel. No code and no output is told."""

from __future__ import annotations

import base64
import binascii
import io
import json
import sys
from typing import Any

from vaas.errors import Unreadable
from vaas.insides.handed import Handed
from vaas.insides.limits import MOST_TEXT
from vaas.insides.readers.pictures import thumbnail
from vaas.notebook import MAX_BYTES, Notebook, parse
from vaas.prose import headings, shown, without_data

__all__ = ["look", "preview"]

_MOST_HEADINGS, _SHOWN = 100, 20_000
_LARGEST_PICTURE = 8_000_000


def look(handed: Handed) -> dict[str, Any]:
    """Tell what the notebook says in its text and needs in its code."""
    notebook = _read(handed)
    return {
        "type": "notebook",
        "title": notebook.title,
        "summary": notebook.description,
        "text": _text(notebook),
        "packages": _packages(notebook),
        "kernel": notebook.kernel or notebook.language,
        "details": {
            "cells": len(notebook.cells),
            "language": notebook.language,
            "headings": [text for _, text in _headings(notebook)],
        },
    }


def preview(handed: Handed) -> dict[str, Any]:
    """Show the outline, the beginning of the text, and the first picture that was saved with it."""
    notebook = _read(handed)
    return {
        "kind": "notebook",
        "outline": [{"level": level, "text": text} for level, text in _headings(notebook)],
        "text": _text(notebook)[:_SHOWN],
        "packages": _packages(notebook),
        "picture": _picture(handed),
    }


def _read(handed: Handed) -> Notebook:
    if handed.part.size > MAX_BYTES:
        raise Unreadable(f"It is larger than {MAX_BYTES // 1_000_000} MB. Clear its outputs and save it again.")
    return parse(handed.part.whole(most=MAX_BYTES), name=handed.name)


def _text(notebook: Notebook) -> str:
    return shown((cell.source for cell in notebook.cells if cell.kind == "markdown"), most=MOST_TEXT)


def _packages(notebook: Notebook) -> list[str]:
    """Return what it imports, without what every Python has."""
    if notebook.language != "python":
        return []
    found = notebook.imports.union(*(source.optional for source in notebook.sources.values()))
    return sorted(found - sys.stdlib_module_names)


def _headings(notebook: Notebook) -> list[tuple[int, str]]:
    cells = [cell.source[:MOST_TEXT] for cell in notebook.cells if cell.kind == "markdown"][:_MOST_HEADINGS]
    return [found for text in cells for found in headings(without_data(text))][:_MOST_HEADINGS]


def _picture(handed: Handed) -> str | None:
    """Return the first picture among the saved outputs, made anew from its points."""
    from PIL import Image

    for data in _pictures(json.loads(handed.part.whole(most=MAX_BYTES).decode("utf-8-sig"))):
        try:
            written = base64.b64decode(data)
            with Image.open(io.BytesIO(written), formats=("PNG", "JPEG")) as image:
                return thumbnail(image)
        except (binascii.Error, OSError, ValueError, Image.DecompressionBombError):
            continue
    return None


def _pictures(document: Any) -> list[str]:
    found = []
    cells = document.get("cells") if isinstance(document, dict) else None
    for cell in cells if isinstance(cells, list) else ():
        for output in (cell.get("outputs") or ()) if isinstance(cell, dict) else ():
            bundle = output.get("data") if isinstance(output, dict) else None
            bundle = bundle if isinstance(bundle, dict) else {}
            for mime in ("image/png", "image/jpeg"):
                data = bundle.get(mime)
                data = "".join(map(str, data)) if isinstance(data, list) else data
                if isinstance(data, str) and len(data) <= _LARGEST_PICTURE:
                    found.append(data)
    return found[:5]
