"""Accounts elsewhere whose servers say that they keep what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tornado.httputil import HTTPServerRequest

from tests.contract.test_webdav_store import at, listing, status
from tests.servers import web
from vaas.errors import Unavailable

pytestmark = pytest.mark.attack
LOGIN = (303, {"Location": "/login"}, b"")


@pytest.mark.parametrize(
    ("put", "kept"),
    [((201, {}, b""), ()), (LOGIN, ()), ((201, {}, b""), (9,)), ((201, {}, b""), (10, 10))],
    ids=["nothing", "a page to sign in on", "a part", "twice"],
)
async def test_what_a_server_has_not_kept_is_not_brought(
    tmp_path: Path, put: tuple[int, dict[str, str], bytes], kept: tuple[int, ...]
) -> None:
    """A run's results are removed from where it ran once they are brought."""
    (tmp_path / "result.txt").write_bytes(b"0123456789")
    asked = list[str]()

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(f"{request.method} {request.path}")
        if request.method == "PROPFIND":
            hidden = "/.vaas-" in request.path
            files = [status(f"{request.path}{number}", size=size) for number, size in enumerate(kept)]
            return (207, {}, listing(status(request.path, folder=True), *files)) if hidden else (404, {}, b"")
        return put if request.method == "PUT" else (200 if request.method == "GET" else 201, {}, b"")

    async with web(answer) as port:
        with pytest.raises(Unavailable, match="has not kept all"):
            await at(port).bring("new", tmp_path)
    assert asked[-1].startswith("DELETE /dav/.vaas-") and not any(each.startswith("MOVE") for each in asked)
