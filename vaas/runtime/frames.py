"""Which websocket frames may pass, in both of Jupyter's kernel protocols; what passes is written anew.

Writing anew leaves no room for a frame that this module reads in one way and the kernel in another
(repeated JSON keys, odd offsets, extra header fields such as a subshell to run in).
"""

from __future__ import annotations

import json
import struct
from typing import Any

__all__ = ["V1", "admit", "may_leave"]

#: The name of the binary subprotocol; without it, frames are JSON or JSON with buffers.
V1 = "v1.kernel.websocket.jupyter.org"

_MAY_ENTER = frozenset({"comm_msg", "comm_close", "comm_open", "comm_info_request", "kernel_info_request"})
#: The front end of ipywidgets opens this comm to fetch the state of all widgets; no other is a visitor's to open.
_MAY_OPEN = frozenset({"jupyter.widget.control"})
_HEADER = ("msg_id", "msg_type", "username", "session", "date", "version")
#: What a kernel says to everybody who listens, and a visitor has no business with: code that runs, prompts,
#: and that it knows of a new listener.
_STAYS = frozenset({"iopub_welcome", "execute_input", "execute_reply", "input_request", "debug_event"})
_MOST_PARTS = 256

_Parts = list[bytes]


def admit(frame: str | bytes, *, protocol: str | None) -> str | bytes | None:
    """Return the frame to hand to the kernel, or None if the visitor may not send it."""
    try:
        if protocol == V1:
            return _admit_v1(frame)
        if isinstance(frame, bytes):
            return _admit_with_buffers(frame)
        message = _checked(json.loads(frame))
        return None if message is None else json.dumps(message)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, struct.error):
        return None


def may_leave(header: dict[str, Any], content: dict[str, Any] | None = None) -> bool:
    """Tell whether a kernel's message may reach a visitor: no source code, no prompts, no standard error."""
    if header.get("msg_type") in _STAYS:
        return False
    return not (header.get("msg_type") == "stream" and (content or {}).get("name") == "stderr")


def _checked(message: dict[str, Any]) -> dict[str, Any] | None:
    header = _header(message["header"])
    content = message["content"]
    if message["channel"] != "shell" or not _permitted(header, content):
        return None
    return {
        "channel": "shell",
        "header": header,
        "parent_header": _mapping(message.get("parent_header")),
        "metadata": _mapping(message.get("metadata")),
        "content": _mapping(content),
        "buffers": [],
    }


def _permitted(header: dict[str, str], content: dict[str, Any]) -> bool:
    kind = header["msg_type"]
    # A target's module is something to import, which no visitor may choose.
    opens = content["target_name"] in _MAY_OPEN and not content.get("target_module") if kind == "comm_open" else True
    return kind in _MAY_ENTER and opens


def _header(fields: dict[str, Any]) -> dict[str, str]:
    header = {name: fields[name] for name in _HEADER if fields.get(name) is not None}
    if not all(isinstance(value, str) for value in header.values()):
        raise TypeError("a header holds text")
    return header


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError("a part of a message is a JSON object")
    return value


def _admit_with_buffers(frame: bytes) -> bytes | None:
    (count,) = struct.unpack_from("!I", frame)
    if not 1 <= count <= _MOST_PARTS:
        return None
    parts = _split(frame, [*struct.unpack_from(f"!{count}I", frame, 4), len(frame)], first=4 * (count + 1))
    message = _checked(json.loads(parts[0]))
    if message is None:
        return None
    del message["buffers"]
    parts[0] = json.dumps(message).encode()
    offsets = _offsets(parts, first=4 * (count + 1))[:-1]
    return struct.pack(f"!{count + 1}I", count, *offsets) + b"".join(parts)


def _admit_v1(frame: str | bytes) -> bytes | None:
    if not isinstance(frame, bytes):
        return None
    (count,) = struct.unpack_from("<Q", frame)
    # Channel, header, parent header, metadata and content, then buffers; the last offset is the frame's end.
    if not 6 <= count <= _MOST_PARTS or len(frame) < 8 * (count + 1):
        return None
    channel, *parts = _split(frame, list(struct.unpack_from(f"<{count}Q", frame, 8)), first=8 * (count + 1))
    message = _checked(
        {
            "channel": channel.decode(),
            "header": json.loads(parts[0]),
            "parent_header": json.loads(parts[1]),
            "metadata": json.loads(parts[2]),
            "content": json.loads(parts[3]),
        }
    )
    if message is None:
        return None
    rewritten = [json.dumps(message[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
    body = [b"shell", *rewritten, *parts[4:]]
    offsets = _offsets(body, first=8 * (count + 1))
    return struct.pack(f"<{count + 1}Q", count, *offsets) + b"".join(body)


def _split(frame: bytes, offsets: list[int], *, first: int) -> _Parts:
    """Return what lies between the offsets, which have to cover the frame without gap or overlap."""
    if offsets[0] != first or offsets[-1] != len(frame) or offsets != sorted(offsets):
        raise ValueError("the offsets do not cover the frame")
    return [frame[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False)]


def _offsets(parts: _Parts, *, first: int) -> list[int]:
    offsets = [first]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return offsets
