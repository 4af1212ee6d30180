"""Coming in with what is not one's own: tickets, cookies and websockets of others."""

from __future__ import annotations

import base64
import json

import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect

from tests.service.portal_stub import COOKIE, SERVER, LoadedPage, PortalStub, Visitor
from vaas.model import ServerName
from vaas.tickets import derive_key

pytestmark = [pytest.mark.attack, pytest.mark.app, pytest.mark.asyncio(loop_scope="module")]


async def opens(visitor: Visitor, ticket: str) -> bool:
    """Try a ticket; tell whether it let anybody in or set any cookie."""
    answer = await visitor.enter(ticket)
    return answer.code != 403 or "Set-Cookie" in answer.headers or (await visitor.ask()).code == 200


# ---- tickets


async def test_a_forged_ticket_opens_nothing(mallory: Visitor, portal: PortalStub) -> None:
    good = portal.ticket()
    body, _, signature = good.partition(".")
    other = base64.urlsafe_b64encode(json.dumps({"purpose": "visit"}).encode()).decode().rstrip("=")
    for forged in ("", ".", "x.y", f"{body}.", body, f"{other}.{signature}", PortalStub({}).ticket(), good.upper()):
        assert not await opens(mallory, forged)


async def test_a_ticket_with_another_name_put_in_opens_nothing(mallory: Visitor, portal: PortalStub) -> None:
    body, _, signature = portal.ticket(user="mallory").partition(".")
    fields = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    fields["user"] = "bob"
    changed = base64.urlsafe_b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode().rstrip("=")
    assert not await opens(mallory, f"{changed}.{signature}")


async def test_a_replayed_ticket_opens_nothing(mallory: Visitor, portal: PortalStub) -> None:
    ticket = portal.ticket()
    assert (await Visitor(mallory.app, portal=portal).enter(ticket)).code == 303
    assert not await opens(mallory, ticket)


async def test_an_expired_ticket_opens_nothing(mallory: Visitor, portal: PortalStub) -> None:
    assert not await opens(mallory, portal.ticket(expires=-1))


@pytest.mark.parametrize("server", [ServerName("app-0123456789ab", "v2"), ServerName("app-zzzzzzzzzzzz", "v3")])
async def test_a_ticket_of_another_app_or_version_opens_nothing(
    mallory: Visitor, portal: PortalStub, server: ServerName
) -> None:
    assert not await opens(mallory, portal.ticket(server=server))


async def test_the_key_of_another_app_signs_nothing_for_this_one(mallory: Visitor, portal: PortalStub) -> None:
    master = b"m" * 32
    assert derive_key(master, SERVER) != derive_key(master, ServerName("app-0123456789ab", "v2"))
    assert not await opens(mallory, PortalStub({}, key=derive_key(master, ServerName("app-1", "v1"))).ticket())


async def test_a_ticket_for_another_purpose_opens_nothing(mallory: Visitor, portal: PortalStub) -> None:
    assert not await opens(mallory, portal.ticket(purpose="poke"))
    poke = await mallory.ask(
        "vaas/poke",
        method="POST",
        body=f"ticket={portal.ticket()}",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert poke.code == 403


async def test_a_ticket_of_another_subject_does_not_take_over_a_visit(mallory: Visitor, page: LoadedPage) -> None:
    mallory.cookie = page.visitor.cookie  # planted, or stolen
    await mallory.enter(mallory.portal.ticket(user="mallory"))
    assert mallory.cookie != page.visitor.cookie
    assert (await mallory.ask(f"api/kernels/{page.kernel}")).code == 404
    await page.visitor.enter()  # bob's pages ended with that: he comes again
    renewed = await page.visitor.page()
    page.kernel, page.token = renewed.kernel, renewed.token


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://portal.localhost", "http://localhost"]
)
async def test_another_site_cannot_log_its_visitors_in_with_a_ticket_of_its_own(
    mallory: Visitor, origin: str | None
) -> None:
    assert (await mallory.enter(origin=origin)).code == 403
    assert mallory.cookie == ""


# ---- cookies


async def test_the_cookie_of_a_visit_is_one_that_no_other_host_can_set(mallory: Visitor) -> None:
    cookie = (await mallory.enter()).headers["Set-Cookie"]
    name, *attributes = cookie.split("; ")
    assert name.startswith(f"__Host-vaas-visit-{SERVER.name}=")
    assert attributes == ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"]


async def test_a_made_up_cookie_is_no_visit(mallory: Visitor, page: LoadedPage) -> None:
    mallory.cookie = "A" * 43
    assert (await mallory.ask()).code == 303


