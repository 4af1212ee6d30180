"""Frames: what a visitor may say to a kernel, in both protocols, and what a kernel may say to a visitor."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from vaas.runtime.frames import V1, admit, may_leave

COMM = {"comm_id": "c", "data": {"method": "update", "state": {"value": 4}}}


def message(kind: str, content: Any = COMM, *, channel: str = "shell", **header: Any) -> dict[str, Any]:
    fields = {"msg_id": "m1", "msg_type": kind, "username": "", "session": "s", "date": "2026-01-01", "version": "5.3"}
    return {
        "channel": channel,
        "header": fields | header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
    }


def text(made: dict[str, Any]) -> str:
    return json.dumps(made)


def with_buffers(made: dict[str, Any], *buffers: bytes) -> bytes:
    parts = [json.dumps(made).encode(), *buffers]
    offsets = [4 * (len(parts) + 1)]
    for part in parts[:-1]:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"!{len(parts) + 1}I", len(parts), *offsets) + b"".join(parts)


def v1(made: dict[str, Any], *buffers: bytes) -> bytes:
    names = ("header", "parent_header", "metadata", "content")
    return v1_of([made["channel"].encode(), *(json.dumps(made[name]).encode() for name in names), *buffers])


def v1_of(parts: list[bytes]) -> bytes:
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def passes(made: dict[str, Any]) -> tuple[bool, bool, bool]:
    """Whether the message passes as text, with buffers, and in the binary protocol."""
    return (
        admit(text(made), protocol=None) is not None,
        admit(with_buffers(made, b"x"), protocol=None) is not None,
        admit(v1(made), protocol=V1) is not None,
    )


EVERYWHERE, NOWHERE = (True, True, True), (False, False, False)


@pytest.mark.parametrize("kind", ["comm_msg", "comm_close", "comm_info_request", "kernel_info_request"])
def test_what_widgets_need_passes(kind: str) -> None:
    assert passes(message(kind)) == EVERYWHERE


@pytest.mark.parametrize(
    "kind",
    [
        "execute_request",
        "complete_request",
        "inspect_request",
        "history_request",
        "is_complete_request",
        "debug_request",
        "interrupt_request",
        "shutdown_request",
        "input_reply",
        "create_subshell_request",
        "usage_request",
        "comm_msg ",
        "COMM_MSG",
        "",
    ],
)
def test_everything_else_is_dropped(kind: str) -> None:
    assert passes(message(kind)) == NOWHERE


@pytest.mark.parametrize("channel", ["control", "stdin", "iopub", "hb", "", "Shell"])
def test_only_the_shell_channel_passes(channel: str) -> None:
    assert passes(message("comm_msg", channel=channel)) == NOWHERE


def test_the_comm_that_fetches_all_widgets_may_be_opened() -> None:
    assert (
        passes(message("comm_open", {"comm_id": "c", "target_name": "jupyter.widget.control", "data": {}}))
        == EVERYWHERE
    )


@pytest.mark.parametrize("target", ["jupyter.widget", "any", "", None, ["jupyter.widget.control"]])
def test_no_other_comm_may_be_opened(target: Any) -> None:
    assert passes(message("comm_open", {"comm_id": "c", "target_name": target, "data": {}})) == NOWHERE


def test_a_comm_without_a_target_is_not_opened() -> None:
    assert passes(message("comm_open", {"comm_id": "c"})) == NOWHERE


def test_content_and_buffers_arrive_unchanged_as_text() -> None:
    frame = admit(text(message("comm_msg")), protocol=None)
    assert isinstance(frame, str)
    assert json.loads(frame) == message("comm_msg")


def test_content_and_buffers_arrive_unchanged_in_the_binary_protocol() -> None:
    frame = v1(message("comm_msg"), b"one", b"", b"three")
    assert admit(frame, protocol=V1) == frame


def test_content_and_buffers_arrive_unchanged_in_the_older_binary_form() -> None:
    made = message("comm_msg")
    del made["buffers"]
    frame = with_buffers(made, b"one", b"", b"three")
    assert admit(frame, protocol=None) == frame


def test_a_repeated_key_cannot_say_two_things() -> None:
    header = '{"msg_type": "execute_request", "msg_type": "comm_msg", "msg_id": "m"}'
    frame = admit(v1_of([b"shell", header.encode(), b"{}", b"{}", b"{}"]), protocol=V1)
    assert frame is not None and b"execute_request" not in frame


def test_a_repeated_key_that_ends_in_something_else_is_dropped() -> None:
    header = '{"msg_type": "comm_msg", "msg_type": "execute_request", "msg_id": "m"}'
    assert admit(v1_of([b"shell", header.encode(), b"{}", b"{}", b"{}"]), protocol=V1) is None


def test_extra_header_fields_such_as_a_subshell_do_not_arrive() -> None:
    frame = admit(v1(message("comm_msg", subshell_id="x")), protocol=V1)
    assert frame is not None and b"subshell" not in frame


@pytest.mark.parametrize("kind", [["comm_msg"], {"comm_msg": 1}, 1, None])
def test_a_type_that_is_not_text_is_dropped(kind: Any) -> None:
    assert passes(message(kind)) == NOWHERE


@pytest.mark.parametrize(
    "frame",
    ["", "{}", "[]", "null", "no json", '{"header": null}', '{"header": {}, "channel": "shell"}', "[" * 100_000],
)
def test_damaged_text_is_dropped(frame: str) -> None:
    assert admit(frame, protocol=None) is None


@pytest.mark.parametrize("frame", [b"", b"\0", b"\0" * 8, b"\0" * 200, b"\xff" * 64, b"\x06" + b"\0" * 63])
@pytest.mark.parametrize("protocol", [None, V1])
def test_damaged_bytes_are_dropped(frame: bytes, protocol: str | None) -> None:
    assert admit(frame, protocol=protocol) is None


def test_text_in_the_binary_protocol_is_dropped() -> None:
    assert admit(text(message("comm_msg")), protocol=V1) is None


def test_offsets_that_overlap_or_leave_a_gap_are_dropped() -> None:
    good = v1(message("comm_msg"))
    assert admit(good + b"trailing", protocol=V1) is None
    assert admit(good[:-1], protocol=V1) is None
    count, first = struct.unpack_from("<2Q", good)
    assert admit(struct.pack("<2Q", count, first + 1) + good[16:], protocol=V1) is None


def test_a_visitor_gets_outputs_and_widget_messages() -> None:
    for kind in ("comm_msg", "comm_open", "status", "display_data", "execute_result", "error", "kernel_info_reply"):
        assert may_leave({"msg_type": kind})
    assert may_leave({"msg_type": "stream"}, {"name": "stdout", "text": "x"})


@pytest.mark.parametrize("kind", ["execute_input", "execute_reply", "input_request", "debug_event"])
def test_a_visitor_gets_no_source_and_no_prompt(kind: str) -> None:
    assert not may_leave({"msg_type": kind})


def test_a_visitor_gets_no_standard_error() -> None:
    assert not may_leave({"msg_type": "stream"}, {"name": "stderr", "text": "Traceback"})
