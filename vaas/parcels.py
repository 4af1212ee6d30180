"""Parcels: the files of one thing on their way, in one stream that says where each begins, and that it is whole.

What ends without a word is not whole. A part is a line of JSON, and after it as many bytes as it says. After the last
bytes of a file comes its "sum": whatever its owner says of it or does not say, it arrives as it was read.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from vaas.errors import Unavailable

__all__ = ["DAMAGED", "END", "digest_field", "part", "parts"]

#: What the last part says.
END: Mapping[str, Any] = {"end": True}
#: Characters of a line, and bytes of one part.
_LINE, _BYTES = 20_000, 1 << 24
#: What is said of bytes that are others than were sent.
DAMAGED = "It was damaged on its way. Start the launch again."
_BROKEN = "It did not come whole. Start the launch again."


def part(said: Mapping[str, Any], data: bytes = b"") -> bytes:
    """Return a part that says so, and carries these bytes."""
    line = json.dumps({**said, "bytes": len(data)} if data else dict(said))
    return line.encode() + b"\n" + data


def digest_field(data: bytes) -> str:
    """Return what the field Content-Digest says of these bytes (RFC 9530, section 2)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def parts(chunks: Iterator[bytes]) -> Generator[tuple[dict[str, Any], bytes], None, None]:
    """Yield what each part says, and its bytes, up to the last. Raises Unavailable for what does not come whole."""
    kept = bytearray()

    def more() -> None:
        chunk = next(chunks, b"")
        if not chunk:
            raise Unavailable(_BROKEN, log_message="The parcel ended too early.")
        kept.extend(chunk)

    while True:
        while (end := kept.find(b"\n")) < 0 and len(kept) <= _LINE:
            more()
        said, size = _read(bytes(kept[: max(end, 0)]))
        del kept[: end + 1]
        while len(kept) < size:
            more()
        data = bytes(kept[:size])
        del kept[:size]
        if said == END:
            return
        yield said, data


def _read(line: bytes) -> tuple[dict[str, Any], int]:
    try:
        said = json.loads(line)
        size = said.pop("bytes", 0)
        if isinstance(said, dict) and type(size) is int and 0 <= size <= _BYTES:
            return said, size
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass
    raise Unavailable(_BROKEN, log_message=f"Not a part of a parcel: {line[:80]!r}")