async def test_a_session_fixed_before_the_sign_in_is_worth_nothing_after_it(
    mallory: Visitor, portal: PortalStub
) -> None:
    await mallory.enter(portal.ticket(user=""))
    victim = Visitor(mallory.app, portal=portal)
    victim.cookie = mallory.cookie  # planted: both are anonymous, so that it would be the same visit
    await victim.enter(portal.ticket(user=""))
    loaded = await victim.page()
    assert victim.cookie != mallory.cookie
    assert (await mallory.ask(f"api/kernels/{loaded.kernel}")).code == 404
    assert (await mallory.ask()).code == 303


@pytest.mark.parametrize("order", ["{own}; {tossed}", "{tossed}; {own}"])
async def test_of_two_cookies_neither_is_believed(mallory: Visitor, page: LoadedPage, order: str) -> None:
    await mallory.enter(mallory.portal.ticket(user="mallory"))
    own, tossed = f"{COOKIE}={page.visitor.cookie}", f"{COOKIE}={mallory.cookie}"
    answer = await page.visitor.ask(headers={"Cookie": order.format(own=own, tossed=tossed)})
    assert answer.code == 303  # back to the portal's door, where nothing of it counts
    assert (await page.visitor.ask(f"api/kernels/{page.kernel}")).code == 200


@pytest.mark.parametrize("name", ["vaas-visit", "vaas-visit-v3", "__host-vaas-visit-v3", "__Host-vaas-visit-v2"])
async def test_a_cookie_under_a_name_that_can_be_planted_is_no_visit(
    mallory: Visitor, page: LoadedPage, name: str
) -> None:
    assert (await mallory.ask(headers={"Cookie": f"{name}={page.visitor.cookie}"})).code == 303


# ---- another visit's kernel


async def test_the_state_of_another_visits_widgets_is_not_there(mallory: Visitor, page: LoadedPage) -> None:
    fresh = await page.visitor.page()
    state = fresh.html.partition('state: "')[2].partition('"')[0].rpartition("/vaas/")[2]
    assert (await page.visitor.ask(f"vaas/{state}")).code == 200
    assert (await mallory.ask(f"vaas/{state}")).code == 404
    await mallory.enter(mallory.portal.ticket(user="mallory"))
    assert (await mallory.ask(f"vaas/{state}")).code == 404
    assert await page.visitor.leave(fresh.token) == 204


async def test_another_visits_kernel_can_be_neither_seen_nor_joined_nor_stopped(
    mallory: Visitor, page: LoadedPage
) -> None:
    await mallory.enter(mallory.portal.ticket(user="mallory"))
    unknown = await mallory.ask("api/kernels/00000000-0000-0000-0000-000000000000")
    foreign = await mallory.ask(f"api/kernels/{page.kernel}")
    assert (foreign.code, foreign.body) == (unknown.code, unknown.body)
    assert foreign.code == 404
    assert await mallory.leave(page.token) == 404
    with pytest.raises(HTTPClientError, match="404"):
        await page.connect(cookie=mallory.cookie)
    assert (await page.visitor.ask(f"api/kernels/{page.kernel}")).code == 200


async def test_kernels_cannot_be_listed_opened_interrupted_or_restarted(page: LoadedPage) -> None:
    kernel = f"api/kernels/{page.kernel}"
    tries = [("GET", "api/kernels"), ("POST", "api/kernels"), ("DELETE", kernel), ("PATCH", kernel)]
    tries += [
        ("POST", f"{kernel}/restart"),
        ("POST", f"{kernel}/interrupt"),
        ("POST", f"voila/api/shutdown/{page.kernel}"),
    ]
    for method, path in tries:
        assert (await page.visitor.ask(path, method=method)).code == 404
    assert (await page.visitor.ask(kernel)).code == 200


# ---- websockets from elsewhere


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "http://app-zzzzzzzzzzzz.portal.localhost"])
async def test_a_page_of_another_origin_opens_no_websocket_with_its_visitors_cookie(
    page: LoadedPage, origin: str
) -> None:
    with pytest.raises(HTTPClientError, match="403"):
        await page.connect(origin=origin)


async def test_a_websocket_without_a_visit_is_refused(page: LoadedPage) -> None:
    with pytest.raises(HTTPClientError, match="404"):
        await page.connect(cookie="")


async def test_no_websocket_leads_anywhere_else(page: LoadedPage) -> None:
    for path in ("terminals/websocket/1", "api/events/subscribe", "voila/watchdog/lesson.ipynb", "lsp/ws/x"):
        with pytest.raises(HTTPClientError, match="404"):
            await websocket_connect(page.visitor.app.url.replace("http", "ws", 1) + path)
