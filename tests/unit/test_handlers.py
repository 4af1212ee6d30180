"""The handlers, over HTTP and with a small Hub that believes every token to be its holder's name."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader, StrictUndefined
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.web import create_signed_value, decode_signed_value

from hub_service import openapi, routes
from hub_service.bodies import SizedApplication
from hub_service.handlers.base import filters
from hub_service.isolation import KernelIsolation
from hub_service.settings import ROOT, Settings
from tests.notebooks import markdown, notebook
from tests.own_servers import OFFERING, Labs
from tests.portal_parts import ADA, PUBLIC_URL, World
from tests.servers import web
from vaas.backends.base import Lent, OwnServer
from vaas.client.errors import refusal
from vaas.errors import Unavailable
from vaas.model import Access, App, Visitor
from vaas.portal import Publication

PREFIX, SECRET = "/services/vaas/", "c" * 32
AS_ADA = Visitor(ADA)
LINKS, NOTICE = "__Host-vaas-links", "__Host-vaas-notice"


def hub(request: HTTPServerRequest) -> tuple[int, dict[str, str], bytes]:
    """Answer as the Hub does: ``token ada`` is ada's; ``ada:read`` may only read; ``wrong`` is nobody's."""
    name, _, rights = request.headers.get("Authorization", "").removeprefix("token ").partition(":")
    if name == "wrong":
        return 403, {}, b"{}"
    scopes = ["custom:vaas:read"] + ([] if rights == "read" else ["custom:vaas:write"])
    if rights.startswith("server="):
        scopes = [f"access:servers!{right}" for right in rights.split(",")]
    model = {"kind": "user", "name": name, "groups": [], "admin": name == "root", "scopes": scopes}
    return (200, {}, json.dumps(model).encode()) if name else (404, {}, b"{}")


@functools.cache
def templates() -> Environment:
    """Return the portal's own templates, with the shortest words in the place of those that many tests look at."""
    short = DictLoader({"error.html": "{{ text }}", "asleep.html": "{{ way }}", "gallery.html": "({{ notice }})"})
    own = FileSystemLoader([ROOT / "templates" / folder for folder in ("portal", "frame")])
    made = Environment(loader=ChoiceLoader([short, own]), autoescape=True, undefined=StrictUndefined)
    made.filters.update(filters())
    return made


@pytest.fixture
async def site(world: World, tmp_path: Path) -> AsyncIterator[str]:
    """Serve the portal on a free port and yield its address."""
    async with web(hub) as port:
        HubOAuth.clear_instance()
        HubOAuth.instance(
            api_url=f"http://127.0.0.1:{port}/hub/api",
            api_token="portal",
            oauth_client_id="service-vaas",
            base_url=PREFIX,
            cache_max_age=0,
        )
        application = SizedApplication(
            routes.rules(PREFIX, str(tmp_path)),
            portal=world.portal,
            prefix=PREFIX,
            public_url=PUBLIC_URL,
            templates=templates(),
            openapi=openapi.document(PUBLIC_URL),
            app_origins="http://*.vaas.localhost",
            isolation=KernelIsolation(Settings.from_environ({}), world.portal.servers.isolation),
            static_path=str(tmp_path),
            cookie_secret=SECRET,
        )
        server, sockets = HTTPServer(application), bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}{PREFIX}"
        server.stop()
        HubOAuth.clear_instance()
        # Its resolver watches the system's settings, of which one user may have so many.
        await JupyterHubHTTPClient.loop_instance().close()


def client(site: str, token: str = "", **options: Any) -> httpx.AsyncClient:
    headers = {"Authorization": f"token {token}"} if token else {}
    return httpx.AsyncClient(base_url=site, headers=headers, trust_env=False, verify=False, **options)


async def test_a_files_etag_is_the_stores_so_that_it_can_be_written_back(world: World, site: str) -> None:
    world.put(ADA, "notes.txt", "one")
    async with client(site, "ada") as ada:
        read = await ada.get("api/stores/home/files/notes.txt", params={"content": "1"})
        assert (read.status_code, read.content) == (200, b"one")
        wrote = await ada.put(
            "api/stores/home/files/notes.txt", content=b"two", headers={"If-Match": read.headers["Etag"]}
        )
        assert wrote.status_code == 200, wrote.text
        lost = await ada.put(
            "api/stores/home/files/notes.txt", content=b"3", headers={"If-Match": read.headers["Etag"]}
        )
        assert (lost.status_code, lost.json()["error"]["kind"]) == (409, "Conflict")
    assert (world.homes / "ada" / "notes.txt").read_text() == "two"


