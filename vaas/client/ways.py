"""How the portal is reached from here: as a visit's own kernel by its server, from elsewhere by a token."""

from __future__ import annotations

import os
from functools import lru_cache

from vaas.client.client import Client
from vaas.client.errors import PortalError
from vaas.client.wires import Rest, Visit
from vaas.facts import Way
from vaas.runtime import asking

__all__ = ["by_visit", "here"]

_NOBODY_YET = (
    "Nobody is looking yet: this notebook runs ahead of its visits. Ask the portal in a function that is given to "
    "vaas.on_visit, and in what happens after it."
)
_NOT_HERE = "This app may not ask for its visitor."
_NO_PORTAL = (
    "Say which portal to ask, in the variable VAAS_URL (https://…/services/vaas/), and as whom, with a token of its "
    "Hub (made at https://…/hub/token) in VAAS_TOKEN."
)


def here() -> Client:
    """Return the client for where this runs; it is always the same, with its open connection.

    In the portal's own app it asks as the visitor. Elsewhere, as in Jupyter, ``VAAS_URL`` names the portal, and
    ``VAAS_TOKEN`` or ``JUPYTERHUB_API_TOKEN`` is a token of its Hub.

    Raises
    ------
    PortalError
        The notebook runs ahead of its visits, the app may not ask for its visitor, or nobody says which portal.
    """
    url = os.environ.get("VAAS_URL", "")
    if url and asking.facts().way is None:
        # As whom the token is: that is the same for all who look.
        return _of_token(url, os.environ.get("VAAS_TOKEN") or os.environ.get("JUPYTERHUB_API_TOKEN", ""))
    way = asking.way()
    if not asking.begun():
        raise PortalError(_NOBODY_YET)
    if way is None:
        raise PortalError(_NOT_HERE if asking.in_app() else _NO_PORTAL)
    return by_visit(way)


@lru_cache(maxsize=2)
def by_visit(way: Way) -> Client:
    """Return the client of this visit."""
    return Client(Visit(way))


@lru_cache(maxsize=8)
def _of_token(url: str, token: str) -> Client:
    return Client(Rest(url, token))
