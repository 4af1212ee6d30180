"""How large a picture is, read from the first bytes of a PNG or JPEG file; it comes from strangers."""

from __future__ import annotations

import base64
import binascii

__all__ = ["TYPES", "decode", "dimensions"]

#: MIME type → how such a file begins. Others are not taken: an SVG may hold scripts, and a GIF moves.
TYPES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
#: JPEG's segments that say how large the picture is, and those that have no length.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def decode(mime: object, data: object, *, most: int) -> tuple[str, bytes] | None:
    """Return the picture of a notebook's output as its type and bytes; None for another type or more than ``most``."""
    if not isinstance(mime, str) or not isinstance(data, str) or mime not in TYPES or len(data) > most * 4 // 3 + 1000:
        return None
    try:
        decoded = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return (mime, decoded) if decoded.startswith(TYPES[mime]) and len(decoded) <= most else None


def dimensions(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels; (0, 0) when the file does not say."""
    if data.startswith(TYPES["image/png"]):
        size = (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) if data[12:16] == b"IHDR" else (0, 0)
        return size if all(size) else (0, 0)
    return _jpeg(data) if data.startswith(TYPES["image/jpeg"]) else (0, 0)


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind in _FRAMES:
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            return (width, height) if width and height else (0, 0)
        at += 2 if kind in _BARE else 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return 0, 0
