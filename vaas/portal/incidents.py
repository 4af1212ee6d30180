"""What goes wrong in an app's servers, as they report it: rebuilt, counted once, and shown to who may read the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from vaas.model import Incident, Visitor
from vaas.portal.core import Core
from vaas.prose import clean_text

__all__ = ["KINDS", "Incidents", "clean_incidents"]

#: kind → what it is called on an app's page
KINDS: Mapping[str, str] = {
    "memory": "Out of memory",
    "processes": "Too many processes",
    "cpu": "Too much computing time",
    "disk": "Out of disk space",
    "output": "Too much output",
    "died": "The kernel ended",
    "stalled": "A page did not go on",
    "slow": "A page took long",
    "start": "It could not be started",
    "network": "It tried to reach what it may not",
    "callback": "An answer to a visitor failed",
}
_EACH_HEARTBEAT = 20
_KEPT = 50
_LENGTH = 300
_AGAIN_AFTER = timedelta(minutes=1)


class Incidents:
    """The incidents of one app at a time."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def of(self, visitor: Visitor, slug: str) -> list[Incident]:
        """Return what went wrong lately, newest first; for those who may read the log."""
        with self._core.database.begin() as records:
            app = self._core.see_in(records, visitor, slug, "read log").app
            return records.incidents.of(app.id)

    def keep(self, app_id: str, version: int, said: Iterable[tuple[str, str]]) -> None:
        """Keep kinds and texts for the app; the same again within a minute does not count."""
        now = self._core.now()
        with self._core.database.begin() as records:
            if records.apps.by_id(app_id) is None:
                return
            lately = [one for one in records.incidents.of(app_id) if one.created > now - _AGAIN_AFTER]
            told = {(one.kind, one.text) for one in lately}
            for kind, text in dict.fromkeys(said):
                if (kind, text) not in told:
                    records.incidents.add(Incident(app_id, version, kind, text, now), keep=_KEPT)


def clean_incidents(said: object) -> tuple[tuple[str, str], ...]:
    """Return kind and text of what a server reported; what is of no known kind is left out."""
    entries = [entry for entry in said if isinstance(entry, Mapping)] if isinstance(said, list) else []
    pairs = ((entry.get("kind"), entry.get("text")) for entry in entries)
    known = [(k, t) for k, t in pairs if isinstance(k, str) and k in KINDS and isinstance(t, str)]
    return tuple((kind, _one_line(text)) for kind, text in known[:_EACH_HEARTBEAT])


def _one_line(text: str) -> str:
    return " ".join(clean_text(text[: 4 * _LENGTH]).split())[:_LENGTH]
