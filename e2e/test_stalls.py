"""What visitors see when a page does not come or goes away: plain words, a page that starts again, a button."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from e2e.lone_app import LoneApp, alone
from e2e.people import SLIDER
from tests.notebooks import notebook
from tests.service.test_app_server_stalls import IGNORES_INTERRUPTS, LOSES_REPLIES

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _loads(page: Page) -> list[str]:
    loads: list[str] = []
    page.on("domcontentloaded", lambda _: loads.append(""))
    return loads


def test_a_stalled_page_starts_again_by_itself(browser: Browser, tmp_path: Path) -> None:
    # Long enough for its start on a busy machine, too short for a third start to stall.
    stalls = f"import time\nif time.time() < {time.time() + 20}:\n" + "".join(
        f"    {line}\n" for line in LOSES_REPLIES.strip().split("\n")
    )
    with alone(notebook(stalls, "print('it came')"), folder=tmp_path, stalled_after=10) as app:
        page = app.visitor(browser).new_page()
        loads = _loads(page)
        page.goto(app.url, wait_until="commit")
        expect(page.get_by_text("It starts again by itself")).to_be_visible(timeout=90_000)
        expect(page.get_by_text("it came")).to_be_visible(timeout=60_000)
        assert 2 <= len(loads) <= 3
        assert page.evaluate("sessionStorage.length") == 0
        assert "stalled" in app.told


def test_a_page_that_stalls_again_and_again_says_so(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(LOSES_REPLIES, "'never'"), folder=tmp_path, stalled_after=1) as app:
        page = app.visitor(browser).new_page()
        loads = _loads(page)
        page.goto(app.url, wait_until="commit")
        alert = page.get_by_role("alert").filter(has_text="starting it again did not help")
        expect(alert).to_be_visible(timeout=60_000)
        assert len(loads) == 3
        time.sleep(4)
        assert len(loads) == 3
        page.get_by_role("button", name="Try again").click()
        expect(alert).to_be_hidden()
        expect(page.get_by_text("It starts again by itself")).to_be_visible(timeout=20_000)


def test_a_cell_that_takes_long_says_which_and_that_it_may(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook("1 + 1", "import time; time.sleep(26)", "print('it came')"), folder=tmp_path) as app:
        page = app.visitor(browser).new_page()
        page.goto(app.url, wait_until="commit")
        expect(page.get_by_text("Preparing… 2 of 3")).to_be_visible(timeout=20_000)
        status = page.get_by_role("status")
        expect(status).to_have_text("")
        expect(status).to_contain_text("longer than usual", timeout=25_000)
        expect(page.locator("#vaas-time")).to_contain_text(" s")
        expect(page.get_by_text("it came")).to_be_visible(timeout=30_000)


def test_a_cell_that_cannot_be_stopped_is_told(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook("print('a')", IGNORES_INTERRUPTS), folder=tmp_path, cell_seconds=2) as app:
        page = app.visitor(browser).new_page()
        page.goto(app.url, wait_until="commit")
        expect(page.get_by_role("alert")).to_contain_text("could not be stopped", timeout=30_000)
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_after_a_cell_was_stopped_the_widgets_above_it_work(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(*SLIDER, "while True: pass"), folder=tmp_path, cell_seconds=4) as app:
        page = app.visitor(browser).new_page()
        page.goto(app.url, wait_until="commit")
        expect(page.get_by_text("This part took too long")).to_be_visible(timeout=60_000)
        _moves(page, 3)
        assert app.told == ["slow"]


def test_an_endless_output_is_told(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook("while True: print('x' * 1000)"), folder=tmp_path) as app:
        page = app.visitor(browser).new_page()
        page.goto(app.url, wait_until="commit")
        expect(page.get_by_role("alert")).to_contain_text("far more than a page can hold", timeout=60_000)


def test_a_connection_that_breaks_while_the_page_is_prepared_is_told(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook("import time; time.sleep(90)"), folder=tmp_path, cell_seconds=120) as app:
        page = app.visitor(browser).new_page()
        page.goto(app.url, wait_until="commit")
        expect(page.get_by_text("Preparing… 1 of 1")).to_be_visible(timeout=20_000)
        app.cut()
        expect(page.get_by_role("alert")).to_contain_text("connection broke", timeout=50_000)
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_pings_keep_a_websocket_that_an_impatient_proxy_would_cut(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(*SLIDER), folder=tmp_path, ping=1) as app:
        page = _opened(app, browser)
        app.proxy.idle = 8
        time.sleep(20)
        # Those that the browser keeps for its next requests are idle and may be cut; the websocket is not.
        expect(page.locator("#vaas-banner")).to_be_hidden()
        _moves(page, 3)
        assert page.evaluate("window.sockets") == 1


def test_a_websocket_that_a_proxy_cuts_comes_back_and_widgets_go_on(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(*SLIDER), folder=tmp_path, ping=600) as app:
        page = _opened(app, browser)
        app.proxy.idle = 3
        page.wait_for_function("window.sockets >= 2", timeout=20_000)
        app.proxy.idle = 600  # it would cut the next one in the middle of a move, too
        _moves(page, 3)
        expect(page.locator("#vaas-banner")).to_be_hidden(timeout=10_000)
        assert len(app.app.kernels) == 1


def test_a_network_that_was_away_for_a_while_is_told_and_widgets_go_on(browser: Browser, tmp_path: Path) -> None:
    with alone(notebook(*SLIDER), folder=tmp_path) as app:
        page = _opened(app, browser)
        app.proxy.down = True
        app.cut()
        expect(page.get_by_text("The connection was lost")).to_be_visible(timeout=10_000)
        time.sleep(6)
        app.proxy.down = False
        expect(page.locator("#vaas-banner")).to_be_hidden(timeout=30_000)
        _moves(page, 3)


def _opened(app: LoneApp, browser: Browser) -> Page:
    """Open the app; ``window.sockets`` counts its websockets."""
    page = app.visitor(browser).new_page()
    page.add_init_script(
        "window.sockets = 0; const Plain = WebSocket;"
        "window.WebSocket = class extends Plain { constructor(...all) { super(...all); window.sockets += 1; } };"
    )
    page.goto(app.url, wait_until="commit")
    expect(page.locator(".noUi-handle").first).to_be_visible(timeout=60_000)
    return page


def _moves(page: Page, to: int) -> None:
    handle = page.locator(".noUi-handle").first
    handle.focus()
    for _ in range(to - int(float(handle.get_attribute("aria-valuenow") or "1"))):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text(f"waves: {to}")).to_be_visible(timeout=10_000)