async def test_an_app_can_be_changed_and_given_away_in_one_request(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada") as ada:
        answer = await ada.patch(f"api/apps/{app.slug}", json={"owner": "bob", "title": "For Bob"})
    assert answer.status_code == 200, answer.text
    kept = world.portal.gallery.app(Visitor(world.people.known["bob"]), app.slug).app
    assert (kept.owner, kept.title) == ("bob", "For Bob")


async def test_nothing_is_changed_when_the_new_owner_is_unknown(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada") as ada:
        answer = await ada.patch(f"api/apps/{app.slug}", json={"owner": "nobody", "title": "Changed"})
    assert answer.status_code == 400
    assert world.portal.gallery.app(AS_ADA, app.slug).app == app


async def test_of_many_links_the_last_is_always_kept(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    links = [world.portal.sharing.make_link(AS_ADA, app.slug) for _ in range(60)]
    async with client(site) as comer:
        for link in links:
            assert (await comer.get(f"l/{link.token}")).status_code == 302
            (held,) = (cookie for cookie in comer.cookies.jar if cookie.name == LINKS)
            held.secure = False  # as a browser does for localhost, which Python's jar does not know
            value = decode_signed_value(SECRET, LINKS, (held.value or "").strip('"'), max_age_days=10)
            kept = json.loads(value or b"[]")
            assert link.id in kept and len(kept) <= 40


async def test_what_changed_in_text_files_is_shown_as_text(world: World, site: str) -> None:
    slug = ""
    for value in (b"plain", b"<script>alert(1)</script>"):
        draft = world.uploaded(ADA, "x = 1", slug=slug, notes_csv=b"day\n" + value)
        slug = world.portal.drafts.publish(ADA, draft.id, Publication())[0].slug
    async with client(site, "ada") as ada:
        page = (await ada.get(f"apps/{slug}/compare", params={"from": "1", "to": "2"})).text
    assert 'aria-label="What changed in notes.csv"' in page
    assert '<del class="line"><span class="sign">-</span>plain\n</del>' in page
    assert '<span class="sign">+</span>&lt;script&gt;alert(1)&lt;/script&gt;\n</ins>' in page


_FORM = {"Content-Type": "multipart/form-data; boundary=b"}
_WORDS = "You sent 13 MB, and at most 12 MB are taken here."


async def test_a_form_that_is_too_large_is_answered_with_how_much_is_taken(site: str) -> None:
    async with client(site, "ada") as ada:
        page = await ada.post("runs/new", content=b"x" * 13_000_000, headers=_FORM)
        assert (page.status_code, page.text) == (413, _WORDS)
        # Of the body nothing was kept, and the connection goes on.
        assert (await ada.get("api/apps")).status_code == 200


async def test_a_program_that_sends_too_much_is_told_in_json(site: str) -> None:
    async with client(site, "ada") as ada:
        answer = await ada.post("api/runtime/check", content=b"x" * 13_000_000)
        assert answer.status_code == 413
        assert answer.json()["error"] == {
            "kind": "TooLarge",
            "message": _WORDS,
            "fix": "Make it smaller, or ask the people who run this portal.",
        }
        answer = await ada.post("api/apps", content=b"x" * 2_000_001)
        assert answer.status_code == 413 and "at most 2 MB are taken here." in answer.json()["error"]["message"]


@pytest.mark.parametrize("said", ["1000000001", "9" * 30, "1, 2", "-1", "x"])
async def test_a_body_that_nobody_would_wait_for_ends_the_connection(site: str, said: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(site).port)
    writer.write(f"POST {PREFIX}runs/new HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nContent-Length: {said}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


@pytest.mark.parametrize("days", [True, 1.5, "7", None, [1]])
async def test_days_are_a_whole_number(world: World, site: str, days: Any) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada") as ada:
        assert (await ada.post(f"api/apps/{app.slug}/links", json={"days": days})).status_code == 400


async def test_numbers_that_are_too_long_are_no_numbers(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada") as ada:
        answer = await ada.get(f"apps/{app.slug}/compare", params={"from": "1", "to": "9" * 5000})
        assert answer.status_code == 400
        assert (
            await ada.post(f"api/apps/{app.slug}/links", content=b'{"days": 1' + b"0" * 5000 + b"}")
        ).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b"{", b"\xff", b'"x"', b"[" * 100_000, b'{"files": {}}', b'{"files": {"a": 3}}']
    + [b'{"files": {"a.ipynb": "no base64!"}}', b'{"files": [1]}', b'{"files": {"a.ipynb": "\\u00e9"}}']
    + [b'{"files": {"a.ipynb": ""}, "slug": 3}', b'{"files": {"\\ud800.ipynb": "e30="}}', b'{"files": {"": "e30="}}'],
)
async def test_a_body_that_makes_no_sense_is_refused_in_the_one_shape(world: World, site: str, body: bytes) -> None:
    async with client(site, "ada") as ada:
        answer = await ada.post("api/uploads", content=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].keys() >= {"kind", "message", "fix"}


async def test_odd_letters_are_no_error_of_ours(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    files = {"lesson.ipynb": base64.b64encode(notebook(markdown("# a\0b"))).decode()}
    async with client(site, "ada") as ada:
        odd = b'{"title": "a\\ud800b\\u0000c", "tags": ["\\udfff"], "category": "\\u0000"}'
        assert (await ada.patch(f"api/apps/{app.slug}", content=odd)).status_code == 200
        assert (await ada.get(f"api/apps/{app.slug}")).json()["title"] == "a\ufffdbc"
        assert (await ada.post("api/uploads", json={"files": files, "slug": "\0"})).status_code == 404
        assert (
            await ada.post("api/uploads", content=b'{"files": {"a.ipynb": "e30="}, "slug": "\\ud800"}')
        ).status_code in {
            400,
            404,
        }
        assert (await ada.delete(f"api/apps/{app.slug}/grants/user:%00")).status_code == 204
        assert (await ada.get("api/apps", params={"q": "\0 %_"})).status_code == 200
        assert (await ada.put("api/apps/x/versions/current", content=b'{"hash": "\\ud800"}')).status_code == 404


async def test_a_token_that_may_only_read_changes_nothing(world: World, site: str) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada:read") as ada:
        assert (await ada.get(f"api/apps/{app.slug}")).status_code == 200
        for method, path in (
            ("DELETE", f"api/apps/{app.slug}"),
            ("PATCH", f"api/apps/{app.slug}"),
            ("POST", "api/uploads"),
        ):
            assert (await ada.request(method, path, json={"title": "x"})).status_code == 403
    assert world.portal.gallery.app(AS_ADA, app.slug).app == app


@pytest.mark.parametrize("kind", ["token", "Bearer", "TOKEN"])
async def test_a_token_that_nobody_has_is_refused(world: World, site: str, kind: str) -> None:
    place = f"{PUBLIC_URL.partition('/services/')[0]}/hub/token"
    async with client(site) as nobody:
        for path in ("api/search?q=x", "api/me", "api/apps", "api/no/such"):
            answer = await nobody.get(path, headers={"Authorization": f"{kind} wrong"})
            said = answer.json()["error"]
            assert (answer.status_code, said["kind"]) == (401, "UnknownToken")
            assert refusal(401, answer.content).message == (
                f"This token is not known or has expired. Make another one at {place}."
            )
        # Without a token, and with what is none, it is everybody who asks.
        for headers in ({}, {"Authorization": "Basic d3Jvbmc6d3Jvbmc="}):
            assert (await nobody.get("api/me", headers=headers)).json()["name"] == ""
        assert (await nobody.get("", headers={"Authorization": f"{kind} wrong"})).status_code == 200


class TestAppServers:
    """What app servers ask, and nobody else."""

    async def test_a_server_gets_its_own_manifest_by_its_own_token(self, world: World, site: str) -> None:
        app = await world.published(ADA, "x = 1")
        token = f"app-{app.id}:server=app-{app.id}/v1"
        async with client(site, token) as server:
            manifest = (await server.get("api/runtime/manifest")).json()
            assert (manifest["app"]["id"], manifest["version"]) == (app.id, "1")
            beat = {"visits": [{"id": "a", "user": "ada", "links": []}, {"id": "e", "user": "eve", "links": []}]}
            beat |= {"load": {"pages": -1, "memory": "much"}, "opens": {"mode": "warm", "why": ["<b>a thread</b>", 3]}}
            answer = await server.post("api/runtime/heartbeat", json={**beat, "idle_seconds": 0})
            assert answer.json() == {"revoked": ["e"], "stop": False, "network": [], "knows_visitor": False}
        opens = {"mode": "warm", "why": ["<b>a thread</b>"]}
        async with client(site, "ada") as ada:
            assert (await ada.get(f"api/apps/{app.slug}")).json()["opens"] == opens
        await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:eve", access=Access.READ)
        async with client(site, "eve") as eve:
            assert "opens" not in (await eve.get(f"api/apps/{app.slug}")).json()

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "ada",
            "ada:server=ada/v1",
            "{account}",
            "{account}:server=app-aaaaaaaaaaaa/v1",
            "{account}:read",
            "{account}:server={account}/v1,server={account}/v2",
        ],
    )
    async def test_nobody_else_does(self, world: World, site: str, token: str) -> None:
        app = await world.published(ADA, "x = 1")
        async with client(site, token.format(account=f"app-{app.id}")) as other:
            for method, name in (("GET", "manifest"), ("GET", "content"), ("POST", "heartbeat"), ("POST", "check")):
                answer = await other.request(method, f"api/runtime/{name}")
                assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "Forbidden")

    async def test_an_app_servers_token_is_nobody_on_the_pages_and_in_rest(self, world: World, site: str) -> None:
        app = await world.published(ADA, "x = 1")
        async with client(site, f"app-{app.id}:server=app-{app.id}/v1") as server:
            assert (await server.get("api/me")).json()["name"] == ""
            assert (await server.get(f"api/apps/{app.slug}")).status_code == 404
            assert (await server.get("api/stores")).status_code == 401

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{}", b'{"visits": 3, "idle_seconds": 0}', b'{"visits": [], "idle_seconds": "x"}']
        + [b'{"visits": [{"id": "a"}], "idle_seconds": 0}', b'{"visits": [], "idle_seconds": null}']
        + [b'{"visits": [{"id": "a", "user": ["x"], "links": []}], "idle_seconds": 0}']
        + [b'{"visits": [{"id": "a", "user": "", "links": [[]]}], "idle_seconds": 0}'],
    )
    async def test_what_is_no_heartbeat_is_refused(self, world: World, site: str, body: bytes) -> None:
        app = await world.published(ADA, "x = 1")
        async with client(site, f"app-{app.id}:server=app-{app.id}/v1") as server:
            assert (await server.post("api/runtime/heartbeat", content=body)).status_code == 400


