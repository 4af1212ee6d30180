"""The portal for programs: what a person finds and does there, from the portal's own app, from Jupyter and scripts."""

from __future__ import annotations

from vaas.client.client import Client
from vaas.client.errors import PortalError
from vaas.client.ways import here

__all__ = ["Client", "PortalError", "here"]
