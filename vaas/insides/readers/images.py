"""Pictures: how large they are, and a small one to show. What is in an SVG is never shown: it may hold a program."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from vaas.errors import Unreadable
from vaas.insides.formats import find_format
from vaas.insides.handed import Handed
from vaas.insides.readers.pictures import thumbnail

__all__ = ["look", "preview"]

#: Larger pictures are not unpacked to be shown.
_PIXELS = 60_000_000
#: What is tried: Pillow knows many more, and old and rare ones are seldom looked after.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_TITLE = re.compile(rb"<title[^<>]{0,200}>([^<>]{1,300})</title>")


def look(handed: Handed) -> dict[str, Any]:
    """Tell the size."""
    if find_format(handed) == "svg":
        found = _TITLE.search(handed.part.head)
        return {"title": found[1].decode(errors="replace").strip() if found else ""}
    with _opened(handed) as image:
        text = image.info.get("Title") or ""
        return {
            "title": text if isinstance(text, str) else "",
            "details": {"width": image.width, "height": image.height},
        }


def preview(handed: Handed) -> dict[str, Any]:
    """Show it, made small."""
    if find_format(handed) == "svg":
        raise Unreadable("It is an SVG picture, which is not shown here: it may hold a program.")
    with _opened(handed) as image:
        if image.width * image.height > _PIXELS:
            raise Unreadable(f"It has {image.width} × {image.height} points; that is too many to show it here.")
        image.draft("RGB", (640, 640))
        return {"kind": "image", "picture": thumbnail(image)}


@contextmanager
def _opened(handed: Handed) -> Iterator[Any]:
    handed.part.file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(handed.part.file, formats=_FORMATS) as image:
            yield image