async def test_a_stranger_learns_the_same_of_a_hidden_app_and_of_none(world: World, site: str) -> None:
    app: App = await world.published(ADA, "x = 1")
    await world.portal.sharing.grant(AS_ADA, app.slug, subject="user:bob", access=Access.READ)
    async with client(site, "eve") as eve:
        for path in ("api/apps/{}", "api/apps/{}/versions", "api/apps/{}/grants", "api/apps/{}/links"):
            answers = [await eve.get(path.format(slug)) for slug in (app.slug, "none")]
            assert {(a.status_code, a.text) for a in answers} == {(404, answers[0].text)}


async def test_a_token_that_may_do_less_says_where_to_make_another(world: World, site: str) -> None:
    place = f"{PUBLIC_URL.partition('/services/')[0]}/hub/token"
    async with client(site, "ada:read") as ada:
        refused = await ada.post("api/baskets", json={"name": "Sea"})
    assert refused.status_code == 403
    assert refusal(403, refused.content).message == f"This token may not do that. Make another one at {place}."


@pytest.mark.parametrize("path", ["settings", "share", "versions", "launch"])
async def test_pages_ask_for_the_scopes_of_a_token_as_rest_does(world: World, site: str, path: str) -> None:
    app = await world.published(ADA, "x = 1")
    async with client(site, "ada:read") as ada:
        assert (await ada.post(f"apps/{app.slug}/{path}", data={"do": "save", "title": "Changed"})).status_code == 403
    assert world.portal.gallery.app(AS_ADA, app.slug).app.title == app.title


