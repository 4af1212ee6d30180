"""A notebook that was published to attack its visitors; each test is one thing that its page tries in Chromium."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from e2e.outside import Outside, outside
from e2e.people import Person, Site
from tests.notebooks import markdown
from tests.portal_fixture import RunningPortal

pytestmark = [pytest.mark.attack, pytest.mark.browser]
SCRIPT = Path(__file__).with_name("malicious.js").read_text()
#: What another page of the victim keeps in its browser.
KEEP = """async mark => {
    localStorage.setItem("kept", mark);
    await caches.open(mark);
    await new Promise((done) => { indexedDB.open(mark).onsuccess = done; });
}"""
MARK, PLANTED = "mallory-was-here", "planted-for-the-victim"


@dataclass
class Attack:
    """What the page reported, and what the victim, the Hub and the host outside saw of it."""

    portal: RunningPortal
    victim: Person
    other: Page
    outside: Outside
    results: dict[str, str]
    frames: list[str]
    openers: list[object]
    requests: list[tuple[str, str]]
    packets: int
    before: dict[str, Any]
    asked: list[str] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """What an attack on the visitor would change."""
        return state(self.portal)


def state(portal: RunningPortal) -> dict[str, Any]:
    """Return the victim's tokens that are no sign-ins, and all that is published or connected in their name."""
    token = portal.token_for("sam")
    tokens = portal.hub("GET", "/users/sam/tokens").json()["api_tokens"]
    ask = {path: portal.get(f"/services/vaas/api/{path}", token=token).json() for path in ("apps", "stores", "me")}
    own = [entry["note"] for entry in tokens if entry["note"] != "test" and not entry.get("oauth_client")]
    return {"tokens": own, **ask}


@pytest.fixture(scope="module")
def attack(hub: RunningPortal, browser: Browser) -> Iterator[Attack]:
    """Publish the notebook as one person, open it as another who has a second app open, and let it try everything."""
    site = Site(hub, browser)
    with outside() as there:
        ada, emil, sam = (site.person(name) for name in ("ada", "emil", "sam"))
        waves = ada.publishes_waves(audience="signed-in")
        other = sam.opens(waves)
        kernel = json.loads(other.locator("#jupyter-config-data").text_content() or "{}")["kernelId"]
        other.evaluate(KEEP, PLANTED)
        settings = hub.settings
        targets = {"portal": hub.url, "origin": settings.origin, "victim": "sam", "otherApp": other.url}
        targets |= {
            "otherKernel": kernel,
            "outside": there.url,
            "udp": there.udp_port,
            "mark": MARK,
            "planted": PLANTED,
        }
        script = SCRIPT.replace("TARGETS", json.dumps(targets), 1)
        cell = f"from IPython.display import HTML\nHTML({f'<pre id=stolen></pre><script>{script}</script>'!r})"
        name = f"kittens-{secrets.token_hex(3)}"
        path = emil.keeps(f"{name}.ipynb", markdown("# Free kittens"), cell)
        slug = emil.publishes(path, audience="signed-in", title=name)
        before, openers, requests = state(hub), [], []
        page = sam.context.new_page()
        page.goto(hub.url)
        page.evaluate(KEEP, PLANTED)
        sam.context.on("page", lambda opened: opened.on("load", lambda: openers.append(_opener(opened))))

        def watch(request: Request) -> None:
            if request.url.startswith(settings.origin) and request.method != "GET":
                requests.append((request.method, request.url))

        sam.context.on("request", watch)
        page.goto(f"{hub.url}apps/{slug}/open")
        expect(page.locator("#stolen")).to_contain_text("outside by webrtc", timeout=180_000)
        results = page.evaluate("window.results")
        frames = [frame.url for frame in page.frames[1:]]
        page.close()
        sam.page = sam.context.new_page()
        yield Attack(hub, sam, other, there, results, frames, openers, requests, there.packets, before, there.asked)
        site.close()


def _opener(page: Page) -> object:
    try:
        return page.evaluate("[location.href, window.opener !== null]")
    except Exception:  # it was closed meanwhile
        return None


def tried(attack: Attack, name: str) -> None:
    """Assert that this was tried and got nowhere."""
    assert name in attack.results
    assert not attack.results[name].startswith("REACHED"), attack.results[name]


# ---- the portal and the Hub


@pytest.mark.parametrize("how", ["fetch", "fetch without reading", "fetch from a worker"])
def test_an_apps_script_reads_no_page_of_portal_and_hub(attack: Attack, how: str) -> None:
    tried(attack, how)


def test_an_apps_script_sees_no_cookies(attack: Attack) -> None:
    tried(attack, "cookies")


@pytest.mark.parametrize("whose", ["Hub", "portal"])
def test_an_apps_script_has_no_handle_on_a_popup(attack: Attack, whose: str) -> None:
    tried(attack, f"a popup of the {whose}")


@pytest.mark.parametrize("whose", ["Hub", "portal"])
def test_an_app_shows_no_page_of_ours_in_a_frame(attack: Attack, whose: str) -> None:
    tried(attack, f"a frame of the {whose}")
    assert not [url for url in attack.frames if url.startswith(attack.portal.settings.origin)]


