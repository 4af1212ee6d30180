"""What programs and notebooks use: the portal's verbs as functions."""

from __future__ import annotations

from typing import Any

from vaas.errors import VaasError

__all__ = ["PortalError", "here"]


class PortalError(VaasError):
    """The portal did not do what it was asked, and says why in words for people."""


def here() -> Any:
    """Return the client for where this runs. Raises PortalError where no portal can be asked."""
    raise PortalError("No portal can be asked from here.")
