"""Signing in and out, and coming in by a link."""

from __future__ import annotations

import json

from tornado import web

from hub_service.handlers.base import Page

__all__ = ["EnterLink", "Login", "Logout"]


class Login(Page):
    """Send the visitor to the Hub to sign in, and back to where they were."""

    @web.authenticated
    def get(self) -> None:
        """Go on to ``next``, a path of this portal."""
        target = self.get_query_argument("next", self.base)
        self.redirect(target if _is_local(target, self.base) else self.base)


def _is_local(target: str, base: str) -> bool:
    return target.startswith(base) and not any(c == "\\" or ord(c) < 33 for c in target)


class Logout(Page):
    """Forget who the visitor is here, and sign out at the Hub."""

    def get(self) -> None:
        """Go on to the Hub's own sign-out."""
        self.hub_auth.clear_cookie(self)
        self.drop("vaas-links")
        self.redirect(self.hub_auth.hub_prefix + "logout")


class EnterLink(Page):
    """The address of a link: keep that the visitor has it, and show the app."""

    def get(self, token: str) -> None:
        """Remember the link in a signed cookie."""
        app, link = self.portal.sharing.enter(token)
        links = [*sorted(self.visitor.links - {link.id})[-39:], link.id]
        self.keep("vaas-links", json.dumps(links), days=365)
        self.redirect(f"{self.base}apps/{app.slug}/")


class Favicon(Page):
    """Our icon, where browsers ask for it unasked."""

    def get(self) -> None:
        """Go on to the static file."""
        self.redirect(self.static_url("icons/favicon.svg"))
