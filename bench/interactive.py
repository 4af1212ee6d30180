"""How long it takes from the click on an app to the first move of its slider that is answered, in a real Chromium.

By turns in one run, ``--times`` each, all with the app "plots" of bench/apps.py:

- ``cold``: a new visitor clicks on a card of the gallery, and the app's server sleeps;
- ``warm``: a new visitor with an empty browser cache, and the server is up; ``second``: the same browser once more;
- ``voila``: a new visitor clicks on a link to plain Voilà, ``voila_second`` once more; ``pool_hit`` and
  ``pool_hit_second``: the same with ``preheat_kernel``, when a kernel is ready.

Medians of milliseconds since the click. ``html``: the app's page has come completely (for this portal with its door);
``scripts``: the last script; ``websocket``: it is open; ``kernel``: the kernel has answered over it; ``state``: the
widgets' state has come over it (missing where it came with the page); ``paint``: the slider can be seen; ``answer``: it
was moved by keyboard, and the label has changed. ``first_paint`` is the first page after the click that shows
anything. ``requests`` and ``megabytes`` are what the page asked the network for; ``presses`` how often the key had to
be pressed, since a slider that can be seen need not be connected.

Keys: ``warm_ratio_plain`` (warm / voila), ``warm_ratio_pool_hit`` (warm / pool_hit), ``cold_first_paint_ms``.

    make bench BENCH=bench/interactive.py
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, WebSocket, async_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.apps import plots
from bench.processes import Counting, counting
from bench.sides import POOL, voila_url
from tests.portal_fixture import QUIET, RunningPortal, app_python, chromium, until
from tests.published import call

PATIENCE = 90.0
#: So long somebody looks at the gallery before they click, and a key may go unanswered before it is pressed again.
LOOK, PRESS = 1.0, 0.25
#: Who comes back sooner finds the page as it was left, with the slider moved (seconds; `leave_after` and a little).
AWAY = 6.0
STAGES = ("first_paint", "html", "scripts", "websocket", "kernel", "state", "paint", "answer")
_SCRIPT = Path(__file__).with_suffix(".js")
_ENTRIES = """() => {
  const [page] = performance.getEntriesByType("navigation"), all = performance.getEntriesByType("resource");
  const ends = (entries) => performance.timeOrigin + Math.max(0, ...entries.map((entry) => entry.responseEnd));
  return {html: ends([page]), scripts: ends(all.filter((entry) => entry.initiatorType === "script")),
    requests: 1 + all.filter((entry) => entry.transferSize).length,
    megabytes: [page, ...all].reduce((sum, entry) => sum + entry.transferSize, 0) / 1e6};
}"""


@dataclass
class Journey:
    """What one window saw between a click and an answer: milliseconds since the epoch."""

    moments: dict[str, float] = field(default_factory=dict)
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    presses: int = 0

    def note(self, what: str, moment: float) -> None:
        """Take what a page told; of paints, the first after the click."""
        if what == "click":
            self.moments = {"click": moment}
        elif "click" in self.moments:
            self.moments.setdefault({"paint": "first_paint", "slider": "paint"}.get(what, what), moment)
            if what == "slider":
                self.seen.set()
            elif what == "answer":
                self.answered.set()

    def listen(self, socket: WebSocket) -> None:
        """Note what comes over a websocket."""
        if "/channels" in socket.url:
            self.note("websocket", 1000 * time.time())
            socket.on("framereceived", self._frame)

    def _frame(self, frame: str | bytes) -> None:
        told = frame.encode() if isinstance(frame, str) else frame
        for what, sign in (("kernel", b"kernel_info_reply"), ("state", b"update_states")):
            if sign in told:
                self.note(what, 1000 * time.time())

    def result(self, entries: Mapping[str, float]) -> dict[str, float]:
        """Return milliseconds since the click, and what else is of interest."""
        moments = self.moments | {name: entries[name] for name in ("html", "scripts")}
        found = {name: moments[name] - moments["click"] for name in STAGES if name in moments}
        return found | {"requests": entries["requests"], "megabytes": entries["megabytes"], "presses": self.presses}


async def journey(context: BrowserContext, start: str, *, link: str) -> dict[str, float]:
    """Go to the start, click on the link there, and move the slider until it is answered."""
    taken = Journey()
    page = await context.new_page()
    await page.expose_binding("measured", lambda _, what, moment, url: taken.note(what, moment))
    await page.add_init_script(path=_SCRIPT)
    page.on("websocket", taken.listen)
    await page.goto(start, wait_until="load")
    await asyncio.sleep(LOOK)
    async with asyncio.timeout(PATIENCE):
        await page.locator(link).first.click(no_wait_after=True)
        await taken.seen.wait()
        await _move(page, taken)
    found = taken.result(await page.evaluate(_ENTRIES))
    await page.close(run_before_unload=True)
    return found


async def _move(page: Page, taken: Journey) -> None:
    await page.locator(".noUi-handle").first.focus()
    while not taken.answered.is_set():
        await page.keyboard.press("ArrowRight")
        taken.presses += 1
        try:
            await asyncio.wait_for(taken.answered.wait(), PRESS)
        except TimeoutError:
            continue


@dataclass
class Scene:
    """All that takes part: the browser, and where each kind of visitor clicks."""

    browser: Browser
    counting: Counting
    portal: RunningPortal
    app: Mapping[str, Any]
    plain: str
    pool: str
    short: bool

    async def round(self, found: dict[str, list[dict[str, float]]]) -> None:
        """Let one visitor of each kind come."""
        gallery, link = self.portal.url, f'a[href$="/apps/{self.app["slug"]}/open"]'
        await asyncio.to_thread(self._sleep)
        async with self._new() as context:
            found["cold"].append(await self._rested(context, gallery, link=link))
        for name, start, wanted in (("", gallery, link), ("voila", self.plain, "a"), ("pool_hit", self.pool, "a")):
            first, second = (name or "warm"), (f"{name}_second" if name else "second")
            async with self._new() as context:
                found[first].append(await self._rested(context, start, link=wanted))
                if not self.short:
                    await asyncio.sleep(AWAY)
                    found[second].append(await self._rested(context, start, link=wanted))

    async def _rested(self, context: BrowserContext, start: str, *, link: str) -> dict[str, float]:
        await self.counting.settled(seconds=2 if self.short else 30)
        return await journey(context, start, link=link)

    @asynccontextmanager
    async def _new(self) -> AsyncIterator[BrowserContext]:
        context = await self.browser.new_context(viewport={"width": 1280, "height": 900})
        yield context
        await context.close()

    def _sleep(self) -> None:
        """Stop the app's server, as the portal does when nobody has come for long."""
        account = f"/users/app-{self.app['id']}"
        for name in self.portal.hub("GET", account).json()["servers"]:
            self.portal.hub("DELETE", f"{account}/servers/{name}").raise_for_status()
        until(lambda: not self.portal.hub("GET", account).json()["servers"], seconds=30, what="the server to stop")


