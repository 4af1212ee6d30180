"""`vaas search`: as whom it asks, and what it says of a token that the portal does not take."""

from __future__ import annotations

import argparse
import asyncio
import json

import pytest
from tornado.httputil import HTTPServerRequest

from tests.servers import recorded, web
from vaas.catalogs.base import Page, Record
from vaas.cli_search import _lines, add_search, run_search

JSON = {"Content-Type": "application/json"}


def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
    """Answer as a portal that has nothing, and that knows no token called “wrong”."""
    if request.headers.get("Authorization") == "token wrong":
        error = {
            "kind": "UnknownToken",
            "message": "This token is not known.",
            "fix": "Make one at H/token.",
        }
        return 401, JSON, json.dumps({"error": error}).encode()
    nothing = {"records": [], "total": 0, "facets": {}, "notes": [], "silent": {}, "corrected": "", "estimated": False}
    return 200, JSON, json.dumps(nothing).encode()


async def search(*words: str) -> tuple[int, list[str | None]]:
    """Return how it ended, and as whom was asked."""
    parser, asked = argparse.ArgumentParser(), list[HTTPServerRequest]()
    add_search(parser)
    async with web(recorded(asked, answer)) as port:
        options = parser.parse_args(["sea", "--url", f"http://127.0.0.1:{port}/services/vaas/", *words])
        ended = await asyncio.to_thread(run_search, options)
    return ended, [request.headers.get("Authorization") for request in asked]


async def test_a_token_that_nobody_has_is_said_in_the_portals_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAAS_TOKEN", "wrong")
    assert await search() == (2, ["token wrong"])
    said = capfd.readouterr()
    assert said.err == "vaas search: This token is not known. Make one at H/token.\n" and not said.out


async def test_without_a_token_it_asks_as_anybody_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VAAS_TOKEN", raising=False)
    assert await search() == (1, [None])
    said = capfd.readouterr()
    assert said.out == "Nothing is found.\n" and said.err.count("\n") == 1
    assert "asked as anybody" in said.err and "/hub/token" in said.err


def test_a_person_is_nobodys() -> None:
    person, app = (vars(Record(kind, kind, "ada", owner="ada")) for kind in ("person", "app"))
    lines = list(_lines({**vars(Page()), "records": [person, app], "total": 2}))
    assert lines[1:3] == ["\nada  (person)", "\nada  (app by ada)"]
