"""The HTTP seam, against real servers on loopback."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tornado.httputil import HTTPServerRequest
from tornado.netutil import Resolver

from tests.servers import echo, recorded, web
from vaas.errors import Invalid, Unavailable, VaasError
from vaas.http import Http, Response, internal_http

LOOPBACK = ("127.0.0.0/8",)


class Names(Resolver):
    """Answers look-ups from a list of addresses, one look-up after the other."""

    turns: list[list[str]]

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        addresses = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, (a, port)) for a in addresses]


def names(*turns: list[str]) -> Names:
    found: Names = Names()
    found.turns = list(turns)
    return found


async def test_a_request_is_answered_with_status_headers_and_body() -> None:
    async with web(echo) as port:
        answer = await Http(allowed_private=LOOPBACK).request("PROPFIND", f"http://127.0.0.1:{port}/a?b=c", body=b"xml")
    assert (answer.status, answer.headers["x-test"]) == (200, "yes")
    assert answer.body == f"PROPFIND /a?b=c host=127.0.0.1:{port}\nxml".encode()


async def test_an_error_status_is_an_answer() -> None:
    async with web(lambda _: (503, {}, b"busy")) as port:
        answer = await internal_http().request("GET", f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.body) == (503, b"busy")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "MKCOL"])
async def test_methods_need_no_body(method: str) -> None:
    async with web(lambda r: (200, {"X-Method": r.method or "", "X-Size": str(len(r.body))}, b"")) as port:
        answer = await internal_http().request(method, f"http://127.0.0.1:{port}/")
    assert (answer.headers["x-method"], answer.headers["x-size"]) == (method, "0")


async def test_names_under_localhost_are_this_machine_and_keep_their_name() -> None:
    async with web(echo) as port:
        answer = await Http(allowed_private=LOOPBACK).request("GET", f"http://vaas.localhost:{port}/")
        assert b"host=vaas.localhost:%d" % port in answer.body
        with pytest.raises(Invalid, match="private network"):
            await Http().request("GET", f"http://vaas.localhost:{port}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked)) as port:
        with pytest.raises(VaasError) as caught:
            await Http().request("GET", f"http://{host}:{port}/")
    assert isinstance(caught.value, Invalid)
    assert not asked


async def test_a_name_that_leads_inside_is_refused_though_it_led_outside_before() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked)) as port:
        rebinding = names(["127.0.0.1"])
        with pytest.raises(Invalid, match="private network"):
            await Http(resolver=rebinding).request("GET", f"http://evil.example:{port}/")
        with pytest.raises(Invalid, match="private network"):
            await Http(resolver=names(["::ffff:127.0.0.1"])).request("GET", f"http://evil.example:{port}/")
    assert not asked


async def test_each_connection_is_checked_so_rebinding_between_redirects_fails() -> None:
    async with web(lambda _: (302, {"Location": "/again"}, b"")) as port:
        rules = (f"127.0.0.1:{port}",)
        turning = names(["127.0.0.1"], ["127.0.0.2"])
        with pytest.raises(Invalid, match="private network"):
            await Http(allowed_private=rules, resolver=turning).request("GET", f"http://evil.example:{port}/")


async def test_of_several_addresses_only_the_allowed_are_used() -> None:
    async with web(echo) as port:
        both = names(["10.255.255.1", "127.0.0.1"])
        answer = await Http(allowed_private=("127.0.0.1",), resolver=both).request("GET", f"http://a.example:{port}/")
    assert answer.status == 200


async def test_configuration_may_allow_one_port_or_one_name_only() -> None:
    async with web(echo) as port, web(echo) as other:
        one_port = Http(allowed_private=(f"127.0.0.1:{port}",))
        assert (await one_port.request("GET", f"http://127.0.0.1:{port}/")).status == 200
        with pytest.raises(Invalid):
            await one_port.request("GET", f"http://127.0.0.1:{other}/")
        one_name = Http(allowed_private=("nas.example",), resolver=names(["127.0.0.1"]))
        assert (await one_name.request("GET", f"http://nas.example:{port}/")).status == 200
        with pytest.raises(Invalid):
            await one_name.request("GET", f"http://other.example:{port}/")
        both = Http(allowed_private=(f"nas.example:{port}",), resolver=names(["127.0.0.1"]))
        assert (await both.request("GET", f"http://NAS.example:{port}/")).status == 200
        with pytest.raises(Invalid):
            await both.request("GET", f"http://nas.example:{other}/")


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "example.org", "https://", "http://exa mple.org/", "http://a:0/"]
    + [
        "http://a:99999/",
        "http://a\r\nb/",
        "http://[::1",
        "http://a\\@b/",
        "http://a\\b/",
        "gopher://a/",
        "//example.org/",
        "",
    ],
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        await Http().request("GET", url)


async def test_user_and_password_in_the_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(Invalid) as caught:
        await Http().request("GET", "https://user:geheim@example.org/")
    assert "geheim" not in caught.value.message + caught.value.log_message


async def test_redirects_within_the_same_place_are_followed_with_the_authorization() -> None:
    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        if request.path == "/old":
            return 301, {"Location": "/new/"}, b"moved"
        return 200, {}, f"{request.method} {request.path} {request.headers['Authorization']}".encode()

    async with web(answer) as port:
        url = f"http://127.0.0.1:{port}/old"
        answered = await internal_http().request("PROPFIND", url, headers={"Authorization": "Basic x"}, body=b"x")
        assert answered.body == b"PROPFIND /new/ Basic x"


async def test_a_redirect_after_post_becomes_get() -> None:
    async with web(lambda r: (303, {"Location": "/b"}, b"") if r.path == "/a" else echo(r)) as port:
        answer = await internal_http().request("POST", f"http://127.0.0.1:{port}/a", body=b"data")
    assert answer.body == b"GET /b host=127.0.0.1:%d\n" % port


async def test_redirects_elsewhere_are_refused_and_named() -> None:
    asked: list[HTTPServerRequest] = []
    async with (
        web(recorded(asked)) as other,
        web(lambda r: (302, {"Location": r.arguments["to"][0].decode()}, b"")) as port,
    ):
        for to in (
            f"http://127.0.0.1:{other}/",
            f"http://127.0.0.2:{port}/",
            f"https://127.0.0.1:{port}/",
            "file:///x",
        ):
            with pytest.raises(Unavailable, match="sends the request on to"):
                await internal_http().request(
                    "GET", f"http://127.0.0.1:{port}/?to={to}", headers={"Authorization": "Basic geheim"}
                )
    assert not asked


async def test_redirects_in_a_circle_end() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, lambda _: (302, {"Location": "/again"}, b""))) as port:
        with pytest.raises(Unavailable, match="without an end"):
            await internal_http().request("GET", f"http://127.0.0.1:{port}/")
    assert len(asked) == 4


async def test_a_closed_port_and_an_unknown_name_are_told_apart() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="Nothing answers"):
            await internal_http().request("GET", f"http://127.0.0.1:{taken.getsockname()[1]}/")

    class Nowhere(Resolver):
        async def resolve(self, *_: object) -> list[tuple[int, Any]]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(Unavailable, match="no host “nowhere.example”"):
        await Http(resolver=Nowhere()).request("GET", "https://nowhere.example/")


async def test_headers_with_line_breaks_are_refused() -> None:
    with pytest.raises(Invalid, match="line break"):
        await Http().request("GET", "https://example.org/", headers={"X-A": "a\r\nX-B: b"})


async def test_what_is_no_json_is_unavailable_and_secrets_are_not_shown() -> None:
    answer = Response(200, {"set-cookie": "geheim"}, b"geheim", "a.example")
    with pytest.raises(Unavailable, match="a.example"):
        answer.json()
    assert "geheim" not in repr(answer)
    assert Response(200, {}, b'{"a": 1}', "a.example").json() == {"a": 1}


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate of its own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return cert_file, context


async def test_certificates_are_verified(tmp_path: Path) -> None:
    cert_file, context = make_certificate(tmp_path)
    async with web(echo, tls=context) as port:
        with pytest.raises(Unavailable, match="certificate"):
            await internal_http().request("GET", f"https://127.0.0.1:{port}/")
        with pytest.raises(Unavailable, match="certificate"):
            await internal_http(ca_file=str(cert_file)).request("GET", f"https://vaas.localhost:{port}/")
        assert (await internal_http(ca_file=str(cert_file)).request("GET", f"https://127.0.0.1:{port}/")).status == 200
