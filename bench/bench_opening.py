"""How long it takes until a visitor has an app's whole page, against plain Voilà with the same notebook.

Side by side in one run, openings by turns. Seconds; medians of ``OPENINGS``. ``door_s`` is what the portal adds
(policy and ticket), ``page_s`` the page of our app server, ``voila_s`` that of plain Voilà in the same environment,
``ratio`` = (door_s + page_s) / voila_s, ``cold_s`` one opening of an app that slept, ``up_s`` the whole portal's start.
"""

from __future__ import annotations

import base64
import html
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.notebooks import markdown, notebook
from tests.portal_fixture import RunningPortal, app_python, free_ports, until

OPENINGS = 7
NOTEBOOK = notebook(
    markdown("# Measured"),
    "import ipywidgets as widgets\nimport pandas as pd\nimport plotly.graph_objects as go",
    "slider = widgets.IntSlider()\nfigure = go.FigureWidget(go.Scatter(y=[1, 3, 2]))\nwidgets.VBox([slider, figure])",
)


class Door:
    """A visitor of one public app, by HTTP."""

    def __init__(self, portal: RunningPortal, slug: str) -> None:
        self._portal, self._slug = portal, slug

    def open(self) -> tuple[float, float]:
        """Open the app once; return the seconds at the portal's door and for the whole page."""
        began = time.perf_counter()
        action, ticket = self._enter()
        entered = time.perf_counter()
        headers = {"Host": action.host + f":{action.port}", "Origin": self._portal.settings.public_url}
        base = f"http://127.0.0.1:{action.port}"
        with httpx.Client(timeout=120) as client:
            visit = client.post(base + action.path, headers=headers, data={"ticket": ticket, "query": ""})
            assert visit.status_code == 303, visit.text
            cookie = visit.headers["set-cookie"].partition(";")[0]
            page = client.get(base + action.path.removesuffix("visit"), headers={**headers, "Cookie": cookie})
        assert "voila_finish" in page.text, page.text[:500]
        return entered - began, time.perf_counter() - entered

    def _enter(self) -> tuple[httpx.URL, str]:
        while True:
            page = self._portal.get(f"/services/vaas/apps/{self._slug}/open").text
            found = re.search(r'action="([^"]+/visit)"', page), re.search(r'name="ticket" value="([^"]+)"', page)
            if found[0] and found[1]:
                return httpx.URL(html.unescape(found[0][1])), html.unescape(found[1][1])
            time.sleep(0.05)


def main() -> None:
    """Measure, and print JSON."""
    with tempfile.TemporaryDirectory() as folder:
        portal = RunningPortal(Path(folder) / "data", app_python=app_python())
        began = time.perf_counter()
        portal.start()
        up = time.perf_counter() - began
        voila = None
        try:
            door = Door(portal, _publish(portal))
            began = time.perf_counter()
            door.open()
            cold = time.perf_counter() - began
            voila, url = _voila(Path(folder))
            httpx.get(url, timeout=120)
            ours, theirs = [], []
            for _ in range(OPENINGS):
                ours.append(door.open())
                began = time.perf_counter()
                assert httpx.get(url, timeout=120).status_code == 200
                theirs.append(time.perf_counter() - began)
        finally:
            if voila:
                voila.terminate()
                voila.wait(20)
            portal.stop()
    print(json.dumps(_result(ours, theirs, up=up, cold=cold), indent=1))


def _result(ours: list[tuple[float, float]], theirs: list[float], *, up: float, cold: float) -> dict[str, float]:
    door, page = (statistics.median(times) for times in zip(*ours, strict=True))
    voila = statistics.median(theirs)
    found = {"up_s": up, "cold_s": cold, "door_s": door, "page_s": page, "voila_s": voila}
    return {name: round(value, 3) for name, value in {**found, "ratio": (door + page) / voila}.items()}


def _publish(portal: RunningPortal) -> str:
    token = portal.token_for("ada")

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = portal.request(method, f"/services/vaas/api/{path}", token=token, json=body)
        answer.raise_for_status()
        return answer.json()

    files = {"measured.ipynb": base64.b64encode(NOTEBOOK).decode()}
    draft = call("POST", "uploads", {"files": files})["id"]
    until(lambda: call("GET", f"drafts/{draft}")["state"] == "done", seconds=120, what="the check")
    return str(call("POST", f"drafts/{draft}/publish", {"subjects": ["everyone"]})["slug"])


def _voila(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    path, (port,) = folder / "measured.ipynb", free_ports(1)
    path.write_bytes(NOTEBOOK)
    options = [f"--port={port}", "--no-browser", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1"]
    command = [str(app_python()), "-m", "voila", str(path), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}voila/static/main.js", timeout=5).status_code < 500
        except httpx.HTTPError:
            return False

    until(answers, seconds=60, what="plain Voilà")
    return process, url


if __name__ == "__main__":
    main()
