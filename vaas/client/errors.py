"""What goes wrong when the portal is asked, in its own words, and where its REST interface is."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from vaas.errors import VaasError

__all__ = ["PortalError", "api_of", "refusal"]


class PortalError(VaasError):
    """The portal did not do it: why, and what to do. ``kind`` is the portal's own, such as "NotFound".

    ``status`` is that of its answer; 0: there was none.
    """

    def __init__(self, message: str, *, kind: str = "Error", status: int = 0) -> None:
        super().__init__(message)
        self.kind, self.status = kind, status


def api_of(url: str) -> str:
    """Return the address of the REST interface, with a slash at its end; ``url`` is the portal's, or only its host."""
    base = url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/services/vaas"
    return f"{base.rstrip('/')}/api/"


def refusal(status: int, said: Any) -> PortalError:
    """Return the error that an answer with this status means; ``said`` is its JSON, or its bytes."""
    if isinstance(said, bytes):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            said = {}
    error = said.get("error") if isinstance(said, dict) else None
    error = error if isinstance(error, dict) else {}
    # What is wrong with what was sent says itself what to do.
    fix = "" if status in {400, 409} else error.get("fix", "")
    message = f"{error.get('message', 'The portal refused.')} {fix}".strip()
    return PortalError(message, kind=str(error.get("kind", "Error")), status=status)
