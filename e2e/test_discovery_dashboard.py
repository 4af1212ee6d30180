"""The discovery dashboard in its app server: found as one types, by keyboard and on a phone, in good and bad times."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, WebSocket, expect

from e2e.lone_app import LoneApp, alone
from e2e.people import DESKTOP, PHONE
from hub_service.settings import ROOT
from tests.notebooks import notebook

pytestmark = pytest.mark.browser
_PATIENCE = 30_000
#: What 1280 pixels are for somebody who needs letters four times as large.
_NARROW = {"width": 320, "height": 700}
_CHECKS = (ROOT / "e2e" / "looking.js").read_text()
_IMPORT = "import time\nfrom small_portal import SmallPortal, records\nfrom vaas.client import PortalError\n"
_IMPORT += "from vaas.widgets.discovery import Discovery"
#: A record of somebody who means no good.
_HOSTILE = """portal = SmallPortal()
bad = '<img src=x onerror="document.title=1"> {{ 7 * 7 }}'
portal._all[0] |= {"title": "Tide " + bad, "summary": bad, "owner": bad, "url": "javascript:document.title=1",
                   "tags": [bad], "columns": [bad], "type": "app", "catalog": "here", "details": {"slug": "../x"}}
Discovery(lambda: portal)"""


@contextlib.contextmanager
def dashboard(folder: Path, cell: str = "portal = SmallPortal()\nDiscovery(lambda: portal)") -> Iterator[LoneApp]:
    """Start the app; each visit gets a copy of the portal in memory."""
    beside = {"small_portal.py": (ROOT / "tests" / "small_portal.py").read_bytes()}
    with alone(notebook(_IMPORT, cell), folder=folder, files=beside, ahead=1) as app:
        yield app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneApp]:
    """Return the app as it is in good times."""
    with dashboard(tmp_path_factory.mktemp("dashboard")) as app:
        yield app


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Have everything that is expected waited for, as long as a busy machine may need."""
    expect.set_options(timeout=_PATIENCE)
    yield
    expect.set_options(timeout=20_000)


