"""What a launch says of its placing, rebuilt within bounds: it comes from where foreign code runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from vaas.errors import Invalid
from vaas.launching import LAUNCH_ENDS
from vaas.prose import clean_text
from vaas.stores.base import check_path

__all__ = ["clean_placed"]

_STATES = frozenset({"placing", "ready", "failed", "stopped"})
_THING_STATES = frozenset({"waiting", "running", "done", "failed", "mounted"})
_THING = re.compile(r"[0-9a-f]{16}")
_MOST_THINGS, _WORDS, _STEP, _ERROR, _PATH = 500, 300, 40, 600, 500
_LARGEST = 1 << 50
_KEPT = ("percent", "step", "message", "notice", "ended", "things", "use", "copied")


def clean_placed(said: Mapping[str, Any], *, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the progress that is kept: what was ``known``, and over it what is said now and can be.

    "state", "error", "folder" and "notebook" are in it only when they are said.
    """
    found: dict[str, Any] = {name: known[name] for name in _KEPT if name in known}
    if said.get("state") in _STATES:
        found["state"] = said["state"]
    for name, most in (("step", _STEP), ("message", _WORDS), ("notice", _WORDS), ("error", _ERROR)):
        if isinstance(said.get(name), str) and (words := _line(said[name], most)):
            found[name] = words
    if said.get("ended") in LAUNCH_ENDS:
        found["ended"] = said["ended"]
    if "percent" in said:
        found["percent"] = int(min(100, _number(said["percent"])))
    if isinstance(said.get("things"), Mapping):
        things = {**found.get("things", {}), **_things(said["things"])}
        found["things"] = dict(islice(things.items(), _MOST_THINGS))
    if isinstance(said.get("use"), Mapping):
        memory, cpu = (_number(said["use"].get(name)) for name in ("memory", "cpu"))
        found["use"] = {"memory": int(memory), "cpu": round(cpu, 2)}
    return found | _where(said)


def _things(said: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    usable = [(id, each) for id, each in said.items() if _THING.fullmatch(str(id)) and isinstance(each, Mapping)]
    return {id: _thing(each) for id, each in usable[:_MOST_THINGS]}


def _thing(said: Mapping[str, Any]) -> dict[str, Any]:
    state, message = said.get("state"), said.get("message")
    return {
        "done": int(_number(said.get("done"))),
        "of": int(_number(said.get("of"))),
        "state": state if state in _THING_STATES else "waiting",
        "message": _line(message, _WORDS) if isinstance(message, str) else "",
    }


def _where(said: Mapping[str, Any]) -> dict[str, str]:
    """Return folder and notebook, if a notebook is named and both are paths that stay where they begin."""
    folder, notebook = said.get("folder", ""), said.get("notebook", "")
    if not (isinstance(folder, str) and isinstance(notebook, str) and notebook):
        return {}
    try:
        found = {"folder": check_path(folder), "notebook": check_path(notebook)}
    except Invalid:
        return {}
    return found if all(len(path) <= _PATH for path in found.values()) else {}


def _line(text: str, most: int) -> str:
    return " ".join(clean_text(text[: 4 * most]).split())[:most]


def _number(value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return float(value) if usable else 0.0  # type: ignore[arg-type]
