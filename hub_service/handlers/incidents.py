"""What went wrong lately in an app's servers."""

from __future__ import annotations

from typing import Any

from hub_service.handlers.base import Api
from vaas.model import Incident
from vaas.portal.incidents import KINDS

__all__ = ["IncidentsJson", "shown"]


class IncidentsJson(Api):
    """What went wrong lately in an app's servers."""

    def get(self, slug: str) -> None:
        """Send it, newest first; for WRITE."""
        found = self.portal.incidents.of(self.visitor, slug)
        self.reply([{**shown(incident), "created": incident.created.isoformat()} for incident in found])


def shown(incident: Incident) -> dict[str, Any]:
    """Return an incident as pages and REST show it."""
    return {
        "kind": incident.kind,
        "title": KINDS.get(incident.kind, incident.kind),
        "text": incident.text,
        "version": incident.version,
        "created": incident.created,
    }