class Visit:
    """One person's page."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(_PATIENCE)
        self.asked: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._watch)
        self.page.on("websocket", self._listen)
        self._host = urlsplit(url).netloc
        self.page.goto(url)

    def _watch(self, request: Request) -> None:
        if request.url.startswith(("http", "ws")) and urlsplit(request.url).netloc != self._host:
            self.complaints.append(f"asked {request.url}")

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: self._hear(frame if isinstance(frame, bytes) else frame.encode()))

    def _hear(self, frame: bytes) -> None:
        found = re.search(rb'"content":\s*(\{"event".*?\})[,}]', frame)
        if found:
            self.asked.append(json.loads(found[1] + (b"}" if found[1].count(b"{") > found[1].count(b"}") else b"")))

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("combobox", name="Search apps, notebooks and data")

    @property
    def titles(self) -> Locator:
        return self.page.locator("[data-title]")

    def counts(self, text: str) -> None:
        """Wait until so much is found."""
        expect(self.page.locator("#dv-count")).to_contain_text(re.compile(rf"^{text}\b"))

    def settled(self) -> None:
        """Wait until all is answered that was asked, by other catalogs as well."""
        state = "({flying, text, answer}) => !flying && answer.outside && answer.q === text"
        self.page.wait_for_function(f"({state})(document.querySelector('.dv').__vue__)")

    def button(self, name: str, *, inside: str = ".dv") -> Locator:
        return self.page.locator(inside).get_by_role("button", name=name, exact=True)

    @property
    def q(self) -> str:
        return parse_qs(urlsplit(self.page.url).query).get("q", [""])[0]

    @property
    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))

    def marks_what_is_old(self, ask: Callable[[], None]) -> None:
        """Hold that what is on the screen is marked as old soon after something else is asked, and not at once."""
        self.page.evaluate(
            """() => { const main = document.querySelector(".dv-main");
              window.marked = new Promise((done) => {
                document.querySelector(".dv-field input").addEventListener("input", () => {
                  const began = performance.now();
                  const look = () => main.matches(".is-stale[aria-busy=true]") && done(performance.now() - began);
                  new MutationObserver(look).observe(main, { attributes: true });
                }, { once: true });
              }); }"""
        )
        ask()
        # A busy machine may be late, by less than what was awaited before.
        assert 200 < self.page.evaluate("window.marked") < 1800

    def sound(self) -> None:
        """Hold that nobody stumbles over what is shown now."""
        # Nothing moves any more.
        self.page.wait_for_function("document.getAnimations().every((a) => a.playState !== 'running')")
        assert self.page.evaluate(_CHECKS) == []


@contextlib.contextmanager
def visit(browser: Browser, app: LoneApp, query: str = "", **options: Any) -> Iterator[Visit]:
    """Visit the app; at the end the page may not have complained, nor asked anybody else."""
    context = app.visitor(browser, **{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    visit = Visit(context, app.url + query)
    expect(visit.field).to_be_visible()
    yield visit
    assert visit.complaints == []
    context.close()


def test_everything_is_there_at_once_and_found_by_keyboard_alone(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app) as there:
        there.counts("202")
        assert {said["event"] for said in there.asked} <= {"arrive", "search"}
        keys = there.page.keyboard
        # Past the filters in one step.
        skip = there.button("Skip to the results")
        skip.focus()
        expect(skip).to_be_in_viewport(ratio=1)
        keys.press("Enter")
        expect(there.titles.first).to_be_focused()
        keys.press("/")
        keys.type("sea te", delay=40)
        there.counts("22")
        expect(there.page.get_by_role("option", name="sea temperature")).to_be_visible()
        keys.press("ArrowDown")
        expect(there.page.get_by_role("option", name="sea temperature")).to_have_attribute("aria-selected", "true")
        keys.press("Enter")
        expect(there.field).to_have_value("sea temperature")
        there.settled()
        keys.press("ArrowDown")
        first = there.titles.first
        expect(first).to_be_focused()
        keys.press("ArrowRight")
        second = there.titles.nth(1)
        expect(second).to_be_focused()
        keys.press("Enter")
        look = there.page.get_by_role("complementary", name="Preview")
        expect(look.get_by_role("heading", level=2)).to_be_focused()
        assert there.focused == second.inner_text()
        expect(look.locator("[aria-busy=false]")).to_be_visible()
        there.sound()
        keys.press("Escape")
        expect(look).to_have_count(0)
        expect(second).to_be_focused()
        keys.press("ArrowUp")
        expect(there.field).to_be_focused()


def test_the_address_carries_the_search_to_others_and_through_a_reload(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app) as there:
        there.field.fill("tide")
        there.counts("21")
        there.page.get_by_role("checkbox", name="Notebooks").press("Space")
        there.counts("5")
        expect(there.field).to_have_value("tide* type:notebook")
        assert there.q == "tide* type:notebook"
        query = "?" + urlsplit(there.page.url).query
        there.button("Table").click()
        there.page.reload()
        there.counts("5")
        expect(there.page.get_by_role("table")).to_be_visible()
        with visit(browser, app, query) as other:
            other.counts("5")
            expect(other.field).to_have_value("tide* type:notebook")
            other.button("Without type notebook").click()
            other.counts("21")
            assert other.q == "tide*"


def test_facets_the_timeline_and_the_map_narrow_and_point(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app, "?q=in:here+tide") as there:
        there.counts("18")
        bars = there.page.locator(".dv-bars")
        box = bars.bounding_box()
        assert box is not None
        mouse = there.page.mouse
        mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
        mouse.down()
        mouse.move(box["x"] + box["width"] / 2, box["y"] + 20, steps=4)
        mouse.up()
        expect(there.field).to_have_value(re.compile(r"after:\d{4}-\d\d-01 before:\d{4}-\d\d-01"))
        there.button("Any time").click()
        there.counts("18")
        there.page.get_by_role("textbox", name="From").fill("2026-01-01")
        expect(there.field).to_have_value(re.compile("after:2026-01-01"))
        there.button("Any time").click()
        there.counts("18")
        there.button("Show Years").click()
        there.page.get_by_role("spinbutton", name="to").fill("1962")
        there.page.get_by_role("spinbutton", name="to").press("Enter")
        # The portal is asked, from as far back as there is anything.
        expect(there.field).to_have_value(re.compile(r"year:1960\.\.1962"))
        there.counts("1 result")
        assert there.q == "catalog:here tide year:1960..1962"
        there.sound()
        there.page.get_by_role("button", name=re.compile("^covers 1960.*1962: any years instead$")).click()
        there.counts("18")
        place = there.page.locator(".dv-place:has(circle)").last
        title = place.locator("title").text_content()
        place.locator("circle").click()
        expect(there.page.locator("#dv-look-title")).to_have_text(title or "?")


def test_a_basket_is_filled_shared_and_renamed_and_a_search_is_saved(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app, "?q=tide") as there:
        there.counts("21")
        name = there.titles.first.inner_text()
        there.page.get_by_role("button", name=f"In the basket: {name}").press("Enter")
        there.page.get_by_role("button", name="Basket 1").press("Enter")
        drawer = there.page.get_by_role("dialog", name="Basket")
        expect(drawer.locator(".dv-things")).to_contain_text(name)
        drawer.get_by_label("Name", exact=True).fill("For the paper")
        drawer.get_by_role("button", name="Rename").press("Enter")
        expect(there.page.get_by_role("dialog", name="For the paper")).to_be_visible()
        drawer = there.page.get_by_role("dialog", name="For the paper")
        drawer.get_by_label("Share as a collection").fill("the world")
        drawer.get_by_role("button", name="Share", exact=True).press("Enter")
        expect(there.page.locator(".dv-toast")).to_contain_text("nobody here")
        drawer.get_by_label("Share as a collection").fill("user:emil, group:ocean")
        drawer.get_by_role("button", name="Share", exact=True).press("Enter")
        expect(drawer).to_contain_text("Shared with emil, ocean")
        there.sound()
        there.page.keyboard.press("Escape")
        there.page.get_by_role("button", name="Saved 3 new results").press("Enter")
        there.page.get_by_label("Save this search as").fill("Tides")
        there.button("Save").press("Enter")
        expect(there.page.locator(".dv-menu")).to_contain_text("Tides")
        there.sound()
        there.page.get_by_role("button", name="New tide gauges tide type:data").press("Enter")
        expect(there.field).to_have_value("tide type:data")
        expect(there.page.get_by_role("button", name="Saved", exact=True)).to_be_visible()


def test_owners_answer_requests_and_others_make_them(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app, "?q=type:app+-owner:ada") as there:
        there.counts("7")
        there.page.get_by_role("button", name="Requests 1").press("Enter")
        expect(there.page.get_by_role("dialog")).to_contain_text("May I use your notebook in my lesson?")
        there.sound()
        there.button("Allow").press("Enter")
        expect(there.page.get_by_role("dialog")).to_contain_text("No request waits for you")
        there.page.keyboard.press("Escape")
        # What opened it is gone with the last request; the focus is not.
        expect(there.field).to_be_focused()
        there.titles.first.press("Enter")
        there.button("Ask for access").press("Enter")
        there.page.get_by_label("Message").fill("For a lesson")
        there.sound()
        there.button("Send the request").press("Enter")
        expect(there.page.locator(".dv-toast")).to_contain_text("The owner has your request.")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, _NARROW], ids=["desktop", "phone", "narrow"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nobody_stumbles(browser: Browser, app: LoneApp, viewport: dict[str, int], *, dark: bool) -> None:
    theme = "dark" if dark else "light"
    with visit(browser, app, "?q=climate+type:data+after:2020", viewport=viewport, color_scheme=theme) as there:
        expect(there.titles.first).to_be_visible()
        there.sound()
        there.button("Table").click()
        if viewport != DESKTOP:
            there.button("Timeline").click()
            there.button("Map").click()
        expect(there.page.get_by_role("table").first).to_be_visible()
        there.sound()
        # As it is while something else is asked.
        stale = "(main) => main.classList.toggle('is-stale')"
        there.page.locator(".dv-main").evaluate(stale)
        expect(there.page.locator(".dv-table")).to_have_css("opacity", "0.88")
        there.sound()
        there.page.locator(".dv-main").evaluate(stale)
        there.titles.first.click()
        expect(there.page.locator("[aria-busy=false] table, [aria-busy=false] .dv-tree").first).to_be_visible()
        there.sound()


def test_a_phone_has_filters_and_a_preview_over_the_page(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app, "?q=tide", viewport=PHONE, has_touch=True) as there:
        there.counts("21")
        there.button("Filters").tap()
        filters = there.page.get_by_role("dialog", name="Filters")
        filters.get_by_role("checkbox", name="Notebooks").tap()
        expect(filters.get_by_role("button", name="Show 5 results")).to_be_visible()
        there.sound()
        filters.get_by_role("button", name="Show 5 results").tap()
        there.titles.first.tap()
        look = there.page.get_by_role("dialog", name="Preview")
        expect(look.locator(".dv-outline")).to_be_visible()
        look.get_by_role("button", name="Close the preview").tap()
        expect(look).to_have_count(0)
        expect(there.titles.first).to_be_focused()


def test_what_is_suggested_narrows_what_is_shown(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app, viewport=PHONE) as there:
        there.counts("202")
        there.settled()
        hints = there.page.locator(".dv-hints button")
        expect(hints).to_have_count(6)
        there.button("type:data").click()
        there.counts("124")
        expect(there.field).to_have_value("type:data")
        # Now it is what narrows this.
        expect(there.button("type:data")).to_have_count(0)
        there.button(hints.first.inner_text()).click()
        expect(there.field).to_have_value(re.compile("^type:data tag:"))
        there.counts(r"\d+")
        there.page.get_by_role("button", name="Clear the search").click()
        there.field.fill("glacier type:folder")
        there.counts("1")
        there.titles.first.click()
        look = there.page.get_by_role("dialog", name="Preview")
        expect(look.get_by_role("region", name="What it says of itself")).to_contain_text("level: metres")
        expect(look.locator(".dv-prose")).not_to_contain_text("#")


def test_more_comes_as_one_scrolls(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app) as there:
        expect(there.titles.nth(29)).to_be_attached()
        # What other catalogs answer comes behind the first thirty.
        there.counts("202")
        there.settled()
        shown = there.titles.count()
        there.titles.last.scroll_into_view_if_needed()
        there.page.wait_for_function(f"document.querySelectorAll('[data-title]').length > {shown}")
        keys = there.titles.evaluate_all("all => all.map((each) => each.dataset.key)")
        assert len(set(keys)) == len(keys) > shown >= 30


def test_who_sends_what_they_typed_keeps_what_is_shown_for_it(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app) as there:
        there.field.press_sequentially("clim")
        there.settled()
        shown = there.page.locator("#dv-count").inner_text().split()[0]
        assert shown != "No"
        there.field.press("Enter")
        there.page.wait_for_function("document.querySelector('.dv').__vue__.sent")
        there.settled()
        there.counts(shown)
        assert there.q == "clim*"
        # What is sent to others finds the same.
        with visit(browser, app, "?q=clim*") as other:
            other.settled()
            other.counts(shown)


def test_what_is_typed_while_an_answer_is_awaited_is_asked_once(browser: Browser, tmp_path: Path) -> None:
    slow = "portal = SmallPortal(asked=lambda verb: time.sleep(2) if verb == 'search' else None)"
    slow += "\nDiscovery(lambda: portal)"
    with dashboard(tmp_path, slow) as app, visit(browser, app) as there:
        there.counts("202")
        there.field.press_sequentially("glacier outlines", delay=30)
        there.counts("19")
        searches = [said["data"]["q"] for said in there.asked if said["event"] == "search"]
        assert searches[-1] == "glacier outlines" and len(searches) < 8
        assert there.q == "glacier outlines*"
        # What has the focus goes away with the next answer, and the focus does not go into nowhere.
        there.settled()
        there.marks_what_is_old(lambda: there.field.fill("tide"))
        there.field.press("ArrowDown")
        expect(there.titles.first).to_be_focused()
        there.counts("21")
        expect(there.field).to_be_focused()
        expect(there.page.locator(".dv-main")).to_have_attribute("aria-busy", "false")


#: Where each result is that can be seen, once others are asked, and nothing before.
_WHERE = """(wanted) => {
  if (!document.querySelector("#dv-count").textContent.includes(wanted)) return null;
  const all = Array.from(document.querySelectorAll("[data-title], .dv-check, .dv-panel, .dv-tools button"));
  const name = (each) => each.dataset.key || each.querySelector("h3")?.textContent || each.textContent;
  return all.map((each) => [name(each), each.getBoundingClientRect()])
    .filter(([, box]) => box.top < innerHeight).map(([key, box]) => [key, box.x, box.y]);
}"""


#: Other catalogs, which need seconds.
_SLOW = """portal = SmallPortal()
def asked(verb):
    if verb == 'search' and not portal.log[-1][1].startswith('in:here'):
        time.sleep(3)
