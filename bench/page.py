"""What a browser does between a page's address and the first answered move, on the first and on later visits.

``python -m bench.page`` opens two notebooks (sliders with a plot; vois) in Chromium. With ``--instant`` the page's
HTML is made before the browser asks for it, as a template kernel does: what is left is the browser's side alone.
The last line is JSON; times in ms from the navigation's start, medians.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, async_playwright

from e2e.people import SLIDER
from tests.notebooks import notebook
from tests.portal_fixture import chromium
from tests.service.portal_stub import COOKIE, AppProcess, PortalStub, Visitor, running

_VOIS = (
    "import ipyvuetify as v\nfrom vois.vuetify import app",
    "label = v.Html(tag='p', children=['waves: 1'])\n"
    "slider = v.Slider(v_model=1, min=1, max=9)\n"
    "slider.observe(lambda event: setattr(label, 'children', [f'waves: {event.new}']), 'v_model')\n"
    "v.Container(children=[label, slider])",
)
_QUIET = (
    "--no-sandbox --disable-gpu --disable-background-networking "
    # Chromium does not know where a page came from that was made before, and forbids it to ask a server at home.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"
)
_HANDLES = ".noUi-handle, .v-slider__thumb"
#: In the page: note when the slider is painted, move it, and note when the kernel has answered.
_WATCH = (
    """
(() => {
  const marks = window.benchMarks = {};
  const tick = () => {
    const handle = document.querySelector('HANDLES');
    if (!marks.painted && handle && handle.getBoundingClientRect().width > 0) {
      requestAnimationFrame(() => {
        marks.painted ??= performance.now();
        const press = { key: 'ArrowRight', code: 'ArrowRight', keyCode: 39, bubbles: true, cancelable: true };
        handle.dispatchEvent(new KeyboardEvent('keydown', press));
        handle.dispatchEvent(new KeyboardEvent('keyup', press));
      });
    }
    if (marks.painted && !marks.answered && /waves: 2/.test(document.body.innerText)) {
      marks.answered = performance.now();
    }
    if (!marks.answered) setTimeout(tick, 4);
  };
  document.addEventListener('DOMContentLoaded', tick);
})();
"""
).replace("HANDLES", _HANDLES)
_SPLIT = """() => {
  const [page] = performance.getEntriesByType('navigation');
  return { ...window.benchMarks, html: page.responseEnd, complete: page.domContentLoadedEventEnd,
           load: page.loadEventEnd };
}"""


class _Traffic:
    """What a browser asked for while one page was open."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.cached = self.unchanged = self.bytes = 0
        self._cached: set[str] = set()

    async def listen(self, session: Any) -> None:
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.requestServedFromCache", lambda event: self._cached.add(event["requestId"]))
        session.on("Network.responseReceived", self._answered)
        session.on("Network.responseReceivedExtraInfo", self._headers)
        session.on("Network.loadingFinished", self._loaded)
        await session.send("Network.enable")

    def _asked(self, event: Mapping[str, Any]) -> None:
        if event["request"]["url"].startswith("http"):
            self.requests.append(event["request"]["url"])

    def _answered(self, event: Mapping[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self.cached += 1

    def _headers(self, event: Mapping[str, Any]) -> None:
        self.unchanged += event["statusCode"] == 304

    def _loaded(self, event: Mapping[str, Any]) -> None:
        self.bytes += int(event["encodedDataLength"])

    def report(self) -> dict[str, int]:
        """Return the sums."""
        memory = len(self._cached)
        asked = len(self.requests) - self.cached - memory
        return {"requests": len(self.requests), "from_network": asked, "304": self.unchanged, "bytes": self.bytes}


async def _instant(session: Any, *, url: str, visitor: Visitor) -> None:
    """Answer for the page itself with HTML that was made before."""
    page = await visitor.page()
    headers = [{"name": name, "value": value} for name, value in page.headers.get_all() if name != "Content-Encoding"]

    async def answer(event: Mapping[str, Any]) -> None:
        body = base64.b64encode(page.html.encode()).decode()
        told = {"requestId": event["requestId"], "responseCode": 200, "responseHeaders": headers, "body": body}
        await session.send("Fetch.fulfillRequest", told)

    session.on("Fetch.requestPaused", lambda event: asyncio.ensure_future(answer(event)))
    await session.send("Fetch.enable", {"patterns": [{"urlPattern": url, "resourceType": "Document"}]})


async def _visit(context: BrowserContext, *, url: str, visitor: Visitor, instant: bool, listen: bool) -> dict[str, Any]:
    page = await context.new_page()
    await page.add_init_script(_WATCH)
    session = await context.new_cdp_session(page)
    traffic = _Traffic()
    if listen:
        await traffic.listen(session)
    if instant:
        await _instant(session, url=url, visitor=visitor)
    await page.goto(url, wait_until="commit")
    await page.wait_for_function("window.benchMarks?.answered", timeout=60_000)
    await asyncio.sleep(0.3)
    split = await page.evaluate(_SPLIT)
    await page.goto("about:blank")
    await page.close()
    return {"split": split, "traffic": traffic.report() if listen else {}, "urls": traffic.requests}


async def _measure(browser: Browser, app: AppProcess, stub: PortalStub, options: argparse.Namespace) -> dict[str, Any]:
    first, later, seen = [], [], {}
    for turn in range(options.times + 1):
        context = await browser.new_context()
        for visit in range(3):
            # Another visitor in the same browser: who comes back would find the page as it was left.
            visitor = Visitor(app, portal=stub)
            await visitor.enter(stub.ticket(user=f"visitor-{turn}-{visit}"))
            cookie = {"name": COOKIE, "value": visitor.cookie, "url": "https://127.0.0.1/", "secure": True}
            await context.add_cookies([cookie])
            found = await _visit(context, url=app.url, visitor=visitor, instant=options.instant, listen=turn == 0)
            if turn == 0:
                seen[("first", "second", "third")[visit]] = found
            else:
                (later if visit else first).append(found["split"])
        await context.close()
    names = ("html", "complete", "load", "painted", "answered")
    medians = {
        kind: {name: round(statistics.median(split[name] for split in splits)) for name in names}
        for kind, splits in (("first_visit", first), ("later_visit", later))
    }
    if options.urls:
        for visit, found in seen.items():
            print(visit, *found["urls"], sep="\n  ")
    return {**medians, "traffic": {visit: found["traffic"] for visit, found in seen.items()}}


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    apps = {"plot": SLIDER, "vois": _VOIS}
    found = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=_QUIET.split())
        for name in options.apps.split(","):
            stub = PortalStub(
                {"a.ipynb": notebook(*apps[name])}, notebook="a.ipynb", title=name, limits={"ahead": options.ahead}
            )
            with tempfile.TemporaryDirectory() as folder:
                async with stub.served(), running(stub, folder=Path(folder)) as app:
                    found[name] = await _measure(browser, app, stub, options)
                    print(name, json.dumps(found[name]))
        await browser.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--apps", default="plot,vois")
    parser.add_argument("--instant", action="store_true", help="make the HTML before the browser asks")
    parser.add_argument("--ahead", type=int, default=1, help="0: the notebook runs for each visit")
    parser.add_argument("--urls", action="store_true", help="print what was asked for")
    print(json.dumps(asyncio.run(_run(parser.parse_args()))))


if __name__ == "__main__":
    main()