@asynccontextmanager
async def _staged(folder: Path, counted: Counting, *, short: bool) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        stack.push_async_callback(browser.close)
        portal = RunningPortal(folder / "data", app_python=app_python())
        stack.callback(portal.stop)
        await asyncio.to_thread(portal.start)
        app = await asyncio.to_thread(_publish, portal)
        starts = []
        for pool in (0, POOL):
            place = folder / f"voila-{pool}"
            place.mkdir()
            url = await stack.enter_async_context(voila_url(plots().notebook, folder=place, pool=pool))
            starts.append(await stack.enter_async_context(_link_to(url)))
        yield Scene(browser, counted, portal, app, plain=starts[0], pool=starts[1], short=short)


def _publish(portal: RunningPortal) -> dict[str, Any]:
    token = portal.token_for("ada")
    files = {"plots.ipynb": base64.b64encode(plots().notebook).decode()}
    draft = call(portal, "POST", "uploads", token, {"files": files})["id"]
    until(lambda: call(portal, "GET", f"drafts/{draft}", token)["state"] == "done", seconds=90, what="the check")
    options = {"title": "Measured", "subjects": ["everyone"]}
    return dict(call(portal, "POST", f"drafts/{draft}/publish", token, options))


@asynccontextmanager
async def _link_to(url: str) -> AsyncIterator[str]:
    """Serve a page with nothing but a link."""
    page = f'<!doctype html><title>Apps</title><h1>Apps</h1><p><a href="{url}">Measured</a>'.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + page)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


async def main() -> None:
    """Measure, and print JSON."""
    args = _arguments()
    kinds = ("cold", "warm", "second", "voila", "voila_second", "pool_hit", "pool_hit_second")
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with counting() as counted, tempfile.TemporaryDirectory(prefix="vaas-bench-") as folder:
        async with _staged(Path(folder), counted, short=args.short) as scene:
            for number in range(args.times):
                await scene.round(found)
                answers = {kind: round(taken[-1]["answer"]) for kind, taken in found.items() if taken}
                print(f"round {number + 1}: {answers}", file=sys.stderr, flush=True)
    medians = {kind: _medians(taken) for kind, taken in found.items() if taken}
    _say(medians)
    warm = medians["warm"]["answer"]
    answer = {
        "bench": "interactive",
        "warm_ratio_plain": round(warm / medians["voila"]["answer"], 3),
        "warm_ratio_pool_hit": round(warm / medians["pool_hit"]["answer"], 3),
        "cold_first_paint_ms": medians["cold"]["first_paint"],
        "times": args.times,
    }
    each = {kind: [round(one["answer"]) for one in taken] for kind, taken in found.items()}
    print(json.dumps({**answer, "medians_ms": medians, "answers_ms": each}))


def _medians(taken: list[dict[str, float]]) -> dict[str, float]:
    names = [name for name in (*STAGES, "requests", "megabytes", "presses") if any(name in each for each in taken)]
    return {name: round(statistics.median([each[name] for each in taken if name in each]), 1) for name in names}


def _say(medians: Mapping[str, Mapping[str, float]]) -> None:
    columns = (*STAGES, "requests", "megabytes", "presses")
    print(f"{'':18}" + "".join(f"{name:>12}" for name in columns), file=sys.stderr)
    for kind, found in medians.items():
        row = "".join(f"{found[name]:>12.1f}" if name in found else f"{'':12}" for name in columns)
        print(f"{kind:18}{row}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=5, help="how often each kind of visitor comes")
    parser.add_argument("--short", action="store_true", help="prove that it works, in about a minute")
    args = parser.parse_args()
    if args.short:
        args.times = 1
    return args


if __name__ == "__main__":
    asyncio.run(main())
