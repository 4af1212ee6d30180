"""Signing in and out, and coming in by a link."""

from __future__ import annotations

import json

from jupyterhub.services.auth import HubOAuthCallbackHandler
from tornado import web

from hub_service.handlers.base import Page

__all__ = ["EnterLink", "Favicon", "Login", "Logout", "SignedIn", "Slash", "StaticFile"]


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
    """Forget who the visitor is here, and sign out at the Hub; on a form of ours alone, not by a mere address."""

    def get(self) -> None:
        """Ask first: any page can lead here."""
        self.show("logout.html", title="Sign out")

    def post(self) -> None:
        """Go on to the Hub's own sign-out."""
        self.hub_auth.clear_cookie(self)
        self.drop("vaas-links")
        self.redirect(self.hub_auth.hub_prefix + "logout", status=303)


class SignedIn(Page, HubOAuthCallbackHandler):
    """Where the Hub sends people back to who have signed in; it keeps a token for them in a cookie."""


class StaticFile(web.StaticFileHandler):
    """A style sheet, a script or a picture of ours; there is nothing in it that not everybody may see."""

    def initialize(self, *, access: str, path: str) -> None:  # type: ignore[override]
        """Take the marker and the folder from the route table. Raises ValueError for a marker that it cannot hold."""
        if access != "anyone":
            raise ValueError(f"Static files are for anyone, not for “{access}”.")
        super().initialize(path=path)

    def set_extra_headers(self, path: str) -> None:
        """Let pages on apps' hosts, of sleeping apps, use the style sheet, and nobody take it for something else."""
        self.set_header("Cross-Origin-Resource-Policy", "same-site")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")


class EnterLink(Page):
    """The address of a link: keep that the visitor has it, and show the app."""

    def get(self, token: str) -> None:
        """Remember the link in a signed cookie."""
        app, link = self.portal.sharing.enter(token)
        links = [*sorted(self.visitor.links - {link.id})[-39:], link.id]
        self.keep("vaas-links", json.dumps(links), days=365)
        self.redirect(f"{self.base}apps/{app.slug}/")


class Slash(Page):
    """A page's address with a slash too few or too many: the way to the page, whether there is one or not."""

    def get(self, *_: str) -> None:
        """Go on to the address of the page."""
        path = self.request.path
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect((path[:-1] if path.endswith("/") else f"{path}/") + query)


class Favicon(Page):
    """Our icon, where browsers ask for it unasked."""

    def get(self) -> None:
        """Go on to the static file."""
        self.redirect(self.static_url("icons/favicon.svg"))
