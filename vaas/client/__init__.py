"""What programs and notebooks use: the portal's verbs as functions."""

from __future__ import annotations

from vaas.errors import VaasError

__all__ = ["PortalError"]


class PortalError(VaasError):
    """The portal did not do what it was asked, and says why in words for people."""
