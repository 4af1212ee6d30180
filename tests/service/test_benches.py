"""The benchmarks work: each runs in its short form and tells what it promises, whatever the numbers are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from hub_service.settings import ROOT

_PATIENCE = 400


def test_openings_are_counted_on_all_sides() -> None:
    told = _short("opening")
    for key in ("opens_per_s_ratio", "burst50_p95_s", "burst50_p95_voila_s", "private_mb_per_visit"):
        assert told[key] > 0, key
    sides = told["apps"]["plots"]
    assert {"vaas", "voila", "voila_preheated"} <= set(sides)
    assert (told["opens_per_s_ratio_panel"] is not None) == ("panel" in sides)
    for name, side in sides.items():
        assert (side["failures"], side["burst50"]["failures"]) == (0, 0), (name, side)
        assert side["loop"]["openings"] >= 2
        assert 0 < side["client_cpu_s_per_open"] < side["cpu_s_per_open"] < 30
        assert side["server_mb"] > 30
    # A kernel that has imported pandas has some megabytes of its own, whoever started it.
    assert sides["voila"]["private_mb_per_visit"] > 20


def test_the_soak_counts_what_fails_and_what_stays() -> None:
    told = _short("soak")
    assert told["openings"] >= 3
    assert told["moves"] > 0
    assert sum(kind["times"] for kind in told["killed"].values()) >= 1
    assert (told["failures"], told["leaked_processes"], told["told"]) == (0, 0, [])
    assert isinstance(told["rss_mb_per_hour"], float)


def test_searches_are_timed_beside_sqlite() -> None:
    told = _short("search")
    for key in ("p99_ms", "suggest_p99_ms", "build_s", "ratio_fts5_p50", "index_mb", "fts5_mb"):
        assert told[key] > 0, key
    peers = [kind["fts5_p50"] for kind in told["ms"].values() if "fts5_p50" in kind]
    assert (len(told["ms"]), len(peers)) == (36, 24) and all(peer > 0 for peer in peers)


def test_looking_into_files_is_timed_beside_a_new_sandbox_for_each() -> None:
    told = _short("insides")
    for key in ("files_per_s", "ratio_new_sandbox", "first_s", "worker_mb"):
        assert told[key] > 0, key


@pytest.mark.browser
def test_a_browser_is_timed_from_the_click_to_the_answer() -> None:
    told = _short("interactive")
    for key in ("warm_ratio_plain", "warm_ratio_pool_hit", "cold_first_paint_ms"):
        assert told[key] > 0, key
    for kind in ("cold", "warm", "voila", "pool_hit"):
        moments = told["medians_ms"][kind]
        assert moments["presses"] >= 1
        assert 0 < moments["first_paint"] <= moments["paint"] < moments["answer"], (kind, moments)
        assert 0 < moments["html"] < moments["answer"]
        # A page that comes with the state of its widgets asks its kernel nothing.
        assert moments["websocket"] <= moments.get("kernel", moments["answer"]) <= moments["answer"]


@pytest.mark.browser
def test_the_dashboard_is_timed_from_each_key_to_its_results_beside_bare_searches() -> None:
    told = _short("dashboard")
    for key in ("keystroke_ms", "keystroke_p95_ms", "keystroke_ratio_rest", "rest_ms", "opened_ms"):
        assert told[key] > 0, key
    assert 0 <= told["first_results_ms"] < told["opened_ms"]
    # Each letter of the word was answered and painted, and no other.
    assert told["keystrokes"] == len("wine") == len(told["keystroke_each_ms"])
    assert told["keystroke_p95_ms"] >= told["keystroke_ms"]


@pytest.mark.browser
def test_a_launch_is_timed_from_the_click_beside_the_hubs_own_spawn_page() -> None:
    told = _short("launch")
    assert told["rounds"] == 1
    for key in ("ratio", "painted_ratio", "cpu_ratio"):
        assert told[key] > 0, key
    for side in ("launch", "stock"):
        # JupyterLab's page comes from a server that had to start, and the notebook is in it.
        assert 0.3 < told[f"{side}_s"] < told[f"{side}_painted_s"], told
        assert told[f"{side}_cpu_s"] > 0.3, told
    assert (told["class"]["people"], told["class"]["failed"]) == (2, 0), told["class"]
    assert 0.3 < told["class"]["first_s"] <= told["class"]["last_s"]


def _short(name: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "bench" / f"{name}.py"), "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["bench"] == name
    return told
