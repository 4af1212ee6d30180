"""Outlines as the portal takes, keeps and shows them: whatever an app server says, it is words and pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.portal_parts import ADA, BOB, EVE, World
from vaas.errors import NotFound
from vaas.model import ServerName, Visitor
from vaas.portal.outlines import Outlines, clean_outline
from vaas.slug import account_of

HASH = "a" * 64


def png(width: int, height: int, *, more: int = 0) -> str:
    header = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452")
    return base64.b64encode(header + width.to_bytes(4) + height.to_bytes(4) + bytes(more)).decode()


def jpeg(width: int, height: int) -> str:
    frame = b"\xff\xc0\x00\x11\x08" + height.to_bytes(2) + width.to_bytes(2) + b"\x03"
    return base64.b64encode(b"\xff\xd8\xff\xe0\x00\x04ab" + frame).decode()


def picture(data: object, mime: object = "image/png") -> dict[str, Any]:
    return {"kind": "picture", "mime": mime, "data": data, "width": 1, "height": 1, "onload": "x()"}


def test_ordinary_blocks_are_kept_as_they_are() -> None:
    blocks = [
        {"kind": "markdown", "text": "# Lakes"},
        {"kind": "heading", "level": 2, "text": "Depth"},
        {"kind": "control", "text": ""},
        {"kind": "table", "rows": [["a", ""]], "more": 3},
        {"kind": "row", "blocks": [{"kind": "box", "height": 300, "text": "Waves"}, {"kind": "words", "text": "w"}]},
    ]
    assert clean_outline({"blocks": blocks, "more": "ignored"}) == blocks


def test_the_size_of_a_picture_is_read_from_the_picture() -> None:
    found = clean_outline({"blocks": [picture(png(640, 480)), picture(jpeg(320, 200), "image/jpeg")]})
    assert [(each["width"], each["height"], "onload" in each) for each in found] == [
        (640, 480, False),
        (320, 200, False),
    ]


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (png(60_000, 60_000), "image/png"),  # fills a browser's memory
        (png(0, 10), "image/png"),
        (png(10, 10, more=500_000), "image/png"),
        (png(10, 10), "image/jpeg"),
        (png(10, 10), "image/svg+xml"),
        (png(10, 10), ["image/png"]),
        (base64.b64encode(b"<svg onload=alert(1)>").decode(), "image/png"),
        ('"><script>alert(1)</script>', "image/png"),
        ("", "image/png"),
        (7, "image/png"),
    ],
)
def test_what_is_no_picture_for_a_page_is_left_out(data: object, mime: object) -> None:
    assert clean_outline({"blocks": [picture(data, mime), {"kind": "words", "text": "stays"}]}) == [
        {"kind": "words", "text": "stays"}
    ]


@pytest.mark.parametrize(
    "blocks",
    [
        None,
        "x",
        [None, 1, "x", [], {}],
        [{"kind": "script", "text": "x"}, {"kind": ["words"], "text": "x"}, {"kind": "words", "text": ["x"]}],
        [{"kind": "table", "rows": "x"}, {"kind": "table", "rows": [1, {}]}, {"kind": "row", "blocks": "x"}],
    ],
)
def test_what_makes_no_sense_is_left_out(blocks: object) -> None:
    assert clean_outline({"blocks": blocks}) == []


def test_numbers_are_numbers_within_bounds() -> None:
    odd = json.loads('[NaN, Infinity, -5, 1e300, "7", null, true, {}]')
    boxes = clean_outline({"blocks": [{"kind": "box", "height": height} for height in odd]})
    heads = clean_outline({"blocks": [{"kind": "heading", "level": level, "text": "x"} for level in odd]})
    assert {box["height"] for box in boxes} == {24}
    assert {head["level"] for head in heads} == {1}


def test_there_is_an_end_to_everything() -> None:
    deep: dict[str, Any] = {"kind": "words", "text": "x"}
    for _ in range(500):
        deep = {"kind": "row", "blocks": [deep]}
    assert clean_outline({"blocks": [deep]}) == []
    wide: dict[str, Any] = {"kind": "words", "text": "y" * 9_000}
    for _ in range(4):
        wide = {"kind": "column", "blocks": [wide] * 40}
    assert len(json.dumps(clean_outline({"blocks": [wide] * 40}))) < 60_000
    many = clean_outline({"blocks": [picture(png(9, 9, more=300_000))] * 100})
    assert len(json.dumps(many)) < 1_300_000
    table = {"kind": "table", "rows": [["c" * 999] * 500] * 500}
    assert len(json.dumps(clean_outline({"blocks": [table] * 500}))) < 60_000


def test_marks_that_turn_or_hide_text_are_taken_out() -> None:
    assert clean_outline({"blocks": [{"kind": "words", "text": "a\u202eb\u200bc\x07d"}]})[0]["text"] == "abcd"


def test_an_outline_is_replaced_and_forgotten(tmp_path: Path) -> None:
    outlines = Outlines(tmp_path / "outlines")
    assert outlines.of("a1", HASH) == []
    for text in ("first", "second"):
        outlines.keep("a1", HASH, [{"kind": "words", "text": text}])
    outlines.keep("a2", HASH, [{"kind": "words", "text": "other"}])
    assert outlines.of("a1", HASH) == [{"kind": "words", "text": "second"}]
    assert len(list(tmp_path.rglob("*.json"))) == 2 and not list(tmp_path.rglob(".pending-*"))
    outlines.forget("a1")
    assert outlines.of("a1", HASH) == [] and outlines.of("a2", HASH) != []


def test_a_damaged_file_is_no_outline_and_names_lead_nowhere_else(tmp_path: Path) -> None:
    outlines = Outlines(tmp_path / "outlines")
    outlines.keep("a1", HASH, [{"kind": "words", "text": "x"}])
    next(tmp_path.rglob("*.json")).write_text("{")
    assert outlines.of("a1", HASH) == []
    (tmp_path / "beside").mkdir()
    for odd in ("../beside", "", ".", "a/b"):
        outlines.keep(odd, HASH, [{"kind": "words", "text": "x"}])
        outlines.forget(odd)
    outlines.keep("a1", "../x", [{"kind": "words", "text": "x"}])
    assert (tmp_path / "beside").is_dir() and len(list(tmp_path.rglob("*.json"))) == 1


def token(server: ServerName) -> dict[str, str]:
    return {"Authorization": f"token {server.account}:server={server.account}/{server.name}"}


async def test_a_server_hands_in_the_outline_of_its_own_version_for_those_who_may_open_it(
    world: World, site: str
) -> None:
    app = await world.published(ADA, to=("user:bob",))
    body = {"blocks": [{"kind": "words", "text": "Lakes"}]}
    server = world.server(app, 1)
    async with httpx.AsyncClient(base_url=site, headers=token(server)) as http:
        assert (await http.post("api/runtime/outline", json=body)).status_code == 200
        empty = await http.post("api/runtime/outline", json={"blocks": []})
    assert empty.status_code == 200
    assert world.portal.opening.outline(Visitor(BOB), app.slug) == body["blocks"]
    for stranger in (Visitor(EVE), Visitor()):
        with pytest.raises(NotFound):
            world.portal.opening.outline(stranger, app.slug)
    world.portal.gallery.withdraw(Visitor(ADA), app.slug)
    assert world.core.outlines.of(app.id, app.version) == []


async def test_nobody_else_hands_one_in(world: World, site: str) -> None:
    app = await world.published(ADA)
    other = ServerName(account_of(app.id), "v9")
    for headers in (token(other), {"Authorization": "token ada"}, {}):
        async with httpx.AsyncClient(base_url=site, headers=headers) as http:
            answer = await http.post("api/runtime/outline", json={"blocks": [{"kind": "words", "text": "x"}]})
        assert answer.status_code in {401, 403, 404}
    assert world.core.outlines.of(app.id, app.version) == []


async def test_an_outline_of_another_shape_or_size_is_refused(world: World, site: str) -> None:
    server = world.server(await world.published(ADA), 1)
    async with httpx.AsyncClient(base_url=site, headers=token(server)) as http:
        assert (await http.post("api/runtime/outline", content=b"[1]")).status_code == 400
        with pytest.raises(httpx.HTTPError):
            (await http.post("api/runtime/outline", content=b" " * 2_100_000)).raise_for_status()
