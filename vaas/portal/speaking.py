"""Whom an app server asks for: who came to it is proven by what the portal itself signed, and may still be there."""

from __future__ import annotations

from dataclasses import dataclass

from vaas import policy
from vaas.errors import Forbidden, Invalid
from vaas.keeping import Handed
from vaas.model import App, ServerName, Visitor
from vaas.portal.core import Core, takes, terms, version_server
from vaas.slug import ACCOUNT_PREFIX
from vaas.tickets import Ticket, derive_proof_key, verify

__all__ = ["Asker", "Speaking"]

_OVER = "This visit has lasted for long. Open the app again from the portal."
_MAY_NOT = "This app may not ask for its visitor."
_ENDED = "You may not open this app any more."
_OTHERWISE = "What this app may reach or know was changed since you opened it with the basket. Open it with that again."


@dataclass(frozen=True)
class Asker:
    """Whom a server asks for; if they ``handed`` it something, for that alone. ``visit`` tells openings apart."""

    visitor: Visitor
    handed: Handed | None = None
    visit: str = ""


class Speaking:
    """Tells for which visitor a server asks, with the rights that they have now."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def asker(self, server: ServerName, proof: str) -> Asker:
        """Return who came to this server with that proof, and what they gave it.

        Raises
        ------
        Forbidden
            The server's app may not ask for its visitors, the proof is none or is another server's, its visitor may
            not open the app any more, or the app may reach or know something else than when they said yes.
        """
        app = self._app(server)
        try:
            key, now = derive_proof_key(self._core.master_key, server), self._core.now()
            came = verify(proof, key=key, purpose="ask", server=server, now=now.timestamp())
        except Invalid as error:
            raise Forbidden(_OVER, log_message=f"{server.path}: no proof of a visitor") from error
        if not app.speaks and not (came.basket and came.user):
            raise Forbidden(_MAY_NOT, log_message=f"{server.path} was handed nothing")
        if came.basket and came.terms != terms(app, self._core.network):
            raise Forbidden(_OTHERWISE, log_message=f"{server.path}: its network or what it knows is not as it was")
        handed = _handed(app, came) if came.basket else None
        return Asker(await self._stays(app, came), handed, came.nonce)

    def _app(self, server: ServerName) -> App:
        with self._core.database.begin() as records:
            app = records.apps.by_id(server.account.removeprefix(ACCOUNT_PREFIX))
            versions = records.versions.of(app.id) if app else []
            asking = [each for each in versions if app and (app.speaks or takes(each.report))]
        if app is None or server not in [version_server(app.id, version) for version in asking]:
            raise Forbidden(_MAY_NOT, log_message=f"{server.path} may not ask")
        return app

    async def _stays(self, app: App, came: Ticket) -> Visitor:
        user = await self._core.directory.user(came.user) if came.user else None
        visitor = Visitor(user, frozenset(came.links))
        with self._core.database.begin() as records:
            grants = records.grants.of([app.id])
        gone = bool(came.user) and user is None
        if gone or not policy.decide(visitor, "open", app, grants, now=self._core.now()).allowed:
            raise Forbidden(_ENDED, log_message=f"{came.user or 'somebody'} may not open {app.slug} any more")
        return visitor


def _handed(app: App, came: Ticket) -> Handed:
    return Handed(came.basket, came.things, app.id, app.version, came.terms)
