"""What commands do when the portal is away, is none, or the token cannot be read."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from tornado.httputil import HTTPServerRequest

from hub_service.settings import ROOT
from tests.servers import web
from vaas.cli_client import Client, of
from vaas.errors import Invalid, Unavailable

AWAY = (503, {"Content-Type": "text/html"}, b"<h1>503</h1>")


async def test_who_follows_goes_on_when_the_portal_was_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    word = json.dumps({"error": {"kind": "Unavailable", "message": "The Hub does not answer."}}).encode()
    turns = [AWAY, AWAY, (503, {}, word), (200, {}, b'{"state": "done"}')]

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        return turns.pop(0)

    async with web(answer) as port:
        assert await Client(f"http://127.0.0.1:{port}/", "x").look("runs/1", every=0) == {"state": "done"}
    assert capsys.readouterr().err == "The portal does not answer at the moment. It is asked again.\n"


async def test_a_portal_that_stays_away_is_not_waited_for_for_ever() -> None:
    asked = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(request.path)
        return AWAY

    async with web(answer) as port:
        with pytest.raises(Unavailable, match="does not answer at the moment"):
            await Client(f"http://127.0.0.1:{port}/", "x").look("runs/1", every=0)
    assert len(asked) == 180


async def test_an_address_without_a_portal_is_told_as_one_and_asked_once() -> None:
    asked = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(request.path)
        return 404, {}, b"<h1>Nothing here</h1>"

    async with web(answer) as port:
        with pytest.raises(Invalid, match=f"There is no portal at http://127.0.0.1:{port}/x/ "):
            await Client(f"http://127.0.0.1:{port}/x/", "x").look("runs/1", every=0)
    assert asked == ["/x/api/runs/1"]


async def test_https_where_there_is_http_is_not_called_a_bad_certificate() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(Unavailable, match="does not answer by https"):
            await Client(f"https://127.0.0.1:{port}/", "x").call("GET", "runs")
        asked = [sys.executable, "-m", "vaas", "run", "home:x.ipynb", "--url", f"https://127.0.0.1:{port}/"]
        environ = {**os.environ, "VAAS_TOKEN": "x", "PYTHONPATH": str(ROOT)}
        command = await asyncio.create_subprocess_exec(*asked, env=environ, stderr=asyncio.subprocess.PIPE)
        _, told = await command.communicate()
    # One line: what libraries write into logs is not for people.
    assert command.returncode == 2 and told.decode().startswith("vaas run: “127.0.0.1:") and told.count(b"\n") == 1


@pytest.mark.parametrize(("name", "why"), [("none", "No such file"), (".", "Is a directory"), ("bytes", "no text")])
def test_a_file_of_a_token_that_cannot_be_read_is_named_with_why(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(Invalid, match=f"The file of the token, .*{why}"):
        of(argparse.Namespace(token_file=tmp_path / name, url="http://127.0.0.1/"))
