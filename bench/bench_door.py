"""What the whole portal adds to an app's page: the door (policy and ticket), a cold start, and the portal's own start.

Seconds; medians of ``OPENINGS``. ``door_s`` is the portal's part of an opening, ``page_s`` that of the app server (see
bench/opening.py for that alone, against its peers), ``cold_s`` one opening of an app that slept, ``up_s`` the start.
"""

from __future__ import annotations

import base64
import html
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.notebooks import markdown, notebook
from tests.portal_fixture import RunningPortal, app_python, until

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
        try:
            door = Door(portal, _publish(portal))
            began = time.perf_counter()
            door.open()
            cold = time.perf_counter() - began
            times = [door.open() for _ in range(OPENINGS)]
        finally:
            portal.stop()
    at_the_door, page = (statistics.median(each) for each in zip(*times, strict=True))
    found = {"up_s": up, "cold_s": cold, "door_s": at_the_door, "page_s": page}
    print(json.dumps({"bench": "door", **{name: round(value, 3) for name, value in found.items()}}))


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


if __name__ == "__main__":
    main()
