"""A WebDAV account as a store: the contract on a real server, and servers with habits of their own."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
from tornado.httputil import HTTPServerRequest

from tests.contract.conftest import PASSWORD, USERNAME, DavServer
from tests.contract.store import Behind, OnDisk, StoreContract
from tests.servers import Answer, recorded, web
from vaas.errors import Conflict, Forbidden, Invalid, NotFound, StorageFull, TooLarge, Unavailable, VaasError
from vaas.http import FileBody, Http, internal_http
from vaas.stores.base import Store
from vaas.stores.multistatus import parse_multistatus
from vaas.stores.webdav import WebdavStore, connect, guess_roots


class TestWebdavStore(StoreContract):
    """The contract, on wsgidav."""

    @pytest.fixture
    def account(self, dav_server: DavServer) -> str:
        name = f"home of {secrets.token_hex(4)}"
        (dav_server.root / name).mkdir()
        (dav_server.root / "secret.txt").write_bytes(b"secret")
        return name

    @pytest.fixture
    def behind(self, dav_server: DavServer, account: str) -> Behind:
        return OnDisk(dav_server.root / account)

    @pytest.fixture
    def store(self, dav_server: DavServer, account: str, behind: Behind) -> Store:
        url = f"{dav_server.url}{account.replace(' ', '%20')}"
        return WebdavStore("cloud", "My cloud", url, USERNAME, PASSWORD, http=internal_http())


def status(href: str, *, folder: bool = False, etag: str = '"1"', size: int = 1) -> str:
    """Return a response element as servers write it."""
    kind = "<d:collection/>" if folder else ""
    return (
        f"<d:response><d:href>{href}</d:href>"
        "<d:propstat><d:prop><d:quota/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>"
        f"<d:propstat><d:prop><d:resourcetype>{kind}</d:resourcetype>"
        f"<d:getcontentlength>{size}</d:getcontentlength><d:getetag>{etag}</d:getetag>"
        "<d:getlastmodified>Fri, 20 Nov 2026 12:49:54 GMT</d:getlastmodified></d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )


def listing(*responses: str) -> bytes:
    return f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{"".join(responses)}</d:multistatus>'.encode()


def at(port: int, path: str = "/dav/", *, password: str = "geheim", http: Http | None = None) -> WebdavStore:
    """Return a store on a server of the test."""
    url = f"http://127.0.0.1:{port}{path}"
    return WebdavStore("cloud", "My cloud", url, "alice", password, http=http or internal_http())


def always(code: int, body: bytes = b"") -> Answer:
    return lambda _: (code, {}, body)


async def test_a_wrong_password_is_said(dav_server: DavServer) -> None:
    store = WebdavStore("cloud", "My cloud", dav_server.url, USERNAME, "wrong", http=internal_http())
    with pytest.raises(Forbidden, match="user name or app password is not right"):
        await store.list("")


async def test_a_listing_knows_absolute_and_path_only_hrefs_and_ignores_the_rest() -> None:
    body = listing(
        status("/dav/my%20home/", folder=True),
        status("/dav/my%20home/a%23b%3Fc%25d.txt"),
        status("http://inner.example:8080/dav/my%20home/absolute.txt"),
        status("/dav/my%20home/Z%C3%BCrich/", folder=True),
        status("/dav/my%20home/unquoted name.txt"),
        status("/dav/my%20home/deep/er.txt"),
        status("/dav/my%20home/slash%2Finside.txt"),
        status("/dav/my%20home/%2E%2E/other.txt"),
        status("/dav/my%20home/.hidden"),
        status("/dav/my%20home/%FF.txt"),
        status("/dav/my%20home/line%0Abreak"),
        status("/dav/other/file.txt"),
        status("/etc/passwd"),
        status("/dav/"),
        status("http://[broken/"),
    )
    async with web(always(207, body)) as port:
        found = await at(port, "/dav/my%20home").list("")
    assert [e.path for e in found] == ["Zürich", "a#b?c%d.txt", "absolute.txt", "unquoted name.txt"]


@pytest.mark.parametrize("path", ["/dav/../etc", "/dav/%2e%2e", "/dav/./a", "/dav/a%2fb", "/dav/a%5Cb", "/dav/%00"])
def test_what_no_path_of_ours_can_say_is_left_out(path: str) -> None:
    assert parse_multistatus(listing(status(path))) == ()


async def test_names_are_quoted_on_the_way_out() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, always(404))) as port:
        with pytest.raises(NotFound):
            await at(port).stat("a b/100%/#1?/é&+;.txt")
    assert asked[0].uri == "/dav/a%20b/100%25/%231%3F/%C3%A9%26%2B%3B.txt"


async def test_the_login_is_sent_in_utf8_and_kept_out_of_sight() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, always(500))) as port:
        store = at(port, password="gehéim")
        with pytest.raises(Unavailable) as caught:
            await store.list("")
    assert asked[0].headers["Authorization"] == "Basic " + base64.b64encode("alice:gehéim".encode()).decode()
    assert "gehéim" not in repr(store) + caught.value.message + caught.value.log_message


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, Forbidden), (403, Forbidden), (404, NotFound), (409, Conflict), (412, Conflict), (413, TooLarge)]
    + [(423, Conflict), (429, Unavailable), (500, Unavailable), (502, Unavailable), (503, Unavailable)]
    + [(507, StorageFull), (200, Unavailable), (418, Unavailable)],
)
async def test_every_status_has_its_error(code: int, kind: type[VaasError]) -> None:
    async with web(always(code, b"<html>")) as port:
        with pytest.raises(kind):
            await at(port).list("folder")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (401, Forbidden, "app password"),
        (403, Forbidden, "does not allow"),
        (412, Conflict, "changed meanwhile"),
        (413, TooLarge, "larger"),
        (423, Conflict, "locked"),
        (503, Unavailable, "My cloud"),
        (507, StorageFull, "full"),
    ],
)
async def test_a_refused_upload_says_why(code: int, kind: type[VaasError], text: str) -> None:
    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        return (code, {}, b"") if request.method == "PUT" else (404, {}, b"")

    async with web(answer) as port:
        with pytest.raises(kind, match=text):
            await at(port).write("file.txt", b"x", if_match=None)


async def test_a_locked_file_is_a_conflict_on_the_real_server(dav_server: DavServer) -> None:
    http = internal_http()
    store = WebdavStore("cloud", "My cloud", dav_server.url, USERNAME, PASSWORD, http=http)
    name = f"{secrets.token_hex(4)}.txt"
    entry = await store.write(name, b"x", if_match=None)
    lock = (
        b'<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
        b"<locktype><write/></locktype><owner>bob</owner></lockinfo>"
    )
    login = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": login, "Depth": "0", "Timeout": "Second-60", "Content-Type": "application/xml"}
    assert (await http.request("LOCK", dav_server.url + name, headers=headers, body=lock)).status == 200
    with pytest.raises(Conflict, match="locked"):
        await store.write(name, b"yy", if_match=entry.etag)


async def test_a_server_that_ignores_if_match_does_not_lose_a_change() -> None:
    asked: list[HTTPServerRequest] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        if request.method == "PROPFIND":
            return 207, {}, listing(status("/dav/file.txt", etag='"theirs"'))
        return 204, {}, b""

    async with web(recorded(asked, answer)) as port:
        for etag in ('"mine"', None):
            with pytest.raises(Conflict):
                await at(port).write("file.txt", b"x", if_match=etag)
    assert {request.method for request in asked} == {"PROPFIND"}


@pytest.mark.parametrize(
    ("etag", "header"), [('"1"', '"1"'), ("unquoted", '"unquoted"'), ('W/"weak"', None), ("", None)]
)
async def test_the_etag_is_sent_along_unless_it_could_never_match(etag: str, header: str | None) -> None:
    asked: list[HTTPServerRequest] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        return (204, {}, b"") if request.method == "PUT" else (207, {}, listing(status("/dav/file.txt", etag=etag)))

    async with web(recorded(asked, answer)) as port:
        entry = await at(port).stat("file.txt")
        assert entry.etag
        await at(port).write("file.txt", b"x", if_match=entry.etag)
    put = next(request for request in asked if request.method == "PUT")
    assert put.headers.get("If-Match") == header
    assert "If-None-Match" not in put.headers


async def test_the_new_etag_is_that_of_the_upload_though_somebody_wrote_since() -> None:
    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        if request.method == "PUT":
            assert request.headers["If-None-Match"] == "*"
            answer.written = True  # type: ignore[attr-defined]
            return 201, {"ETag": '"mine"'}, b""
        if not hasattr(answer, "written"):
            return 404, {}, b""
        return 207, {}, listing(status("/dav/file.txt", etag='"theirs"'))

    async with web(answer) as port:
        assert (await at(port).write("file.txt", b"x", if_match=None)).etag == '"mine"'


async def test_a_made_up_etag_changes_with_size_and_time() -> None:
    one, two = (
        parse_multistatus(listing(status("/a", etag="", size=size))) + parse_multistatus(listing(status("/a", etag="")))
        for size in (5, 6)
    )
    assert one[0].etag != two[0].etag and one[1].etag == two[1].etag


async def test_a_folder_has_an_etag_only_where_it_changes_with_all_that_is_in_it() -> None:
    plain = status("/dav/a/", folder=True, etag='"7"')
    own = plain.replace("<d:getetag>", '<o:id xmlns:o="http://owncloud.org/ns">42</o:id><d:getetag>').replace(
        "/a/", "/b/"
    )
    empty = plain.replace("<d:getetag>", '<o:id xmlns:o="http://owncloud.org/ns"/><d:getetag>').replace("/a/", "/c/")
    asked: list[bytes] = []

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        asked.append(request.body)
        return 207, {}, listing(status("/dav/", folder=True), plain, own, empty, status("/dav/d.csv"))

    async with web(answer) as port:
        found = {entry.path: (entry.etag, entry.size) for entry in await at(port).list("")}
    assert found == {"a": ("", 0), "b": ('"7"', 0), "c": ("", 0), "d.csv": ('"1"', 1)}
    assert b"http://owncloud.org/ns" in asked[0] and b"id/>" in asked[0]


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        BOMB + b'<d:multistatus xmlns:d="DAV:">&b;</d:multistatus>',
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]><x>&f;</x>',
        b'<!DOCTYPE d:multistatus SYSTEM "http://evil.example/x.dtd"><d:multistatus xmlns:d="DAV:"/>',
        b"<html><body>Login</body></html>",
        b"not xml",
        b"",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"<a" * 100_000,
    ],
)
async def test_an_answer_that_is_no_plain_multistatus_is_refused(body: bytes) -> None:
    async with web(always(207, body)) as port:
        with pytest.raises(Unavailable, match="My cloud"):
            await at(port).list("")


@pytest.mark.parametrize(
    ("size", "shown"), [("9" * 18, 10**18 - 1), ("9" * 19, 0), ("9" * 5_000, 0), ("²", 0), ("-1", 0), ("", 0)]
)
def test_a_size_that_no_file_has_is_not_believed(size: str, shown: int) -> None:
    body = listing(status("/a").replace("length>1<", f"length>{size}<"))
    assert [one.size for one in parse_multistatus(body)] == [shown]


@pytest.mark.parametrize(
    "time",
    [
        "Fri, 20 Nov 99999999999999999999 12:49:54 GMT",
        "Fri, 20 Nov 2026 12:49:54 +99999999999999999999",
        "Fri, 20 Nov 2026 99999999999999999999:49:54 GMT",
        f"Fri, 20 Nov {'9' * 5_000} 12:49:54 GMT",
        "yesterday",
        "",
    ],
)
def test_a_time_that_never_was_is_none(time: str) -> None:
    body = listing(status("/a").replace("Fri, 20 Nov 2026 12:49:54 GMT", time))
    assert [(one.parts, one.modified) for one in parse_multistatus(body)] == [(("a",), None)]


def test_entries_and_properties_inside_of_others_do_not_count() -> None:
    inner = status("/inner")
    body = listing(f"<d:x>{inner}</d:x>", status("/outer").replace("</d:response>", f"{inner}</d:response>"))
    assert [one.parts for one in parse_multistatus(body)] == [("outer",)]
    assert parse_multistatus(listing(f"<d:response><d:href>/a</d:href>{inner}</d:response>")) == ()


async def test_a_listing_without_end_is_too_large() -> None:
    async with web(always(207, b" " * 21_000_000)) as port:
        with pytest.raises(TooLarge, match="more files than can be shown"):
            await at(port).list("")


async def test_a_server_that_is_gone_is_unavailable_and_named() -> None:
    async with web(always(200)) as port:
        pass
    for attempt in (at(port).list(""), at(port).read("a", limit=1), at(port).write("a", b"", if_match=None)):
        with pytest.raises(Unavailable, match="My cloud.*127.0.0.1"):
            await attempt


async def test_a_private_address_is_refused_unless_configured() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, always(207))) as port:
        with pytest.raises(Invalid, match="private network"):
            await at(port, http=Http()).list("")
    assert not asked


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("https://cloud.example.org", "https://cloud.example.org/"),
        ("cloud.example.org", "https://cloud.example.org/"),
        ("davs://cloud.example.org/dav", "https://cloud.example.org/dav/"),
        ("https://cloud.example.org/index.php/apps/files/?dir=/x", "https://cloud.example.org/"),
        ("https://example.org/nextcloud/apps/files/files/12?dir=/", "https://example.org/nextcloud/"),
        ("https://cloud.example.org/remote.php/dav", "https://cloud.example.org/remote.php/dav/files/a%40b%20c/"),
        (
            "https://cloud.example.org/remote.php/dav/files/x/Photos",
            "https://cloud.example.org/remote.php/dav/files/x/Photos/",
        ),
        ("https://cloud.example.org/remote.php/webdav/", "https://cloud.example.org/remote.php/webdav/"),
        ("https://dav.example.org/my%20files/", "https://dav.example.org/my%20files/"),
    ],
)
def test_what_people_type_leads_to_an_address(typed: str, first: str) -> None:
    roots = guess_roots(typed, "a@b c")
    assert roots[0] == first
    assert all(root.endswith("/") for root in roots)


def test_a_server_alone_may_be_a_nextcloud() -> None:
    assert guess_roots("https://cloud.example.org/", "ann")[1:] == (
        "https://cloud.example.org/remote.php/dav/files/ann/",
        "https://cloud.example.org/remote.php/webdav/",
    )


async def test_connecting_finds_the_folder_of_a_plain_server(dav_server: DavServer) -> None:
    typed = dav_server.url.rstrip("/")
    assert await connect(typed, USERNAME, PASSWORD, http=internal_http()) == dav_server.url
    with pytest.raises(Forbidden, match="app password"):
        await connect(typed, USERNAME, "wrong", http=internal_http())


def nextcloud(*roots: str) -> Answer:
    """Answer as a Nextcloud does to who knows the password: DAV at its roots, pages elsewhere."""

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        if request.path == "/":
            return 302, {"Location": "/index.php/login"}, b""
        if not request.path.startswith("/remote.php"):
            return 405, {}, b"<html>"
        if request.headers.get("Authorization") != "Basic " + base64.b64encode(b"ann:geheim").decode():
            return 401, {"WWW-Authenticate": "Basic"}, b""
        return (207, {}, listing(status(request.path, folder=True))) if request.path in roots else (404, {}, b"")

    return answer


async def test_connecting_finds_the_folder_of_a_nextcloud() -> None:
    http = internal_http()
    async with web(nextcloud("/remote.php/dav/files/ann/", "/remote.php/webdav/")) as port:
        base = f"http://127.0.0.1:{port}"
        assert await connect(base, "ann", "geheim", http=http) == f"{base}/remote.php/dav/files/ann/"
        with pytest.raises(Forbidden, match="app password"):
            await connect(base, "ann", "wrong", http=http)
    async with web(nextcloud("/remote.php/webdav/")) as port:
        base = f"http://127.0.0.1:{port}"
        assert await connect(base, "ann", "geheim", http=http) == f"{base}/remote.php/webdav/"


async def test_connecting_where_there_is_no_webdav_says_so() -> None:
    async with web(always(404)) as port:
        with pytest.raises(Invalid, match="no WebDAV folder"):
            await connect(f"http://127.0.0.1:{port}", "ann", "geheim", http=internal_http())
    async with web(always(503)) as port:
        with pytest.raises(Unavailable, match="127.0.0.1"):
            await connect(f"http://127.0.0.1:{port}", "ann", "geheim", http=internal_http())
    for username, password in (("", "x"), ("ann", ""), ("a:b", "x")):
        with pytest.raises(Invalid, match="user name"):
            await connect("https://cloud.example.org", username, password, http=internal_http())


async def test_a_password_is_not_sent_unencrypted_to_who_is_not_configured() -> None:
    asked: list[HTTPServerRequest] = []
    async with web(recorded(asked, always(404))) as port:
        with pytest.raises(Invalid, match="https://"):
            await connect(f"http://127.0.0.1:{port}", "ann", "geheim", http=Http())
    assert not asked


def whole(data: bytes, *, size: int, etags: tuple[str, ...] = ('"1"',)) -> Answer:
    """Answer as a server that knows no ranges; ``etags`` are said in turn."""
    said = list(etags)

    def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
        if request.method == "PROPFIND":
            etag = said.pop(0) if len(said) > 1 else said[0]
            return 207, {}, listing(status("/dav/file.bin", size=size, etag=etag))
        return 200, {}, data

    return answer


async def test_of_a_server_that_knows_no_ranges_it_is_said_how_much_was_read_for_nothing() -> None:
    asked: list[HTTPServerRequest] = []
    data = b"abc" * 100
    async with web(recorded(asked, whole(data, size=9_000_000))) as port:
        piece = await at(port).piece("file.bin", 30, 5)
        assert (piece.data, piece.skipped) == (data[30:35], 30)
        before = len([request for request in asked if "Range" not in request.headers and request.method == "GET"])
        with pytest.raises(Invalid, match="only from their start"):
            await at(port).piece("file.bin", 8_000_001, 5)
        assert len([each for each in asked if "Range" not in each.headers and each.method == "GET"]) == before


async def test_a_file_without_a_size_is_no_empty_one() -> None:
    async with web(whole(b"abc", size=0)) as port:
        with pytest.raises(Invalid, match="how large"):
            await at(port).piece("file.bin", 0, 10)


async def test_a_file_that_is_changed_while_a_piece_is_read_is_none() -> None:
    async with web(whole(b"abc", size=3, etags=('"1"', '"1"', '"2"'))) as port:
        with pytest.raises(Conflict, match="while it was read"):
            await at(port).piece("file.bin", 0, 3)


#: Under another name for tests that are told a status.
file_in_a_listing = status


class TestBringing:
    """A folder of this machine that is sent to an account."""

    @pytest.fixture
    def made(self, tmp_path: Path) -> Path:
        folder = tmp_path / "made"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a").write_bytes(b"a")
        (folder / "b").write_bytes(b"b")
        return folder

    @pytest.mark.parametrize(
        ("refused", "status", "error"),
        [("PUT", 507, StorageFull), ("PUT", 403, Forbidden), ("MOVE", 412, Conflict), ("MOVE", 501, Unavailable)],
    )
    async def test_what_is_not_brought_to_its_end_is_removed(
        self, made: Path, refused: str, status: int, error: type[VaasError]
    ) -> None:
        asked = list[tuple[str, str]]()

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            asked.append((request.method or "", request.path))
            code = {"PROPFIND": 404, "DELETE": 204, refused: status}.get(request.method or "", 201)
            if request.method == "PROPFIND" and "/.vaas-" in request.path:
                return 207, {}, listing(file_in_a_listing(f"{request.path}a"))
            return code, {}, b""

        async with web(answer) as port:
            with pytest.raises(error):
                await at(port).bring("new", made)
        hidden = next(path for method, path in asked if method == "MKCOL")
        assert asked[-1] == ("DELETE", hidden) and hidden.startswith("/dav/.vaas-")
        assert not any(path.startswith("/dav/new") for method, path in asked if method != "PROPFIND")

    async def test_a_file_is_sent_in_pieces_and_once_more_where_one_is_led_elsewhere(self, tmp_path: Path) -> None:
        large = tmp_path / "large"
        large.write_bytes(bytes(range(256)) * 4000)
        came = list[tuple[str, int, bool]]()

        def answer(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
            came.append((request.path, len(request.body), request.body == large.read_bytes()))
            return (307, {"Location": "/there"}, b"") if request.path == "/here" else (201, {}, b"")

        async with web(answer) as port:
            with large.open("rb") as file:
                body = FileBody(file, large.stat().st_size)
                found = await internal_http().request("PUT", f"http://127.0.0.1:{port}/here", body=body)
        assert found.status == 201 and came == [("/here", 1_024_000, True), ("/there", 1_024_000, True)]

    async def test_a_file_that_became_shorter_is_not_taken_for_whole(self, tmp_path: Path) -> None:
        (tmp_path / "short").write_bytes(b"12")
        async with web(always(201)) as port:
            with (tmp_path / "short").open("rb") as file, pytest.raises(Unavailable):
                await internal_http().request("PUT", f"http://127.0.0.1:{port}/", body=FileBody(file, 3), seconds=5)
