"""The client: the way it takes, what it sends by it, and what it says when that goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest

from tests.servers import raw, web
from vaas.client import Client, PortalError, here
from vaas.client.errors import api_of, refusal
from vaas.client.wires import Rest, Visit
from vaas.facts import Way

OK = (200, {"Content-Type": "application/json"})


async def told(port: int, ask: Callable[[Client], Any], *, token: str = "t") -> Any:
    """Ask from a thread: the client waits, and the server is here."""
    return await asyncio.to_thread(ask, Client(Rest(f"http://127.0.0.1:{port}/portal/", token)))


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("http://hub.example.org", "http://hub.example.org/services/vaas/api/"),
        ("http://hub.example.org/", "http://hub.example.org/services/vaas/api/"),
        ("https://h.org/a/services/vaas", "https://h.org/a/services/vaas/api/"),
        ("https://h.org/services/vaas/", "https://h.org/services/vaas/api/"),
    ],
)
def test_a_portal_is_named_by_its_address_or_its_host(url: str, api: str) -> None:
    assert api_of(url) == api


@pytest.mark.parametrize("url", ["ftp://h.org/x", "h.org", "http://", "http://h.org:x/a", "file:///etc/passwd"])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(PortalError, match="no web address"):
        Rest(url, "t")


@pytest.mark.parametrize(
    ("ask", "sent"),
    [
        (lambda c: c.me(), ("GET", "me", None)),
        (lambda c: c.search("a b&c", typing=True), ("GET", "search?q=a+b%26c&limit=20&cursor=&typing=1", None)),
        (lambda c: c.suggest("é", limit=3), ("GET", "search/suggest?q=%C3%A9&limit=3", None)),
        (lambda c: c.record("here", "file:p/a b?.csv"), ("GET", "records/here/file%3Ap%2Fa%20b%3F.csv", None)),
        (lambda c: c.preview("a/b", "x"), ("GET", "previews/a%2Fb/x", None)),
        (lambda c: c.basket(), ("POST", "ask", {"verb": "basket", "args": {"basket": ""}})),
        (
            lambda c: c.basket_share("b", ("user:a",)),
            ("POST", "ask", {"verb": "basket_share", "args": {"basket": "b", "subjects": ["user:a"]}}),
        ),
        (lambda c: c.forget_search("s"), ("POST", "ask", {"verb": "forget_search", "args": {"id": "s"}})),
    ],
)
async def test_each_verb_has_its_request(ask: Callable[[Client], Any], sent: tuple[str, str, Any]) -> None:
    heard: list[HTTPServerRequest] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        heard.append(request)
        return *OK, b'{"name": "bob"}'

    async with web(answer) as port:
        await told(port, ask, token=" t\n")
    (request,) = heard
    body = json.loads(request.body) if request.body else None
    assert (request.method, request.uri, body) == (sent[0], f"/portal/api/{sent[1]}", sent[2])
    assert request.headers["Authorization"] == "token t"


async def test_a_name_under_localhost_is_this_machine_wherever_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[HTTPServerRequest] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        heard.append(request)
        return *OK, b'{"name": "bob"}'

    known = socket.getaddrinfo

    def unknown(host: Any, *more: Any, **named: Any) -> Any:
        if host != "127.0.0.1":
            raise socket.gaierror("Name or service not known")
        return known(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with web(answer) as port:
        asked = Client(Rest(f"http://vaas.localhost:{port}/portal/", "t"))
        assert (await asyncio.to_thread(asked.me))["name"] == "bob"
    assert [request.headers["Host"] for request in heard] == [f"vaas.localhost:{port}"]
    with pytest.raises(PortalError, match="name is not known here"):
        Client(Rest("http://portal.invalid/", "t")).me()


async def test_errors_are_the_portals_own_words() -> None:
    said = {"error": {"kind": "Forbidden", "message": "You may not.", "fix": "Ask ada."}}
    async with web(lambda _: (403, {"Content-Type": "application/json"}, json.dumps(said).encode())) as port:
        with pytest.raises(PortalError, match="^You may not. Ask ada.$") as refused:
            await told(port, lambda c: c.me())
    assert refused.value.kind == "Forbidden"
    assert str(refusal(400, {**said})) == "You may not."
    for odd in (b"<html>", b"[" * 100_000, [], {"error": "x"}, None):
        assert str(refusal(500, odd)) == "The portal refused."


@pytest.mark.parametrize("answer", [b"<html>", b"[" * 100_000, b"\xff"])
async def test_an_answer_that_cannot_be_read_is_said(answer: bytes) -> None:
    async with web(lambda _: (*OK, answer)) as port:
        with pytest.raises(PortalError, match="cannot be read"):
            await told(port, lambda c: c.me())


async def test_an_answer_without_end_is_not_read_to_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 1_000_000)
            await writer.drain()

    async with raw(talk) as port:
        with pytest.raises(PortalError, match="too large"):
            await told(port, lambda c: c.me())


async def test_a_redirect_is_not_followed() -> None:
    heard: list[str] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        heard.append(request.uri or "")
        return 302, {"Location": "/elsewhere"}, b""

    async with web(answer) as port:
        with pytest.raises(PortalError):
            await told(port, lambda c: c.me())
    assert heard == ["/portal/api/me"]


async def test_nobody_there_is_said() -> None:
    with pytest.raises(PortalError, match="does not answer"):
        await told(9, lambda c: c.me())
    with pytest.raises(PortalError, match="cannot be asked"):
        await told(9, lambda c: c.me(), token="a\nb")


def test_a_question_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(PortalError, match="too long"):
        Client(Visit(Way(9, "s"))).search("x" * 70_000)


def test_a_client_says_no_secret() -> None:
    for client in (Client(Visit(Way(9, "unmistakable"))), Client(Rest("http://h.org/a", "unmistakable"))):
        assert "unmistakable" not in repr(client) + repr(client._wire) + repr(vars(client))


class TestHere:
    """The way from where one is."""

    @pytest.fixture(autouse=True)
    def nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("VAAS_URL", "VAAS_TOKEN", "JUPYTERHUB_API_TOKEN"):
            monkeypatch.delenv(name, raising=False)

    def test_without_a_portal_it_says_what_is_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in (("", ""), ("VAAS_TOKEN", "t"), ("JUPYTERHUB_API_TOKEN", "t")):
            if name:
                monkeypatch.setenv(name, value)
            with pytest.raises(PortalError, match="VAAS_URL"):
                here()  # a token is sent to nobody who was not named

    @pytest.mark.parametrize("name", ["VAAS_TOKEN", "JUPYTERHUB_API_TOKEN"])
    async def test_a_token_of_the_environment_is_used(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "secret")

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            return *OK, json.dumps({"name": request.headers["Authorization"]}).encode()

        async with web(answer) as port:
            monkeypatch.setenv("VAAS_URL", f"http://127.0.0.1:{port}/portal/")
            assert here() is here()
            assert await asyncio.to_thread(lambda: here().me()) == {
                "name": "token secret",
                "signed_in": True,
                "launch": False,
            }

    def test_a_token_that_is_the_same_for_all_visits_asks_ahead_of_them(self) -> None:
        code = """
from vaas.runtime import asking
asking.install(template=True)
import os
os.environ |= {"VAAS_URL": "http://127.0.0.1:9/", "VAAS_TOKEN": "t"}
from vaas.client import here
here()
print(sorted(asking.asked()))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
        assert ran.stdout == "[]\n", ran.stderr

    @pytest.mark.parametrize(
        ("template", "word"),
        [(True, "Ask the portal in a function that is given to vaas.on_visit"), (False, "may not")],
    )
    def test_the_kernel_of_an_app_is_told_why_not(self, template: bool, word: str) -> None:
        code = f"""
from vaas.runtime import asking
asking.install(template={template})
from vaas.client import PortalError, here
import vaas
for ask in (here, lambda: vaas.search("x")):
    try: ask()
    except PortalError as error: print(error)
    except ImportError: print("pandas")
print(sorted(asking.asked()))
"""
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
        assert word in ran.stdout.splitlines()[0], ran.stderr
        assert ran.stdout.splitlines()[-1] == "['portal']"


def test_the_package_alone_needs_nothing_else() -> None:
    code = "import sys, vaas.client; print(sorted({'pandas', 'tornado', 'jupyterhub', 'ipykernel'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
