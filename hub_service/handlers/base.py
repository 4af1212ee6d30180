"""What every handler stands on: who asks, which route this is, and one way for errors to become answers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urljoin

from jupyterhub.services.auth import HubOAuthenticated, UserNotAllowed
from tornado import web

from hub_service.markdown import markdown
from hub_service.origins import is_forged
from hub_service.words import ago, duration_words, size_words
from vaas import cookies, errors, network, policy
from vaas.addresses import origin_of
from vaas.db.base import Query
from vaas.model import User, Visitor
from vaas.portal import Portal
from vaas.slug import ACCOUNT_PREFIX

__all__ = ["Api", "Base", "Page", "SIGNED_IN_ONLY", "plain"]

_log = logging.getLogger("vaas.http")
_Answer = TypeVar("_Answer")

#: error → (HTTP status, what to do about it)
STATUS: Mapping[type[errors.VaasError], tuple[int, str]] = {
    errors.NotFound: (404, "Check the address, or ask the person who sent it to share it with you."),
    errors.SignInNeeded: (401, "Sign in, then try again."),
    errors.UnknownToken: (401, "Make another one."),
    errors.Forbidden: (403, "Ask its owner for more access."),
    errors.WeakToken: (403, "Make another one."),
    errors.Invalid: (400, "Change it and try again."),
    errors.Conflict: (409, "Look at it again, then try once more."),
    errors.CheckFailed: (409, "Mend the notebook and check it again, or publish it anyway."),
    errors.TooLarge: (413, "Make it smaller, or ask the people who run this portal."),
    errors.StorageFull: (507, "Tell the people who run this portal."),
    errors.Unavailable: (503, "Try again in a moment."),
}
#: The access marker of routes for people who are signed in.
SIGNED_IN_ONLY = "signed-in"


class Base(HubOAuthenticated, web.RequestHandler):
    """A handler that knows its route's access marker: "anyone", "signed-in" or "server"."""

    #: Whether the sites that may embed apps may frame it: the door alone, which holds nothing to be tricked into.
    framed = False

    def initialize(self, *, access: str) -> None:
        """Take the marker from the route table."""
        self.access = access

    @property
    def portal(self) -> Portal:
        """The portal."""
        portal: Portal = self.settings["portal"]
        return portal

    @property
    def base(self) -> str:
        """The portal's path, with slashes at both ends."""
        return str(self.settings["prefix"])

    @property
    def public_url(self) -> str:
        """The portal's public address, with a slash at its end."""
        return str(self.settings["public_url"])

    @property
    def visitor(self) -> Visitor:
        """Who asks."""
        return Visitor(self.user, self._links())

    @property
    def user(self) -> User | None:
        """The signed-in person, or None."""
        model = self.current_user
        if not model or model.get("kind", "user") != "user" or model["name"].startswith(ACCOUNT_PREFIX):
            return None
        return User(model["name"], frozenset(model.get("groups") or ()), bool(model.get("admin")))

    @property
    def person(self) -> User:
        """The signed-in person. Raises SignInNeeded."""
        if self.user is None:
            raise errors.SignInNeeded("Sign in to do this.")
        return self.user

    def own_cookie(self, name: str) -> str:
        """Return the cookie's name: where browsers take it, one that no other host, an app's say, can set for us."""
        return cookies.own_name(name, secure=cookies.takes_secure(self.public_url))

    def keep(self, name: str, value: str, *, days: float | None = None) -> None:
        """Set one of our own signed cookies."""
        secure = cookies.takes_secure(self.public_url)
        path = "/" if secure else self.base
        self.set_signed_cookie(
            self.own_cookie(name), value, expires_days=days, httponly=True, samesite="Lax", secure=secure, path=path
        )

    def drop(self, name: str) -> None:
        """Take one of our own cookies away."""
        secure = cookies.takes_secure(self.public_url)
        self.clear_cookie(self.own_cookie(name), path="/" if secure else self.base, secure=secure)

    def kept(self, name: str, *, days: float) -> bytes | None:
        """Return what such a cookie holds if we set it, at most ``days`` ago, and no other page set one beside it."""
        name = self.own_cookie(name)
        value = cookies.only("; ".join(self.request.headers.get_list("Cookie")), name)
        return self.get_signed_cookie(name, value=value or None, max_age_days=days) if value else None

    def _links(self) -> frozenset[str]:
        cookie = self.kept("vaas-links", days=3650)
        return frozenset(json.loads(cookie)) if cookie else frozenset()

    async def prepare(self) -> None:
        """Find out who asks, and refuse by the route's marker before anything else happens."""
        model = await self.hub_auth.get_user(self, sync=False)
        try:
            self._hub_auth_user_cache = self.check_hub_user(model) if model else None
        except UserNotAllowed as error:
            self._hub_auth_user_cache = None
            if self.hub_auth.get_token(self, in_cookie=False):
                raise errors.WeakToken("This token may not use the portal.") from error
            raise errors.Forbidden("This account may not use the portal.") from error
        if is_forged(self.request.method or "", self.request.headers, origin=origin_of(self.public_url)):
            raise errors.Forbidden("This was sent from a page of another address. Go back and try it from here.")
        if self.access == SIGNED_IN_ONLY:
            _ = self.person
        scope = f"custom:vaas:{'read' if self.request.method in {'GET', 'HEAD'} else 'write'}"
        if self.user and not self.hub_auth.check_scopes({scope}, self.current_user):
            raise errors.WeakToken("This token may not do that.", log_message=f"scope {scope} is missing")

    def check_xsrf_cookie(self) -> None:
        """Let our own pages read with their cookie: an EventSource cannot send a header."""
        reads = self.request.method in {"GET", "HEAD"}
        if not (reads and self.request.headers.get("Sec-Fetch-Site") == "same-origin"):
            super().check_xsrf_cookie()

    @property
    def ancestors(self) -> str:
        """Who may frame the page, as a content security policy says it."""
        sites: tuple[str, ...] = self.settings.get("frame_ancestors", ()) if self.framed else ()
        return " ".join(sites) or "'none'"

    @property
    def frames(self) -> str:
        """Whose pages it may show in a frame, as a content security policy says it."""
        return str(self.settings["app_origins"])

    def set_default_headers(self) -> None:
        """Let pages load only what is ours, and be framed by nobody."""
        apps, ancestors = self.settings["app_origins"], self.ancestors
        self.set_header(
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            f"connect-src 'self'; form-action 'self' {apps}; frame-src {self.frames}; base-uri 'none'; "
            f"frame-ancestors {ancestors}",
        )
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Origin-Agent-Cluster", "?1")
        self.set_header("X-Content-Type-Options", "nosniff")
        # "same-origin" would send "Origin: null" with the form that leads into an app.
        self.set_header("Referrer-Policy", "strict-origin-when-cross-origin")
        self.set_header("Cache-Control", "private, no-store")
        self.clear_header("Server")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Keep an expected error to one line; everything else with its traceback."""
        if isinstance(value, errors.VaasError):
            path = masked(self.request.path)
            _log.info("%s %s: %s: %s", self.request.method, path, typ.__name__, value.log_message)
        else:
            super().log_exception(typ, value, tb)

    def explain(self, status: int, error: BaseException | None) -> tuple[int, str, str]:
        """Return the status, what is wrong and what to do about it, in words for the person."""
        if isinstance(error, errors.VaasError):
            status, fix = STATUS[type(error)]
            fix = "" if "ry again" in error.message and "ry again" in fix else fix  # nobody is told so twice
            if isinstance(error, errors.Forbidden) and error.field:
                fix = ""  # what was chosen cannot be, and it says why: no owner can change that
            if isinstance(error, errors.UnknownToken | errors.WeakToken):
                fix = f"Make another one at {urljoin(self.public_url, f'{self.hub_auth.hub_prefix}token')}."
            return status, error.message, fix
        if isinstance(error, web.MissingArgumentError):
            return 400, f"“{error.arg_name}” is missing.", "Fill it in and try again."
        texts = {
            403: ("This was refused.", "Reload the page and try again."),
            404: ("There is no such page.", "Check the address."),
            405: ("This cannot be done here.", "Go back and try another way."),
        }
        return status, *texts.get(status, ("Something went wrong on our side.", "Try again in a moment."))

    def data_received(self, chunk: bytes) -> None:
        """Bodies are read whole."""


class Page(Base):
    """A handler that answers with HTML."""

    #: The section of the site that the page belongs to.
    nav: str = ""
    #: What was wrong with the form that was sent, by field.
    wrong: Mapping[str, str] = {}

    def show(self, template: str, *, title: str, context: Mapping[str, Any] | None = None) -> None:
        """Write the page."""
        names = {
            "me": self.user,
            "base": self.base,
            "hub": self.hub_auth.hub_prefix,
            "static": self._static,
            "xsrf": self.xsrf_token.decode(),
            "login_url": f"{self.base}login?next={quote(self.request.uri or self.base)}",
            "logout_url": f"{self.base}logout",
            "nav": self.nav,
            "title": title,
            "notice": self._notice(),
            "isolated": self.settings["isolation"].holds,
            # On an error's page nothing more is asked of what may be what is wrong.
            "open_requests": self.portal.requests.waiting(self.visitor) if self.get_status() < 500 else 0,
            "ended_runs": self.portal.running.news(self.visitor) if self.get_status() < 500 else 0,
            "errors": self.wrong,
            "values": self._given(),
        }
        page = self.settings["templates"].get_template(template)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page.render({**names, **(context or {})}))

    def categories(self) -> list[str]:
        """Return the categories of the apps that the visitor may see, to choose from."""
        return sorted({listed.app.category for listed in self.portal.gallery.apps(self.visitor, Query())} - {""})

    def fail_form(self, error: errors.VaasError) -> None:
        """Make the page say the error at its field when it is shown again; raise one that has no field."""
        if not error.field:
            raise error
        self.set_status(STATUS[type(error)][0])
        self.wrong = {error.field: error.message}

    def _given(self) -> dict[str, Any]:
        """Return what a form sent, so that nothing has to be typed twice; passwords are not sent back."""
        if not self.wrong:
            return {}
        names = self.request.body_arguments.keys() - {"_xsrf", "password"}
        return {n: self.get_body_arguments(n) if n == "groups" else self.get_body_argument(n) for n in names}

    def done(self, path: str, notice: str = "") -> None:
        """Answer a form: go to ``path`` under the portal and say there what was done."""
        if notice:
            bound = json.dumps([self.visitor.name, notice])  # nobody can be shown what was said to another
            self.keep("vaas-notice", bound, days=1)
        self.redirect(self.base + path, status=303)

    def _notice(self) -> str:
        said = self.kept("vaas-notice", days=1)
        if said and not self._finished:
            self.drop("vaas-notice")
        name, notice = json.loads(said) if said else ("", "")
        return str(notice) if name == self.visitor.name else ""

    def _static(self, path: str) -> str:
        return self.static_url(path)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the error page, or send a stranger to sign in."""
        status, text, fix = self.explain(status_code, kwargs.get("exc_info", (None, None))[1])
        if status == 401 and self.request.method == "GET":
            self.redirect(f"{self.base}login?next={quote(self.request.uri or self.base)}")
            return
        self.set_status(status)
        context = {"status": status, "text": text, "fix": fix, "home_url": self.base}
        self.show("error.html", title=text, context=context)


