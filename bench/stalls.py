"""Whether pages come, every time: openings in a row in a real Chromium, through the real app server.

``stalls`` counts pages that were not shown within a minute or that the watchdog had to start again, ``blank`` those
that were shown without what the notebook displays; both have to be 0. ``kinds`` has the same for each notebook, with
the median and the longest time in seconds until everything could be seen, and what the app's owner was told.
"trivial" prints and displays one line; "vois" is a vois app that shows plotly figures inside Output widgets, which
hangs most of the time where the lost wake-up is not mended: ``--peer 10`` opens it in plain Voilà as often.

    make bench BENCH=bench/stalls.py
    .venvs/test/bin/python bench/stalls.py --trivial 10 --vois 5 --peer 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, TimeoutError, async_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.notebooks import markdown, notebook
from tests.portal_fixture import QUIET, app_python, chromium, free_ports
from tests.service.portal_stub import COOKIE, PortalStub, Visitor, running

PATIENCE = 60.0
#: How long what the notebook displays may take after the page was shown.
TO_SEE = 20.0
SAY = 25
TRIVIAL = notebook(markdown("# Trivial"), "print('Hello from the kernel')", "6 * 7")
VOIS = notebook(
    "import ipywidgets as widgets, pandas as pd, plotly.express as px\n"
    "from IPython.display import display\nfrom vois.vuetify import app, card",
    "years = [2000 + i // 8 for i in range(320)]\n"
    "table = pd.DataFrame({'kind': list('abcdefgh') * 40, 'value': range(320), 'year': years})",
    "page = app.app(title='Energy', titletabs=['Chart', 'Table'], logourl='data:image/svg+xml,<svg/>', dark=True,\n"
    "               footerbuttons=[], sidepaneltitle='Help', sidepaneltext='Help')\npage.show()",
    "boxes = [widgets.Output() for _ in range(4)]\n"
    "with page.outcontent:\n    display(widgets.VBox([widgets.HTML('<b id=\"seen\">Figures</b>'), *boxes]))",
    *(
        f"with boxes[{number}]:\n    px.bar(table, x='year', y='value', color='kind', height=240).show()"
        for number in range(4)
    ),
)
#: What has to be visible: a CSS selector, a text in it, and how many.
SEEN = {"trivial": [("body", "Hello from the kernel", 1), ("body", "42", 1)], "vois": [("b#seen", "Figures", 1)]}
DRAWN = {"trivial": ("", 0), "vois": (".js-plotly-plot .bars .point", 32)}


@dataclass
class Result:
    """What happened in all openings of one notebook."""

    openings: int = 0
    stalls: int = 0
    blank: int = 0
    restarts: int = 0
    seconds: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers."""
        times = self.seconds or [0.0]
        return {
            "openings": self.openings,
            "stalls": self.stalls,
            "blank": self.blank,
            "restarts": self.restarts,
            "median_s": round(statistics.median(times), 2),
            "longest_s": round(max(times), 2),
            "told": self.told,
        }


async def main() -> None:
    """Measure, and print JSON."""
    args = _arguments()
    began = time.monotonic()
    found: dict[str, Result] = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        with tempfile.TemporaryDirectory() as folder:
            for kind, document, times in (("trivial", TRIVIAL, args.trivial), ("vois", VOIS, args.vois)):
                if times:
                    async with _served(document, folder=Path(folder), browser=browser) as (url, context, portal):
                        found[kind] = await _repeat(context, url, kind=kind, times=times)
                        await asyncio.sleep(2)
                        found[kind].told = [
                            incident["text"] for heard in portal.heartbeats for incident in heard["incidents"]
                        ]
            peer = await _peer(Path(folder), browser=browser, times=args.peer) if args.peer else None
        await browser.close()
    total = {name: sum(getattr(each, name) for each in found.values()) for name in ("openings", "stalls", "blank")}
    answer = {**total, "seconds": round(time.monotonic() - began), "kinds": {k: r.to_json() for k, r in found.items()}}
    print(json.dumps({**answer, **({"peer": peer.to_json()} if peer else {})}, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--trivial", type=int, default=300, help="openings of a trivial notebook")
    parser.add_argument("--vois", type=int, default=50, help="openings of a vois notebook")
    parser.add_argument("--peer", type=int, default=0, help="openings of the vois notebook in plain Voilà")
    return parser.parse_args()


@asynccontextmanager
async def _served(
    document: bytes, *, folder: Path, browser: Browser
) -> AsyncIterator[tuple[str, BrowserContext, PortalStub]]:
    stub = PortalStub({"a.ipynb": document}, notebook="a.ipynb")
    async with stub.served() as portal, running(portal, folder=folder) as app:
        visitor = Visitor(app, portal=portal)
        await visitor.enter()
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        cookie = {"name": COOKIE, "value": visitor.cookie, "url": "https://127.0.0.1/", "secure": True}
        await context.add_cookies([cookie])  # type: ignore[list-item]
        yield app.url, context, portal
        await context.close()


async def _repeat(context: BrowserContext, url: str, *, kind: str, times: int) -> Result:
    result = Result()
    for number in range(1, times + 1):
        page = await context.new_page()
        loads: list[str] = []
        page.on("domcontentloaded", lambda _, loads=loads: loads.append(""))
        began = time.monotonic()
        state = await _open(page, url, kind=kind)
        result.openings += 1
        result.restarts += max(0, len(loads) - 1)
        result.stalls += state == "stalled" or (state != "blank" and len(loads) > 1)
        result.blank += state == "blank"
        if state == "seen":
            result.seconds.append(time.monotonic() - began)
        else:
            await page.screenshot(path=Path(tempfile.gettempdir()) / f"vaas-{state}-{kind}-{number}.png")
        if state != "seen" or number % SAY == 0:
            print(
                f"{kind} {number}: {state}, stalls {result.stalls}, blank {result.blank}", file=sys.stderr, flush=True
            )
        await page.close()
    return result


async def _open(page: Page, url: str, *, kind: str) -> str:
    """Open the page once; tell whether everything was "seen", something was missing ("blank"), or it "stalled"."""
    deadline = time.monotonic() + PATIENCE
    try:
        await page.goto(url, wait_until="commit", timeout=PATIENCE * 1000)
        left = max(1.0, deadline - time.monotonic())
        ready = "() => document.readyState !== 'loading' && !document.querySelector('#vaas-loading, #loading')"
        await page.wait_for_function(ready, timeout=left * 1000)
    except TimeoutError:
        return "stalled"
    try:
        for selector, text, count in SEEN[kind]:
            await page.locator(selector, has_text=text).nth(count - 1).wait_for(state="visible", timeout=TO_SEE * 1000)
        selector, count = DRAWN[kind]
        if count:
            await page.locator(selector).nth(count - 1).wait_for(state="attached", timeout=TO_SEE * 1000)
    except TimeoutError:
        return "blank"
    return "seen"


async def _peer(folder: Path, *, browser: Browser, times: int) -> Result:
    """Open the vois notebook in plain Voilà of the same environment."""
    path, (port,) = folder / "vois.ipynb", free_ports(1)
    path.write_bytes(VOIS)
    options = [f"--port={port}", "--no-browser", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1"]
    command = [str(app_python()), "-m", "voila", str(path), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await asyncio.sleep(5)
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        result = await _repeat(context, f"http://127.0.0.1:{port}/", kind="vois", times=times)
        await context.close()
        return result
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    asyncio.run(main())