portal._before = asked
Discovery(lambda: portal)"""
#: How long it takes from a letter until its answer is there, in milliseconds.
_ANSWERED = """(text) => new Promise((done) => {
  const page = document.querySelector(".dv").__vue__, began = performance.now();
  const look = () => {
    if (page.answer.q === text) done(performance.now() - began);
    else requestAnimationFrame(look);
  };
  const field = document.querySelector(".dv-field input");
  field.value = text;
  field.dispatchEvent(new Event("input"));
  look();
})"""
_OTHERS = "({flying, elsewhere}) => flying && elsewhere"


def test_a_letter_is_answered_while_other_catalogs_are_asked(browser: Browser, tmp_path: Path) -> None:
    with dashboard(tmp_path, _SLOW) as app, visit(browser, app, "?q=climate") as there:
        others = f"({_OTHERS})(document.querySelector('.dv').__vue__)"
        took = []
        for text in ("tide", "tid", "glacier"):
            there.page.wait_for_function(others)
            took.append(there.page.evaluate(_ANSWERED, text))
        # A busy machine may take its time, but not the seconds of the others.
        assert max(took) < 2500, took
        # What they say of what is not asked any more is not shown; what they say of this, is.
        there.counts("19")
        there.settled()
        expect(there.field).to_have_value("glacier")
        assert there.q == "glacier*"
        # Who names one of them waits for it, and for nothing else.
        there.field.fill("in:zenodo tide")
        there.page.wait_for_function("document.querySelector('.dv').__vue__.free")
        assert there.page.evaluate(_ANSWERED, "clim") < 2500
        there.settled()
        assert there.q == "clim*"


def test_nothing_is_said_to_be_all_while_other_catalogs_are_asked(browser: Browser, tmp_path: Path) -> None:
    with dashboard(tmp_path, _SLOW) as app, visit(browser, app, "?q=qqqq") as there:
        expect(there.page.get_by_role("heading", name="Nothing in this portal so far")).to_be_visible()
        expect(there.page.get_by_role("heading", name="Nothing fits")).to_have_count(0)
        expect(there.page.locator("#dv-count")).to_have_text(re.compile("^Searching…"))
        # Who asks for something that others alone can answer sees soon that this is not the answer yet.
        there.marks_what_is_old(lambda: there.field.fill("in:zenodo qqqq"))
        there.field.fill("qqqq")
        there.settled()
        expect(there.page.get_by_role("heading", name="Nothing fits")).to_be_visible()
        there.counts("No")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_comes_later_moves_nothing_that_is_on_the_screen(
    browser: Browser, tmp_path: Path, viewport: dict[str, int]
) -> None:
    slow = "portal = SmallPortal()\ndef asked(verb):\n"
    slow += "    if verb == 'search' and not portal.log[-1][1].startswith('in:here'):\n"
    slow += "        portal.silent = {'CKAN': 'CKAN does not answer at the moment.'}\n        time.sleep(2)\n"
    slow += "    else:\n        portal.silent = {}\n"
    slow += "portal._before = asked\nDiscovery(lambda: portal)"
    with dashboard(tmp_path, slow) as app, visit(browser, app, "?q=climate", viewport=viewport) as there:
        before = there.page.wait_for_function(_WHERE, arg="asking other catalogs").json_value()
        there.settled()
        came = there.page.locator(".dv-said").get_by_role("button", name=re.compile(r"^\d+ more from zenodo$"))
        expect(came).to_be_visible()
        after = there.page.evaluate(_WHERE, "results")
        # What is counted of all may change, and what is behind the others.
        assert len(before) > 6 and [each for each in before if each not in after] == []
        expect(there.page.get_by_role("status")).to_contain_text(
            re.compile(r"more from zenodo, behind.*CKAN is missing")
        )
        there.sound()
        there.button("CKAN is missing").press("Enter")
        expect(there.page.locator(".dv-main")).to_contain_text(
            "CKAN is missing here: it does not answer at the moment."
        )
        came.press("Enter")
        focused = there.page.evaluate("document.activeElement.dataset.key")
        assert focused.startswith("zenodo ")
        expect(there.page.locator(f'[data-key="{focused}"]')).to_be_in_viewport()


def test_the_map_shows_what_can_be_pointed_at(browser: Browser, app: LoneApp) -> None:
    with visit(browser, app, "?q=in:here+type:data") as there:
        there.counts("100")
        whole = there.page.locator(".dv-whole")
        expect(whole).to_have_text(
            re.compile(r"^\d+ of the 30 shown (is|are) on the map; \d+ covers? the whole world$")
        )
        world = there.page.locator(".dv-world")
        seen = world.get_attribute("viewBox")
        expect(there.page.locator(".dv-place.is-large").first).to_be_visible()
        boxes = there.page.locator(".dv-place").evaluate_all(
            "all => all.map((each) => [each.matches('.is-large'), getComputedStyle(each.querySelector('rect')).fill])"
        )
        assert boxes and all((fill == "none") is large for large, fill in boxes)
        there.button("Zoom in").click()
        expect(world).not_to_have_attribute("viewBox", seen or "")
        there.sound()
        there.button("Zoom out").click()
        expect(world).to_have_attribute("viewBox", seen or "")


def test_what_is_not_known_and_what_may_not_be_seen_is_said(browser: Browser, tmp_path: Path) -> None:
    cell = "portal = SmallPortal()\nportal._searches[0]['new'] = None\nlook = portal.basket\n"
    cell += "portal.basket = lambda basket='': {**look(basket), 'hidden': 2}\nDiscovery(lambda: portal)"
    with dashboard(tmp_path, cell) as app, visit(browser, app) as there:
        there.counts("202")
        there.page.get_by_role("button", name="Saved", exact=True).press("Enter")
        expect(there.page.locator(".dv-menu")).to_contain_text("not known at the moment")
        there.sound()
        there.page.keyboard.press("Escape")
        there.page.get_by_role("button", name="Basket", exact=True).press("Enter")
        expect(there.page.get_by_role("dialog")).to_contain_text("2 things are in this collection")
        there.sound()


def test_a_letter_is_asked_at_once_and_of_a_key_that_is_held_only_the_first_and_the_last(
    browser: Browser, app: LoneApp
) -> None:
    with visit(browser, app) as there:
        there.counts("202")
        there.settled()
        before = len(there.asked)
        there.field.evaluate(
            """(field) => { for (const text of ["g", "gl", "gla", "glac", "glaci"]) {
              field.value = text;
              field.dispatchEvent(new Event("input"));
            } }"""
        )
        there.counts("19")
        there.settled()
        asked = [said["data"] for said in there.asked[before:] if said["event"] == "search"]
        assert [said["q"] for said in asked if not said.get("outside")] == ["g", "glaci"]


def test_bad_times_look_good(browser: Browser, tmp_path: Path) -> None:
    away = "portal = SmallPortal('')\nportal.silent = {'Zenodo': 'Zenodo does not answer at the moment.'}\n"
    away += "def asked(verb):\n    if any('away' in said for _, said in portal.log[-1:]):\n"
    away += "        raise PortalError('The portal is away. Try again in a minute.')\n"
    away += "portal._before = asked\nDiscovery(lambda: portal)"
    with dashboard(tmp_path, away) as app, visit(browser, app, "?q=tidw+after:soon") as there:
        expect(there.page.locator(".dv-main")).to_contain_text("Nothing fits tidw after:soon exactly")
        expect(there.page.locator(".dv-main")).to_contain_text("“soon” is no date")
        expect(there.page.locator(".dv-main")).to_contain_text("Zenodo is missing here")
        there.sound()
        there.page.locator(".dv-card .dv-round").first.click()
        expect(there.page.get_by_role("dialog")).to_contain_text("Sign in to keep a basket")
        login = there.page.get_by_role("dialog").get_by_role("link", name="Sign in").get_attribute("href") or ""
        back = parse_qs(urlsplit(login).query)["next"][0]
        assert urlsplit(login).path == "/services/vaas/login"
        assert back == "/services/vaas/apps/waves/open?q=tidw%20after%3Asoon"
        there.sound()
        there.page.keyboard.press("Escape")
        # It is at hand without a drawer, too.
        for place in (".dv-head", ".dv-end"):
            expect(there.page.locator(place).get_by_role("link", name="Sign in")).to_have_attribute("href", login)
        there.field.fill("qqqq type:data colour:red")
        expect(there.page.locator(".dv-main")).to_contain_text("Nothing fits")
        expect(there.page.locator(".dv-main")).to_contain_text("There is no field “colour”; “colour:red” is searched")
        expect(there.page.locator(".dv-main")).to_contain_text(
            "You are not signed in, so you find only what is public."
        )
        said = there.page.get_by_role("status")
        expect(said).to_contain_text(re.compile("^No results for .*Zenodo is missing.*There is no field “colour”"))
        assert ".." not in said.inner_text()
        there.sound()
        there.field.fill("away")
        expect(there.page.get_by_role("alert")).to_contain_text("The portal is away.")
        there.sound()
        there.field.fill("")
        there.counts("202")


def test_what_people_write_is_text_and_where_they_lead_is_not_followed(browser: Browser, tmp_path: Path) -> None:
    with dashboard(tmp_path, _HOSTILE) as app, visit(browser, app, "?q=onerror*") as there:
        there.counts("1")
        there.titles.first.click()
        expect(there.page.locator("#dv-look-title")).to_contain_text(
            '<img src=x onerror="document.title=1"> {{ 7 * 7 }}'
        )
        expect(there.page.locator("[aria-busy=false]").first).to_be_visible()
        assert there.page.locator('.dv img[src="x"], .dv a[href^="javascript"]').count() == 0
        assert there.page.title() != "1"
