"""How long it takes from the click to JupyterLab with the notebook open, in Chromium, beside the Hub's own spawn page.

Both on this machine in the same run, by turns: a Hub as it comes, with its local spawner and ``jupyterhub-singleuser``
of the launch environment, where somebody presses “Start My Server”; and this portal, where somebody presses the button
that launches an app. Each time it is a new server and a browser with an empty cache, signed in before; it ends when the
notebook's first cell can be seen. The stock Hub has the notebook in its home already and opens it, and keeps nobody
apart from anybody; the portal makes a sandbox and copies the notebook into the home.

The peer is the Hub as people get it: what ``pip install jupyterhub jupyterlab`` brings, in the versions of our lock.
That is our lock and two packages that pip always adds (requirements/stock.in, in an environment that ``make bench``
builds): leaving them out is half of what is gained here, so a peer that left them out, too, would be measured with
half of our own work in it. ``--same-packages`` measures that one, which tells what is gained besides.

- ``ratio``: from the click until the browser is given JupyterLab's page, so until the server is up, has its content and
  has signed its person in, over the same of the stock Hub (``launch_s``, ``stock_s``: medians);
- ``painted_ratio``: until the notebook can be seen (``launch_painted_s``, ``stock_painted_s``). What comes between is
  JupyterLab's own scripts in the browser: the same for both, but for those of the environment's widgets, which the
  stock Hub's people do not have;
- ``cpu_ratio``: computing time until the page comes, of all servers and of the browser (``launch_cpu_s``,
  ``stock_cpu_s``). Where others load the machine, it tells more than the clock.

Then a class of ten launches at the same moment, without browsers: ``class`` tells how many of them had no JupyterLab
with their notebook in the end (``failed``), and how they were served (``first_s``, ``median_s``, ``last_s``).

    make bench BENCH=bench/launch.py
    .venvs/test/bin/python bench/launch.py --short
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Frame, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.processes import Counting, counting
from e2e.people import Person, Site
from hub_service.settings import ROOT, find_node
from tests.notebooks import write_notebook
from tests.portal_fixture import QUIET, RunningPortal, app_python, chromium, free_ports, lab_python, running, until

_APP = "world-map"
_PATIENCE = 60_000
#: What the stock side has besides: two packages, and no link to this project.
_MORE = sorted((ROOT / ".venvs" / "stock" / "lib").glob("python3*/site-packages"))
_STOCK = """
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.redirect_to_server = False
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = {proxy}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.auth_token = "measured"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{homes}/{{username}}"
c.Spawner.cmd = [{singleuser!r}, "--allow-root"]
c.Spawner.default_url = "/lab/tree/work.ipynb"
"""


@dataclass
class Taken:
    """Seconds from the click until JupyterLab's page came, of computing meanwhile, and until the notebook was there."""

    counting: Counting
    server: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)


def measure(page: Page, press: Callable[[], None], taken: Taken) -> None:
    """Press, and wait until the notebook can be seen."""
    asked: list[tuple[float, float]] = []

    def note(frame: Frame) -> None:
        if "/lab" in frame.url and frame.parent_frame is None:
            asked.append((time.perf_counter(), taken.counting.cpu_seconds()))

    page.on("framenavigated", note)
    began, used = time.perf_counter(), taken.counting.cpu_seconds()
    press()
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=_PATIENCE)
    taken.painted.append(time.perf_counter() - began)
    taken.server.append(asked[0][0] - began)
    taken.cpu.append(asked[0][1] - used)


@contextlib.contextmanager
def stock_hub(portal: RunningPortal, folder: Path, *, more: list[Path]) -> Iterator[str]:
    """Start a Hub as it comes, with ``more`` folders of packages, and give its address."""
    (port, hub, api), homes = free_ports(3), folder / "homes"
    node = [str(find_node(portal.settings, portal.environ)), str(portal.settings.proxy_script)]
    said = {"port": port, "hub": hub, "api": api, "proxy": node, "homes": homes}
    config = folder / "jupyterhub_config.py"
    config.write_text(_STOCK.format(**said, singleuser=str(lab_python().with_name("jupyterhub-singleuser"))))
    url = f"http://127.0.0.1:{port}"
    with (folder / "stock.log").open("wb") as log:
        command = [sys.executable, "-m", "jupyterhub", "--config", str(config)]
        environ = portal.environ | {"PYTHONPATH": ":".join(map(str, more))}
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environ)
        try:
            until(lambda: _answers(f"{url}/hub/login"), seconds=60, what="the stock Hub")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5, verify=False).status_code == 200
    return False


def stock_round(browser: Browser, url: str, folder: Path, name: str, taken: Taken) -> None:
    """Let somebody new start their server."""
    home = folder / "homes" / name
    home.mkdir(parents=True)
    write_notebook(home / "work.ipynb", "1 + 1")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/hub/login")
    page.locator("#username_input").fill(name)
    page.locator("#login_submit").click()
    page.goto(f"{url}/hub/home")
    measure(page, lambda: page.locator("#start").click(), taken)
    page.goto(f"{url}/hub/home")
    page.locator("#stop").click()
    page.locator("#stop").wait_for(state="hidden", timeout=_PATIENCE)
    context.close()


