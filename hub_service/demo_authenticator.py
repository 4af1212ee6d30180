"""How the demo's people sign in: with one password that everybody knows, on loopback only."""

from __future__ import annotations

import hmac
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Unicode

__all__ = ["DemoAuthenticator"]


class DemoAuthenticator(Authenticator):
    """Lets the demo's people in with the demo's password."""

    password = Unicode(help="The one password of all demo people.").tag(config=True)

    async def authenticate(self, handler: Any, data: Any) -> str | None:
        """Return the name when the password fits."""
        given, wanted = str(data.get("password", "")).encode(), self.password.encode()
        return str(data.get("username", "")) if wanted and hmac.compare_digest(given, wanted) else None
