"""How soon a visitor of a sleeping app sees something, and how soon the app is there. Medians of ``OPENINGS``.

``cold_first_paint_ms``: in Chromium, from the click on the app's card to the first paint of its outline, the page as it
looked last. ``door_ms`` is the portal's part of that. ``cold_ready_ms``: from the same request to the word that the
app's server is ready, by HTTP.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from e2e.people import SLIDER
from tests.portal_fixture import RunningPortal, app_python, chromium, until
from tests.published import publish

OPENINGS = 9
#: From the click, whose time the page before noted, to the first paint of words or pictures.
_PAINT = """() => ({
    paint: performance.timeOrigin + performance.getEntriesByName("first-contentful-paint")[0].startTime
        - Number(sessionStorage.clicked),
    door: performance.getEntriesByType("navigation")[0].responseEnd
})"""
_NOTE = (
    "link => link.addEventListener('click', () => "
    "{ sessionStorage.clicked = performance.timeOrigin + performance.now() }, true)"
)


class Sleeper:
    """A published app that is put to sleep before each opening."""

    def __init__(self, portal: RunningPortal) -> None:
        self._portal = portal
        app = publish(portal, portal.token_for("ada"), *SLIDER, title="Waves", to="everyone")
        self.slug, self._account = app["slug"], f"/users/app-{app['id']}"

    def sleeps(self) -> None:
        """Stop its server, which may be starting."""
        until(lambda: not self._server().get("pending"), seconds=60, what="the end of a start")
        self._portal.hub("DELETE", f"{self._account}/servers/v1")
        until(lambda: not self._server(), seconds=30, what="the server's end")
        time.sleep(1)

    def ready_ms(self) -> float:
        """Open it by HTTP and return when its server was ready."""
        door = f"http://127.0.0.1:{self._portal.settings.port}/services/vaas/apps/{self.slug}/"
        headers = {"Host": f"{self._portal.settings.domain}:{self._portal.settings.port}"}
        headers["Sec-Fetch-Site"] = "same-origin"
        began = time.perf_counter()
        httpx.get(door + "open", headers=headers, timeout=60)
        with httpx.stream("GET", door + "events", headers=headers, timeout=60) as events:
            told = [json.loads(line[5:]) for line in events.iter_lines() if line.startswith("data:")]
        assert told[-1]["phase"] == "ready", told[-1]
        return 1000 * (time.perf_counter() - began)

    def paint_ms(self, page: Page) -> tuple[float, float]:
        """Click on its card; return when its outline was painted, and the portal's part of that."""
        page.goto(self._portal.url)
        page.wait_for_load_state("networkidle")
        page.route("**/events*", lambda route: None)  # so that the page stays
        card = page.locator(f"a[href$='/apps/{self.slug}/open']").first
        card.evaluate(_NOTE)
        card.click()
        page.wait_for_selector(".outline")
        painted = "performance.getEntriesByName('first-contentful-paint').length"
        until(lambda: page.evaluate(painted), seconds=10, what="the paint")
        found = page.evaluate(_PAINT)
        page.unroute_all(behavior="ignoreErrors")
        return found["paint"], found["door"]

    def _server(self) -> dict[str, object]:
        account = self._portal.hub("GET", self._account)
        found: dict[str, object] = (account.json().get("servers") or {}).get("v1") or {}
        return found


def measure(app: Sleeper, browser: Browser) -> dict[str, float]:
    """Open it by turns in both ways and return the medians."""
    ready, paint, door = list[float](), list[float](), list[float]()
    for _ in range(OPENINGS):
        app.sleeps()
        ready.append(app.ready_ms())
        app.sleeps()
        with browser.new_context() as context:
            painted, answered = app.paint_ms(context.new_page())
        paint.append(painted)
        door.append(answered)
    named = {"cold_first_paint_ms": paint, "door_ms": door, "cold_ready_ms": ready}
    return {name: round(statistics.median(values)) for name, values in named.items()} | {
        f"{name}_best": round(min(values)) for name, values in named.items()
    }


def main() -> None:
    """Measure, and print JSON."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        portal = RunningPortal(Path(folder) / "data", app_python=app_python())
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        try:
            print(json.dumps(measure(Sleeper(portal.start()), browser)))
        finally:
            browser.close()
            portal.stop()


if __name__ == "__main__":
    main()