def launch_round(person: Person, taken: Taken) -> None:
    """Let somebody launch the app, and stop it again."""
    page = person.page
    person.goes(f"apps/{_APP}/launch")
    measure(page, lambda: page.locator("form:has(input[name=do][value=launch]) button").last.click(), taken)
    portal, name = person.site.portal, person.name
    servers = portal.hub("GET", f"/users/{name}").json()["servers"]
    for server in servers:
        portal.hub("DELETE", f"/users/{name}/servers/{server}", json={"remove": True})
    until(lambda: not portal.hub("GET", f"/users/{name}").json()["servers"], seconds=30, what="its end")


def run(counting: Counting, *, times: int, warm: int, people: int, more: list[Path]) -> dict[str, Any]:
    """Measure all on one portal."""
    with tempfile.TemporaryDirectory(prefix="launch-") as name, with_demo(folder := Path(name)) as portal:
        found = by_turns(counting, portal, folder, times=times, warm=warm, more=more)
        return found | {"as_installed": bool(more), "class": in_class(counting, portal, people)}


def by_turns(
    counting: Counting, portal: RunningPortal, folder: Path, *, times: int, warm: int, more: list[Path]
) -> dict[str, Any]:
    """Measure both sides so many times, after ``warm`` rounds that fill the disk's cache and do not count."""
    ours, stock = Taken(counting), Taken(counting)
    with stock_hub(portal, folder, more=more) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        for number in range(warm + times):
            site = Site(portal, browser)
            launch_round(site.person("ada"), ours)
            site.close()
            stock_round(browser, url, folder, f"user{number}", stock)
            print(f"{number}: launch {ours.server[-1]:.2f} s, stock {stock.server[-1]:.2f} s", file=sys.stderr)
        browser.close()
    return told(ours, stock, warm=warm)


@contextlib.contextmanager
def with_demo(folder: Path) -> Iterator[RunningPortal]:
    """Start the portal, with the app that is launched."""
    with running(folder / "data", app_python=app_python()) as portal:
        found, token = f"/services/vaas/api/apps/{_APP}", portal.token_for("ada")
        until(lambda: portal.get(found, token=token).status_code == 200, seconds=60, what="the demo")
        yield portal


def told(ours: Taken, stock: Taken, *, warm: int) -> dict[str, Any]:
    """Return the keys of this benchmark."""
    sides = {"launch": ours, "stock": stock}
    medians = {
        f"{side}{what}_s": statistics.median(each[warm:])
        for side, taken in sides.items()
        for what, each in {"": taken.server, "_painted": taken.painted, "_cpu": taken.cpu}.items()
    }
    return {
        **{f"{what}ratio": _over(medians, what) for what in ("", "painted_", "cpu_")},
        **{name: round(value, 3) for name, value in medians.items()},
        "rounds": len(ours.server) - warm,
        **{f"{side}_each_s": [round(each, 2) for each in taken.server[warm:]] for side, taken in sides.items()},
    }


def _over(medians: dict[str, float], what: str) -> float:
    return round(medians[f"launch_{what}s"] / medians[f"stock_{what}s"], 3)


def in_class(counting: Counting, portal: RunningPortal, people: int) -> dict[str, Any]:
    """Let so many people launch at the same moment, and tell how they were served."""
    names = [f"pupil{number}" for number in range(people)]
    for name in names:
        portal.hub("POST", f"/users/{name}").raise_for_status()
    tokens, used = [portal.token_for(name) for name in names], counting.cpu_seconds()
    with ThreadPoolExecutor(people) as pool:
        ends = list(pool.map(lambda token: _attend(portal, token), tokens))
    served = sorted(seconds for seconds, why in ends if not why) or [0.0]
    return {
        "people": people,
        "failed": sum(bool(why) for _, why in ends),
        "why": sorted({why for _, why in ends} - {""}),
        "first_s": round(served[0], 2),
        "median_s": round(statistics.median(served), 2),
        "last_s": round(served[-1], 2),
        "cpu_each_s": round((counting.cpu_seconds() - used) / people, 2),
    }


def _attend(portal: RunningPortal, token: str) -> tuple[float, str]:
    """Launch the app; return after how many seconds it was ready, and why it was not."""
    began, path = time.perf_counter(), "/services/vaas/api/launches"
    launch = portal.request("POST", path, token=token, json={"app": _APP}).json()
    while launch.get("state", "failed") not in {"ready", "failed", "stopped"}:
        time.sleep(0.5)
        launch = portal.get(f"{path}/{launch['id']}", token=token).json()
    served = launch.get("state") == "ready" and "/lab/tree/" in launch["url"]
    return time.perf_counter() - began, "" if served else str(launch.get("error") or "no notebook")


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=6, help="how often each side is measured")
    parser.add_argument("--class", dest="people", type=int, default=10, help="how many launch at once")
    parser.add_argument("--same-packages", action="store_true", help="a stock Hub that has our lock and no more")
    parser.add_argument("--short", action="store_true", help="prove that it works: once each, and a class of two")
    args = parser.parse_args()
    if not _MORE and not (args.same_packages or args.short):
        parser.error("There is no stock Hub's environment here: make bench BENCH=bench/launch.py installs it.")
    times, warm, people = (1, 0, 2) if args.short else (args.times, 1, args.people)
    with counting() as counted:
        more = [] if args.same_packages else _MORE
        found = run(counted, times=times, warm=warm, people=people, more=more)
    print(json.dumps({"bench": "launch", **found, "cpu_from": counted.how}))


if __name__ == "__main__":
    main()
