"""How long it takes from the click to JupyterLab with the notebook open, in Chromium, beside the Hub's own spawn page.

Both on this machine in the same run, by turns: a Hub as it comes, with its local spawner and ``jupyterhub-singleuser``
of the launch environment, where somebody presses “Start My Server”; and this portal, where somebody presses the button
that launches an app. Each time it is a new server and a browser with an empty cache, signed in before; it ends when the
notebook's first cell can be seen. The stock Hub has the notebook in its home already and opens it, and keeps nobody
apart from anybody; the portal makes a sandbox and copies the notebook into the home. Both run the same versions, the
stock side with the package that an installation of JupyterLab has and ours have not (requirements/stock.in), where
``make bench`` has built it (``as_installed``).

- ``ratio``: from the click until the browser is given JupyterLab's page, so until the server is up, has its content and
  has signed its person in, over the same of the stock Hub (``launch_s``, ``stock_s``: medians);
- ``painted_ratio``: until the notebook can be seen (``launch_painted_s``, ``stock_painted_s``). What comes between is
  JupyterLab's own scripts in the browser: the same for both, but for those of the environment's widgets.

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Frame, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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
    """Seconds from the click: until JupyterLab's page came, and until the notebook was there."""

    server: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)


def measure(page: Page, press: Callable[[], None], taken: Taken) -> None:
    """Press, and wait until the notebook can be seen."""
    asked: list[float] = []

    def note(frame: Frame) -> None:
        if "/lab" in frame.url and frame.parent_frame is None:
            asked.append(time.perf_counter())

    page.on("framenavigated", note)
    began = time.perf_counter()
    press()
    page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=_PATIENCE)
    taken.painted.append(time.perf_counter() - began)
    taken.server.append(asked[0] - began)


@contextlib.contextmanager
def stock_hub(portal: RunningPortal, folder: Path) -> Iterator[str]:
    """Start a Hub as it comes, and give its address."""
    (port, hub, api), homes = free_ports(3), folder / "homes"
    node = [str(find_node(portal.settings, portal.environ)), str(portal.settings.proxy_script)]
    said = {"port": port, "hub": hub, "api": api, "proxy": node, "homes": homes}
    config = folder / "jupyterhub_config.py"
    config.write_text(_STOCK.format(**said, singleuser=str(lab_python().with_name("jupyterhub-singleuser"))))
    url = f"http://127.0.0.1:{port}"
    with (folder / "stock.log").open("wb") as log:
        command = [sys.executable, "-m", "jupyterhub", "--config", str(config)]
        environ = portal.environ | {"PYTHONPATH": ":".join(map(str, _MORE))}
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environ)
        try:
            until(lambda: _answers(f"{url}/hub/login"), seconds=60, what="the stock Hub")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).status_code == 200
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


def run(times: int) -> dict[str, Any]:
    """Measure both sides so many times, by turns."""
    ours, stock = Taken(), Taken()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="launch-")))
        portal = stack.enter_context(running(folder / "data", app_python=app_python()))
        url = stack.enter_context(stock_hub(portal, folder))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        found = f"/services/vaas/api/apps/{_APP}"
        until(lambda: portal.get(found, token=portal.token_for("ada")).status_code == 200, seconds=60, what="the demo")
        for number in range(times + 1):
            site = Site(portal, browser)
            launch_round(site.person("ada"), ours)
            site.close()
            stock_round(browser, url, folder, f"user{number}", stock)
            print(f"{number}: launch {ours.server[-1]:.2f} s, stock {stock.server[-1]:.2f} s", file=sys.stderr)
        browser.close()
    return told(ours, stock)


def told(ours: Taken, stock: Taken) -> dict[str, Any]:
    """Return the keys of this benchmark; the first round, which warms the disk's cache, does not count."""
    medians = {
        "launch_s": statistics.median(ours.server[1:]),
        "stock_s": statistics.median(stock.server[1:]),
        "launch_painted_s": statistics.median(ours.painted[1:]),
        "stock_painted_s": statistics.median(stock.painted[1:]),
    }
    return {
        "ratio": round(medians["launch_s"] / medians["stock_s"], 3),
        "painted_ratio": round(medians["launch_painted_s"] / medians["stock_painted_s"], 3),
        **{name: round(value, 3) for name, value in medians.items()},
        "as_installed": bool(_MORE),
        "rounds": len(ours.server) - 1,
        "launch_each_s": [round(each, 2) for each in ours.server[1:]],
        "stock_each_s": [round(each, 2) for each in stock.server[1:]],
    }


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=6, help="how often each side is measured")
    parser.add_argument("--short", action="store_true", help="once each")
    args = parser.parse_args()
    print(json.dumps(run(1 if args.short else args.times)))


if __name__ == "__main__":
    main()