@pytest.mark.parametrize("path", ["", "api/apps", "upload", "api/uploads"])
async def test_a_stranger_can_send_nothing_large(site: str, path: str) -> None:
    async with client(site) as stranger:
        try:
            status = (await stranger.post(path, content=b"x" * 3_000_000)).status_code
        except httpx.TransportError:  # the connection may be closed while we still send
            status = 400
    assert status == 400


async def test_people_can_upload_what_is_large(world: World, site: str) -> None:
    padded = notebook(markdown("# Large"), markdown("x" * 3_000_000))
    async with client(site, "ada") as ada:
        sent = await ada.post("api/uploads", json={"files": {"large.ipynb": base64.b64encode(padded).decode()}})
    assert sent.status_code == 201


async def test_a_sleeping_servers_address_leads_back_under_a_policy_that_lets_nothing_run(site: str) -> None:
    async with client(site) as stranger:
        origin = site.removesuffix(PREFIX)
        answer = await stranger.get(f"{origin}/user/app-aaaaaaaaaaaa/v1/x.png")
        assert (answer.status_code, answer.text) == (404, f"{PUBLIC_URL}wake/app-aaaaaaaaaaaa")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy and "form-action 'none'" in policy


@pytest.mark.parametrize(
    ("query", "led"),
    [
        ("?q=type%3Adata+sea&x", "?q=type%3Adata+sea&amp;x"),
        ("?q=1;url=//evil.example/'\"><script>", "?q=1%3Burl=%2F%2Fevil.example%2F%27%22%3E%3Cscript%3E"),
        ("?q=é#x", "?q=%C3%A9"),
        ("?q=" + "x" * 5_000, ""),
        ("", ""),
    ],
)
async def test_who_wakes_an_app_keeps_what_its_address_asks_for(site: str, query: str, led: str) -> None:
    async with client(site) as stranger:
        told = await stranger.get("proxy-errors/503", params={"url": f"/user/app-aaaaaaaaaaaa/v1/{query}"})
        assert (told.status_code, told.text) == (503, f"{PUBLIC_URL}wake/app-aaaaaaaaaaaa{led}")


