"""How long a stranger waits for "there is no such app", where there is none and where one is hidden.

Side by side in one run, by turns, over the whole way (proxy, portal, database). Milliseconds; medians of ``ASKED`` for
the page and for REST; ``ratio`` = hidden / unknown, which is 1 where the time tells nothing.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.portal_fixture import RunningPortal, app_python
from tests.published import publish

ASKED = 300
ADDRESSES = {
    "page": "/services/vaas/apps/{slug}/",
    "rest": "/services/vaas/api/apps/{slug}",
    "wake": "/services/vaas/wake/{account}",
}


def main() -> None:
    """Measure, and print JSON."""
    with tempfile.TemporaryDirectory() as folder:
        portal = RunningPortal(Path(folder) / "data", app_python=app_python()).start()
        try:
            app = publish(portal, portal.token_for("ada"), title="Hidden")
            names = {
                "hidden": {"slug": app["slug"], "account": f"app-{app['id']}"},
                "unknown": {"slug": "q" * len(app["slug"]), "account": "app-" + "q" * 12},
            }
            measured = _measure(portal, names, token=portal.token_for("sam"))
        finally:
            portal.stop()
    print(json.dumps({"bench": "hidden", "asked": ASKED, **measured}))


def _measure(portal: RunningPortal, names: dict[str, dict[str, str]], *, token: str) -> dict[str, float]:
    found: dict[str, float] = {}
    host = {"Host": f"{portal.settings.domain}:{portal.settings.port}", "Authorization": f"token {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{portal.settings.port}", headers=host, timeout=30) as client:
        for where, address in ADDRESSES.items():
            times: dict[str, list[float]] = {"unknown": [], "hidden": []}
            for number in range(2 * ASKED):
                what = ("unknown", "hidden")[(number + number // 2) % 2]  # neither always comes first
                began = time.perf_counter()
                answer = client.get(address.format(**names[what]))
                times[what].append(1000 * (time.perf_counter() - began))
                assert answer.status_code == 404, answer.text
            for what, each in times.items():
                found[f"{where}_{what}_ms"] = round(statistics.median(each), 3)
            found[f"{where}_ratio"] = round(statistics.median(times["hidden"]) / statistics.median(times["unknown"]), 3)
    return found


if __name__ == "__main__":
    main()
