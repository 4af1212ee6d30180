"""The Hub's cookies as the portal's origin needs them: none that an app's page could plant or share.

The Hub names its login ``__Host-…`` when told to. Its session cookie it shares with all hosts below its own, and has
no setting for that, so two of its methods are wrapped here. Its forgery cookie ``_xsrf`` keeps its name: it is signed
for one session, and where there is none yet, at the sign-in, the Hub asks for the page's origin (accounts.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyterhub.handlers import base as hub_handlers
from jupyterhub.services.auth import HubOAuth

from hub_service.settings import Settings
from vaas import cookies

__all__ = ["SESSION_COOKIE", "PortalOAuth", "keep_session_at_home", "xsrf_cookie"]

#: The Hub's own name of it, and ours.
_SHARED = "jupyterhub-session-id"
SESSION_COOKIE = cookies.own_name(_SHARED, secure=True)


def keep_session_at_home() -> None:
    """Give the Hub's session cookie to its own host alone; no-op the second time."""
    if hub_handlers.SESSION_COOKIE_NAME == SESSION_COOKIE:
        return
    hub_handlers.SESSION_COOKIE_NAME = SESSION_COOKIE
    for name in ("_set_cookie", "clear_cookie"):
        setattr(hub_handlers.BaseHandler, name, _without_domain(getattr(hub_handlers.BaseHandler, name)))


def xsrf_cookie(settings: Settings) -> dict[str, Any]:
    """Return tornado's setting for the forgery cookie: as little of it as its name allows is left to others."""
    return {"xsrf_cookie_kwargs": {"httponly": True, "samesite": "Lax", "secure": settings.secure}}


def _without_domain(verb: Callable[..., Any]) -> Callable[..., Any]:
    def at_home(handler: Any, key: str, *args: Any, **options: Any) -> Any:
        if key == SESSION_COOKIE:
            options.pop("domain", None)
        return verb(handler, key, *args, **options)

    return at_home


class PortalOAuth(HubOAuth):
    """How the portal knows people by the Hub; it reads the session cookie under the name that the Hub uses here."""

    def get_session_id(self, handler: Any) -> str:
        """Return the session's id, "" for none."""
        name = SESSION_COOKIE if self.cookie_host_prefix_enabled else _SHARED
        return str(handler.get_cookie(name, ""))