@pytest.mark.parametrize(
    "how",
    [
        "a form to the Hub",
        "a form to the portal",
        "a form from a frame of one's own",
        "a form from a window of one's own",
    ],
)
def test_an_app_sends_no_form_to_portal_and_hub(attack: Attack, how: str) -> None:
    tried(attack, how)
    assert attack.requests == []


def test_an_apps_script_makes_no_token_in_the_hub_and_publishes_nothing(attack: Attack) -> None:
    tried(attack, "a token by fetch")
    assert MARK not in json.dumps(attack.state())
    assert attack.state() == attack.before


def test_a_window_that_an_app_opened_does_not_know_it(attack: Attack) -> None:
    tried(attack, "a window that is opened by us")
    found = [entry for entry in attack.openers if isinstance(entry, list) and "by-opener" in entry[0]]
    assert found and not any(known for _, known in found)


def test_an_app_cannot_sign_its_visitor_out(attack: Attack) -> None:
    tried(attack, "a picture of the sign-out")
    tried(attack, "a window of the sign-out")
    attack.victim.goes("files/")
    expect(attack.victim.page.locator("[data-menu] summary")).to_contain_text("sam")
    assert "/hub/home" in str(attack.victim.page.goto(f"{attack.portal.settings.origin}/hub/home").url)  # type: ignore[union-attr]


# ---- what stays behind


def test_an_app_leaves_no_service_worker(attack: Attack) -> None:
    tried(attack, "a service worker")


def test_an_apps_script_reads_no_storage_of_portal_and_other_apps(attack: Attack) -> None:
    tried(attack, "storage of others")


def test_an_app_plants_no_cookie_that_counts(attack: Attack) -> None:
    tried(attack, "cookies for others")
    planted = [cookie for cookie in attack.victim.context.cookies() if cookie.get("value") == MARK]
    assert planted  # it did plant some, under other names
    assert not [cookie for cookie in planted if cookie["name"].lower().startswith("__host-")]  # type: ignore[typeddict-item]
    assert attack.victim.page.goto(attack.portal.url).status == 200  # type: ignore[union-attr]
    expect(attack.victim.page.locator("[data-menu] summary")).to_contain_text("sam")


# ---- another app of the same visitor


@pytest.mark.parametrize(
    "how",
    [
        "fetch of another app",
        "a frame of another app",
        "a popup of another app",
        "a form to another app",
        "a websocket of another app",
        "a websocket of the portal",
    ],
)
def test_an_apps_script_reaches_no_other_app(attack: Attack, how: str) -> None:
    tried(attack, how)


def test_another_apps_session_goes_on_as_its_visitors_own(attack: Attack) -> None:
    assert "app-" in attack.other.url
    other = attack.victim.page
    attack.victim.page = attack.other
    attack.other.reload()
    expect(attack.victim.slider).to_be_visible(timeout=30_000)
    attack.victim.moves_the_slider(3)
    attack.victim.page = other


# ---- somewhere outside


@pytest.mark.parametrize(
    "how",
    [
        "fetch",
        "beacon",
        "websocket",
        "event stream",
        "picture",
        "style",
        "link",
        "script",
        "form",
        "frame",
        "media",
        "a worker",
    ],
)
def test_an_app_connects_to_no_host_outside(attack: Attack, how: str) -> None:
    tried(attack, f"outside by {how}")


def test_nothing_arrived_outside(attack: Attack) -> None:
    assert attack.asked == []


@pytest.mark.xfail(strict=True, reason="No browser lets a page forbid WebRTC: it is named among what is left.")
def test_no_packet_leaves_by_webrtc(attack: Attack) -> None:
    tried(attack, "outside by webrtc")
    assert attack.packets == 0


# ---- from a site of the attacker's own


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/hub/login", {"username": "emil", "password": "demo", "_xsrf": "x"}),
        ("/hub/logout", {"_xsrf": "x"}),
        ("/services/vaas/logout", {"_xsrf": "x"}),
        ("/services/vaas/stores/", {"do": "connect", "title": MARK, "_xsrf": "x"}),
        ("/hub/api/users/sam/tokens", {f'{{"note": "{MARK}", "': '": ""}'}),  # as plain text it is JSON
    ],
)
def test_a_page_of_the_attackers_own_site_acts_in_nobodys_name(
    attack: Attack, path: str, fields: dict[str, str]
) -> None:
    inputs = "".join(f'<input name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items())
    kind = "text/plain" if "/api/" in path else "application/x-www-form-urlencoded"
    form = f'<form method="post" enctype="{kind}" action="{attack.portal.settings.origin}{path}">{inputs}</form>'
    attack.outside.pages["/evil"] = f"{form}<script>document.forms[0].submit()</script>"
    page = attack.victim.page
    with page.expect_response(lambda answer: answer.url.endswith(path)) as answer:
        page.goto(f"{attack.outside.url}/evil", wait_until="commit")
    page.wait_for_load_state()
    assert answer.value.status in {401, 403}
    attack.victim.goes("")
    expect(page.locator("[data-menu] summary")).to_contain_text("sam")
    attack.outside.asked.clear()