async def test_a_sleeping_servers_own_address_keeps_what_it_asks_for_too(site: str) -> None:
    async with client(site) as stranger:
        told = await stranger.get(f"{site.removesuffix(PREFIX)}/user/app-aaaaaaaaaaaa/v1/?q=sea+level")
        assert told.text == f"{PUBLIC_URL}wake/app-aaaaaaaaaaaa?q=sea+level"


@pytest.mark.parametrize(
    "path", ["/user/ada/l0123456789ab", "/user/ada/l0123456789ab/api/contents/lab", "/user/x/l0123456789ab/lab"]
)
async def test_a_jupyterlab_that_does_not_run_is_no_folder_that_is_missing(site: str, path: str) -> None:
    origin = site.removesuffix(PREFIX)
    async with client(site) as stranger:
        for address in (f"{origin}{path}", f"{site}proxy-errors/503?url={path}"):
            answer = await stranger.get(address)
            way = f'href="{PUBLIC_URL}launches/0123456789ab/"'
            assert answer.status_code == 503 and way in answer.text
        assert (await stranger.get(f"{origin}/user/ada/l0123/api")).status_code == 404


async def test_an_address_on_an_apps_host_that_is_none_says_so_without_what_that_host_has_not(site: str) -> None:
    async with client(site) as stranger:
        answer = await stranger.get(f"{site.removesuffix(PREFIX)}/files/rows.csv")
        assert answer.status_code == 404 and "an app's files have no address" in answer.text
        assert f'href="{PUBLIC_URL}static/css/portal.css"' in answer.text and "<img" not in answer.text
        assert "script-src" not in answer.headers["Content-Security-Policy"]


async def test_a_notice_is_shown_only_to_whom_it_was_said(site: str) -> None:
    signed = create_signed_value(SECRET, NOTICE, json.dumps(["ada", "Saved."])).decode()
    for name, shown in (("ada", "(Saved.)"), ("sam", "()"), ("", "()")):
        async with client(site, name, cookies={NOTICE: signed}) as person:
            assert (await person.get("")).text == shown


@pytest.mark.parametrize(
    ("address", "way"),
    [
        ("runs", "runs/"),
        ("runs?series=1&x=a%20b", "runs/?series=1&x=a%20b"),
        ("apps/none", "apps/none/"),
        ("files/home", "files/home/"),
        ("servers/", "servers"),
        ("launch/?store=home&path=a.ipynb", "launch?store=home&path=a.ipynb"),
    ],
)
async def test_an_address_with_a_slash_too_few_or_too_many_leads_to_the_page(
    world: World, site: str, address: str, way: str
) -> None:
    async with client(site, "ada") as ada:
        answer = await ada.get(address)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/services/vaas/{way}")


class Away(Labs):
    """A Hub that does not answer."""

    async def all(self, lent: Lent) -> Mapping[str, OwnServer]:
        """Do not answer."""
        raise Unavailable("The Hub does not answer. Try again in a moment.")


async def test_nobody_is_told_twice_to_try_again(world: World, site: str) -> None:
    world.core.offering, world.core.own_servers = OFFERING, Away()
    world.put(ADA, "tides.ipynb", notebook("x = 1"))
    async with client(site, "ada") as ada:
        answer = await ada.post("api/launches", json={"store": "home", "path": "tides.ipynb"})
        said = (await ada.get("api/launches")).json()["error"]
    assert answer.status_code == 201
    assert said == {"kind": "Unavailable", "message": "The Hub does not answer. Try again in a moment.", "fix": ""}
