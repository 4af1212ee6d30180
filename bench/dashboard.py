"""How long Discover takes in a real Chromium: to its first results, and from each key to what is found by then.

The real portal with its demo, and its own app as somebody has it who is signed in. ``--times`` windows one after the
other, each of another person with an empty browser; the app's server is up. In each, some words are typed letter by
letter: the next letter when the results of the last have been painted and ``GAP`` has passed, as people type.

- ``first_results_ms``: from the moment when the field of the search can be seen and takes keys, until the first results
  are painted; 0 where they are there first. ``opened_ms``: the same since the page was asked for.
- ``keystroke_ms``, ``keystroke_p95_ms``: from a letter's input event until the frame with its results is painted.
- ``keystroke_ratio_rest``: ``keystroke_ms`` over the median of a bare ``GET …/api/search`` of the same texts by the
  same people in the same run, as a program asks them over a connection that stays open (``rest_ms``).

    make bench BENCH=bench/dashboard.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from e2e.people import Person, Site
from tests.portal_fixture import QUIET, RunningPortal, app_python, chromium, running, until

_SCRIPT = Path(__file__).with_suffix(".js")
_PATIENCE = 60_000
#: Seconds between what was painted and the next letter, and so long a window rests before it is typed into.
GAP, REST = 0.15, 2.0
#: Who looks, by turns, and what each types: of the demo's data, its apps and its words.
PEOPLE = ("emil", "ada", "sam")
WORDS = ("precipitation", "temperature", "wine", "earthquakes", "owner:ada")
#: The demo is there when this is found: its data and its apps.
_DEMO = ("name:wine.csv", "type:app climate")
#: What the page asks for at once.
_PAGE = 30


@dataclass
class Taken:
    """What was measured: milliseconds."""

    first: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)
    rest: list[float] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Return the keys of this benchmark."""
        key, rest = statistics.median(self.keys), statistics.median(self.rest)
        return {
            "first_results_ms": round(statistics.median(self.first), 1),
            "keystroke_ms": round(key, 1),
            "keystroke_p95_ms": round(_p95(self.keys), 1),
            "keystroke_ratio_rest": round(key / rest, 2),
            "opened_ms": round(statistics.median(self.opened)),
            "rest_ms": round(rest, 2),
            "keystrokes": len(self.keys),
            "first_each_ms": [round(each) for each in self.first],
            "keystroke_each_ms": [round(each) for each in self.keys],
        }


def _p95(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=20, method="inclusive")[-1] if len(taken) > 1 else taken[0]


def window(site: Site, name: str, words: tuple[str, ...], taken: Taken) -> None:
    """Let one person open the page and type these words."""
    person = site.person(name)
    _opens(person)
    seen = _measured(person.page)
    taken.first.append(max(0.0, seen["results"] - seen["field"]))
    taken.opened.append(seen["results"])
    time.sleep(REST)
    for word in words:
        _types(person.page, word)
    keys = _measured(person.page)["keys"]
    taken.keys += [key["ms"] for key in keys]
    taken.rest += _bare(site.portal, name, [key["text"] for key in keys])
    print(f"{name}: first {taken.first[-1]:.0f} ms, key {statistics.median(taken.keys):.0f} ms", file=sys.stderr)
    person.context.close()


def _opens(person: Person) -> None:
    """Open the page, and wait until it shows results and has nothing more to ask."""
    person.page.add_init_script(path=_SCRIPT)
    person.page.set_default_timeout(_PATIENCE)
    person.goes("apps/discover/open")
    # The portal's own pages, which come before, let nothing be run in them.
    person.page.locator(".dv [data-title]").first.wait_for()
    person.page.wait_for_function("window.dashboardMeasured && window.dashboardMeasured.results > 0")
    _at_rest(person.page, "")


def _types(page: Page, word: str) -> None:
    """Type it letter by letter into an empty field, each when the one before is painted."""
    page.locator(".dv input[type=search]").focus()
    for at in range(len(word)):
        before = len(_measured(page)["keys"])
        page.keyboard.type(word[at])
        page.wait_for_function(f"window.dashboardMeasured.keys.length > {before}")
        time.sleep(GAP)
    _at_rest(page, word)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    _at_rest(page, "")


def _at_rest(page: Page, text: str) -> None:
    """Wait until this is answered by all catalogs: what is asked next has the way for itself."""
    state = "({flying, text, answer}) => !flying && answer.outside && answer.q === text && text === said"
    page.wait_for_function(f"(said) => ({state})(document.querySelector('.dv').__vue__)", arg=text)


def _measured(page: Page) -> dict[str, Any]:
    return dict(page.evaluate("window.dashboardMeasured"))


def _bare(portal: RunningPortal, name: str, texts: list[str]) -> list[float]:
    """Return how long each text takes over REST."""
    head = {"Host": portal.url.split("/")[2], "Authorization": f"token {portal.token_for(name)}"}
    place, found = f"http://127.0.0.1:{portal.settings.port}/services/vaas/api/search", []
    with httpx.Client(headers=head, timeout=30) as http:
        http.get(place, params={"q": "", "limit": 1}).raise_for_status()
        for text in texts:
            began = time.perf_counter()
            http.get(place, params={"q": text, "limit": _PAGE, "typing": 1}).raise_for_status()
            found.append(1000 * (time.perf_counter() - began))
    return found


@contextmanager
def _staged(folder: Path) -> Iterator[tuple[RunningPortal, Browser]]:
    """Start the portal with its demo, and a browser."""
    with running(folder / "data", app_python=app_python()) as portal, sync_playwright() as playwright:
        token = portal.token_for("emil")
        for text in _DEMO:
            asked = httpx.QueryParams(q=text)
            path = f"/services/vaas/api/search?{asked}"
            until(lambda path=path: portal.get(path, token=token).json()["total"], seconds=120, what=f"“{text}”")
        browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield portal, browser
        browser.close()


def main() -> None:
    """Measure, and print JSON."""
    args = _arguments()
    taken = Taken()
    with tempfile.TemporaryDirectory(prefix="vaas-bench-") as folder, _staged(Path(folder)) as (portal, browser):
        site = Site(portal, browser)
        # Who comes first has the server started: that is what bench/interactive.py measures.
        _opens(site.person(PEOPLE[0]))
        site.close()
        for number in range(args.times):
            window(Site(portal, browser), PEOPLE[number % len(PEOPLE)], args.words, taken)
    print(json.dumps({"bench": "dashboard", **taken.told(), "times": args.times}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=5, help="how many windows")
    parser.add_argument("--short", action="store_true", help="prove that it works, in about a minute")
    args = parser.parse_args()
    args.words = WORDS
    if args.short:
        args.times, args.words = 1, ("wine",)
    return args


if __name__ == "__main__":
    main()
