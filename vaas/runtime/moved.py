"""What a visitor has moved: the widgets of a page as they are now, compared with how they were when it was new."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from vaas.given import VALUES, as_given
from vaas.runtime.states import Snapshot

__all__ = ["moved"]

#: What nobody sets, what an app shows in front of itself for a moment, and what is a secret.
_LEFT_BEHIND = frozenset(
    f"{name}Model"
    for name in (
        *("HTML", "HTMLMath", "Label", "Output", "Valid", "Button", "Image", "Audio", "Video", "FileUpload"),
        *("IntProgress", "FloatProgress", "Link", "DirectionalLink", "ProgressLinear", "ProgressCircular", "Html"),
        *("Dialog", "Menu", "Snackbar", "Tooltip", "Overlay", "BottomSheet", "FileInput"),
        "Password",
    )
)


def moved(now: Snapshot | None, before: Snapshot | None, *, query: str = "") -> dict[str, Any]:
    """Return what of a page's widgets is not as it was ``before``, when the page was new, and its query.

    Where that is not known, all values travel.
    """
    states, former = _widgets(now), _widgets(before)
    widgets = list(_changed(states, former, known=before is not None))
    return as_given({"query": query, "widgets": widgets})


def _changed(
    now: Mapping[str, dict[str, Any]], before: Mapping[str, dict[str, Any]], *, known: bool
) -> Iterator[dict[str, Any]]:
    """Yield what was changed of each widget, in the order in which they were made: a copy makes them in the same."""
    made: Counter[tuple[str, str, str]] = Counter()
    for id in [*before, *(id for id in now if id not in before)]:
        module, model, name = place = _place(before.get(id) or now[id])
        at, made[place] = made[place], made[place] + 1
        if model in _LEFT_BEHIND or id not in now or now[id]["state"].get("type") == "password":
            continue
        state, former = now[id]["state"], before[id]["state"] if id in before else {}
        values = {
            trait: state[trait]
            for trait in VALUES & state.keys()
            if not known or trait not in former or former[trait] != state[trait]
        }
        if values:
            yield {"module": module, "model": model, "name": name, "at": at, "values": values}


def _place(widget: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return by what a widget is found again: the module and the name of its model, and what is written beside it."""
    state = widget["state"]
    words = [state[name] for name in ("description", "label") if isinstance(state.get(name), str) and state[name]]
    return str(widget.get("model_module")), str(widget.get("model_name")), words[0][:100] if words else ""


def _widgets(snapshot: Snapshot | None) -> dict[str, dict[str, Any]]:
    """Return the widgets that a kernel, which is foreign, told of; none for what cannot be read."""
    try:
        states = json.loads(snapshot.parts[1])["states"] if snapshot is not None else {}
        return {id: each for id, each in states.items() if isinstance(each["state"], dict)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return {}