class Api(Base):
    """A handler that speaks JSON, for the Hub's tokens and for our own pages."""

    _answering: asyncio.Task[Any] | None = None
    _gone = False

    async def prepare(self) -> None:
        """Refuse a token that nobody has: its holder would take what is for everybody for all that there is."""
        await self.hub_auth.get_user(self, sync=False)
        if self.hub_auth.get_token(self, in_cookie=False) and not getattr(self, "_token_authenticated", False):
            raise errors.UnknownToken("This token is not known or has expired.")
        await super().prepare()

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object. Raises Invalid."""
        try:
            body = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise errors.Invalid("The body is not JSON.") from error
        if not isinstance(body, dict):
            raise errors.Invalid("The body must be a JSON object.")
        return body

    def text(self, name: str, default: str = "") -> str:
        """Return a string of the body. Raises Invalid for another type."""
        value = self.json.get(name, default)
        if not isinstance(value, str):
            raise errors.Invalid(f"“{name}” must be a string.")
        return value

    def strings(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings of the body, None without it. Raises Invalid for another type."""
        value = self.json.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise errors.Invalid(f"“{name}” must be a list of strings.")
        return tuple(value)

    def flag(self, name: str) -> bool | None:
        """Return a boolean of the body, None without it. Raises Invalid for another type."""
        value = self.json.get(name)
        if value is not None and not isinstance(value, bool):
            raise errors.Invalid(f"“{name}” must be true or false.")
        return value

    async def while_heard(self, answer: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Return the answer; what nobody waits for any more is given up, and leaves the lines that it stands in."""
        self._answering = asyncio.create_task(answer)
        try:
            return await self._answering
        except asyncio.CancelledError:
            if not self._gone:
                raise
            raise errors.Unavailable("Nobody waits for this answer any more.") from None

    def on_connection_close(self) -> None:
        """Give up what is under way for who has gone."""
        super().on_connection_close()
        self._gone = True
        if self._answering is not None:
            self._answering.cancel()

    def reply(self, value: Any, *, status: int = 200) -> None:
        """Write JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer in the one error shape."""
        error = kwargs.get("exc_info", (None, None))[1]
        status, text, fix = self.explain(status_code, error)
        kind = type(error).__name__ if isinstance(error, errors.VaasError) else "Error"
        self.reply({"error": {"kind": kind, "message": text, "fix": fix}}, status=status)


def filters() -> dict[str, Any]:
    """Return the template filters."""
    words = {
        "ago": ago,
        "duration": duration_words,
        "size": size_words,
        "subject_title": policy.subject_title,
        "reach": network.words,
    }
    return {**words, "markdown": markdown}


def masked(path: str) -> str:
    """Return the path without what the address of a link holds."""
    return re.sub(r"/l/[A-Za-z0-9_-]{8,}", "/l/…", path)


def plain(value: Any) -> Any:
    """Make dataclasses' fields ready for JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
