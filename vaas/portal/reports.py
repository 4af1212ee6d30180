"""A check's report as the portal keeps it: rebuilt field by field, for it comes from where foreign code runs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from vaas.prose import clean_text

__all__ = ["MODES", "clean_opens", "clean_progress", "clean_report"]

#: How an app may open.
MODES = ("instant", "partly", "warm", "cold")

#: list → its entries' fields and their types
_LISTS: Mapping[str, Mapping[str, type]] = {
    "errors": {"cell": int, "name": str, "message": str, "traceback": str, "source": str},
    "problems": {"kind": str, "text": str, "fix": str},
    "hints": {"kind": str, "text": str, "fix": str},
    "missing_files": {"path": str, "cell": int},
    "addresses": {"host": str, "how": str, "cell": int},
    "secrets": {"cell": int, "line": int, "kind": str, "preview": str, "place": str, "file": str},
}
_NUMBERS = ("seconds", "peak_bytes", "cells", "cells_run")
_MOST = 100
_REASONS, _REASON = 10, 600
_TEXT = 20_000
_PICTURE = 4_000_000


def clean_report(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report with what a report may hold and nothing else; ``ok`` only if nothing is wrong."""
    if not said:
        return {}
    report: dict[str, Any] = {name: _number(said[name]) for name in _NUMBERS if name in said}
    report |= {name: _entries(said[name], fields) for name, fields in _LISTS.items() if name in said}
    if "python" in said:
        report["python"] = _text(said["python"])[:40]
    if "picture" in said:
        report["picture"] = _picture(said["picture"])
    report["ok"] = said.get("ok") is True and not report.get("errors") and not report.get("problems")
    return report


def clean_progress(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the progress with what progress may hold and nothing else."""
    progress: dict[str, Any] = {name: _number(said[name]) for name in ("cell", "cells", "seconds") if name in said}
    return progress | ({"stage": _text(said["stage"])[:40]} if "stage" in said else {})


def clean_opens(said: object) -> dict[str, Any]:
    """Return how an app opens and why, as its server says; nothing while that is not known."""
    if not isinstance(said, Mapping) or said.get("mode") not in MODES:
        return {}
    why = said.get("why")
    reasons = [_line(reason) for reason in why if isinstance(reason, str)] if isinstance(why, list) else []
    return {"mode": said["mode"], "why": [reason for reason in reasons[:_REASONS] if reason]}


def _line(text: str) -> str:
    return " ".join(clean_text(text[: 4 * _REASON]).split())[:_REASON]


def _number(value: object) -> float | int:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return value if usable else 0  # type: ignore[return-value]


def _text(value: object) -> str:
    return value[:_TEXT] if isinstance(value, str) else ""


def _entries(value: object, fields: Mapping[str, type]) -> list[dict[str, Any]]:
    found = [entry for entry in value if isinstance(entry, Mapping)][:_MOST] if isinstance(value, list) else []
    return [
        {
            name: _text(entry[name]) if kind is str else int(_number(entry[name]))
            for name, kind in fields.items()
            if name in entry
        }
        for entry in found
    ]


def _picture(value: object) -> dict[str, str] | None:
    if not isinstance(value, Mapping) or value.get("mime") not in ("image/png", "image/jpeg"):
        return None
    data = value.get("data")
    if not isinstance(data, str) or len(data) > _PICTURE:
        return None
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return {"mime": value["mime"], "data": data}
